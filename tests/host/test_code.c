/*
 * With isolation, what becomes executable was looked at: by mmap, mprotect and page faults, over borders of
 * pages, and in copies that nobody else writes to.
 *
 * links: tests/host/fake_memory.c tests/host/area_scene.c mm/frame.c mm/object.c mm/area_tree.c
 * links: mm/area_set.c mm/area.c mm/resident.c mm/fault.c mm/remap.c mm/advise.c mm/area_look.c
 * links: mm/brk.c mm/page_source.c mm/code.c
 * links: arch/x86_64/rights_pages.c arch/x86_64/rights_scan.c arch/x86_64/instruction.c
 */
#include "arch/arch.h"
#include "arch/x86_64/rights_pages.h"
#include "arch/x86_64/rights_scan.h"
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

#define EXECUTABLE (PROT_READ | PROT_EXEC)

/* nop...; xor %ecx,%ecx; xor %edx,%edx; wrpkru */
static const uint8_t instruction[] = { 0x90, 0x90, 0x31, 0xc9, 0x31, 0xd2, 0x0f, 0x01, 0xef };
#define AT 6 /* in it */
/* mov $0xef010f, %eax */
static const uint8_t chance[] = { 0xb8, 0x0f, 0x01, 0xef, 0x00, 0x90 };

static int isolated(void **state)
{
	fake_isolation = true;
	return 0;
}

static int done(void **state)
{
	fake_isolation = false;
	return everything_is_back(state);
}

static void put(uint8_t *memory, const uint8_t *bytes, size_t size)
{
	memcpy(memory, bytes, size);
}

/* Code at `offset` in the file, of 4 pages of no-operations. */
static void fill_file(long offset, const uint8_t *bytes, size_t size)
{
	files[0].npages = 4;
	for (unsigned page = 0; page < 4; page++) {
		if (!files[0].frames[page])
			files[0].frames[page] = frame_alloc_zeroed(0);
		memset(phys_to_virt(files[0].frames[page]), 0x90, PAGE_SIZE);
	}
	for (size_t i = 0; i < size; i++)
		((uint8_t *)phys_to_virt(
		    files[0].frames[(offset + (long)i) / (long)PAGE_SIZE]))[(offset + (long)i) %
									    (long)PAGE_SIZE] =
		    bytes[i];
}

static long map_file(int prot, int type)
{
	return area_map_source(WINDOW, 4 * PAGE_SIZE, prot, type | MAP_FIXED, &files[0].source, 0);
}

static bool execute(vaddr_t address)
{
	const struct page_fault fault = { .address = address, .execute = true };

	return mm_handle_fault(&fault);
}

static uint8_t byte_at(vaddr_t address)
{
	return ((uint8_t *)fake_pointer(align_down(address, PAGE_SIZE)))[address % PAGE_SIZE];
}

static void an_instruction_of_a_file_becomes_a_trap_in_the_copy(void **state)
{
	/* Also over the border of two pages, whichever comes first. */
	static const long offsets[] = { 100, 0, 4090, 4089, 4088, 4087, 4096, 8190 - AT };

	for (size_t i = 0; i < array_size(offsets); i++)
		for (unsigned order = 0; order < 3; order++) {
			vaddr_t site = WINDOW + (vaddr_t)offsets[i] + AT;

			fill_file(offsets[i], instruction, sizeof(instruction));
			assert_int_equal(map_file(EXECUTABLE, MAP_PRIVATE), WINDOW);
			assert_int_equal(area_resident_pages(), 0);
			for (unsigned page = 0; page < 4; page++)
				assert_true(execute(PAGE_AT(order == 0	 ? page
							    : order == 1 ? 3 - page
									 : page ^ 1)));
			assert_int_equal(byte_at(site), 0x0f);
			assert_int_equal(byte_at(site + 1), RIGHTS_TRAP);
			assert_int_equal(byte_at(site + 2), 0xef);
			assert_true(rights_is_site(site));
			/* The file's own is as it was. */
			assert_int_equal(
			    ((uint8_t *)phys_to_virt(
				files[0].frames[(offsets[i] + AT + 1) / (long)PAGE_SIZE]))
				[(offsets[i] + AT + 1) % (long)PAGE_SIZE],
			    0x01);
			assert_int_equal(area_unmap(WINDOW, 4 * PAGE_SIZE), 0);
		}
}

static void bytes_by_chance_are_refused_where_they_are_mapped(void **state)
{
	static const long offsets[] = { 100, 4093, 4094, 8190, 16384 - 6 };

	for (size_t i = 0; i < array_size(offsets); i++) {
		fill_file(offsets[i], chance, sizeof(chance));
		assert_int_equal(map_file(EXECUTABLE, MAP_PRIVATE), -EACCES);
		assert_false(area_is_mapped(WINDOW, PAGE_SIZE));
		assert_int_equal(map_file(READ_WRITE, MAP_PRIVATE), WINDOW);
		assert_int_equal(area_protect(WINDOW, 4 * PAGE_SIZE, EXECUTABLE), -EACCES);
		/* Written pages are private already. */
		for (unsigned page = 0; page < 4; page++)
			assert_true(access_page(PAGE_AT(page), true));
		assert_int_equal(area_protect(WINDOW, 4 * PAGE_SIZE, EXECUTABLE), -EACCES);
		assert_true(access_page(PAGE_AT(1), true));
		assert_int_equal(area_unmap(WINDOW, 4 * PAGE_SIZE), 0);
		fake_isolation = false;
		assert_int_equal(map_file(EXECUTABLE, MAP_PRIVATE), WINDOW);
		assert_int_equal(area_unmap(WINDOW, 4 * PAGE_SIZE), 0);
		fake_isolation = true;
	}
}

