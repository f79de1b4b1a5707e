/*
 * Virtual areas: what the application has mapped, and what a page fault there means.
 *
 * One address space, one sorted set of areas (adjacent ones with the same attributes are
 * merged), one lock (mm/area.c; docs/locking.md). Pages appear when they are touched
 * (demand-zero), 2 MiB at a time where the area covers them and memory is plentiful.
 */
#pragma once

#include "lavra/types.h"

/* prot and flags are Linux's PROT_* and MAP_*. Anonymous memory only: MAP_SHARED and MAP_PRIVATE are
 * the same in one address space. Understands MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_POPULATE,
 * MAP_STACK (no 2 MiB pages), MAP_NORESERVE, MAP_GROWSDOWN (ignored). Returns the address or a
 * negative errno: -EINVAL, -ENOMEM (also: over 64 times the machine's memory; MAP_POPULATE that
 * does not fit), -EEXIST, -EPERM (MAP_FIXED at the null page), -EACCES (writable and executable
 * at once). Thread context, as are all below. */
long area_map(vaddr_t address, size_t length, int prot, int flags);
long area_unmap(vaddr_t address, size_t length);
long area_protect(vaddr_t address, size_t length, int prot);
/* Linux's mremap (flags MREMAP_MAYMOVE, MREMAP_FIXED). Returns the new address or -errno. */
long area_remap(vaddr_t old, size_t old_length, size_t new_length, int flags, vaddr_t new_address);
/* MADV_DONTNEED, MADV_FREE (both drop the pages), others are accepted as hints. */
long area_advise(vaddr_t address, size_t length, int advice);

/* May the application use [address, address + length) with these PROT_*? For EFAULT checks: true
 * for its areas, the image and kernel stacks. Takes no lock if the pages are there. */
bool area_check(vaddr_t address, size_t length, int prot);

/* Call `visit` for every area, in order (for /proc/self/maps). It may touch application memory. */
void area_for_each(void (*visit)(vaddr_t start, vaddr_t end, int prot, void *), void *argument);

/* Pages mapped on demand and not yet given back; a snapshot. */
size_t area_resident_pages(void);

void area_init(void); /* boot core */
