#include "arch/x86_64/rights_operand.h"

#include "arch/x86_64/instruction.h"
#include "arch/x86_64/trap.h"

#include <string.h>

/* Of an XSAVE area, behind its legacy part and header: SDM volume 1, 13.4. */
#define EXTENDED_START 576
#define FIRST_EXTENDED 2

static uint64_t register_of(const struct trap_frame *frame, unsigned number)
{
	switch (number) {
	case 0:
		return frame->rax;
	case 1:
		return frame->rcx;
	case 2:
		return frame->rdx;
	case 3:
		return frame->rbx;
	case 4:
		return frame->rsp;
	case 5:
		return frame->rbp;
	case 6:
		return frame->rsi;
	case 7:
		return frame->rdi;
	case 8:
		return frame->r8;
	case 9:
		return frame->r9;
	case 10:
		return frame->r10;
	case 11:
		return frame->r11;
	case 12:
		return frame->r12;
	case 13:
		return frame->r13;
	case 14:
		return frame->r14;
	default:
		return frame->r15;
	}
}

vaddr_t rights_operand(const struct trap_frame *frame, const struct instruction *instruction,
		       const uint8_t *code)
{
	unsigned mod = modrm_mod(instruction->modrm), rm = modrm_rm(instruction->modrm);
	const uint8_t *next = code + instruction->modrm_offset + 1;
	unsigned rex = instruction->rex;
	int32_t displacement = 0;
	vaddr_t address = 0;

	if (rm == 4) {
		uint8_t sib = *next++;
		unsigned index = (sib >> 3 & 7) | (rex & 2) << 2, base = sib & 7;

		if (index != 4)
			address = register_of(frame, index) << (sib >> 6);
		if (base != 5 || mod != 0)
			address += register_of(frame, base | (rex & 1) << 3);
	} else if (rm == 5 && mod == 0) {
		address = frame->rip + instruction->length;
	} else {
		address = register_of(frame, rm | (rex & 1) << 3);
	}
	if (instruction->displacement_size == 1)
		displacement = (int8_t)*next;
	else if (instruction->displacement_size == 4)
		memcpy(&displacement, next, sizeof(displacement));
	return address + (vaddr_t)(int64_t)displacement;
}

uint32_t rights_component_offset(const struct component *components, uint64_t compacted,
				 unsigned index)
{
	uint32_t offset = EXTENDED_START;

	if (!compacted)
		return components[index].offset;
	for (unsigned i = FIRST_EXTENDED; i <= index; i++) {
		if (!(compacted >> i & 1))
			continue;
		if (components[i].aligned)
			offset = (uint32_t)align_up(offset, 64u);
		if (i < index)
			offset += components[i].size;
	}
	return offset;
}
