/*
 * The parts of arch.h that are one or a few instructions.
 */
#pragma once

#include "lavra/types.h"

static inline void arch_irq_enable(void)
{
	__asm__ volatile("sti" ::: "memory");
}

static inline void arch_irq_disable(void)
{
	__asm__ volatile("cli" ::: "memory");
}

/* pushfq writes below the stack pointer, where a leaf function may keep its variables (the red
 * zone): step over it first. */
static inline unsigned long arch_flags(void)
{
	unsigned long flags;

	__asm__ volatile("leaq -128(%%rsp), %%rsp\n\t"
			 "pushfq\n\t"
			 "popq %0\n\t"
			 "leaq 128(%%rsp), %%rsp"
			 : "=r"(flags)::"memory");
	return flags;
}

static inline bool arch_irq_is_enabled(void)
{
	return arch_flags() >> 9 & 1; /* RFLAGS.IF */
}

static inline unsigned long arch_irq_save(void)
{
	unsigned long flags = arch_flags();

	arch_irq_disable();
	return flags;
}

static inline void arch_irq_restore(unsigned long saved)
{
	if (saved >> 9 & 1)
		arch_irq_enable();
}

/* sti takes effect after the instruction that follows it (SDM volume 2, STI), so no interrupt can
 * come between the two. */
static inline void arch_wait_for_interrupt(void)
{
	__asm__ volatile("sti; hlt" ::: "memory");
}

static inline void arch_pause(void)
{
	__asm__ volatile("pause" ::: "memory");
}

/* Decided once, before there are page tables (isolation.c). */
#ifdef ISOLATION_NONE
#define isolation_on false
#else
extern bool isolation_on;
#endif

static inline bool arch_isolation(void)
{
	return isolation_on;
}
