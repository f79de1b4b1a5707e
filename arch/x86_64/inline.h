/*
 * The parts of arch.h that are one or a few instructions.
 */
#pragma once

#include "arch/x86_64/isolation.h"
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

/* A bit for each page of RAM (paging.c). */
extern uint64_t *network_pages;
extern size_t nnetwork_pages;

static inline bool arch_is_known_networks(const void *address)
{
	size_t page = ((vaddr_t)address - DIRECT_MAP) / PAGE_SIZE;

	return page < nnetwork_pages &&
	       __atomic_load_n(&network_pages[page / 64], __ATOMIC_ACQUIRE) >> page % 64 & 1;
}

/* network_gate.S: where the kernel's stack is while the network runs; or NETWORK_IDLE, or NETWORK_DOWN. */
extern CORE_LOCAL uintptr_t network_caller;

static inline bool arch_network_is_down(void)
{
	return network_caller == NETWORK_DOWN;
}
