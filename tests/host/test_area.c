/*
 * Virtual areas of anonymous memory: each call by itself.
 *
 * links: tests/host/fake_memory.c tests/host/area_scene.c mm/frame.c mm/object.c mm/area_tree.c
 * links: mm/area_set.c mm/area.c mm/resident.c mm/fault.c mm/remap.c mm/advise.c mm/area_look.c
 * links: mm/brk.c mm/page_source.c mm/code.c
 * links: arch/x86_64/rights_pages.c arch/x86_64/rights_scan.c arch/x86_64/instruction.c
 */
#include "arch/arch.h"
#include "mm/area.h"
#include "mm/frame.h"
#include "mm/mm.h"
#include "tests/host/area_scene.h"
#include "tests/host/fake_memory.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

/* ---- each call by itself ---- */

static void wrong_arguments_are_refused(void **state)
{
	const vaddr_t a = WINDOW;

	assert_int_equal(area_map(0, 0, READ_WRITE, ANONYMOUS), -EINVAL);
	assert_int_equal(area_map(0, PAGE_SIZE, READ_WRITE, MAP_ANONYMOUS), -EINVAL);
	assert_int_equal(area_map(a + 1, PAGE_SIZE, READ_WRITE, FIXED), -EINVAL);
	assert_int_equal(area_map(0, PAGE_SIZE, PROT_WRITE | PROT_EXEC, ANONYMOUS), -EACCES);
	assert_int_equal(area_map(0, PAGE_SIZE, READ_WRITE | PROT_EXEC, ANONYMOUS), -EACCES);
	assert_int_equal(area_map(0, SIZE_MAX, READ_WRITE, ANONYMOUS), -ENOMEM);
	assert_int_equal(area_map(0, SIZE_MAX - PAGE_SIZE, READ_WRITE, ANONYMOUS), -ENOMEM);
	assert_int_equal(area_map(0, USER_END, READ_WRITE, ANONYMOUS), -ENOMEM);
	assert_int_equal(area_map(0, RAM * 64 + PAGE_SIZE, READ_WRITE, ANONYMOUS), -ENOMEM);
	assert_int_equal(area_map(0, PAGE_SIZE, READ_WRITE, FIXED), -EPERM);
	assert_int_equal(area_map(USER_END, PAGE_SIZE, READ_WRITE, FIXED), -ENOMEM);
	assert_int_equal(area_map(USER_END - PAGE_SIZE, 2 * PAGE_SIZE, READ_WRITE, FIXED), -ENOMEM);
	assert_int_equal(area_map(DIRECT_MAP, PAGE_SIZE, READ_WRITE, FIXED), -ENOMEM);
	assert_int_equal(area_map(0, RAM, READ_WRITE, ANONYMOUS | MAP_POPULATE), -ENOMEM);
	assert_int_equal(area_map(0, HUGE_PAGE_SIZE, READ_WRITE, ANONYMOUS | MAP_HUGETLB), -ENOMEM);

	assert_int_equal(area_unmap(a + 1, PAGE_SIZE), -EINVAL);
	assert_int_equal(area_unmap(a, 0), -EINVAL);
	assert_int_equal(area_unmap(a, SIZE_MAX), -EINVAL);
	assert_int_equal(area_unmap(USER_END, PAGE_SIZE), -EINVAL);
	assert_int_equal(area_unmap(DIRECT_MAP, PAGE_SIZE), -EINVAL);
	assert_int_equal(area_unmap(a, PAGE_SIZE), 0); /* nothing there is no error */

	assert_int_equal(area_protect(a + 1, PAGE_SIZE, PROT_READ), -EINVAL);
	assert_int_equal(area_protect(a, PAGE_SIZE, 0x80), -EINVAL);
	assert_int_equal(area_protect(a, 0, PROT_READ), 0);
	assert_int_equal(area_protect(a, PAGE_SIZE, PROT_READ), -ENOMEM);
	assert_int_equal(area_protect(a, SIZE_MAX, PROT_READ), -ENOMEM);
	assert_int_equal(area_protect(DIRECT_MAP, PAGE_SIZE, PROT_READ), -ENOMEM);

	assert_int_equal(area_advise(a + 1, PAGE_SIZE, MADV_DONTNEED), -EINVAL);
	assert_int_equal(area_advise(a, PAGE_SIZE, 7), -EINVAL);
	assert_int_equal(area_advise(a, PAGE_SIZE, 1000), -EINVAL);
	assert_int_equal(area_advise(a, PAGE_SIZE, -1), -EINVAL);
	assert_int_equal(area_advise(a, 0, MADV_DONTNEED), 0);
	assert_int_equal(area_advise(a, PAGE_SIZE, MADV_DONTNEED), -ENOMEM);
	assert_int_equal(area_advise(DIRECT_MAP, PAGE_SIZE, MADV_DONTNEED), -ENOMEM);

	assert_int_equal(area_remap(a + 1, PAGE_SIZE, PAGE_SIZE, 0, 0), -EINVAL);
	assert_int_equal(area_remap(a, PAGE_SIZE, 0, 0, 0), -EINVAL);
	assert_int_equal(area_remap(a, 0, PAGE_SIZE, 0, 0), -EINVAL);
	assert_int_equal(area_remap(a, PAGE_SIZE, PAGE_SIZE, 0x80, 0), -EINVAL);
	assert_int_equal(area_remap(a, PAGE_SIZE, PAGE_SIZE, MREMAP_FIXED, a + 2 * PAGE_SIZE),
			 -EINVAL);
	assert_int_equal(area_remap(a, PAGE_SIZE, PAGE_SIZE, MREMAP_FIXED | MREMAP_MAYMOVE, a + 1),
			 -EINVAL);
	assert_int_equal(area_remap(a, PAGE_SIZE, PAGE_SIZE, 0, 0), -EFAULT);
	assert_int_equal(area_remap(DIRECT_MAP, PAGE_SIZE, PAGE_SIZE, 0, 0), -EFAULT);

	assert_true(area_check(0, 0, PROT_READ));
	assert_false(area_check(0, 1, PROT_READ));
	assert_false(area_check(UINT64_MAX, 1, PROT_READ));
	assert_false(area_check(UINT64_MAX - 10, 100, PROT_READ));
	assert_false(area_check(DIRECT_MAP, 1, PROT_READ));
	assert_false(area_check(USER_END - 1, 2, PROT_READ));
}

