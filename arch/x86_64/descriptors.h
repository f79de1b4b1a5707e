/*
 * The descriptor tables of a core: segments, task state (trap stacks), interrupts.
 */
#pragma once

#include "lavra/types.h"

/* Fill the table of interrupts, which all cores share. Boot core, again when isolation is decided. */
void descriptors_fill(void);

/* Fill and load this core's tables; `stacks[i]` is the top of interrupt stack i + 1 (trap.h). */
void descriptors_load(const vaddr_t *stacks);