static void what_a_file_gets_later_meets_the_page_fault(void **state)
{
	fill_file(100, instruction, 2);
	assert_int_equal(map_file(EXECUTABLE, MAP_PRIVATE), WINDOW);
	assert_true(execute(PAGE_AT(1)));
	put((uint8_t *)phys_to_virt(files[0].frames[0]) + 200, chance, sizeof(chance));
	put((uint8_t *)phys_to_virt(files[0].frames[1]) + 200, chance, sizeof(chance));
	assert_false(execute(PAGE_AT(0)));
	/* The other was copied before. */
	assert_int_equal(byte_at(PAGE_AT(1) + 200), 0x90);
	assert_int_equal(area_advise(PAGE_AT(1), PAGE_SIZE, MADV_DONTNEED), 0);
	assert_false(execute(PAGE_AT(1)));
	assert_true(execute(PAGE_AT(2)));
}

static void shared_mappings_of_files_are_not_executable(void **state)
{
	fill_file(100, instruction, 2);
	assert_int_equal(map_file(EXECUTABLE, MAP_SHARED), -EACCES);
	assert_int_equal(map_file(PROT_READ, MAP_SHARED), WINDOW);
	assert_int_equal(area_protect(WINDOW, PAGE_SIZE, EXECUTABLE), -EACCES);
}

static void code_that_is_made_is_looked_at_by_mprotect(void **state)
{
	uint8_t *memory;

	assert_int_equal(area_map(WINDOW, 4 * PAGE_SIZE, READ_WRITE, FIXED), WINDOW);
	assert_true(access_page(PAGE_AT(0), true));
	assert_true(access_page(PAGE_AT(1), true));
	memory = fake_pointer(PAGE_AT(0));
	memset(memory, 0x90, PAGE_SIZE);
	memset(fake_pointer(PAGE_AT(1)), 0x90, PAGE_SIZE);
	put(memory + 300, instruction, sizeof(instruction));
	assert_int_equal(area_protect(WINDOW, 4 * PAGE_SIZE, EXECUTABLE), 0);
	assert_int_equal(memory[300 + AT + 1], RIGHTS_TRAP);
	assert_true(rights_is_site(WINDOW + 300 + AT));
	/* It neither moves nor is written. */
	assert_int_equal(area_remap(WINDOW, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
				    PAGE_AT(100)),
			 -EACCES);
	assert_false(access_page(PAGE_AT(0), true));
	/* Two pages that become executable one after the other. */
	assert_int_equal(area_protect(WINDOW, 4 * PAGE_SIZE, READ_WRITE), 0);
	put(memory + PAGE_SIZE - 2, chance, 2);
	put(fake_pointer(PAGE_AT(1)), chance + 2, 4);
	assert_int_equal(area_protect(PAGE_AT(1), PAGE_SIZE, EXECUTABLE), 0);
	assert_int_equal(area_protect(PAGE_AT(0), PAGE_SIZE, EXECUTABLE), -EACCES);
	assert_int_equal(area_protect(PAGE_AT(1), PAGE_SIZE, READ_WRITE), 0);
	assert_int_equal(area_protect(PAGE_AT(0), PAGE_SIZE, EXECUTABLE), 0);
	assert_int_equal(area_protect(PAGE_AT(1), PAGE_SIZE, EXECUTABLE), -EACCES);
	assert_int_equal(area_protect(PAGE_AT(0), 2 * PAGE_SIZE, EXECUTABLE), -EACCES);
	assert_true(access_page(PAGE_AT(1), true));
}

static void places_are_used_again_when_their_code_is_gone(void **state)
{
	for (unsigned round = 0; round < 3 * RIGHTS_SITES; round++) {
		vaddr_t page = PAGE_AT(round);

		assert_int_equal(area_map(page, PAGE_SIZE, READ_WRITE, FIXED), page);
		assert_true(access_page(page, true));
		put((uint8_t *)fake_pointer(page) + 64, instruction, sizeof(instruction));
		assert_int_equal(area_protect(page, PAGE_SIZE, EXECUTABLE), 0);
		assert_true(rights_is_site(page + 64 + AT));
		assert_int_equal(area_unmap(page, PAGE_SIZE), 0);
	}
	/* More than there is room for at a time. */
	for (unsigned round = 0; round <= RIGHTS_SITES; round++) {
		vaddr_t page = PAGE_AT(round);

		assert_int_equal(area_map(page, PAGE_SIZE, READ_WRITE, FIXED), page);
		assert_true(access_page(page, true));
		put((uint8_t *)fake_pointer(page) + 64, instruction, sizeof(instruction));
		assert_int_equal(area_protect(page, PAGE_SIZE, EXECUTABLE),
				 round < RIGHTS_SITES ? 0 : -EACCES);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_instruction_of_a_file_becomes_a_trap_in_the_copy,
						isolated, done),
		cmocka_unit_test_setup_teardown(bytes_by_chance_are_refused_where_they_are_mapped,
						isolated, done),
		cmocka_unit_test_setup_teardown(what_a_file_gets_later_meets_the_page_fault,
						isolated, done),
		cmocka_unit_test_setup_teardown(shared_mappings_of_files_are_not_executable,
						isolated, done),
		cmocka_unit_test_setup_teardown(code_that_is_made_is_looked_at_by_mprotect,
						isolated, done),
		cmocka_unit_test_setup_teardown(places_are_used_again_when_their_code_is_gone,
						isolated, done),
	};

	return cmocka_run_group_tests(tests, area_scene_setup, NULL);
}
