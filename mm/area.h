/*
 * Virtual areas: what the application has mapped, and what a page fault there means.
 *
 * One address space, one sorted set of areas (adjacent ones that continue each other are
 * merged), one lock (mm/area_set.c; docs/locking.md). Pages appear when they are touched:
 * anonymous ones zeroed, 2 MiB at a time where the area covers them and memory is plentiful; those
 * of files come from their source (mm/page_source.h).
 */
#pragma once

#include "lavra/types.h"

/* prot and flags are Linux's PROT_* and MAP_*. Anonymous memory; files are mapped with
 * area_map_source(). There is one address space, so MAP_SHARED differs from MAP_PRIVATE only in what
 * madvise() does. Understands MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_32BIT, MAP_POPULATE,
 * MAP_STACK (no 2 MiB pages), MAP_NORESERVE, MAP_GROWSDOWN (ignored). Returns the address or a
 * negative errno: -EINVAL, -ENOMEM (also: over 64 times the machine's memory; MAP_POPULATE that
 * does not fit), -EEXIST, -EPERM (MAP_FIXED at the null page), -EACCES (writable and executable
 * at once). Thread context, as are all below. */
long area_map(vaddr_t address, size_t length, int prot, int flags);
long area_unmap(vaddr_t address, size_t length);
/* -EACCES also: a shared mapping of a file that is open for reading would become writable. */
long area_protect(vaddr_t address, size_t length, int prot);
/* The same, and the pages get this protection key (arch/x86_64/isolation.h), which they keep until the next
 * such call or until they are unmapped. */
long area_protect_key(vaddr_t address, size_t length, int prot, int key);
#define AREA_KEYS_KEPT (-1)
/* Linux's mremap (flags MREMAP_MAYMOVE, MREMAP_FIXED). Returns the new address or -errno. */
long area_remap(vaddr_t old, size_t old_length, size_t new_length, int flags, vaddr_t new_address);
/* MADV_DONTNEED, MADV_FREE, MADV_REMOVE drop pages, others are accepted as hints. */
long area_advise(vaddr_t address, size_t length, int advice);

/* brk(2): the end of the heap, moved to `address` if that can be done. */
vaddr_t area_brk(vaddr_t address);
/* The heap begins at `start` (any address), empty. Before the program that was loaded runs. */
void brk_set(vaddr_t start);

/* May the application use [address, address + length) with these PROT_*? For EFAULT checks: true
 * for its areas, the image and kernel stacks. Takes no lock if the pages are there. */
bool area_check(vaddr_t address, size_t length, int prot);
/* Is there an area, whatever it allows, at every address? */
bool area_is_mapped(vaddr_t address, size_t length);
/* mincore(2) for `npages` from `address` on (both within what can be mapped): into `residency`, which
 * must be kernel memory or a stack that is there. 0 or -ENOMEM. */
long area_residency(vaddr_t address, size_t npages, unsigned char *residency);

struct area_description {
	vaddr_t start, end;
	int prot;
	bool shared, heap;
	uint64_t offset, inode; /* of the file; else 0 */
	char path[256]; /* the file's, "[heap]", or "" */
};
/* Call `visit` for every area, in order (for /proc/self/maps). It may touch application memory. */
void area_for_each(void (*visit)(const struct area_description *, void *), void *argument);

/* Pages mapped on demand and not yet given back; a snapshot. */
size_t area_resident_pages(void);

/* aslr=off on the kernel's command line makes it false. */
extern bool addresses_are_random;

void area_init(void); /* boot core, after the options are parsed */
