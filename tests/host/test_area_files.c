/*
 * Mappings of files: what is shared, what is copied, and where the file ends.
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
#include "mm/page_source.h"
#include "tests/host/area_scene.h"
#include "tests/host/fake_memory.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

static long map_file(struct file *file, size_t npages, int prot, int flags, uint64_t index)
{
	return area_map_source(WINDOW, npages * PAGE_SIZE, prot, flags | MAP_FIXED, &file->source,
			       index);
}

static int refused_with(vaddr_t address, bool write)
{
	int code;

	assert_false(access_page(address, write));
	return mm_fault_signal(&code);
}

static void two_mappings_share_a_file(void **state)
{
	files[0].npages = 3;
	assert_int_equal(map_file(&files[0], 4, READ_WRITE, MAP_SHARED, 0), WINDOW);
	assert_int_equal(area_map_source(PAGE_AT(100), PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED,
					 &files[0].source, 2),
			 PAGE_AT(100));
	assert_int_equal(files[0].references, 2);
	assert_true(access_page(PAGE_AT(2), true));
	strcpy(fake_pointer(PAGE_AT(2)), "shared");
	assert_true(access_page(PAGE_AT(100), false));
	assert_string_equal(fake_pointer(PAGE_AT(100)), "shared");
	assert_int_equal(refused_with(PAGE_AT(3), false), SIGBUS);
	assert_non_null(strstr(mm_fault_reason(), "ends before"));
	assert_int_equal(area_unmap(PAGE_AT(2), PAGE_SIZE), 0); /* the frame stays the file's */
	assert_string_equal(fake_pointer(PAGE_AT(100)), "shared");
	assert_string_equal(phys_to_virt(files[0].frames[2]), "shared");
	assert_int_equal(files[0].references, 3); /* cut in two, and the other */
}

static void a_private_page_is_copied_when_it_is_written(void **state)
{
	size_t shootdowns;

	files[0].npages = 2;
	files[0].frames[0] = frame_alloc_zeroed(0);
	strcpy(phys_to_virt(files[0].frames[0]), "original");
	assert_int_equal(map_file(&files[0], 2, READ_WRITE, MAP_PRIVATE, 0), WINDOW);
	assert_true(access_page(WINDOW, false));
	assert_string_equal(fake_pointer(WINDOW), "original");
	shootdowns = fake_shootdowns;
	assert_true(access_page(WINDOW, true));
	assert_int_equal(fake_shootdowns, shootdowns + 1); /* nobody reads the original any more */
	strcpy(fake_pointer(WINDOW), "copied");
	assert_string_equal(phys_to_virt(files[0].frames[0]), "original");
	/* Taking and giving rights leaves it as it is, and an original is not written. */
	assert_true(access_page(PAGE_AT(1), false));
	assert_int_equal(area_protect(WINDOW, 2 * PAGE_SIZE, PROT_NONE), 0);
	assert_int_equal(area_protect(WINDOW, 2 * PAGE_SIZE, PROT_READ | PROT_EXEC), 0);
	assert_int_equal(area_protect(WINDOW, 2 * PAGE_SIZE, READ_WRITE), 0);
	assert_string_equal(fake_pointer(WINDOW), "copied");
	/* The copy goes, the original comes back. */
	assert_int_equal(area_advise(WINDOW, PAGE_SIZE, MADV_DONTNEED), 0);
	assert_true(access_page(WINDOW, false));
	assert_string_equal(fake_pointer(WINDOW), "original");
	assert_int_equal(files[0].frames[1], 0); /* reading a hole makes no page in the file */
}

static void a_file_that_shrinks_takes_its_pages(void **state)
{
	files[0].npages = 8;
	assert_int_equal(map_file(&files[0], 8, READ_WRITE, MAP_SHARED, 0), WINDOW);
	assert_int_equal(area_map_source(PAGE_AT(100), 8 * PAGE_SIZE, READ_WRITE,
					 MAP_PRIVATE | MAP_FIXED, &files[0].source, 0),
			 PAGE_AT(100));
	for (unsigned page = 0; page < 8; page++) {
		assert_true(access_page(PAGE_AT(page), true));
		assert_true(access_page(PAGE_AT(100 + page), true));
	}
	file_truncate(&files[0], 3);
	assert_int_equal(area_resident_pages(), 6);
	assert_true(access_page(PAGE_AT(2), true));
	assert_int_equal(refused_with(PAGE_AT(3), true), SIGBUS);
	assert_int_equal(refused_with(PAGE_AT(103), false), SIGBUS);
	files[0].npages = 4;
	assert_true(access_page(PAGE_AT(3), true));
	assert_int_equal(*(char *)fake_pointer(PAGE_AT(3)), 0);
}

static void who_may_only_read_a_file_cannot_write_it(void **state)
{
	files[0].npages = 1;
	assert_int_equal(map_file(&files[0], 1, READ_WRITE, MAP_SHARED | MAP_SOURCE_READ_ONLY, 0),
			 -EACCES);
	assert_int_equal(map_file(&files[0], 1, PROT_READ, MAP_SHARED | MAP_SOURCE_READ_ONLY, 0),
			 WINDOW);
	assert_int_equal(area_protect(WINDOW, PAGE_SIZE, READ_WRITE), -EACCES);
	assert_int_equal(area_protect(WINDOW, PAGE_SIZE, PROT_READ | PROT_EXEC), 0);
	assert_int_equal(refused_with(WINDOW, true), SIGSEGV);
	assert_int_equal(map_file(&files[0], 1, READ_WRITE, MAP_PRIVATE | MAP_SOURCE_READ_ONLY, 0),
			 WINDOW);
	assert_true(access_page(WINDOW, true));
	assert_int_equal(map_file(&files[0], 1, READ_WRITE | PROT_EXEC, MAP_PRIVATE, 0), -EACCES);
	assert_int_equal(map_file(&files[0], 1, PROT_READ, MAP_SHARED, INT64_MAX >> PAGE_SHIFT),
			 -EOVERFLOW);
}

static void pages_around_are_mapped_with_it(void **state)
{
	unsigned char residency[40];

	files[0].npages = 40;
	for (unsigned page = 0; page < 40; page++)
		if (page != 18)
			files[0].frames[page] = frame_alloc_zeroed(0);
	assert_int_equal(map_file(&files[0], 40, READ_WRITE, MAP_PRIVATE, 0), WINDOW);
	assert_true(access_page(PAGE_AT(20), false));
	assert_int_equal(area_resident_pages(), 15);
	assert_null(fake_pointer(PAGE_AT(18)));
	assert_null(fake_pointer(PAGE_AT(32)));
	assert_int_equal(area_residency(WINDOW, 40, residency), 0);
	for (unsigned page = 0; page < 40; page++)
		assert_int_equal(residency[page], page != 18);
	assert_int_equal(area_residency(WINDOW, 41, residency), -ENOMEM);
	assert_int_equal(map_file(&files[0], 40, PROT_READ, MAP_SHARED | MAP_POPULATE, 0), WINDOW);
	assert_int_equal(area_resident_pages(), 39);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(two_mappings_share_a_file, everything_is_back),
		cmocka_unit_test_teardown(a_private_page_is_copied_when_it_is_written,
					  everything_is_back),
		cmocka_unit_test_teardown(a_file_that_shrinks_takes_its_pages, everything_is_back),
		cmocka_unit_test_teardown(who_may_only_read_a_file_cannot_write_it,
					  everything_is_back),
		cmocka_unit_test_teardown(pages_around_are_mapped_with_it, everything_is_back),
	};

	return cmocka_run_group_tests(tests, area_scene_setup, NULL);
}
