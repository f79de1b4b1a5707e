/*
 * Trees of page frames: finding, holes, removing, and a failure of each allocation.
 *
 * links: posix/fs/pages.c mm/frame.c mm/object.c smp/epoch.c tests/host/fake_memory.c
 */
#include "posix/fs/pages.h"

#include "arch/arch.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "smp/epoch.h"
#include "tests/host/fake_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static size_t free_at_start, objects_at_start;

static void settle(void)
{
	for (int i = 0; i < 20 || epoch_is_pending(); i++)
		epoch_safe_point();
}

static int begin(void **state)
{
	settle();
	object_trim();
	free_at_start = frame_free_count();
	objects_at_start = object_bytes_in_use();
	return 0;
}

static int nothing_is_lost(void **state)
{
	settle();
	assert_int_equal(object_bytes_in_use(), objects_at_start);
	object_trim();
	/* A slab may have been kept. */
	assert_true(frame_free_count() + 16 >= free_at_start);
	return 0;
}

static paddr_t put(struct pages *pages, uint64_t index)
{
	paddr_t frame = frame_alloc_zeroed(0);

	assert_true(frame != 0);
	*(uint64_t *)phys_to_virt(frame) = index;
	assert_int_equal(pages_insert(pages, index, frame), frame);
	return frame;
}

static const uint64_t places[] = {
	0, 1, 7, 8, 9, 511, 512, 513, 262143, 262144, 1 << 27, 1ul << 36, 1ul << 45, (1ul << 51) - 1
};

static void pages_are_found_where_they_were_put(void **state)
{
	struct pages pages = { 0 };

	assert_int_equal(pages_next(&pages, 0), UINT64_MAX);
	for (unsigned i = 0; i < array_size(places); i++) {
		assert_int_equal(pages_find(&pages, places[i]), 0);
		put(&pages, places[i]);
	}
	assert_int_equal(pages.count, array_size(places));
	for (unsigned i = 0; i < array_size(places); i++) {
		paddr_t frame = pages_find(&pages, places[i]);
		uint64_t next = i + 1 < array_size(places) ? places[i + 1] : UINT64_MAX;

		assert_int_equal(*(uint64_t *)phys_to_virt(frame), places[i]);
		assert_int_equal(pages_next(&pages, places[i]), places[i]);
		assert_int_equal(pages_next(&pages, places[i] + 1), next);
	}
	assert_int_equal(pages_find(&pages, 2), 0);
	assert_int_equal(pages_find(&pages, 1ul << 40), 0);
	pages_destroy(&pages);
}

static void the_first_one_stays(void **state)
{
	struct pages pages = { 0 };
	paddr_t first = put(&pages, 1000), second = frame_alloc(0);

	assert_int_equal(pages_insert(&pages, 1000, second), first);
	assert_int_equal(pages.count, 1);
	frame_free(second, 0);
	pages_destroy(&pages);
}

static void removing(void **state)
{
	struct pages pages = { 0 };
	unsigned left = 0;

	for (unsigned i = 0; i < array_size(places); i++)
		put(&pages, places[i]);
	pages_remove(&pages, 9, 513);
	assert_int_equal(pages.count, array_size(places) - 3);
	assert_true(pages_find(&pages, 8) != 0);
	assert_int_equal(pages_find(&pages, 9), 0);
	assert_int_equal(pages_find(&pages, 512), 0);
	assert_true(pages_find(&pages, 513) != 0);
	pages_remove(&pages, 262144, UINT64_MAX);
	for (unsigned i = 0; i < array_size(places); i++)
		left += pages_find(&pages, places[i]) != 0;
	assert_int_equal(left, pages.count);
	assert_int_equal(left, 6);
	put(&pages, 1ul << 45);
	pages_remove(&pages, 0, UINT64_MAX);
	assert_int_equal(pages.count, 0);
	assert_int_equal(pages.root, 0);
	pages_destroy(&pages);
}

static void many(void **state)
{
	struct pages pages = { 0 };

	for (uint64_t i = 0; i < 3000; i++)
		put(&pages, i);
	pages_remove(&pages, 100, 2900);
	assert_int_equal(pages_next(&pages, 100), 2900);
	assert_int_equal(pages.count, 200);
	settle();
	/* The nodes of the hole are gone, too: the root, and the first and the last of its six. */
	assert_true(frame_free_count() + 200 + 3 + 40 >= free_at_start);
	pages_remove(&pages, 0, UINT64_MAX);
}

/* With no memory for the list of what goes, pages stay where they are, but cleared. */
static void removing_without_memory(void **state)
{
	struct pages pages = { 0 };
	paddr_t hoard = 0, frame;

	for (uint64_t i = 0; i < 20; i++)
		put(&pages, i);
	object_trim();
	while ((frame = frame_alloc(0))) {
		*(paddr_t *)phys_to_virt(frame) = hoard;
		hoard = frame;
	}
	while (object_alloc(512))
		; /* given back with the process */
	pages_remove(&pages, 4, UINT64_MAX);
	assert_int_equal(pages.count, 20);
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(*(uint64_t *)phys_to_virt(pages_find(&pages, i)), i < 4 ? i : 0);
	frame = frame_alloc(0);
	assert_int_equal(frame, 0);
	/* Nor can the tree grow. */
	frame = hoard;
	hoard = *(paddr_t *)phys_to_virt(hoard);
	assert_int_equal(pages_insert(&pages, 1ul << 30, frame), 0);
	assert_int_equal(pages_find(&pages, 1ul << 30), 0);
	while (hoard) {
		frame = hoard;
		hoard = *(paddr_t *)phys_to_virt(hoard);
		frame_free(frame, 0);
	}
	pages_remove(&pages, 4, UINT64_MAX);
	assert_int_equal(pages.count, 4);
	pages_destroy(&pages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pages_are_found_where_they_were_put, begin,
						nothing_is_lost),
		cmocka_unit_test_setup_teardown(the_first_one_stays, begin, nothing_is_lost),
		cmocka_unit_test_setup_teardown(removing, begin, nothing_is_lost),
		cmocka_unit_test_setup_teardown(many, begin, nothing_is_lost),
		cmocka_unit_test(removing_without_memory),
	};

	fake_memory_boot(64ul << 20);
	object_init_core();
	epoch_init();
	epoch_online();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
