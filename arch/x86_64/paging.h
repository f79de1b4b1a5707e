/*
 * Page tables beyond what arch.h offers to everybody: building them at boot, one set per core.
 *
 * The tables of two cores differ in the core window alone. Each core has its own top-level
 * table and its own chain of tables down to the window; every other top-level entry points to a
 * table that all cores share and that exists before the second core starts, so a mapping made
 * on one core is there on all.
 */
#pragma once

#include "arch/boot_info.h"

/*
 * Replace the boot tables by the real ones: the image, and the direct map of `ram`. Table pages are
 * cut off the ends of `info`'s ranges until mm/ takes those over. Boot core, once, cpu_detect()
 * done.
 */
void paging_init(struct boot_info *info, const struct memory_range *ram, unsigned nram);

/* Make [physical, physical + size), which is not RAM (firmware tables), readable at its place in
 * the direct map: read-only, whole pages. Returns phys_to_virt(physical), or NULL if it cannot be
 * mapped. Boot core. */
const void *paging_map_firmware(paddr_t physical, size_t size);

/* Build `core`'s tables, its window filled in (smp/window.h). Returns the physical address for
 * paging_load(), or 0 if memory is out. Boot core, after mm_init(). */
paddr_t paging_create_core_tables(core_id_t core);

/* Continue on these tables. The code and stack in use must be mapped alike. */
void paging_load(paddr_t tables);

/*
 * Tables for the way of a core from real to 64-bit mode: `page` (the trampoline, below 1 MiB)
 * mapped at its own address, read-only and executable, and everything of the kernel's; below 4 GiB,
 * as a 32-bit load of CR3 needs. The trampoline is filled through the direct map. Boot core, after
 * mm_init(). Gone with paging_remove_trampoline(), once no core is on its way.
 */
paddr_t paging_trampoline_tables(paddr_t page);
void paging_remove_trampoline(void);

/* Unmap a page of the image for good: a guard page. Boot core, before the others start. */
void paging_make_guard(const void *page);
/* Is `address` in such a page? */
bool paging_is_image_guard(vaddr_t address);

/* The network was refused at `address`: is that page its own since (arch_give_to_network())? Then this core
 * has forgotten what it knew of it. A fault handler. */
bool paging_refresh_network(vaddr_t address);

/* Give pages of the direct map, or of kernel addresses, to the domain that has this key. 0, or -ENOMEM: then they
 * are the kernel's. What cores know of them they do not forget. */
int paging_set_keys(vaddr_t address, size_t size, unsigned key);
