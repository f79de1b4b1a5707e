/* Where what is emulated of XRSTOR (rights_emulate.h) has its operand, and its operand the components. */
#pragma once

#include "lavra/types.h"

struct trap_frame;
struct instruction;

/* Where the operand in memory is: SDM volume 2, 2.1.5 and 2.2.1. `code` is the instruction. */
vaddr_t rights_operand(const struct trap_frame *frame, const struct instruction *instruction,
		       const uint8_t *code);

/* Sizes of an XSAVE area's components: CPUID's leaf 0DH. */
struct component {
	uint32_t size, offset; /* the offset in the standard format */
	bool aligned; /* to 64 bytes in the compacted one */
};
#define COMPONENTS 63
/* Where component `index` is in the area; `compacted` is its header's XCOMP_BV, if bit 63 is set there. */
uint32_t rights_component_offset(const struct component *components, uint64_t compacted,
				 unsigned index);
