/*
 * Kernel virtual memory. Addresses are handed out upwards and, for stacks, used again: a freed
 * stack goes as it is into a small cache, or is unmapped and its addresses are kept for the next
 * stack of its size. There are few sizes, so ranges are never merged. Device mappings stay.
 */
#include "mm/kva.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "mm/stack_touch.h"
#include "smp/shootdown.h"

#include <ck_spinlock.h>

#define CACHED_STACKS 8
#define STACK_MAX_PAGES 64

/* A free stack; lies at the start of its highest page, at that page's place in the direct map. */
struct cached_stack {
	struct cached_stack *next;
	void *top;
	unsigned npages;
};

/* Addresses of a stack that is not mapped. */
struct free_range {
	struct free_range *next;
	vaddr_t guard; /* its lowest page */
	unsigned npages; /* above the guard */
};

/* The lock also serialises the changes of the page tables of [KVA_START, KVA_END). */
static struct {
	ck_spinlock_t lock;
	vaddr_t next; /* never handed out from here on */
	struct cached_stack *cached;
	unsigned ncached;
	struct free_range *ranges;
} kva CACHE_ALIGNED = { .lock = CK_SPINLOCK_INITIALIZER };

static void lock_kva(void)
{
	stack_touch(2048);
	ck_spinlock_lock(&kva.lock);
}

void kva_init(void)
{
	kva.next = KVA_START;
}

/* ---- stacks ---- */

struct frames {
	unsigned count;
	paddr_t frame[STACK_MAX_PAGES];
};

static void note_frame(paddr_t frame, size_t size, unsigned protection, void *argument)
{
	struct frames *frames = argument;

	assert(size == PAGE_SIZE && frames->count < STACK_MAX_PAGES);
	frames->frame[frames->count++] = frame;
}

static void unmap(vaddr_t start, unsigned npages, struct frames *frames)
{
	frames->count = 0;
	if (!npages)
		return;
	/* Only 2 MiB pages can make it fail, and a stack has none. */
	if (arch_unmap(start, npages * PAGE_SIZE, note_frame, frames))
		panic("kva: a stack cannot be unmapped");
}

/* Not under the lock: other cores must be able to answer while they wait for it. */
static void free_frames(vaddr_t start, unsigned npages, const struct frames *frames)
{
	if (npages)
		tlb_shootdown(start, npages);
	for (unsigned i = 0; i < frames->count; i++)
		frame_free(frames->frame[i], 0);
}

/* Map `npages` new pages. Returns how many were mapped. The lock is held. */
static unsigned map_pages(vaddr_t start, unsigned npages)
{
	for (unsigned i = 0; i < npages; i++) {
		paddr_t frame = frame_alloc(0);

		if (!frame)
			return i;
		if (arch_map(start + i * PAGE_SIZE, frame, PAGE_SIZE, PAGE_READ | PAGE_WRITE)) {
			frame_free(frame, 0);
			return i;
		}
	}
	return npages;
}

/* The top of a cached stack of the size, or NULL. */
static void *take_cached(unsigned npages)
{
	for (struct cached_stack **link = &kva.cached; *link; link = &(*link)->next) {
		struct cached_stack *stack = *link;

		if (stack->npages == npages) {
			*link = stack->next;
			kva.ncached--;
			return stack->top;
		}
	}
	return NULL;
}

static void put_cached(void *top, unsigned npages)
{
	struct cached_stack *stack = phys_to_virt(arch_translate((vaddr_t)top - PAGE_SIZE));

	stack->top = top;
	stack->npages = npages;
	stack->next = kva.cached;
	kva.cached = stack;
	kva.ncached++;
}

static struct free_range *take_range(unsigned npages)
{
	for (struct free_range **link = &kva.ranges; *link; link = &(*link)->next) {
		struct free_range *range = *link;

		if (range->npages == npages) {
			*link = range->next;
			return range;
		}
	}
	return NULL;
}

