/*
 * Page frames. One byte of state describes each page: it says what block starts there. The bytes
 * of the pages inside a block are zero, so that merging and splitting touch only block starts,
 * and so that freeing anything but a block, or a part of one, is found out.
 *
 * The state of a free block is guarded by the lock; that of an allocated one belongs to whoever
 * holds the block, except that splitting it (a part is freed) takes the lock. Bytes are read and
 * written with relaxed atomics: neighbours belong to different cores.
 */
#include "mm/frame.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "lavra/list.h"
#include "mm/stack_touch.h"
#include "smp/core.h"
#include "smp/window.h"

#include <ck_pr.h>
#include <ck_spinlock.h>
#include <string.h>

enum page_state {
	INSIDE = 0, /* of a block, or no memory at all */
	MARKED = 0x10, /* with ALLOCATED: object_alloc() handed it out */
	CACHED = 0x20, /* on a core's stack */
	LENT = 0x20, /* with ALLOCATED: the network has it */
	FREE = 0x40, /* | order: a block in the buddies' lists */
	ALLOCATED = 0x80, /* | order */
};

#define BLOCK_PAGES(order) (1ul << (order))
#define BLOCK_BYTES(order) (PAGE_SIZE << (order))

/* Written once, by frame_init(). The first page is aligned to the largest block, so that a page's
 * index and its number have the same buddies. */
static READ_MOSTLY uint8_t *states;
static READ_MOSTLY paddr_t first_page;
static READ_MOSTLY size_t state_count;
static READ_MOSTLY size_t total_pages;
static READ_MOSTLY bool (*reclaim_reserves)(void);

/* Guarded by the lock. A free block's list link lies in the block, so listing a block touches it;
 * memory that was never needed stays untouched (a host gives it no page), as largest blocks that
 * are not listed yet. */
static struct {
	ck_spinlock_t lock CACHE_ALIGNED;
	unsigned nonempty; /* bit k: free[k] has a block */
	unsigned nfresh;
	size_t free_pages; /* also read without the lock */
	struct list free[MAX_ORDER + 1];
	struct memory_range fresh[MAX_MEMORY_RANGES];
} buddies = { .lock = CK_SPINLOCK_INITIALIZER };

#define STACK_PAGES 32
#define STACK_BATCH (STACK_PAGES / 2)

static CORE_LOCAL struct {
	unsigned count; /* other cores read it */
	paddr_t frames[STACK_PAGES];
} page_stack;

static size_t index_of(paddr_t frame)
{
	return (frame - first_page) >> PAGE_SHIFT;
}

static paddr_t frame_at(size_t index)
{
	return first_page + (index << PAGE_SHIFT);
}

static unsigned get_state(size_t index)
{
	return ck_pr_load_8(&states[index]);
}

static void set_state(size_t index, unsigned state)
{
	ck_pr_store_8(&states[index], state);
}

static void lock_buddies(void)
{
	stack_touch(1024);
	ck_spinlock_lock(&buddies.lock);
}

/* ---- buddies; the lock is held ---- */

static void list_block(size_t index, unsigned order)
{
	set_state(index, FREE | order);
	list_push_front(&buddies.free[order], phys_to_virt(frame_at(index)));
	buddies.nonempty |= 1u << order;
}

static void unlist_block(size_t index, unsigned order)
{
	list_remove(phys_to_virt(frame_at(index)));
	if (list_is_empty(&buddies.free[order]))
		buddies.nonempty &= ~(1u << order);
}

/* List a largest block of fresh memory. False if there is none. */
static bool open_fresh_block(void)
{
	struct memory_range *range;

	if (!buddies.nfresh)
		return false;
	range = &buddies.fresh[buddies.nfresh - 1];
	list_block(index_of(range->start), MAX_ORDER);
	range->start += BLOCK_BYTES(MAX_ORDER);
	if (range->start == range->end)
		buddies.nfresh--;
	return true;
}

static paddr_t take_block(unsigned order)
{
	unsigned found;
	size_t index;

	if (!(buddies.nonempty >> order) && !open_fresh_block())
		return 0;
	found = __builtin_ctz(buddies.nonempty >> order) + order;
	index = index_of(virt_to_phys(buddies.free[found].next));
	unlist_block(index, found);
	while (found > order) {
		found--;
		list_block(index + BLOCK_PAGES(found), found);
	}
	set_state(index, ALLOCATED | order);
	ck_pr_store_64(&buddies.free_pages, buddies.free_pages - BLOCK_PAGES(order));
	return frame_at(index);
}

static void give_block(size_t index, unsigned order)
{
	ck_pr_store_64(&buddies.free_pages, buddies.free_pages + BLOCK_PAGES(order));
	set_state(index, INSIDE);
	while (order < MAX_ORDER) {
		size_t buddy = index ^ BLOCK_PAGES(order);

		if (get_state(buddy) != (FREE | order))
			break;
		unlist_block(buddy, order);
		set_state(buddy, INSIDE);
		index &= buddy;
		order++;
	}
	list_block(index, order);
}

/* Make [index, 2^order) a block of its own by halving the allocated block around it. False if there
 * is none. */
