/*
 * What the files that work on areas share (area*.c, advise.c, brk.c, fault.c, remap.c, resident.c).
 *
 * Every change of the areas is an edit: it gets all the memory it could need first, then the
 * lock; from then on only the page tables can refuse (and then nothing is changed), and what is
 * left over is freed after the lock is given back. While the lock is held nothing may touch
 * application memory: the page fault would want the lock too.
 */
#pragma once

#include "lavra/types.h"
#include "mm/area_tree.h"
#include "mm/page_source.h"

#define HUGE_PAGE_ORDER 9
#define PAGE_PROTECTION 7 /* of attributes: PROT_READ, _WRITE, _EXEC are PAGE_READ, ... */

/* Guarded by the area lock. */
extern struct area *areas;

void areas_lock(void);
void areas_unlock(void);

/* What an area is, apart from where. */
struct mapping {
	unsigned attributes;
	struct page_source *source;
	uint64_t first_page;
};

struct edit {
	struct area *spare; /* chained by `left` */
	struct area *released; /* likewise; each holds a reference of its source */
};

/* A removal may cut an area at both its ends, and an addition makes one. */
#define EDIT_AREAS 3

/* Get `nareas`, which the edit may need at most, and the lock. False if memory is out (not locked). */
bool edit_begin(struct edit *edit, unsigned nareas);
/* Unlock, and free what is left. Returns `result`. */
long edit_end(struct edit *edit, long result);

/* Within an edit: */
void edit_add(struct edit *edit, vaddr_t start, vaddr_t end, const struct mapping *mapping);
void edit_remove(struct edit *edit, vaddr_t start, vaddr_t end); /* may leave two pieces */
/* Make both addresses boundaries where they lie inside areas. */
void edit_cut(struct edit *edit, vaddr_t start, vaddr_t end);
/* Unite the area with its neighbours where they continue each other. Returns what is there then. */
struct area *edit_merge(struct edit *edit, struct area *area);

/* What the area is from `address` on. */
struct mapping mapping_at(const struct area *area, vaddr_t address);
/* The page of the area's source at `address`. */
uint64_t source_page_at(const struct area *area, vaddr_t address);

/* Is there an area at every address, or at none? The lock is held. */
bool areas_cover(vaddr_t start, vaddr_t end);
bool areas_are_free(vaddr_t start, vaddr_t end);
/* Free addresses for `length` bytes, 0 if there are none. The lock is held. */
vaddr_t areas_choose(size_t length);
/* The same below `limit`. */
vaddr_t areas_choose_below(size_t length, vaddr_t limit);
/* Round up to pages; false if that overflows. */
bool round_length(size_t *length);
/* [start, start + length) lies in what an application may map. */
bool is_user_range(vaddr_t start, size_t length);
/* More memory than could ever be there, at a single request. */
bool is_beyond_reason(size_t length);

/* ---- pages of areas (resident.c); the lock is held ---- */

/* Unmap all pages of the range and free those that are not borrowed; no core can reach them when it
 * returns. 0, or -ENOMEM (a 2 MiB page had to be split) with nothing changed. */
int pages_drop(vaddr_t start, vaddr_t end);
/* Map pages everywhere in the empty range of anonymous memory. 0, or -ENOMEM with the range empty again. */
int pages_populate(vaddr_t start, vaddr_t end, unsigned attributes);
/* Move all pages of the range `length` bytes long to the empty range at `to`. Both have
 * `attributes`. 0, or -ENOMEM with nothing changed. */
int pages_move(vaddr_t from, vaddr_t to, size_t length, unsigned attributes);
/* Map a page of `size` at `address`, which has `attributes` and perhaps PAGE_BORROWED; the frame
 * stays the caller's if that fails. */
int page_insert(vaddr_t address, paddr_t frame, size_t size, unsigned attributes,
		unsigned borrowed);
/* Does the area want a 2 MiB page around `address`, and is there room for one? */
bool page_may_be_huge(const struct area *area, vaddr_t address);
/* Is there so much free memory that 2 MiB at a time are no waste? No lock needed. */
bool memory_is_plentiful(void);

/* ---- pages that are executed, with isolation (code.c); the lock is held ---- */

/* Are pages with these attributes looked at before they are executable? */
bool code_is_checked(unsigned attributes);

/* What was found, and where. */
struct code_refusal {
	const char *name;
	vaddr_t address;
	uint64_t offset; /* in the source, if it was looked at there */
};
/* Could the mapping be executable at [start, end)? Looks at what the source has there now; a page is looked
 * at again when it appears. 0 or -EACCES. */
long code_look_at_source(const struct mapping *mapping, vaddr_t start, vaddr_t end,
			 struct code_refusal *refusal);
/* The pages in [start, end), which nobody can write, become executable: make them fit. Pages of a source are
 * dropped, as copies are to come instead. 0, -ENOMEM, or -EACCES: nothing was changed then, unless there was
 * no room to note one more place (arch/x86_64/rights_pages.h). */
long code_prepare(vaddr_t start, vaddr_t end, struct code_refusal *refusal);
/* The same for the copy of a source's page that is about to be mapped at `address`. */
long code_prepare_copy(const struct area *area, vaddr_t address, paddr_t copy);

/* ---- pages of sources (fault.c) ---- */

/* Map what the source has there already; no memory is taken but for page tables. Takes the lock. */
void source_populate(vaddr_t start, vaddr_t end);
