#include "arch/x86_64/rights_emulate.h"

#include "arch/arch.h"
#include "arch/x86_64/context.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instruction.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/rights_operand.h"
#include "arch/x86_64/rights_pages.h"
#include "arch/x86_64/rights_scan.h"
#include "arch/x86_64/signal_frame.h"
#include "arch/x86_64/trap.h"
#include "arch/x86_64/user_access.h"

#include <string.h>

#define LONGEST 15

#define WRPKRU_MODRM 0xef
#define XRSTOR_REG 5

/* An XSAVE area: SDM volume 1, 13.4. */
#define LEGACY_SIZE 512
#define MXCSR_OFFSET 24
#define HEADER_SIZE 64
#define FIRST_EXTENDED 2
#define COMPONENT_PKRU 9
#define COMPACTED (1ul << 63)
#define HAS_MXCSR 6ul /* SSE and AVX */

struct header {
	uint64_t present; /* XSTATE_BV */
	uint64_t compacted; /* XCOMP_BV */
	uint64_t reserved[6];
};

/* Of those that XCR0 has. Any core may be the first; all read the same. */
static struct component components[COMPONENTS];
static bool can_compact, components_are_known;

static void read_components(void)
{
	if (__atomic_load_n(&components_are_known, __ATOMIC_ACQUIRE))
		return;
	for (unsigned i = FIRST_EXTENDED; i < COMPONENTS; i++) {
		struct cpuid leaf;

		if (!(cpu_features.xcr0 >> i & 1))
			continue;
		leaf = cpuid(0xd, i);
		components[i] = (struct component){ leaf.eax, leaf.ebx, leaf.ecx >> 1 & 1 };
	}
	can_compact = cpuid(0xd, 1).eax >> 1 & 1;
	__atomic_store_n(&components_are_known, true, __ATOMIC_RELEASE);
}

/* The bytes of the area as far as these components go. */
static uint32_t area_end(const struct header *header, uint64_t wanted)
{
	uint32_t end = LEGACY_SIZE + HEADER_SIZE;

	for (unsigned i = FIRST_EXTENDED; i < COMPONENTS; i++)
		if (wanted >> i & 1)
			end = max(end, rights_component_offset(components, header->compacted, i) +
					   components[i].size);
	return end;
}

/* What XRSTOR refuses: SDM volume 1, 13.8. */
static bool is_sound(const struct header *header, const uint8_t *area, uint64_t mask)
{
	uint64_t allowed = cpu_features.xcr0;
	uint32_t mxcsr;

	if (header->compacted) {
		if (!can_compact || !(header->compacted & COMPACTED) ||
		    header->compacted & ~(COMPACTED | allowed))
			return false;
		allowed = header->compacted & ~COMPACTED;
	}
	if (header->present & ~allowed)
		return false;
	for (unsigned i = 0; i < array_size(header->reserved); i++)
		if (header->reserved[i])
			return false;
	memcpy(&mxcsr, area + MXCSR_OFFSET, sizeof(mxcsr));
	return !(mask & HAS_MXCSR) || !(mxcsr & ~signal_frame_mxcsr_mask());
}

/* Of the application's, and none of ours. */
static bool fetch(void *to, vaddr_t from, size_t size)
{
	return from >= USER_START && from < USER_END && size <= USER_END - from &&
	       user_copy(to, (const void *)from, size);
}

static bool restore(struct trap_frame *frame, vaddr_t from)
{
	static const size_t fixed = LEGACY_SIZE + HEADER_SIZE;
	uint64_t mask = ((uint64_t)(uint32_t)frame->rdx << 32 | (uint32_t)frame->rax) &
			cpu_features.xcr0;
	/* The running thread's save area is free, and as large as what XCR0 has. */
	uint8_t *area = current_context()->extended;
	struct header header;
	uint32_t end;

	if (!cpu_features.xsave || from % 64 || !fetch(area, from, fixed))
		return false;
	memcpy(&header, area + LEGACY_SIZE, sizeof(header));
	read_components();
	if (!is_sound(&header, area, mask))
		return false;
	end = area_end(&header, header.present & mask);
	/* Not the beginning once more: it might have changed. */
	if (end > cpu_features.xsave_size || !fetch(area + fixed, from + fixed, end - fixed))
		return false;
	if (mask >> COMPONENT_PKRU & 1) {
		uint32_t rights = 0;

		if (header.present >> COMPONENT_PKRU & 1)
			memcpy(&rights,
			       area + rights_component_offset(components, header.compacted,
							      COMPONENT_PKRU),
			       sizeof(rights));
		frame->rights = rights_of_application(rights);
	}
	rights_keep_and_xrstor(area, mask);
	return true;
}

/* As much of the instruction as is there. */
static size_t fetch_code(uint8_t *code, vaddr_t from)
{
	size_t whole = min(LONGEST, align_down(from, PAGE_SIZE) + PAGE_SIZE - from);

	memset(code, 0, LONGEST);
	if (!fetch(code, from, whole))
		return 0;
	return fetch(code + whole, from + whole, LONGEST - whole) ? LONGEST : whole;
}

/* None but REX: XRSTOR refuses some of the others, and no compiler emits any. */
static bool has_prefixes(const struct instruction *instruction)
{
	return instruction->modrm_offset != (instruction->rex ? 3 : 2);
}

enum rights_emulation rights_emulate(struct trap_frame *frame)
{
	struct instruction instruction;
	uint8_t code[LONGEST];
	bool done;

	if (!instruction_decode(code, fetch_code(code, frame->rip), &instruction) ||
	    instruction.map != 1 || instruction.opcode != RIGHTS_TRAP ||
	    has_prefixes(&instruction) ||
	    !rights_is_site(frame->rip + instruction.modrm_offset - 2))
		return RIGHTS_NONE;
	if (instruction.modrm == WRPKRU_MODRM) {
		done = !(uint32_t)frame->rcx && !(uint32_t)frame->rdx;
		if (done)
			frame->rights = rights_of_application((uint32_t)frame->rax);
	} else if (modrm_mod(instruction.modrm) != 3 &&
		   modrm_reg(instruction.modrm) == XRSTOR_REG) {
		done = restore(frame, rights_operand(frame, &instruction, code));
	} else {
		return RIGHTS_NONE;
	}
	if (!done)
		return RIGHTS_FAULT;
	frame->rip += instruction.length;
	return RIGHTS_DONE;
}
