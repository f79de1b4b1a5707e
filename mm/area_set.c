/* The set of areas: its lock, edits, and questions about it. See area_set.h. */
#include "mm/area_set.h"

#include "arch/arch.h"
#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "mm/area.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "mm/stack_touch.h"
#include "smp/shootdown.h"

#include <ck_pr.h>
#include <ck_spinlock.h>
#include <string.h>

/* Anonymous memory is promised beyond what there is, as allocators reserve far more than they use;
 * but a single request for more than this many times the memory is a mistake. */
#define OVERCOMMIT 64

struct area *areas;

static struct {
	ck_spinlock_t lock;
} CACHE_ALIGNED area_lock = { CK_SPINLOCK_INITIALIZER };

/* Below it addresses are chosen first: the end of the application's range, less a random part. */
static READ_MOSTLY vaddr_t choose_below;

READ_MOSTLY bool addresses_are_random = true;

static const char *parse_aslr(const char *value)
{
	if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
		return "must be on or off";
	addresses_are_random = strcmp(value, "on") == 0;
	return NULL;
}
BOOT_OPTION(aslr, "aslr=on | off: choose the addresses of mappings at random (on)", parse_aslr);

void areas_lock(void)
{
	stack_touch(4096);
	/* The holder may wait for this core's TLB, and the code that faulted may have disabled
	 * interrupts. */
	while (!ck_spinlock_trylock(&area_lock.lock)) {
		tlb_interrupt();
		ck_pr_stall();
	}
}

void areas_unlock(void)
{
	ck_spinlock_unlock(&area_lock.lock);
}

void area_init(void)
{
	uint64_t random = addresses_are_random ? arch_random() : 0;

	choose_below =
	    USER_END - (random & 0xff) * (HUGE_PAGE_SIZE * 64) - (random >> 8 & 0xff) * PAGE_SIZE;
}

/* ---- edits ---- */

/* An area that is out of the tree. What its source holds for it is given back without the lock. */
static void edit_keep(struct edit *edit, struct area *area)
{
	if (area->source) {
		__atomic_fetch_sub(&area->source->nmappings, 1, __ATOMIC_RELAXED);
		area->left = edit->released;
		edit->released = area;
	} else {
		area->left = edit->spare;
		edit->spare = area;
	}
}

static struct area *edit_take(struct edit *edit)
{
	struct area *area = edit->spare;

	assert(area);
	edit->spare = area->left;
	return area;
}

static void edit_free(struct edit *edit)
{
	struct area *area;

	while (edit->spare)
		object_free(edit_take(edit));
	while ((area = edit->released)) {
		edit->released = area->left;
		area->source->operations->unreference(area->source);
		object_free(area);
	}
}

bool edit_begin(struct edit *edit, unsigned nareas)
{
	*edit = (struct edit){ 0 };
	for (unsigned i = 0; i < nareas; i++) {
		struct area *area = object_alloc(sizeof(*area));

		if (!area) {
			edit_free(edit);
			return false;
		}
		area->left = edit->spare;
		edit->spare = area;
	}
	areas_lock();
	return true;
}

long edit_end(struct edit *edit, long result)
{
	areas_unlock();
	edit_free(edit);
	return result;
}

/* A new area; nothing lies there yet. */
static struct area *insert(struct edit *edit, vaddr_t start, vaddr_t end,
			   const struct mapping *mapping)
{
	struct area *area = edit_take(edit);

	area->start = start;
	area->end = end;
	area->attributes = mapping->attributes;
	area->source = mapping->source;
	area->first_page = mapping->first_page;
	if (area->source) {
		area->source->operations->reference(area->source);
		/* Atomic: page_source_shrunk() looks at it without the lock. */
		__atomic_fetch_add(&area->source->nmappings, 1, __ATOMIC_RELAXED);
	}
	tree_insert(&areas, area);
	return area;
}

uint64_t source_page_at(const struct area *area, vaddr_t address)
{
	return area->first_page + ((address - area->start) >> PAGE_SHIFT);
}

struct mapping mapping_at(const struct area *area, vaddr_t address)
{
	struct mapping mapping = { .attributes = area->attributes, .source = area->source };

	if (mapping.source)
		mapping.first_page = source_page_at(area, address);
	return mapping;
}

static bool continues(const struct area *below, const struct area *above)
{
	return below->end == above->start && below->attributes == above->attributes &&
	       below->source == above->source &&
	       (!below->source || source_page_at(below, below->end) == above->first_page);
}

struct area *edit_merge(struct edit *edit, struct area *area)
{
	struct area *below = tree_find(areas, area->start - 1);
	struct area *above = tree_find(areas, area->end);

	if (above && continues(area, above)) {
		vaddr_t end = above->end;

		tree_remove(&areas, above);
		edit_keep(edit, above);
		tree_resize(areas, area, area->start, end);
	}
	if (below && continues(below, area)) {
		vaddr_t end = area->end;

		tree_remove(&areas, area);
		edit_keep(edit, area);
		tree_resize(areas, below, below->start, end);
		area = below;
	}
	return area;
}

void edit_add(struct edit *edit, vaddr_t start, vaddr_t end, const struct mapping *mapping)
{
	edit_merge(edit, insert(edit, start, end, mapping));
}

static void cut_at(struct edit *edit, vaddr_t address)
{
	struct area *area = tree_find(areas, address);
	struct mapping upper;
	vaddr_t end;

	if (!area || area->start >= address)
		return;
	upper = mapping_at(area, address);
	end = area->end;
	tree_resize(areas, area, area->start, address);
	insert(edit, address, end, &upper);
}

void edit_cut(struct edit *edit, vaddr_t start, vaddr_t end)
{
	cut_at(edit, start);
	cut_at(edit, end);
}

void edit_remove(struct edit *edit, vaddr_t start, vaddr_t end)
{
	struct area *area;

	edit_cut(edit, start, end);
	while ((area = tree_find(areas, start)) && area->start < end) {
		tree_remove(&areas, area);
		edit_keep(edit, area);
	}
}

/* ---- questions ---- */

bool areas_cover(vaddr_t start, vaddr_t end)
{
	while (start < end) {
		const struct area *area = tree_find(areas, start);

		if (!area || area->start > start)
			return false;
		start = area->end;
	}
	return true;
}

bool areas_are_free(vaddr_t start, vaddr_t end)
{
	const struct area *area = tree_find(areas, start);

	return !area || area->start >= end;
}

vaddr_t areas_choose_below(size_t length, vaddr_t limit)
{
	size_t align = length >= HUGE_PAGE_SIZE ? HUGE_PAGE_SIZE : PAGE_SIZE;

	return tree_find_gap(areas, USER_START, limit, length, align);
}

vaddr_t areas_choose(size_t length)
{
	vaddr_t address = areas_choose_below(length, choose_below);

	return address ? address : areas_choose_below(length, USER_END);
}

bool round_length(size_t *length)
{
	size_t rounded = align_up(*length, PAGE_SIZE);

	if (rounded < *length)
		return false;
	*length = rounded;
	return true;
}

bool is_user_range(vaddr_t start, size_t length)
{
	return start >= USER_START && start <= USER_END && length <= USER_END - start;
}

bool is_beyond_reason(size_t length)
{
	return length >> PAGE_SHIFT > frame_total() * OVERCOMMIT;
}
