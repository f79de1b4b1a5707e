/* The pages of areas: mapping, dropping and moving them. All of it under the area lock. */
#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/area.h"
#include "mm/area_set.h"
#include "mm/frame.h"
#include "smp/shootdown.h"

#include <ck_pr.h>
#include <errno.h>

/* 2 MiB at a time only while so many are free, and a quarter of all memory. */
#define PLENTIFUL_HUGE_PAGES 64

static size_t resident_pages; /* written under the lock */

/* Pages that are unmapped, but that another core may still reach through its TLB: until the
 * shootdown they can neither be freed nor hold a list link, so they are noted here. */
static struct {
	unsigned count;
	size_t borrowed; /* pages that are not freed, but shot down as well */
	paddr_t pages[512]; /* | 1: 2 MiB */
} unmapped;

struct range {
	vaddr_t start, end;
};

static void count_resident(size_t npages)
{
	ck_pr_store_64(&resident_pages, resident_pages + npages);
}

size_t area_resident_pages(void)
{
	return ck_pr_load_64(&resident_pages);
}

static unsigned order_of(size_t page_size)
{
	return page_size == PAGE_SIZE ? 0 : HUGE_PAGE_ORDER;
}

static void free_unmapped(const struct range *range)
{
	if (!unmapped.count && !unmapped.borrowed)
		return; /* nothing was mapped, so no TLB has it */
	tlb_shootdown(range->start, (range->end - range->start) >> PAGE_SHIFT);
	for (unsigned i = 0; i < unmapped.count; i++) {
		unsigned order = unmapped.pages[i] & 1 ? HUGE_PAGE_ORDER : 0;

		frame_free(unmapped.pages[i] & ~1ul, order);
		count_resident(-(1ul << order));
	}
	count_resident(-unmapped.borrowed);
	unmapped.count = unmapped.borrowed = 0;
}

static void note_unmapped(paddr_t frame, size_t size, unsigned protection, void *range)
{
	if (protection & PAGE_BORROWED) {
		unmapped.borrowed++;
		return;
	}
	if (unmapped.count == array_size(unmapped.pages))
		free_unmapped(range);
	unmapped.pages[unmapped.count++] = frame | (size != PAGE_SIZE);
}

int pages_drop(vaddr_t start, vaddr_t end)
{
	struct range range = { start, end };
	int error = arch_unmap(start, end - start, note_unmapped, &range);

	free_unmapped(&range);
	return error;
}

/* What the page's entry says: a borrowed page of a private area is for reading until it is copied. */
static unsigned entry_protection(unsigned attributes, unsigned borrowed)
{
	unsigned protection = (attributes & PAGE_PROTECTION) |
			      PAGE_KEY(attributes >> AREA_KEY_SHIFT) | borrowed;

	return borrowed && !(attributes & AREA_SHARED) ? protection | PAGE_COPIED_FIRST
						       : protection;
}

int page_insert(vaddr_t address, paddr_t frame, size_t size, unsigned attributes, unsigned borrowed)
{
	int error = arch_map(address, frame, size, entry_protection(attributes, borrowed));

	if (!error)
		count_resident(size >> PAGE_SHIFT);
	return error;
}

/* Is the 2 MiB around `address` without a page? */
static bool has_room_for_huge(vaddr_t address)
{
	size_t page_size = PAGE_SIZE;
	unsigned protection;
	paddr_t frame;

	return !arch_lookup(address, &frame, &protection, &page_size) &&
	       page_size >= HUGE_PAGE_SIZE;
}

bool page_may_be_huge(const struct area *area, vaddr_t address)
{
	vaddr_t start = align_down(address, HUGE_PAGE_SIZE);

	return !area->source && !(area->attributes & AREA_SMALL_PAGES) && start >= area->start &&
	       start + HUGE_PAGE_SIZE <= area->end && has_room_for_huge(start);
}

bool memory_is_plentiful(void)
{
	size_t free = frame_free_count();

	return free > PLENTIFUL_HUGE_PAGES << HUGE_PAGE_ORDER && free > frame_total() / 4;
}

/* Populate the page at *address, and move that on to the next. */
static int populate_page(const struct area *area, vaddr_t *address)
{
	bool huge = is_aligned(*address, HUGE_PAGE_SIZE) && page_may_be_huge(area, *address) &&
		    memory_is_plentiful();
	size_t size = huge ? HUGE_PAGE_SIZE : PAGE_SIZE;

	for (;; size = PAGE_SIZE) {
		paddr_t frame = frame_alloc_zeroed(order_of(size));
		int error = frame ? page_insert(*address, frame, size, area->attributes, 0)
				  : -ENOMEM;

		if (!error)
			break;
		if (frame)
			frame_free(frame, order_of(size));
		if (size == PAGE_SIZE)
			return error;
	}
	*address += size;
	return 0;
}

int pages_populate(vaddr_t start, vaddr_t end, unsigned attributes)
{
	const struct area area = { .start = start, .end = end, .attributes = attributes };

	for (vaddr_t address = start; address < end;) {
		if (populate_page(&area, &address) == 0)
			continue;
		/* Nothing straddles the ends, so nothing must be split, and this cannot fail. */
		if (address > start && pages_drop(start, address))
			panic("mm: pages that were just mapped cannot be unmapped");
		return -ENOMEM;
	}
	return 0;
}

static void keep(paddr_t frame, size_t size, unsigned protection, void *argument) {}

/* Make the pages of [from, from + length) reachable at `to` as well. */
static int alias(vaddr_t from, vaddr_t to, size_t length, unsigned attributes)
{
	size_t step;

	for (size_t offset = 0; offset < length; offset += step) {
		vaddr_t address = from + offset;
		size_t page_size = PAGE_SIZE, within;
		unsigned old_protection;
		paddr_t frame;
		bool mapped = arch_lookup(address, &frame, &old_protection, &page_size);
		int error;

		within = address & (page_size - 1);
		if (!mapped) {
			step = page_size - within;
			continue;
		}
		step = PAGE_SIZE;
		if (page_size == HUGE_PAGE_SIZE && !within && length - offset >= HUGE_PAGE_SIZE &&
		    is_aligned(to + offset, HUGE_PAGE_SIZE) && has_room_for_huge(to + offset))
			step = HUGE_PAGE_SIZE;
		error = arch_map(to + offset, align_down(frame, page_size) + within, step,
				 entry_protection(attributes, old_protection & PAGE_BORROWED));
		if (error)
			return error;
	}
	return 0;
}

int pages_move(vaddr_t from, vaddr_t to, size_t length, unsigned attributes)
{
	int error = alias(from, to, length, attributes);

	if (!error)
		error = arch_unmap(from, length, keep, NULL);
	if (error) {
		/* No 2 MiB page straddles the ends of what alias() mapped, so this cannot fail. */
		arch_unmap(to, length, keep, NULL);
		tlb_shootdown(to, length >> PAGE_SHIFT);
		return error;
	}
	tlb_shootdown(from, length >> PAGE_SHIFT);
	return 0;
}