static bool split_allocated(size_t index, unsigned order)
{
	for (unsigned outer = order; outer <= MAX_ORDER; outer++) {
		size_t start = align_down(index, BLOCK_PAGES(outer));

		if (get_state(start) != (ALLOCATED | outer))
			continue;
		while (outer > order) {
			outer--;
			if (index & BLOCK_PAGES(outer)) {
				set_state(start, ALLOCATED | outer);
				start += BLOCK_PAGES(outer);
			} else {
				set_state(start + BLOCK_PAGES(outer), ALLOCATED | outer);
			}
			set_state(start, ALLOCATED | outer);
		}
		return true;
	}
	return false;
}

/* ---- this core's stack of pages ---- */

static void set_stack_count(unsigned count)
{
	ck_pr_store_uint(&page_stack.count, count);
}

/* A page fault while lock_buddies() touches the stack takes and gives pages of page_stack, too: what
 * is in it is looked at afterwards. */
static void stack_refill(void)
{
	unsigned count;

	lock_buddies();
	count = page_stack.count;
	while (count < STACK_BATCH) {
		paddr_t frame = take_block(0);

		if (!frame)
			break;
		set_state(index_of(frame), CACHED);
		page_stack.frames[count++] = frame;
	}
	/* Before the unlock: a page is never missing from both counts for long. */
	set_stack_count(count);
	ck_spinlock_unlock(&buddies.lock);
}

/* Give back all but `keep` pages, those that lie deepest: the others are likelier to be in this
 * core's caches. */
static void stack_drain(unsigned keep)
{
	unsigned kept, drop;

	lock_buddies();
	kept = min(page_stack.count, keep);
	drop = page_stack.count - kept;
	for (unsigned i = 0; i < drop; i++)
		give_block(index_of(page_stack.frames[i]), 0);
	memmove(page_stack.frames, page_stack.frames + drop, kept * sizeof(paddr_t));
	set_stack_count(kept);
	ck_spinlock_unlock(&buddies.lock);
}

/* ---- the interface ---- */

static paddr_t alloc_block(unsigned order)
{
	paddr_t frame;

	lock_buddies();
	frame = take_block(order);
	ck_spinlock_unlock(&buddies.lock);
	return frame;
}

static paddr_t alloc_page(void)
{
	paddr_t frame;

	if (unlikely(!page_stack.count)) {
		stack_refill();
		if (!page_stack.count)
			return 0;
	}
	frame = page_stack.frames[page_stack.count - 1];
	set_stack_count(page_stack.count - 1);
	set_state(index_of(frame), ALLOCATED);
	return frame;
}

static __attribute__((noinline)) paddr_t alloc_slowly(unsigned order)
{
	bool reclaimed = reclaim_reserves && reclaim_reserves();

	if (!order)
		return reclaimed ? alloc_page() : 0;
	if (page_stack.count)
		stack_drain(0);
	return alloc_block(order);
}

paddr_t frame_alloc(unsigned order)
{
	paddr_t frame;

	assert(order <= MAX_ORDER);
	frame = order ? alloc_block(order) : alloc_page();
	return likely(frame) ? frame : alloc_slowly(order);
}

paddr_t frame_alloc_zeroed(unsigned order)
{
	paddr_t frame = frame_alloc(order);

	if (frame)
		memset(phys_to_virt(frame), 0, BLOCK_BYTES(order));
	return frame;
}

static __attribute__((noinline)) void free_block(size_t index, unsigned order)
{
	bool allocated;

	lock_buddies();
	allocated = split_allocated(index, order);
	if (allocated)
		give_block(index, order);
	ck_spinlock_unlock(&buddies.lock);
	assert(allocated);
}

void frame_free(paddr_t frame, unsigned order)
{
	size_t index = index_of(frame);

	assert(order <= MAX_ORDER && index < state_count && is_aligned(frame, BLOCK_BYTES(order)));
	if (order || get_state(index) != ALLOCATED) {
		free_block(index, order);
		return;
	}
	set_state(index, CACHED);
	if (unlikely(page_stack.count == STACK_PAGES))
		stack_drain(STACK_PAGES - STACK_BATCH);
	page_stack.frames[page_stack.count] = frame;
	set_stack_count(page_stack.count + 1);
}

/* Whoever holds a block changes its state; the network may say so of a block from several cores at once. */
static bool change_state(paddr_t frame, unsigned order, unsigned before, unsigned after)
{
	size_t index = index_of(frame);

	return order <= MAX_ORDER && index < state_count && is_aligned(frame, PAGE_SIZE) &&
	       ck_pr_cas_8(&states[index], ALLOCATED | order | before, ALLOCATED | order | after);
}

static bool set_mark(paddr_t frame, unsigned order, unsigned lent, bool marked)
{
	return change_state(frame, order, lent | (marked ? 0 : MARKED),
			    lent | (marked ? MARKED : 0));
}

void frame_mark(paddr_t frame, unsigned order, bool marked)
{
	bool was_other = set_mark(frame, order, 0, marked);

	assert(was_other);
}

