/*
 * Trees of page frames.
 *
 * Page `index` from DIRECT_PAGES on is found by the digits of its number, 9 bits each, from the top node
 * down. A tree grows at the top: the old top node becomes the first child of the new one.
 */
#include "posix/fs/pages.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "smp/epoch.h"

#include <string.h>

#define NODE_SHIFT 9
#define NODE_SLOTS (1ul << NODE_SHIFT)
#define HEIGHT_MASK 0xful
#define HEIGHT_MAX 7u /* 63 bits */

struct node {
	paddr_t slot[NODE_SLOTS]; /* of nodes, or of pages in the lowest ones; atomic */
};

static unsigned height_of(uint64_t root)
{
	return root & HEIGHT_MASK;
}

static struct node *node_of(paddr_t address)
{
	return phys_to_virt(address & ~HEIGHT_MASK);
}

/* Acquire: pairs with the release in put(), so that what a slot leads to is complete. */
static paddr_t get(const paddr_t *slot)
{
	return __atomic_load_n(slot, __ATOMIC_ACQUIRE);
}

/* Put `value` into an empty slot: returns what is in it now. */
static paddr_t put(paddr_t *slot, paddr_t value)
{
	paddr_t seen = 0;

	if (__atomic_compare_exchange_n(slot, &seen, value, false, __ATOMIC_RELEASE,
					__ATOMIC_ACQUIRE))
		return value;
	return seen;
}

static paddr_t take(paddr_t *slot)
{
	return __atomic_exchange_n(slot, 0, __ATOMIC_ACQ_REL);
}

/* How many pages a tree of this height spans. */
static uint64_t span_of(unsigned height)
{
	return height >= HEIGHT_MAX ? UINT64_MAX : 1ul << NODE_SHIFT * height;
}

static unsigned digit(uint64_t index, unsigned level)
{
	return index >> NODE_SHIFT * (level - 1) & (NODE_SLOTS - 1);
}

paddr_t pages_find(const struct pages *pages, uint64_t index)
{
	paddr_t at;

	if (index < DIRECT_PAGES)
		return get(&pages->direct[index]);
	at = get(&pages->root);
	if (index >= span_of(height_of(at)))
		return 0;
	for (unsigned level = height_of(at); at && level > 0; level--)
		at = get(&node_of(at)->slot[digit(index, level)]);
	return at;
}

/* ---- putting in ---- */

/* The node that `slot` leads to, made if it is missing. 0 without memory. */
static paddr_t make_node(paddr_t *slot)
{
	paddr_t made, there = get(slot);

	if (there)
		return there;
	made = frame_alloc_zeroed(0);
	if (!made)
		return 0;
	there = put(slot, made);
	if (there != made)
		frame_free(made, 0);
	return there;
}

