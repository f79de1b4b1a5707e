#include "arch/x86_64/rights_scan.h"

#include "arch/x86_64/instruction.h"

#include <string.h>

/* Decoding starts everywhere between these distances: it takes a few instructions until one is in
 * step with the code, and some never are. */
#define NEAREST_START 24
#define FEWEST_STARTS 8

/* Operands are set so close by. */
#define OPERAND_DISTANCE 32

#define RCX 1
#define RDX 2

static bool is_memory(uint8_t modrm, unsigned reg)
{
	return modrm_mod(modrm) != 3 && modrm_reg(modrm) == reg;
}

/* The bytes behind 0F. */
static bool changes_rights(uint8_t opcode, uint8_t modrm)
{
	return (opcode == 0x01 && modrm == 0xef) || (opcode == 0xae && is_memory(modrm, 5)) ||
	       (opcode == 0xc7 && is_memory(modrm, 3));
}

#define EACH_BYTE 0x0101010101010101ul

/* How many of the 8 bytes come before the first that is 0F. */
static size_t bytes_before_escape(const uint8_t *bytes)
{
	uint64_t word, zeros;

	memcpy(&word, bytes, sizeof(word));
	word ^= EACH_BYTE * 0x0f;
	/* The lowest bit that is set is that of the first zero byte; the others may be mistaken. */
	zeros = (word - EACH_BYTE) & ~word & EACH_BYTE * 0x80;
	return zeros ? (size_t)__builtin_ctzl(zeros) / 8 : sizeof(word);
}

size_t rights_find(const uint8_t *code, size_t size, size_t from)
{
	size_t at = from;

	while (at + RIGHTS_BYTES <= size) {
		if (at + sizeof(uint64_t) <= size) {
			size_t before = bytes_before_escape(code + at);

			at += before;
			if (before == sizeof(uint64_t) || at + RIGHTS_BYTES > size)
				continue;
		}
		if (code[at] == 0x0f && changes_rights(code[at + 1], code[at + 2]))
			return at;
		at++;
	}
	return size;
}

const char *rights_name(const uint8_t *found)
{
	return found[1] == 0x01 ? "WRPKRU" : found[1] == 0xae ? "XRSTOR" : "XRSTORS";
}

/* Does it write to the register (below 8), by a form that is used to prepare an operand? */
static bool sets(const struct instruction *instruction, uint8_t op, unsigned reg)
{
	uint8_t modrm = instruction->modrm;

	if (instruction->map || instruction->vector)
		return false;
	if (!instruction->has_modrm) /* mov $immediate */
		return op == 0xb8 + reg && !(instruction->rex & 1);
	if (op == 0x8b || op == 0x33) /* mov and xor to the register in the middle field */
		return modrm_reg(modrm) == reg && !(instruction->rex & 4);
	/* ... and to the one in the last */
	return (op == 0x89 || op == 0x31) && modrm_mod(modrm) == 3 && modrm_rm(modrm) == reg &&
	       !(instruction->rex & 1);
}

struct steps {
	bool meet; /* an instruction begins at `to` */
	unsigned set; /* a bit for each register that was set nearby */
	unsigned set_last; /* by the instruction before */
};

static struct steps step(const uint8_t *code, size_t size, size_t from, size_t to)
{
	struct steps steps = { 0 };

	while (from < to) {
		struct instruction instruction;

		if (!instruction_decode(code + from, size - from, &instruction))
			return steps;
		steps.set_last = 0;
		for (unsigned reg = RCX; reg <= RDX; reg++)
			if (sets(&instruction, instruction.opcode, reg))
				steps.set_last |= 1u << reg;
		if (to - from <= OPERAND_DISTANCE)
			steps.set |= steps.set_last;
		from += instruction.length;
	}
	steps.meet = from == to;
	return steps;
}

/* A prefix of the instruction may lie before the 0F. */
static bool is_rex(uint8_t byte)
{
	return (byte & 0xf0) == 0x40;
}

static struct steps step_to(const uint8_t *code, size_t size, size_t from, size_t at)
{
	struct steps steps = step(code, size, from, at);

	if (!steps.meet && at > from && is_rex(code[at - 1]))
		steps = step(code, size, from, at - 1);
	return steps;
}

/* How many ways to decode what comes before, and how many of them meet the instruction. */
struct count {
	size_t starts, met;
	unsigned set, set_last;
};

static struct count count_steps(const uint8_t *code, size_t size, size_t at, size_t nearest)
{
	struct count count = { 0 };

	for (size_t from = at > RIGHTS_CONTEXT ? at - RIGHTS_CONTEXT : 0; from + nearest <= at;
	     from++) {
		struct steps steps = step_to(code, size, from, at);

		count.starts++;
		if (!steps.meet)
			continue;
		count.met++;
		count.set |= steps.set;
		count.set_last |= steps.set_last;
	}
	return count;
}

bool rights_is_instruction(const uint8_t *code, size_t size, size_t at)
{
	unsigned wanted = code[at + 1] == 0x01 ? 1 << RCX | 1 << RDX : 1 << RDX;
	struct count count;

	if (code[at + 1] == 0xc7)
		return false; /* XRSTORS is for operating systems */
	/* An operand set just before says much. */
	count = count_steps(code, size, at, 1);
	if (count.set_last && (count.set & wanted) == wanted && count.met * 2 >= count.starts)
		return true;
	count = count_steps(code, size, at, NEAREST_START);
	return count.starts >= FEWEST_STARTS && count.met * 8 >= count.starts * 7 &&
	       (count.set & wanted) == wanted;
}
