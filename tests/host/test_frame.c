/*
 * Page frames: the buddies, the stack of single pages, and what is refused.
 *
 * links: tests/host/fake_memory.c mm/frame.c
 */
#include "arch/arch.h"
#include "mm/frame.h"
#include "tests/host/fake_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RAM (32ul << 20)
#define PAGES (RAM / PAGE_SIZE)

static paddr_t ram;
static size_t initial_free;
static uint8_t owned[PAGES]; /* by the test */

/* At the end, what a loader has brought: free later. */
#define MODULE_PAGES 300
#define MODULE_PAGE (PAGES - MODULE_PAGES)
static bool module_is_free;

/* Holes of awkward sizes, as firmware leaves them, and a range that is out of reach. */
static int setup(void **state)
{
	struct boot_info info;
	paddr_t end;

	fake_core_register(0);
	fake_memory_init(&info, RAM);
	ram = info.ranges[0].start;
	end = info.ranges[0].end;
	info.nranges = 4;
	info.ranges[0] = (struct memory_range){ ram + PAGE_SIZE, ram + 159 * PAGE_SIZE };
	info.ranges[1] = (struct memory_range){ ram + (1 << 20), ram + (7 << 20) + PAGE_SIZE };
	info.ranges[2] =
	    (struct memory_range){ ram + (7 << 20) + 3 * PAGE_SIZE, ram + MODULE_PAGE * PAGE_SIZE };
	info.nmodules = 1;
	info.modules[0] = (struct memory_range){ ram + MODULE_PAGE * PAGE_SIZE + 5, end - 7 };
	info.ranges[3] = (struct memory_range){ end + (1ul << 40), end + (1ul << 40) + (1 << 20) };
	frame_init(&info);
	initial_free = frame_free_count();
	return 0;
}

static bool is_in_hole(size_t page)
{
	if (page >= MODULE_PAGE && !module_is_free)
		return true;
	return page == 0 || (page >= 159 && page < 256) || (page > 7 * 256 && page < 7 * 256 + 3);
}

static void take(paddr_t frame, unsigned order)
{
	size_t first = (frame - ram) / PAGE_SIZE;

	assert_true(frame >= ram && frame + (PAGE_SIZE << order) <= ram + RAM);
	assert_true(is_aligned(frame, PAGE_SIZE << order));
	for (size_t page = first; page < first + (1ul << order); page++) {
		assert_false(owned[page]);
		assert_false(is_in_hole(page));
		owned[page] = 1;
	}
}

static void give(paddr_t frame, unsigned order)
{
	memset(&owned[(frame - ram) / PAGE_SIZE], 0, 1ul << order);
	frame_free(frame, order);
}

static size_t largest_blocks(void)
{
	paddr_t blocks[RAM >> 22];
	size_t count = 0;

	while ((blocks[count] = frame_alloc(MAX_ORDER)))
		count++;
	for (size_t i = 0; i < count; i++)
		frame_free(blocks[i], MAX_ORDER);
	return count;
}

static void counts_what_there_is(void **state)
{
	/* The states of 8192 pages take two. */
	assert_int_equal(frame_total(), PAGES - 1 - 97 - 2 - 2 - MODULE_PAGES);
	assert_int_equal(initial_free, frame_total());
	assert_int_equal(largest_blocks(), 5);
	assert_int_equal(frame_free_count(), initial_free);
}

static void random_blocks_never_overlap(void **state)
{
	static struct {
		paddr_t frame;
		unsigned order;
	} blocks[3000];
	size_t nblocks = 0, before = largest_blocks();

	srand(1);
	for (unsigned round = 0; round < 100000; round++) {
		/* Mostly growing, then mostly shrinking, so that memory runs out now and then. */
		bool grow = rand() % 8 < (round % 16384 < 8192 ? 5 : 3);

		if (grow && nblocks < array_size(blocks)) {
			unsigned order = rand() % 3 ? 0 : rand() % (MAX_ORDER + 1);
			size_t free = frame_free_count();
			paddr_t frame = frame_alloc(order);

			if (!frame) {
				assert_true(order || free == 0);
				continue;
			}
			assert_int_equal(frame_free_count(), free - (1ul << order));
			take(frame, order);
			blocks[nblocks].frame = frame;
			blocks[nblocks++].order = order;
		} else if (nblocks) {
			size_t i = rand() % nblocks;
			unsigned order = blocks[i].order;

			if (order && rand() % 2) {
				/* One half now, the other later. */
				paddr_t half = PAGE_SIZE << (order - 1);
				unsigned upper = rand() % 2;

				give(blocks[i].frame + upper * half, order - 1);
				blocks[i].frame += !upper * half;
				blocks[i].order--;
				continue;
			}
			give(blocks[i].frame, order);
			blocks[i] = blocks[--nblocks];
		}
	}
	while (nblocks--)
		give(blocks[nblocks].frame, blocks[nblocks].order);
	assert_int_equal(frame_free_count(), initial_free);
	assert_int_equal(largest_blocks(), before);
}