static void addresses_are_chosen(void **state)
{
	long large, small, hinted, again;

	large = area_map(0, 5 << 20, READ_WRITE, ANONYMOUS);
	assert_true(large > 0 && is_aligned(large, HUGE_PAGE_SIZE));
	small = area_map(0, PAGE_SIZE, PROT_READ, ANONYMOUS);
	assert_true(small > 0 && is_aligned(small, PAGE_SIZE));
	hinted = area_map(WINDOW + 123, PAGE_SIZE, READ_WRITE, ANONYMOUS);
	assert_int_equal(hinted, WINDOW);
	again = area_map(WINDOW, PAGE_SIZE, READ_WRITE, ANONYMOUS);
	assert_true(again > 0 && again != WINDOW);
	assert_int_equal(area_map(WINDOW, PAGE_SIZE, READ_WRITE, ANONYMOUS | MAP_FIXED_NOREPLACE),
			 -EEXIST);
	assert_true(area_map(USER_END, PAGE_SIZE, READ_WRITE, ANONYMOUS) > 0); /* a useless wish */
	/* What was freed is found again. */
	assert_int_equal(area_unmap(large, 5 << 20), 0);
	assert_int_equal(area_map(0, 5 << 20, READ_WRITE, ANONYMOUS), large);
}

static void the_whole_range_can_be_used(void **state)
{
	size_t step = RAM * 32;
	size_t mapped = 0;

	while (area_map(0, step, PROT_NONE, ANONYMOUS) > 0)
		mapped += step;
	assert_true(mapped > USER_END - USER_START - step - HUGE_PAGE_SIZE);
	while (step > PAGE_SIZE) {
		step = align_up(step / 2, PAGE_SIZE);
		while (area_map(0, step, PROT_NONE, ANONYMOUS) > 0)
			mapped += step;
	}
	assert_int_equal(mapped, USER_END - USER_START);
}

