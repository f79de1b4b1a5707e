/*
 * What comes of the loader's memory map.
 *
 * links: arch/x86_64/memory_map.c
 */
#include "arch/x86_64/memory_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LIMIT (1ul << 46)
#define RAM MEMORY_MAP_RAM
#define RESERVED 2

static struct memory_range ranges[MAX_MEMORY_RANGES];
static uint64_t dropped;

static unsigned usable(const struct memory_map_entry *entries, unsigned nentries,
		       const struct memory_range *taken, unsigned ntaken)
{
	dropped = 0;
	return memory_map_usable(entries, nentries, taken, ntaken, LIMIT, ranges, &dropped);
}

static void assert_range(unsigned index, paddr_t start, paddr_t end)
{
	assert_int_equal(ranges[index].start, start);
	assert_int_equal(ranges[index].end, end);
}

static void the_map_of_a_pc(void **state)
{
	const struct memory_map_entry map[] = {
		{ 0, 0x9fc00, RAM, 0 },
		{ 0x9fc00, 0x400, RESERVED, 0 },
		{ 0xf0000, 0x10000, RESERVED, 0 },
		{ 0x100000, 0x3ee0000, RAM, 0 },
		{ 0x3fe0000, 0x20000, RESERVED, 0 },
		{ 0xfffc0000, 0x40000, RESERVED, 0 },
	};

	assert_int_equal(usable(map, array_size(map), NULL, 0), 2);
	assert_range(0, 0, 0x9f000);
	assert_range(1, 0x100000, 0x3fe0000);
	assert_int_equal(dropped, 0);
}

static void what_is_taken_is_cut_out_by_whole_pages(void **state)
{
	const struct memory_map_entry map[] = { { 0x100000, 0x100000, RAM, 0 } };
	const struct memory_range taken[] = {
		{ 0x110010, 0x110020 }, /* inside */
		{ 0, 0x101001 }, /* over the start */
		{ 0x1fffff, 0x300000 }, /* over the end */
		{ 0x130000, 0x130000 }, /* empty */
	};

	assert_int_equal(usable(map, 1, taken, array_size(taken)), 2);
	assert_range(0, 0x102000, 0x110000);
	assert_range(1, 0x111000, 0x1ff000);
}

static void pages_that_are_only_partly_ram_are_not_used(void **state)
{
	const struct memory_map_entry map[] = { { 0x1001, 0x2fff, RAM, 0 },
						{ 0x8001, 0xffe, RAM, 0 } };

	assert_int_equal(usable(map, 2, NULL, 0), 1);
	assert_range(0, 0x2000, 0x4000);
}

static void unsorted_overlapping_and_adjacent_entries_are_joined(void **state)
{
	const struct memory_map_entry map[] = {
		{ 0x30000, 0x10000, RAM, 0 }, { 0x10000, 0x10000, RAM, 0 },
		{ 0x18000, 0x10000, RAM, 0 }, { 0x28000, 0x8000, RAM, 0 },
		{ 0x80000, 0x1000, RAM, 0 },
	};

	assert_int_equal(usable(map, array_size(map), NULL, 0), 2);
	assert_range(0, 0x10000, 0x40000);
	assert_range(1, 0x80000, 0x81000);
}

static void what_is_not_ram_wins(void **state)
{
	const struct memory_map_entry map[] = {
		{ 0x20000, 0x1000, RESERVED, 0 },
		{ 0x10000, 0x20000, RAM, 0 },
		{ 0x28001, 1, 7, 0 },
	};

	assert_int_equal(usable(map, array_size(map), NULL, 0), 3);
	assert_range(0, 0x10000, 0x20000);
	assert_range(1, 0x21000, 0x28000);
	assert_range(2, 0x29000, 0x30000);
}

static void entries_that_wrap_around_end_at_the_limit(void **state)
{
	const struct memory_map_entry map[] = { { LIMIT - 0x10000, UINT64_MAX, RAM, 0 } };
	const struct memory_map_entry hole[] = { { 0x10000, 0x10000, RAM, 0 },
						 { 0x18000, UINT64_MAX - 0x100, RESERVED, 0 } };

	assert_int_equal(usable(map, 1, NULL, 0), 1);
	assert_range(0, LIMIT - 0x10000, LIMIT);
	assert_int_equal(usable(hole, 2, NULL, 0), 1);
	assert_range(0, 0x10000, 0x18000);
}

static void the_smallest_of_too_many_ranges_are_dropped_and_counted(void **state)
{
	struct memory_map_entry map[MAX_MEMORY_RANGES + 2];

	/* Every other range has one page, the rest have four. */
	for (unsigned i = 0; i < array_size(map); i++)
		map[i] =
		    (struct memory_map_entry){ i * 0x10000ul, i % 2 ? 0x1000 : 0x4000, RAM, 0 };
	assert_int_equal(usable(map, array_size(map), NULL, 0), MAX_MEMORY_RANGES);
	assert_int_equal(dropped, 0x2000);
	assert_range(0, 0, 0x4000);
	assert_range(1, 0x20000, 0x24000); /* the first two small ones are gone */
	assert_range(2, 0x40000, 0x44000);
}

static void no_entries_no_memory(void **state)
{
	assert_int_equal(usable(NULL, 0, NULL, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_map_of_a_pc),
		cmocka_unit_test(what_is_taken_is_cut_out_by_whole_pages),
		cmocka_unit_test(pages_that_are_only_partly_ram_are_not_used),
		cmocka_unit_test(unsorted_overlapping_and_adjacent_entries_are_joined),
		cmocka_unit_test(what_is_not_ram_wins),
		cmocka_unit_test(entries_that_wrap_around_end_at_the_limit),
		cmocka_unit_test(the_smallest_of_too_many_ranges_are_dropped_and_counted),
		cmocka_unit_test(no_entries_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