static void all_memory_can_be_used(void **state)
{
	paddr_t *frames = calloc(PAGES, sizeof(*frames));
	size_t count = 0;

	while ((frames[count] = frame_alloc(0)))
		take(frames[count++], 0);
	assert_int_equal(count, initial_free);
	assert_int_equal(frame_free_count(), 0);
	assert_int_equal(frame_alloc(3), 0);
	assert_int_equal(frame_alloc_zeroed(0), 0);
	while (count--)
		give(frames[count], 0);
	assert_int_equal(frame_free_count(), initial_free);
	assert_int_equal(largest_blocks(), 5);
	free(frames);
}

static void parts_can_be_freed_alone(void **state)
{
	paddr_t block = frame_alloc(9);

	assert_int_not_equal(block, 0);
	for (unsigned page = 511; page > 0; page--)
		frame_free(block + page * PAGE_SIZE, 0);
	assert_int_equal(frame_free_count(), initial_free - 1);
	frame_free(block, 0);
	assert_int_equal(largest_blocks(), 5);
	assert_int_equal(frame_free_count(), initial_free);
}

static void zeroed_is_zero(void **state)
{
	for (unsigned order = 0; order <= 4; order++) {
		paddr_t frame = frame_alloc(order);
		const char *bytes;

		memset(phys_to_virt(frame), 0xee, PAGE_SIZE << order);
		frame_free(frame, order);
		frame = frame_alloc_zeroed(order);
		bytes = phys_to_virt(frame);
		for (size_t i = 0; i < PAGE_SIZE << order; i++)
			assert_int_equal(bytes[i], 0);
		frame_free(frame, order);
	}
}

static void wrong_frees_are_found_out(void **state)
{
	paddr_t page = frame_alloc(0), block = frame_alloc(3);

	expect_assert_failure(frame_free(page, 1));
	expect_assert_failure(frame_free(page + 1, 0));
	expect_assert_failure(frame_free(block, 4));
	expect_assert_failure(frame_free(block + PAGE_SIZE, 1));
	expect_assert_failure(frame_free(ram, 0)); /* no memory */
	expect_assert_failure(frame_free(ram + RAM, 0));
	expect_assert_failure(frame_free(0, 0));
	expect_assert_failure(frame_alloc(MAX_ORDER + 1));
	frame_free(page, 0);
	expect_assert_failure(frame_free(page, 0));
	frame_free(block, 3);
	expect_assert_failure(frame_free(block, 3));
	expect_assert_failure(frame_free(block + PAGE_SIZE, 0));
	assert_int_equal(frame_free_count(), initial_free);
}

static void marks_belong_to_whole_blocks(void **state)
{
	paddr_t block = frame_alloc(2);

	assert_int_equal(frame_marked_order(block), -1);
	frame_mark(block, 2, true);
	assert_int_equal(frame_marked_order(block), 2);
	assert_int_equal(frame_marked_order(block + 8), -1);
	assert_int_equal(frame_marked_order(block + PAGE_SIZE), -1);
	assert_int_equal(frame_marked_order(0), -1);
	expect_assert_failure(frame_mark(block, 2, true));
	expect_assert_failure(frame_free(block, 2));
	expect_assert_failure(frame_free(block, 1));
	frame_mark(block, 2, false);
	frame_free(block, 2);
	expect_assert_failure(frame_mark(block, 2, true));
}

static void what_is_lent_comes_back_once_and_whole(void **state)
{
	size_t initial_free = frame_free_count();
	paddr_t block = frame_alloc(2);

	assert_false(frame_take_back(block, 2));
	assert_false(frame_mark_lent(block, 2, true));
	frame_lend(block, 2);
	expect_assert_failure(frame_lend(block, 2));
	expect_assert_failure(frame_free(block, 2));
	expect_assert_failure(frame_free(block + PAGE_SIZE, 0));
	expect_assert_failure(frame_mark(block, 2, true));
	for (unsigned order = 0; order < 256; order++) {
		if (order == 2)
			continue;
		assert_false(frame_take_back(block, order));
		assert_false(frame_mark_lent(block, order, true));
	}
	assert_false(frame_take_back(block + 1, 2));
	assert_false(frame_take_back(block + PAGE_SIZE, 0));
	assert_false(frame_take_back(0, 2));
	assert_false(frame_take_back(ram + RAM, 0));
	assert_false(frame_take_back(~0ul << PAGE_SHIFT, 0));
	assert_false(frame_mark_lent(block, 2, false));
	assert_true(frame_mark_lent(block, 2, true));
	assert_int_equal(frame_marked_order(block), 2);
	assert_false(frame_mark_lent(block, 2, true));
	assert_false(frame_take_back(block, 2));
	assert_true(frame_mark_lent(block, 2, false));
	assert_true(frame_take_back(block, 2));
	assert_false(frame_take_back(block, 2));
	frame_free(block, 2);
	assert_false(frame_take_back(block, 2));
	assert_int_equal(frame_free_count(), initial_free);
}