static void faults_are_refused_with_reasons(void **state)
{
	struct page_fault fault = { .address = WINDOW, .protection_key = true };

	assert_true(area_map(WINDOW, PAGE_SIZE, PROT_READ, FIXED) > 0);
	assert_true(area_map(WINDOW + PAGE_SIZE, PAGE_SIZE, PROT_NONE, FIXED) > 0);
	assert_false(mm_handle_fault(&fault));
	assert_non_null(strstr(mm_fault_reason(), "protection key"));
	fault.protection_key = false;
	fault.execute = true;
	assert_false(mm_handle_fault(&fault));
	assert_non_null(strstr(mm_fault_reason(), "does not allow"));
	assert_false(access_page(WINDOW, true));
	assert_non_null(strstr(mm_fault_reason(), "does not allow"));
	assert_false(access_page(WINDOW + PAGE_SIZE, false));
	assert_non_null(strstr(mm_fault_reason(), "does not allow"));
	assert_false(access_page(WINDOW + 2 * PAGE_SIZE, false));
	assert_non_null(strstr(mm_fault_reason(), "nothing is mapped"));
	assert_false(access_page(0, false));
	assert_non_null(strstr(mm_fault_reason(), "never mapped"));
	assert_false(access_page(DIRECT_MAP, false));
	/* A page that is there already is no error: another core was faster. */
	assert_true(access_page(WINDOW, false));
	assert_true(access_page(WINDOW, false));
	assert_int_equal(area_resident_pages(), 1);
}

static void closed_pages_keep_their_contents(void **state)
{
	size_t shootdowns;

	assert_true(area_map(WINDOW, 4 * PAGE_SIZE, READ_WRITE, FIXED) > 0);
	assert_true(access_page(WINDOW, true));
	strcpy(fake_pointer(WINDOW), "secret");
	assert_int_equal(area_protect(WINDOW, PAGE_SIZE, PROT_NONE), 0);
	assert_false(access_page(WINDOW, false));
	assert_false(area_check(WINDOW, 1, PROT_READ));
	shootdowns = fake_shootdowns;
	assert_int_equal(area_protect(WINDOW, PAGE_SIZE, READ_WRITE), 0);
	assert_int_equal(fake_shootdowns, shootdowns); /* gaining rights costs none */
	assert_true(access_page(WINDOW, true));
	assert_string_equal(fake_pointer(WINDOW), "secret");
}

static void untouched_memory_costs_no_shootdown(void **state)
{
	size_t shootdowns = fake_shootdowns;

	assert_true(area_map(WINDOW, 1ul << 30, READ_WRITE, FIXED) > 0);
	assert_int_equal(area_unmap(WINDOW, 1ul << 30), 0);
	assert_int_equal(fake_shootdowns, shootdowns);
}

