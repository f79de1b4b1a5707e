/*
 * The sorted set of areas: a balanced (AVL) tree by address, in which every node knows the
 * largest gap between the areas under it, so that the highest gap that is large enough is found
 * without visiting them all.
 *
 * Areas never overlap. Nothing here locks or allocates: the holder of the area lock calls it.
 */
#pragma once

#include "lavra/types.h"

struct area {
	vaddr_t start, end; /* page-aligned; while the area is in, only tree_resize() moves them */
	struct area *left, *right;
	/* Of the subtree: where its first area starts, where its last ends, the largest gap inside. */
	vaddr_t first, last;
	size_t gap;
	struct page_source *source; /* NULL: anonymous memory */
	uint64_t first_page; /* of the source, at `start` */
	uint16_t attributes; /* PROT_*, and AREA_* below */
	uint8_t height;
};

#define AREA_SMALL_PAGES 0x100 /* a stack: touched at one end, so 2 MiB would be wasted */
#define AREA_SHARED 0x200 /* MAP_SHARED */
#define AREA_NEVER_WRITTEN 0x400 /* shared, of a file that is open for reading only */
#define AREA_HEAP 0x800 /* what brk() grows */
#define AREA_KEY_SHIFT 12 /* the pages' protection key, in the upper four bits */
#define AREA_KEY(key) ((unsigned)(key) << AREA_KEY_SHIFT)
#define AREA_KEY_MASK AREA_KEY(15)

/* Insert an area that overlaps none. */
void tree_insert(struct area **root, struct area *area);
/* Take out an area that is in. */
void tree_remove(struct area **root, struct area *area);
/* Move the ends of an area that is in; it must not come to overlap another. */
void tree_resize(struct area *root, struct area *area, vaddr_t start, vaddr_t end);
/* The first area that ends above `address`: it holds `address`, or lies beyond it. NULL if none. */
struct area *tree_find(struct area *root, vaddr_t address);
/* The highest address, aligned to `align` (a power of two), of `length` bytes without an area in
 * [low, high). 0 if there is none. */
vaddr_t tree_find_gap(const struct area *root, vaddr_t low, vaddr_t high, size_t length,
		      size_t align);
