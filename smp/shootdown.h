/*
 * TLB shootdown: after a mapping was removed or narrowed, no core may use the old one.
 */
#pragma once

#include "lavra/types.h"

/* Drop cached translations of the range on every online core; returns when all have done so.
 * Any core, interrupts on (the caller answers others' shootdowns while it waits). */
void tlb_shootdown(vaddr_t address, size_t npages);
void tlb_interrupt(void); /* arch calls it in interrupt context */