static void put_range(struct free_range *range, vaddr_t guard, unsigned npages)
{
	range->guard = guard;
	range->npages = npages;
	range->next = kva.ranges;
	kva.ranges = range;
}

/* A range of the size, described by `spare` if it is a new one. NULL if there are no addresses. */
static struct free_range *choose_range(unsigned npages, struct free_range **spare)
{
	struct free_range *range = take_range(npages);
	size_t size = (npages + 1) * PAGE_SIZE;

	if (range || KVA_END - kva.next < size)
		return range;
	range = *spare;
	*spare = NULL;
	range->guard = kva.next;
	range->npages = npages;
	kva.next += size;
	return range;
}

void *kva_stack_alloc(unsigned npages)
{
	struct free_range *spare, *range;
	struct frames frames;
	unsigned mapped = 0;
	vaddr_t start = 0;
	void *cached;

	assert(npages && npages <= STACK_MAX_PAGES);
	spare = object_alloc(sizeof(*spare));
	if (!spare)
		return NULL;
	lock_kva();
	cached = take_cached(npages);
	range = cached ? NULL : choose_range(npages, &spare);
	if (range) {
		start = range->guard + PAGE_SIZE;
		mapped = map_pages(start, npages);
		if (mapped < npages)
			unmap(start, mapped, &frames);
	}
	ck_spinlock_unlock(&kva.lock);
	object_free(spare);
	if (cached)
		return cached;
	if (!range)
		return NULL;
	if (mapped == npages) {
		object_free(range);
		return (void *)(start + npages * PAGE_SIZE);
	}
	free_frames(start, mapped, &frames);
	lock_kva();
	put_range(range, start - PAGE_SIZE, npages);
	ck_spinlock_unlock(&kva.lock);
	return NULL;
}

void kva_stack_free(void *top, unsigned npages)
{
	vaddr_t start = (vaddr_t)top - npages * PAGE_SIZE;
	struct free_range *range = object_alloc(sizeof(*range));
	struct frames frames;
	bool keep;

	assert(npages && npages <= STACK_MAX_PAGES);
	assert(start > KVA_START && (vaddr_t)top <= KVA_END && is_aligned(top, PAGE_SIZE));
	lock_kva();
	/* Without memory to note the addresses in, the stack itself is kept. */
	keep = kva.ncached < CACHED_STACKS || !range;
	if (keep)
		put_cached(top, npages);
	else
		unmap(start, npages, &frames);
	ck_spinlock_unlock(&kva.lock);
	if (keep) {
		object_free(range);
		return;
	}
	free_frames(start, npages, &frames);
	lock_kva();
	put_range(range, start - PAGE_SIZE, npages);
	ck_spinlock_unlock(&kva.lock);
}

bool kva_is_guard(vaddr_t address)
{
	vaddr_t page = align_down(address, PAGE_SIZE);
	unsigned protection;
	size_t page_size;
	paddr_t frame;

	/* By the page tables, which need no lock: nothing here, and memory right above. */
	return page >= KVA_START && page < KVA_END - PAGE_SIZE &&
	       !arch_lookup(page, &frame, &protection, &page_size) &&
	       arch_lookup(page + PAGE_SIZE, &frame, &protection, &page_size) &&
	       !(protection & PAGE_UNCACHED);
}

/* ---- devices ---- */

volatile void *kva_map_device(paddr_t physical, size_t size)
{
	paddr_t start = align_down(physical, PAGE_SIZE);
	size_t length = align_up(physical + size, PAGE_SIZE) - start;
	vaddr_t address;
	bool mapped;

	lock_kva();
	address = kva.next;
	/* A page stays free behind it, so that overrunning it faults. */
	mapped = length < KVA_END - address &&
		 !arch_map(address, start, length, PAGE_READ | PAGE_WRITE | PAGE_UNCACHED);
	if (mapped)
		kva.next += length + PAGE_SIZE;
	ck_spinlock_unlock(&kva.lock);
	return mapped ? (volatile void *)(address + (physical - start)) : NULL;
}
