/*
 * Kernel virtual memory: stacks, their guards, and devices.
 *
 * links: tests/host/fake_memory.c mm/frame.c mm/object.c mm/kva.c
 */
#include "arch/arch.h"
#include "mm/frame.h"
#include "mm/kva.h"
#include "mm/object.h"
#include "tests/host/fake_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RAM (8ul << 20)
#define CACHED 8 /* stacks that stay mapped */

static size_t initial_free;

static int setup(void **state)
{
	fake_memory_boot(RAM);
	object_init_core();
	kva_init();
	initial_free = frame_free_count();
	return 0;
}

static void stacks_have_guards(void **state)
{
	char *top = kva_stack_alloc(4);
	vaddr_t start = (vaddr_t)top - 4 * PAGE_SIZE;

	assert_non_null(top);
	assert_true(is_aligned(top, 16));
	for (unsigned page = 0; page < 4; page++) {
		assert_non_null(fake_pointer(start + page * PAGE_SIZE));
		assert_false(kva_is_guard(start + page * PAGE_SIZE));
	}
	assert_null(fake_pointer(start - 1));
	assert_true(kva_is_guard(start - 1));
	assert_true(kva_is_guard(start - PAGE_SIZE));
	assert_false(kva_is_guard((vaddr_t)top)); /* nothing above it yet */
	assert_false(kva_is_guard(KVA_END - 1));
	assert_false(kva_is_guard(USER_START));
	assert_false(kva_is_guard(0));
}

static void devices_are_mapped_uncached(void **state)
{
	volatile char *device = kva_map_device(0xfebc1234, 5000);
	unsigned protection;
	size_t page_size;
	paddr_t physical;

	assert_non_null(device);
	assert_true(arch_lookup((vaddr_t)device, &physical, &protection, &page_size));
	assert_int_equal(physical, 0xfebc1234);
	assert_int_equal(protection, PAGE_READ | PAGE_WRITE | PAGE_UNCACHED);
	assert_true(arch_lookup((vaddr_t)device + 4999, &physical, &protection, &page_size));
	assert_int_equal(physical, 0xfebc1234 + 4999);
	assert_null(fake_pointer((vaddr_t)device + 2 * PAGE_SIZE));
	assert_false(kva_is_guard((vaddr_t)device - PAGE_SIZE));
	assert_null(kva_map_device(0xf0000000, KVA_END - KVA_START));
}

static void freed_stacks_are_used_again(void **state)
{
	enum { COUNT = 40 };
	void *stacks[COUNT];
	vaddr_t lowest = KVA_END, highest = 0;

	for (unsigned round = 0; round < 10; round++) {
		unsigned npages = 2 + round % 2;

		for (unsigned i = 0; i < COUNT; i++) {
			stacks[i] = kva_stack_alloc(npages);
			assert_non_null(stacks[i]);
			/* Through the tables, as a page of the stack. */
			*(unsigned *)fake_pointer((vaddr_t)stacks[i] - PAGE_SIZE) = i;
			if (round < 2) {
				lowest = min(lowest, (vaddr_t)stacks[i]);
				highest = max(highest, (vaddr_t)stacks[i]);
			}
			assert_in_range(stacks[i], lowest, highest);
		}
		for (unsigned i = 0; i < COUNT; i++)
			assert_int_equal(*(unsigned *)fake_pointer((vaddr_t)stacks[i] - PAGE_SIZE),
					 i);
		for (unsigned i = 0; i < COUNT; i++)
			kva_stack_free(stacks[i], npages);
		assert_int_equal(fake_stale_entries(), 0);
	}
	object_trim();
	assert_true(initial_free - frame_free_count() <= CACHED * 4 + 4 + 8 + fake_tables());
}

static void exhaustion_leaves_nothing_behind(void **state)
{
	void *stacks[RAM / PAGE_SIZE];
	size_t count = 0, free_before;

	object_trim();
	free_before = frame_free_count();
	while ((stacks[count] = kva_stack_alloc(7)))
		count++;
	assert_true(count > 200);
	assert_null(kva_stack_alloc(7));
	assert_true(frame_free_count() < 7 + 4);
	assert_int_equal(fake_stale_entries(), 0);
	while (count)
		kva_stack_free(stacks[--count], 7);
	object_trim();
	/* A cached stack and what notes the others' addresses stay. */
	assert_true(free_before - frame_free_count() <= CACHED * 7 + 8 + fake_tables());
	expect_assert_failure(kva_stack_alloc(65));
	expect_assert_failure(kva_stack_free((void *)(KVA_START + 64), 1));
}

static void without_frames_there_is_no_stack(void **state)
{
	paddr_t frames[RAM / PAGE_SIZE];
	size_t count = 0, free_before = frame_free_count();

	/* Not the size of a cached one; the note about its addresses comes from a slab that is there. */
	kva_stack_free(kva_stack_alloc(9), 9);
	while ((frames[count] = frame_alloc(0)))
		count++;
	assert_null(kva_stack_alloc(11));
	assert_null(kva_stack_alloc(11));
	while (count)
		frame_free(frames[--count], 0);
	assert_non_null(kva_stack_alloc(11));
	assert_true(free_before - frame_free_count() <= 11 + 9 + 4 + fake_tables());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stacks_have_guards),
		cmocka_unit_test(devices_are_mapped_uncached),
		cmocka_unit_test(freed_stacks_are_used_again),
		cmocka_unit_test(without_frames_there_is_no_stack),
		cmocka_unit_test(exhaustion_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
