/*
 * Saved threads, inside: what trap.c needs beyond arch.h.
 */
#pragma once

#include "arch/arch.h"
#include "arch/x86_64/trap.h"

/* Save the thread that an interrupt stopped in application code, whole: its registers from `frame`,
 * the rest from the processor. Interrupt stack, interrupts off. */
void context_save_preempted(struct context *context, const struct trap_frame *frame);
