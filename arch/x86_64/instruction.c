#include "arch/x86_64/instruction.h"

#define MAX_LENGTH 15
#define REX_W 8

/* What follows the opcode. */
enum {
	NONE = 0,
	MODRM = 1,
	BYTE = 2, /* immediate operands */
	WORD = 4,
	FULL = 8, /* 4 bytes; 2 with an operand-size prefix */
	FOUR = 16, /* 4 bytes in any case: branches */
	WIDE = 32, /* FULL, or 8 bytes with REX.W */
	ADDRESS = 64, /* 8 bytes; 4 with an address-size prefix */
	BAD = 128,
};

/* SDM volume 2, table A-2, in 64-bit mode; without prefixes and escapes. */
static unsigned operands_of_byte(uint8_t op)
{
	if (op < 0x40) {
		static const uint8_t arithmetic[8] = { MODRM, MODRM, MODRM, MODRM,
						       BYTE,  FULL,  BAD,   BAD };

		return arithmetic[op & 7];
	}
	switch (op) {
	case 0x60 ... 0x62:
	case 0x82:
	case 0x9a:
	case 0xc4:
	case 0xc5:
	case 0xce:
	case 0xd4 ... 0xd6:
	case 0xea:
		return BAD;
	case 0x63:
	case 0x84 ... 0x8f:
	case 0xd0 ... 0xd3:
	case 0xd8 ... 0xdf:
	case 0xf6: /* and an immediate operand, for two of eight */
	case 0xf7:
	case 0xfe:
	case 0xff:
		return MODRM;
	case 0x68:
	case 0xa9:
		return FULL;
	case 0x69:
	case 0x81:
	case 0xc7:
		return MODRM | FULL;
	case 0x6b:
	case 0x80:
	case 0x83:
	case 0xc0:
	case 0xc1:
	case 0xc6:
		return MODRM | BYTE;
	case 0x6a:
	case 0x70 ... 0x7f:
	case 0xa8:
	case 0xb0 ... 0xb7:
	case 0xcd:
	case 0xe0 ... 0xe7:
	case 0xeb:
		return BYTE;
	case 0xa0 ... 0xa3:
		return ADDRESS;
	case 0xb8 ... 0xbf:
		return WIDE;
	case 0xc2:
	case 0xca:
		return WORD;
	case 0xc8:
		return WORD | BYTE;
	case 0xe8:
	case 0xe9:
		return FOUR;
	}
	return NONE;
}

/* Table A-3. */
static unsigned operands_of_0f(uint8_t op)
{
	switch (op) {
	case 0x04:
	case 0x0a:
	case 0x0c:
	case 0x24 ... 0x27:
	case 0x36:
	case 0x39:
	case 0x3b ... 0x3f:
	case 0xa6:
	case 0xa7:
		return BAD;
	case 0x05 ... 0x09:
	case 0x0b:
	case 0x0e:
	case 0x30 ... 0x35:
	case 0x37:
	case 0x77:
	case 0xa0 ... 0xa2:
	case 0xa8 ... 0xaa:
	case 0xc8 ... 0xcf:
		return NONE;
	case 0x80 ... 0x8f:
		return FOUR;
	case 0x0f:
	case 0x70 ... 0x73:
	case 0xa4:
	case 0xac:
	case 0xba:
	case 0xc2:
	case 0xc4 ... 0xc6:
		return MODRM | BYTE;
	}
	return MODRM;
}

static unsigned operands_of(unsigned map, uint8_t op)
{
	switch (map) {
	case 0:
		return operands_of_byte(op);
	case 1:
		return operands_of_0f(op);
	case 3:
		return MODRM | BYTE;
	}
	return MODRM;
}

struct reader {
	const uint8_t *code;
	size_t size, at;
};

/* Behind the end of what there is one reads zeros: the length tells. */
static uint8_t next(struct reader *reader)
{
	uint8_t byte = reader->at < reader->size ? reader->code[reader->at] : 0;

	reader->at++;
	return byte;
}

struct prefixes {
	bool operand_size, address_size;
};

static uint8_t skip_prefixes(struct reader *reader, struct prefixes *prefixes)
{
	for (;;) {
		uint8_t byte = next(reader);

		switch (byte) {
		case 0x66:
			prefixes->operand_size = true;
			break;
		case 0x67:
			prefixes->address_size = true;
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64:
		case 0x65:
		case 0xf0:
		case 0xf2:
		case 0xf3:
			break;
		default:
			return byte;
		}
		if (reader->at >= MAX_LENGTH)
			return byte;
	}
}

/* C4, C5 and 62 are no instructions of their own in 64-bit mode. */
static void read_vector_prefix(struct reader *reader, uint8_t first, struct instruction *result)
{
	result->vector = true;
	result->map = 1;
	if (first != 0xc5)
		result->map = next(reader) & (first == 0x62 ? 7 : 0x1f);
	next(reader);
	if (first == 0x62)
		next(reader);
	result->opcode = next(reader);
}

