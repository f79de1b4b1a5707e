/*
 * A branch that is not taken, for the price of an instruction that does nothing, until
 * arch_switch_branches() makes it a jump. For assembly: the macro static_branch.
 */
#pragma once

/* The longest form that all processors take as one instruction, as long as a jump (SDM volume 2, NOP). */
#define STATIC_BRANCH_NOP 0x0f, 0x1f, 0x44, 0x00, 0x00
#define STATIC_BRANCH_BYTES 5

#ifdef __ASSEMBLER__
/* clang-format off */
	.macro static_branch target
771:	.byte STATIC_BRANCH_NOP
	.pushsection static_branches, "a", @progbits
	.balign 8
	.quad 771b, \target
	.popsection
	.endm
/* clang-format on */
#else

#include "lavra/types.h"

#define STATIC_BRANCH_STRING_(...) #__VA_ARGS__
#define STATIC_BRANCH_STRING(...) STATIC_BRANCH_STRING_(__VA_ARGS__)

static inline __attribute__((always_inline)) bool arch_static_branch(void)
{
	/* clang-format off */
	__asm__ goto("1: .byte " STATIC_BRANCH_STRING(STATIC_BRANCH_NOP) "\n"
		     "	.pushsection static_branches, \"a\", @progbits\n"
		     "	.balign 8\n"
		     "	.quad 1b, %l[taken]\n"
		     "	.popsection" : : : : taken);
	/* clang-format on */
	return false;
taken:
	return true;
}

struct trap_frame;
/* Is it the breakpoint of a branch that is being switched? Then it goes on behind it. */
bool static_branch_hit(struct trap_frame *frame);
#endif