/* Make the tree high enough for `index`. The root, or 0 without memory. */
static uint64_t grow(struct pages *pages, uint64_t index)
{
	uint64_t root = get(&pages->root);

	while (index >= span_of(height_of(root)) || !root) {
		paddr_t made = frame_alloc_zeroed(0);
		uint64_t higher = made | (height_of(root) + 1);

		if (!made)
			return 0;
		if (root)
			node_of(made)->slot[0] = root & ~HEIGHT_MASK;
		if (__atomic_compare_exchange_n(&pages->root, &root, higher, false,
						__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			root = higher;
		else
			frame_free(made, 0);
	}
	return root;
}

static paddr_t *make_slot(struct pages *pages, uint64_t index)
{
	paddr_t at;

	if (index < DIRECT_PAGES)
		return &pages->direct[index];
	at = grow(pages, index);
	for (unsigned level = height_of(at); at && level > 1; level--)
		at = make_node(&node_of(at)->slot[digit(index, level)]);
	return at ? &node_of(at)->slot[digit(index, 1)] : NULL;
}

paddr_t pages_insert(struct pages *pages, uint64_t index, paddr_t frame)
{
	paddr_t *slot = make_slot(pages, index);
	paddr_t there = slot ? put(slot, frame) : 0;

	if (there == frame)
		__atomic_fetch_add(&pages->count, 1, __ATOMIC_RELAXED);
	return there;
}

/* ---- looking for the next ---- */

/* In the node that spans pages from `base` on. */
static uint64_t next_in(const struct node *node, unsigned level, uint64_t base, uint64_t index)
{
	uint64_t step = span_of(level - 1);

	for (unsigned i = index > base ? (index - base) / step : 0; i < NODE_SLOTS; i++) {
		paddr_t at = get(&node->slot[i]);
		uint64_t start = base + i * step, found = start;

		if (at && level > 1)
			found = next_in(node_of(at), level - 1, start, index);
		if (at && found != UINT64_MAX)
			return found;
	}
	return UINT64_MAX;
}

uint64_t pages_next(const struct pages *pages, uint64_t index)
{
	uint64_t root;

	for (; index < DIRECT_PAGES; index++)
		if (get(&pages->direct[index]))
			return index;
	root = get(&pages->root);
	if (!root || index >= span_of(height_of(root)))
		return UINT64_MAX;
	return next_in(node_of(root), height_of(root), 0, index);
}

/* ---- taking out ---- */

/* Frames that wait until no core looks at them any more. */
struct gone_frames {
	struct deferred deferred;
	unsigned count;
	paddr_t frame[59];
};

_Static_assert(sizeof(struct gone_frames) <= 512, "a size class of objects");

static void free_gone(struct deferred *deferred)
{
	struct gone_frames *gone = container_of(deferred, struct gone_frames, deferred);

	for (unsigned i = 0; i < gone->count; i++)
		frame_free(gone->frame[i], 0);
	object_free(gone);
}

static void send_gone(struct gone_frames **gone)
{
	if (*gone)
		epoch_defer(&(*gone)->deferred, free_gone);
	*gone = NULL;
}

/* Room for one more, before anything is taken out for which there would be none. */
static bool make_room(struct gone_frames **gone)
{
	if (*gone && (*gone)->count == array_size((*gone)->frame))
		send_gone(gone);
	if (!*gone) {
		*gone = object_alloc(sizeof(**gone));
		if (!*gone)
			return false;
		(*gone)->count = 0;
	}
	return true;
}

/* False: without memory the page stays, cleared. */
static bool remove_page(struct pages *pages, paddr_t *slot, struct gone_frames **gone)
{
	paddr_t frame = get(slot);

	if (!frame)
		return true;
	if (!make_room(gone)) {
		memset(phys_to_virt(frame), 0, PAGE_SIZE);
		return false;
	}
	(*gone)->frame[(*gone)->count++] = take(slot);
	__atomic_fetch_sub(&pages->count, 1, __ATOMIC_RELAXED);
	return true;
}

/* Remove [first, end) from the node that `slot` leads to, and the node itself if all of it is in there
 * and nothing had to stay. Returns whether the slot is empty. */
static bool remove_in(struct pages *pages, paddr_t *slot, unsigned level, uint64_t base,
		      uint64_t first, uint64_t end, struct gone_frames **gone)
{
	struct node *node = node_of(get(slot));
	uint64_t step = span_of(level - 1);
	unsigned from = first > base ? (first - base) / step : 0;
	bool whole = first <= base && end - base >= step * NODE_SLOTS;

	for (unsigned i = from; i < NODE_SLOTS && base + i * step < end; i++) {
		paddr_t *child = &node->slot[i];

		if (!get(child))
			continue;
		if (level == 1)
			whole &= remove_page(pages, child, gone);
		else
			whole &=
			    remove_in(pages, child, level - 1, base + i * step, first, end, gone);
	}
	if (!whole || !make_room(gone))
		return false;
	(*gone)->frame[(*gone)->count++] = take(slot) & ~HEIGHT_MASK;
	return true;
}

void pages_remove(struct pages *pages, uint64_t first, uint64_t end)
{
	struct gone_frames *gone = NULL;

	for (uint64_t i = first; i < min(end, (uint64_t)DIRECT_PAGES); i++)
		remove_page(pages, &pages->direct[i], &gone);
	if (get(&pages->root) && end > DIRECT_PAGES)
		remove_in(pages, &pages->root, height_of(get(&pages->root)), 0,
			  first <= DIRECT_PAGES ? 0 : first, end, &gone);
	send_gone(&gone);
}

static void destroy_node(paddr_t address, unsigned level)
{
	struct node *node = node_of(address);

	for (unsigned i = 0; i < NODE_SLOTS; i++) {
		if (!node->slot[i])
			continue;
		if (level > 1)
			destroy_node(node->slot[i], level - 1);
		else
			frame_free(node->slot[i], 0);
	}
	frame_free(address & ~HEIGHT_MASK, 0);
}

void pages_destroy(struct pages *pages)
{
	for (unsigned i = 0; i < DIRECT_PAGES; i++)
		if (pages->direct[i])
			frame_free(pages->direct[i], 0);
	if (pages->root)
		destroy_node(pages->root, height_of(pages->root));
	memset(pages, 0, sizeof(*pages));
}
