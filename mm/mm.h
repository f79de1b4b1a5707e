/*
 * Memory, all of it, in order: frames, objects, kernel mappings, areas.
 *
 * When memory is out: frame_alloc() and object_alloc() return nothing and kva_stack_alloc() NULL;
 * area calls return -ENOMEM with nothing changed; a page fault that finds no frame is refused
 * (mm_handle_fault() in arch/arch.h) and mm_fault_reason() says so.
 */
#pragma once

#include "arch/boot_info.h"

void mm_init(const struct boot_info *info); /* boot core */
void mm_init_core(void); /* every other core, before it allocates */

/* Why mm_handle_fault() last returned false on this core: a sentence's end, for the fault report. */
const char *mm_fault_reason(void);
/* And the signal that Linux sends for it, with its si_code: SIGSEGV (SEGV_MAPERR, SEGV_ACCERR,
 * SEGV_PKUERR), SIGBUS (BUS_ADRERR: the mapped file ends before the page), or SIGKILL: memory is out,
 * which no handler can mend. */
int mm_fault_signal(int *code);
