/*
 * Interrupts other than exceptions: from a vector to whoever handles it.
 */
#pragma once

#include "lavra/types.h"

/* Called by the trap code for vectors 32..255: interrupt stack, interrupts off. Acknowledges. */
void irq_dispatch(unsigned vector);

/* What the generic code does at an interrupt (sched/timer.c, smp/mailbox.c, smp/shootdown.c). */
void timer_interrupt(void);
void ipi_interrupt(void);
void tlb_interrupt(void);
