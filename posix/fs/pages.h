/*
 * The contents of a regular file: page frames by number.
 *
 * The first pages are slots in the inode; beyond them is a tree of nodes, each a frame of 512 slots, as
 * high as the largest page number needs. An empty slot is a hole, which reads as zeros.
 *
 * - Looking up and making pages takes no lock: slots and nodes are put in by compare-and-exchange, from
 *   any core, also in a page fault (so it takes frames only, no objects).
 * - Removing pages is for one core at a time. What is taken out is freed once every core has passed
 *   a safe point: a page that was looked up may be copied from until the caller blocks or polls.
 */
#pragma once

#include "lavra/types.h"

#define DIRECT_PAGES 8

struct pages {
	paddr_t direct[DIRECT_PAGES]; /* atomic */
	uint64_t root; /* the top node's address and, in the low bits, the tree's height; atomic */
	uint64_t count; /* pages that are there; atomic */
};

/* The frame of page `index`, or 0 for a hole. Any context. */
paddr_t pages_find(const struct pages *pages, uint64_t index);
/* Put `frame` in place of a hole: returns what is there now (`frame`, or what another core was faster
 * with), or 0 without memory. Any context. */
paddr_t pages_insert(struct pages *pages, uint64_t index, paddr_t frame);
/* The first page from `index` on that is there, or UINT64_MAX. */
uint64_t pages_next(const struct pages *pages, uint64_t index);
/* Make [first, end) holes. Thread context; the caller keeps others from inserting there. Without
 * memory for what that takes pages stay, cleared. */
void pages_remove(struct pages *pages, uint64_t first, uint64_t end);
/* Free everything at once: nobody can look any more. */
void pages_destroy(struct pages *pages);