static void large_pages_where_they_fit(void **state)
{
	vaddr_t start = WINDOW + 3 * PAGE_SIZE, middle = WINDOW + HUGE_PAGE_SIZE;

	assert_true(area_map(start, 3 * HUGE_PAGE_SIZE, READ_WRITE, FIXED) > 0);
	assert_true(access_page(start, true));
	assert_true(access_page(middle + 12345, true));
	assert_int_equal(page_size_at(start), PAGE_SIZE);
	assert_int_equal(page_size_at(middle), HUGE_PAGE_SIZE);
	assert_int_equal(area_resident_pages(), 513);
	/* Cutting one leaves its other pages and their contents. */
	strcpy((char *)fake_pointer(middle) + 5 * PAGE_SIZE, "five");
	assert_int_equal(area_unmap(middle + 2 * PAGE_SIZE, PAGE_SIZE), 0);
	assert_int_equal(area_protect(middle + 7 * PAGE_SIZE, PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(page_size_at(middle), PAGE_SIZE);
	assert_int_equal(area_resident_pages(), 512);
	assert_string_equal(fake_pointer(middle + 5 * PAGE_SIZE), "five");
	/* A stack does not get them. */
	assert_true(area_map(WINDOW, 4 * HUGE_PAGE_SIZE, READ_WRITE, FIXED | MAP_STACK) > 0);
	assert_true(access_page(middle, true));
	assert_int_equal(page_size_at(middle), PAGE_SIZE);
	/* An emptied table is no obstacle. */
	assert_true(area_map(WINDOW, 4 * HUGE_PAGE_SIZE, READ_WRITE, FIXED) > 0);
	assert_true(access_page(middle, true));
	assert_int_equal(page_size_at(middle), HUGE_PAGE_SIZE);
}

/* From 2 MiB pages to small ones to none: each fault that succeeds has mapped its page. */
static void memory_runs_out_page_by_page(void **state)
{
	vaddr_t address = WINDOW;

	assert_true(area_map(WINDOW, 2 * RAM, READ_WRITE, FIXED) > 0);
	while (access_page(address, true)) {
		assert_int_not_equal(page_size_at(address), 0);
		address += PAGE_SIZE;
	}
	assert_string_equal(mm_fault_reason(), "memory is out");
	assert_int_equal(page_size_at(WINDOW), HUGE_PAGE_SIZE);
	assert_int_equal(page_size_at(address - PAGE_SIZE), PAGE_SIZE);
	assert_true(area_resident_pages() > initial_free * 99 / 100);
	assert_true(frame_free_count() < 2);
}

static void remap_moves_to_a_free_place(void **state)
{
	long moved;

	assert_true(area_map(WINDOW, 3 * HUGE_PAGE_SIZE, READ_WRITE, FIXED) > 0);
	assert_true(area_map(WINDOW + 3 * HUGE_PAGE_SIZE, PAGE_SIZE, PROT_READ, FIXED) > 0);
	assert_true(access_page(WINDOW + HUGE_PAGE_SIZE, true));
	strcpy(fake_pointer(WINDOW + HUGE_PAGE_SIZE + 77 * PAGE_SIZE), "moved");
	assert_int_equal(area_remap(WINDOW, 3 * HUGE_PAGE_SIZE, 4 * HUGE_PAGE_SIZE, 0, 0), -ENOMEM);
	moved = area_remap(WINDOW, 3 * HUGE_PAGE_SIZE, 4 * HUGE_PAGE_SIZE, MREMAP_MAYMOVE, 0);
	assert_true(moved > 0 && is_aligned(moved, HUGE_PAGE_SIZE) && moved != WINDOW);
	assert_int_equal(page_size_at(moved + HUGE_PAGE_SIZE), HUGE_PAGE_SIZE);
	assert_string_equal(fake_pointer(moved + HUGE_PAGE_SIZE + 77 * PAGE_SIZE), "moved");
	assert_false(access_page(WINDOW, false));
	assert_true(access_page(moved + 4 * HUGE_PAGE_SIZE - 1, true));
	/* By an odd distance its pages become small. */
	assert_int_equal(area_remap(moved, 4 * HUGE_PAGE_SIZE, 4 * HUGE_PAGE_SIZE,
				    MREMAP_MAYMOVE | MREMAP_FIXED, WINDOW + 5 * PAGE_SIZE),
			 WINDOW + 5 * PAGE_SIZE);
	assert_string_equal(fake_pointer(WINDOW + HUGE_PAGE_SIZE + 82 * PAGE_SIZE), "moved");
}

static void shared_memory_keeps_its_contents(void **state)
{
	assert_true(area_map(WINDOW, 4 * PAGE_SIZE, READ_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED) > 0);
	assert_true(access_page(WINDOW, true));
	strcpy(fake_pointer(WINDOW), "kept");
	assert_int_equal(area_advise(WINDOW, 4 * PAGE_SIZE, MADV_DONTNEED), 0);
	assert_string_equal(fake_pointer(WINDOW), "kept");
	assert_int_equal(area_advise(WINDOW, 4 * PAGE_SIZE, MADV_FREE), -EINVAL);
	assert_int_equal(area_advise(WINDOW, 4 * PAGE_SIZE, MADV_REMOVE), 0);
	assert_null(fake_pointer(WINDOW));
	assert_true(area_map(WINDOW, PAGE_SIZE, READ_WRITE, FIXED) > 0);
	assert_int_equal(area_advise(WINDOW, PAGE_SIZE, MADV_REMOVE), -EINVAL);
}

static void low_addresses_on_request(void **state)
{
	long low = area_map(0, 16 << 20, READ_WRITE, ANONYMOUS | MAP_32BIT);

	assert_in_range(low, USER_START, 0x80000000ul - (16 << 20));
	low = area_map(WINDOW, PAGE_SIZE, READ_WRITE, ANONYMOUS | MAP_32BIT);
	assert_in_range(low, USER_START, 0x80000000ul - PAGE_SIZE);
	assert_int_equal(area_map(0, 3ul << 30, READ_WRITE, ANONYMOUS | MAP_32BIT), -ENOMEM);
}

static unsigned heaps;

static void count_heap(const struct area_description *area, void *argument)
{
	heaps += area->heap && strcmp(area->path, "[heap]") == 0;
}

static void the_heap_grows_and_shrinks(void **state)
{
	vaddr_t start = area_brk(0);

	assert_true(start > USER_START);
	brk_set(WINDOW + 100);
	assert_int_equal(area_brk(0), WINDOW + 100);
	assert_int_equal(area_brk(WINDOW + 99), WINDOW + 100);
	assert_int_equal(area_brk(WINDOW + 5 * PAGE_SIZE + 1), WINDOW + 5 * PAGE_SIZE + 1);
	/* The program's last page is not the heap's. */
	assert_false(access_page(WINDOW, true));
	assert_true(access_page(PAGE_AT(5), true));
	assert_false(access_page(PAGE_AT(6), true));
	heaps = 0;
	area_for_each(count_heap, NULL);
	assert_int_equal(heaps, 1);
	assert_int_equal(area_brk(PAGE_AT(2)), PAGE_AT(2));
	assert_int_equal(area_resident_pages(), 0);
	/* Something is in the way: */
	assert_true(area_map(PAGE_AT(10), PAGE_SIZE, READ_WRITE, FIXED) > 0);
	assert_int_equal(area_brk(PAGE_AT(11)), PAGE_AT(2));
	assert_int_equal(area_brk(PAGE_AT(10)), PAGE_AT(10));
	assert_int_equal(area_brk(WINDOW + RAM * 65), PAGE_AT(10));
	assert_int_equal(area_brk(UINT64_MAX), PAGE_AT(10));
	assert_int_equal(area_brk(WINDOW + 100), WINDOW + 100);
	brk_set(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(wrong_arguments_are_refused, everything_is_back),
		cmocka_unit_test_teardown(addresses_are_chosen, everything_is_back),
		cmocka_unit_test_teardown(the_whole_range_can_be_used, everything_is_back),
		cmocka_unit_test_teardown(faults_are_refused_with_reasons, everything_is_back),
		cmocka_unit_test_teardown(closed_pages_keep_their_contents, everything_is_back),
		cmocka_unit_test_teardown(untouched_memory_costs_no_shootdown, everything_is_back),
		cmocka_unit_test_teardown(large_pages_where_they_fit, everything_is_back),
		cmocka_unit_test_teardown(memory_runs_out_page_by_page, everything_is_back),
		cmocka_unit_test_teardown(remap_moves_to_a_free_place, everything_is_back),
		cmocka_unit_test_teardown(shared_memory_keeps_its_contents, everything_is_back),
		cmocka_unit_test_teardown(low_addresses_on_request, everything_is_back),
		cmocka_unit_test_teardown(the_heap_grows_and_shrinks, everything_is_back),
	};

	return cmocka_run_group_tests(tests, area_scene_setup, NULL);
}
