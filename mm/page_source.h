/*
 * Page sources: what lies behind a file-backed mapping.
 *
 * Whoever keeps contents in page frames (a file) embeds a struct page_source, zeroed but for its
 * operations, and maps it with area_map_source(). A shared mapping maps the source's own frames; a private
 * one maps them read-only and copies a page when it is first written. A frame stays the source's:
 * unmapping frees only copies.
 *
 * Rules
 * - page() is called with the area lock held, in fault context: it must not block, not touch
 *   application memory, and not call anything declared here. It may allocate frames, but no
 *   objects (the fault may have interrupted object_alloc()), and take a spinlock of its own. While that lock
 *   is held anywhere no page fault may happen: no application memory is touched, and the stack is
 *   touched ahead (mm/stack_touch.h).
 * - Before a frame leaves the source (truncation) page() must already answer -ENXIO for it; then
 *   page_source_shrunk() is called, without any lock; then the frame may be freed.
 * - reference() and unreference() count atomically. unreference() is called in thread context
 *   without locks, reference() under the area lock.
 */
#pragma once

#include "lavra/types.h"

struct page_source;

struct page_source_operations {
	/* The physical address of page `index`. A page that was never written (a hole) is made,
	 * zeroed, if `create`; else *frame is 0. 0, or -ENXIO past the end (the page that holds the
	 * last byte is there as a whole) and -ENOSPC, for which the access gets SIGBUS, or -ENOMEM. */
	long (*page)(struct page_source *source, uint64_t index, bool create, paddr_t *frame);
	void (*reference)(struct page_source *source); /* every mapping holds one */
	void (*unreference)(struct page_source *source);
	/* The path for /proc/self/maps, NUL-terminated, and the inode's number. Thread context, a
	 * reference is held. NULL: no name. */
	uint64_t (*name)(struct page_source *source, char *path, size_t size);
};

struct page_source {
	const struct page_source_operations *operations;
	uint32_t nmappings; /* areas that map it; atomic; mm/ counts */
};

/* In `flags`, beside Linux's: the file is open for reading only, so that a shared mapping never
 * becomes writable. sys_mmap() sets it; a file's map operation passes its flags on. */
#define MAP_SOURCE_READ_ONLY (1 << 30)

/* Map `length` bytes of the source from page `first_page` on: prot, flags and results as for
 * area_map() (mm/area.h), and -EOVERFLOW, -EACCES (MAP_SOURCE_READ_ONLY). Takes a reference of its own
 * for the mapping; the caller's keeps the source alive during the call. Thread context. */
long area_map_source(vaddr_t address, size_t length, int prot, int flags,
		     struct page_source *source, uint64_t first_page);

/* The source ends before `first_gone_page` now: unmap all from there on, everywhere (also private copies,
 * as Linux does). When it returns no core can reach the frames through a mapping. Cheap if nothing
 * is mapped. Thread context, no lock held. */
void page_source_shrunk(struct page_source *source, uint64_t first_gone_page);