static void read_opcode(struct reader *reader, uint8_t first, struct instruction *result)
{
	if ((first & 0xf0) == 0x40) {
		result->rex = first;
		first = next(reader);
	}
	if (!result->rex && (first == 0xc4 || first == 0xc5 || first == 0x62)) {
		read_vector_prefix(reader, first, result);
		return;
	}
	result->opcode = first;
	if (first != 0x0f)
		return;
	result->map = 1;
	result->opcode = next(reader);
	if (result->opcode != 0x38 && result->opcode != 0x3a)
		return;
	result->map = result->opcode == 0x38 ? 2 : 3;
	result->opcode = next(reader);
}

/* Tables 2-2 and 2-3. */
static void read_modrm(struct reader *reader, struct instruction *result)
{
	unsigned mod, base;

	result->has_modrm = true;
	result->modrm_offset = (uint8_t)reader->at;
	result->modrm = next(reader);
	mod = modrm_mod(result->modrm);
	base = modrm_rm(result->modrm);
	if (mod == 3)
		return;
	if (base == 4)
		base = next(reader) & 7;
	result->displacement_size = mod == 1 ? 1 : mod == 2 || base == 5 ? 4 : 0;
	reader->at += result->displacement_size;
}

static size_t immediate_size(unsigned operands, const struct prefixes *prefixes, uint8_t rex)
{
	size_t size = operands & BYTE ? 1 : 0;

	if (operands & WORD)
		size += 2;
	if (operands & FOUR)
		size += 4;
	if (operands & ADDRESS)
		size += prefixes->address_size ? 4 : 8;
	if (operands & (FULL | WIDE)) {
		bool wide = rex & REX_W;

		size += wide && operands & WIDE ? 8 : prefixes->operand_size && !wide ? 2 : 4;
	}
	return size;
}

bool instruction_decode(const uint8_t *code, size_t size, struct instruction *instruction)
{
	struct reader reader = { code, size, 0 };
	struct instruction result = { 0 };
	struct prefixes prefixes = { 0 };
	unsigned operands;

	read_opcode(&reader, skip_prefixes(&reader, &prefixes), &result);
	operands = operands_of(result.map, result.opcode);
	if (operands & BAD || (result.vector && !result.map))
		return false;
	if (operands & MODRM)
		read_modrm(&reader, &result);
	if (result.map == 0 && (result.opcode == 0xf6 || result.opcode == 0xf7) &&
	    modrm_reg(result.modrm) < 2)
		operands |= result.opcode == 0xf6 ? BYTE : FULL;
	reader.at += immediate_size(operands, &prefixes, result.rex);
	if (reader.at > MAX_LENGTH || reader.at > size)
		return false;
	result.length = (uint8_t)reader.at;
	*instruction = result;
	return true;
}

/* 0F 01: the operand says which (table A-6, group 7). */
static bool is_privileged_group_7(uint8_t modrm)
{
	if (modrm_mod(modrm) != 3) /* LGDT, LIDT, LMSW, INVLPG */
		return modrm_reg(modrm) == 2 || modrm_reg(modrm) == 3 || modrm_reg(modrm) >= 6;
	switch (modrm) {
	case 0xc0 ... 0xc4: /* VMX */
	case 0xc8: /* MONITOR, MWAIT */
	case 0xc9:
	case 0xcf: /* ENCLS */
	case 0xd1: /* XSETBV */
	case 0xd8 ... 0xdf: /* SVM */
	case 0xf0 ... 0xf7: /* LMSW */
	case 0xf8: /* SWAPGS */
		return true;
	}
	return false;
}

bool instruction_is_privileged(const struct instruction *instruction)
{
	uint8_t op = instruction->opcode;

	if (instruction->vector)
		return false;
	if (instruction->map == 0) /* INS, OUTS, IN, OUT, HLT, CLI, STI */
		return (op >= 0x6c && op <= 0x6f) || (op >= 0xe4 && op <= 0xe7) ||
		       (op >= 0xec && op <= 0xef) || op == 0xf4 || op == 0xfa || op == 0xfb;
	if (instruction->map == 2) /* INVEPT, INVVPID, INVPCID */
		return op >= 0x80 && op <= 0x82;
	if (instruction->map != 1)
		return false;
	switch (op) {
	case 0x00: /* LLDT, LTR */
		return modrm_reg(instruction->modrm) == 2 || modrm_reg(instruction->modrm) == 3;
	case 0x01:
		return is_privileged_group_7(instruction->modrm);
	case 0x06: /* CLTS, SYSRET, INVD, WBINVD */
	case 0x07:
	case 0x08:
	case 0x09:
	case 0x20 ... 0x23: /* MOV from and to control and debug registers */
	case 0x30: /* WRMSR, RDMSR, SYSEXIT, RSM */
	case 0x32:
	case 0x35:
	case 0xaa:
		return true;
	}
	return false;
}
