/*
 * The core window: core-local data at the same virtual address on every core.
 *
 * The linker collects every CORE_LOCAL variable, and all writable data of lwIP, in the
 * page-aligned section `.core_window`. Each core's page tables map those pages to
 * memory of its own, filled from the section's pristine contents. A core's copy can be
 * read by others through the direct map.
 */
#pragma once

#include "lavra/types.h"

extern char core_window_start[], core_window_end[]; /* linker script; page-aligned */

/* Keep a pristine copy of the window. Boot core, before anything writes a CORE_LOCAL. */
void window_save_template(void);

/* Allocate and fill `core`'s window (core 0 keeps the image's own pages). Boot core. */
int window_create(core_id_t core);

/* Where `core`'s copy of a CORE_LOCAL variable can be reached from any core. */
void *window_address_of(core_id_t core, const void *core_local_variable);
#define core_local_of(core, variable) ((typeof(variable) *)window_address_of(core, &(variable)))

/* The physical address of the window page `index` of `core`; arch builds page tables with it. */
paddr_t window_frame(core_id_t core, unsigned index);