static paddr_t reserve;

static bool give_reserve(void)
{
	bool have = reserve;

	if (have)
		frame_free(reserve, 4);
	reserve = 0;
	return have;
}

static void reserves_are_reclaimed_first(void **state)
{
	paddr_t *frames = calloc(PAGES, sizeof(*frames));
	size_t count = 0;

	reserve = frame_alloc(4);
	frame_set_reclaim(give_reserve);
	while ((frames[count] = frame_alloc(0)))
		count++;
	assert_int_equal(count, initial_free);
	for (unsigned i = 0; i < 40; i++)
		frame_free(frames[--count], 0);
	/* 32 of them on the stack: only together with those are there 16 in a row. */
	reserve = frame_alloc(4);
	assert_int_not_equal(reserve, 0);
	give_reserve();
	frame_set_reclaim(NULL);
	while (count--)
		frame_free(frames[count], 0);
	assert_int_equal(frame_free_count(), initial_free);
	free(frames);
}

/* ---- a page fault where kernel code touches its stack, before it takes the lock ---- */

static unsigned fault_at; /* the how manieth touch from now on faults; 0: none */
static paddr_t fault_frame;

void stack_touched(void);
void stack_touched(void)
{
	if (fault_at && --fault_at == 0) {
		fault_frame = frame_alloc(0);
		assert_true(fault_frame);
		take(fault_frame, 0);
	}
}

static paddr_t pages[PAGES];
static size_t npages;

static void take_pages(size_t wanted)
{
	while (npages < wanted && (pages[npages] = frame_alloc(0)))
		take(pages[npages++], 0);
}

static void give_pages(size_t left)
{
	while (npages > left)
		give(pages[--npages], 0);
}

/* No page was handed out twice, and none is missing. */
static void all_is_there(void)
{
	assert_int_equal(fault_at, 0);
	take_pages(PAGES);
	assert_int_equal(npages + 1, initial_free);
	give_pages(0);
	give(fault_frame, 0);
	assert_int_equal(frame_free_count(), initial_free);
}

static void a_page_fault_meanwhile_does_no_harm(void **state)
{
	/* When the core's stack of pages is full and gives some back, */
	take_pages(100);
	fault_at = 1;
	give_pages(0);
	all_is_there();

	/* when it is empty and gets some, */
	fault_at = 1;
	take_pages(100);
	give_pages(0);
	all_is_there();

	/* and when it gives all back, since memory is out: the second lock that is taken then. */
	take_pages(PAGES);
	give_pages(npages - 20);
	fault_at = 2;
	assert_int_equal(frame_alloc(5), 0);
	all_is_there();
}

/* Page by page and in large pieces, it joins what is around it. */
static void a_module_is_free_at_the_end(void **state)
{
	paddr_t start = ram + MODULE_PAGE * PAGE_SIZE;
	unsigned before = largest_blocks();

	module_is_free = true;
	frame_add(start, start + PAGE_SIZE);
	frame_add(start + PAGE_SIZE, start + 100 * PAGE_SIZE);
	frame_add(start + 100 * PAGE_SIZE, ram + RAM);
	assert_int_equal(frame_free_count(), initial_free + MODULE_PAGES);
	assert_int_equal(frame_total(), initial_free + MODULE_PAGES);
	assert_true(largest_blocks() > before);
	/* What has no states is lost, and does no harm. */
	frame_add(ram + RAM + (1ul << 40), ram + RAM + (1ul << 40) + PAGE_SIZE);
	frame_add(PAGE_SIZE, 2 * PAGE_SIZE);
	assert_int_equal(frame_total(), initial_free + MODULE_PAGES);
	initial_free += MODULE_PAGES;
	random_blocks_never_overlap(state);
	take_pages(PAGES);
	assert_int_equal(npages, initial_free);
	give_pages(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_what_there_is),
		cmocka_unit_test(random_blocks_never_overlap),
		cmocka_unit_test(all_memory_can_be_used),
		cmocka_unit_test(parts_can_be_freed_alone),
		cmocka_unit_test(zeroed_is_zero),
		cmocka_unit_test(wrong_frees_are_found_out),
		cmocka_unit_test(marks_belong_to_whole_blocks),
		cmocka_unit_test(what_is_lent_comes_back_once_and_whole),
		cmocka_unit_test(reserves_are_reclaimed_first),
		cmocka_unit_test(a_page_fault_meanwhile_does_no_harm),
		cmocka_unit_test(a_module_is_free_at_the_end),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