void frame_lend(paddr_t frame, unsigned order)
{
	bool was_here = change_state(frame, order, 0, LENT);

	assert(was_here);
}

bool frame_take_back(paddr_t frame, unsigned order)
{
	return change_state(frame, order, LENT, 0);
}

bool frame_mark_lent(paddr_t frame, unsigned order, bool marked)
{
	return set_mark(frame, order, LENT, marked);
}

int frame_marked_order(paddr_t frame)
{
	size_t index = index_of(frame);
	unsigned state = index < state_count ? get_state(index) : INSIDE;

	if (!is_aligned(frame, PAGE_SIZE) || (state & (ALLOCATED | MARKED)) != (ALLOCATED | MARKED))
		return -1;
	return state & 0xf;
}

size_t frame_total(void)
{
	return total_pages;
}

size_t frame_free_count(void)
{
	size_t count = ck_pr_load_64(&buddies.free_pages) + page_stack.count;

	for (core_id_t core = 0; core < ncores; core++)
		if (core != this_core && core_is_online(core))
			count += ck_pr_load_uint(&core_local_of(core, page_stack)->count);
	return count;
}

void frame_set_reclaim(bool (*reclaim)(void))
{
	reclaim_reserves = reclaim;
}

/* ---- boot ---- */

static void add_blocks(paddr_t start, paddr_t end)
{
	while (start < end) {
		unsigned order = MAX_ORDER;

		while (!is_aligned(start, BLOCK_BYTES(order)) || end - start < BLOCK_BYTES(order))
			order--;
		give_block(index_of(start), order);
		start += BLOCK_BYTES(order);
	}
}

static void add_range(paddr_t start, paddr_t end)
{
	struct memory_range whole = { align_up(start, BLOCK_BYTES(MAX_ORDER)),
				      align_down(end, BLOCK_BYTES(MAX_ORDER)) };

	total_pages += (end - start) >> PAGE_SHIFT;
	if (whole.start >= whole.end) {
		add_blocks(start, end);
		return;
	}
	add_blocks(start, whole.start);
	add_blocks(whole.end, end);
	buddies.fresh[buddies.nfresh++] = whole;
	buddies.free_pages += (whole.end - whole.start) >> PAGE_SHIFT;
}

static void set_end(paddr_t end)
{
	state_count = (align_up(end, BLOCK_BYTES(MAX_ORDER)) - first_page) >> PAGE_SHIFT;
}

/* Where the states fit: the start of the largest range. Sets the geometry for the first `nranges`. */
static const struct memory_range *place_states(const struct memory_range *ranges, unsigned nranges)
{
	const struct memory_range *largest = ranges;

	for (unsigned i = 1; i < nranges; i++)
		if (ranges[i].end - ranges[i].start > largest->end - largest->start)
			largest = &ranges[i];
	first_page = align_down(ranges[0].start, BLOCK_BYTES(MAX_ORDER));
	set_end(ranges[nranges - 1].end);
	return largest->end - largest->start > state_count ? largest : NULL;
}

/* What will be added later needs states as well; where they do not fit it is lost. */
static void extend_states(const struct boot_info *info, const struct memory_range *home)
{
	for (unsigned i = 0; i < info->nmodules; i++) {
		size_t before = state_count;
		paddr_t end = first_page + (before << PAGE_SHIFT);

		set_end(max(end, info->modules[i].end));
		if (home->end - home->start <= state_count)
			state_count = before;
	}
}

void frame_add(paddr_t start, paddr_t end)
{
	start = max(start, first_page);
	end = min(end, first_page + (state_count << PAGE_SHIFT));
	if (start >= end)
		return;
	lock_buddies();
	total_pages += (end - start) >> PAGE_SHIFT;
	add_blocks(start, end);
	ck_spinlock_unlock(&buddies.lock);
}

void frame_init(const struct boot_info *info)
{
	struct memory_range ranges[MAX_MEMORY_RANGES];
	const struct memory_range *home = NULL;
	unsigned nranges = 0;
	paddr_t states_end;

	for (unsigned order = 0; order <= MAX_ORDER; order++)
		list_init(&buddies.free[order]);
	for (unsigned i = 0; i < info->nranges; i++) {
		struct memory_range range = info->ranges[i];

		if (range.start == 0)
			range.start = PAGE_SIZE; /* frame 0 stands for "none" */
		if (range.start < range.end)
			ranges[nranges++] = range;
	}
	/* A range so far above the others that the states of the hole between would not fit. */
	while (nranges && !(home = place_states(ranges, nranges))) {
		nranges--;
		kprintf("memory: %#lx-%#lx is too far from the rest and stays unused\n",
			(unsigned long)ranges[nranges].start, (unsigned long)ranges[nranges].end);
	}
	if (!home)
		panic("memory: the loader names none that can be used");
	extend_states(info, home);
	states = phys_to_virt(home->start);
	memset(states, INSIDE, state_count);
	states_end = align_up(home->start + state_count, PAGE_SIZE);
	for (unsigned i = nranges; i-- > 0;)
		add_range(&ranges[i] == home ? states_end : ranges[i].start, ranges[i].end);
}
