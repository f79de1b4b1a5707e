/*
 * Kernel objects on one core: placement, reuse, exhaustion, and what is refused.
 *
 * links: tests/host/fake_memory.c mm/frame.c mm/object.c
 */
#include "arch/arch.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "tests/host/fake_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RAM (16ul << 20)
#define SLAB_PAGES 4

static size_t initial_free;

static int setup(void **state)
{
	fake_memory_boot(RAM);
	object_init_core();
	initial_free = frame_free_count();
	return 0;
}

/* Every test leaves nothing behind. */
static int nothing_is_left(void **state)
{
	object_trim();
	return object_bytes_in_use() == 0 && frame_free_count() == initial_free ? 0 : -1;
}

static void sizes_and_alignment(void **state)
{
	static const size_t sizes[] = { 1,    8,    16,	  17,	63,    64,    65,	 100,
					200,  512,  513,  1024, 1514,  2048,  2304,	 3200,
					3201, 4096, 4097, 8192, 65536, 65537, OBJECT_MAX };

	for (unsigned i = 0; i < array_size(sizes); i++) {
		char *objects[40];

		for (unsigned j = 0; j < array_size(objects); j++) {
			objects[j] = object_alloc(sizes[i]);
			assert_non_null(objects[j]);
			assert_true(is_aligned(objects[j], sizes[i] < 64 ? 16 : 64));
			assert_true(object_size(objects[j]) >= sizes[i]);
			assert_true(object_size(objects[j]) <= max(16, 2 * sizes[i]));
			memset(objects[j], j, object_size(objects[j]));
		}
		for (unsigned j = 0; j < array_size(objects); j++) {
			for (size_t k = 0; k < object_size(objects[j]); k++)
				assert_int_equal(objects[j][k], (char)j);
			object_free(objects[j]);
		}
	}
	object_free(NULL);
}

static void random_objects_keep_their_contents(void **state)
{
	static struct {
		uint8_t *bytes;
		size_t size;
		uint8_t pattern;
	} objects[2000];
	size_t bytes = 0;

	srand(2);
	for (unsigned round = 0; round < 200000; round++) {
		unsigned i = rand() % array_size(objects);

		if (objects[i].bytes) {
			assert_int_equal(objects[i].bytes[0], objects[i].pattern);
			assert_int_equal(objects[i].bytes[objects[i].size / 2], objects[i].pattern);
			assert_int_equal(objects[i].bytes[objects[i].size - 1], objects[i].pattern);
			bytes -= object_size(objects[i].bytes);
			object_free(objects[i].bytes);
			objects[i].bytes = NULL;
		} else {
			size_t size = 1 + rand() % (rand() % 64 ? 1 << rand() % 12 : 20000);

			objects[i].bytes = rand() % 2 ? object_alloc(size)
						      : object_alloc_zeroed(size);
			if (!objects[i].bytes)
				continue;
			objects[i].size = size;
			objects[i].pattern = rand();
			memset(objects[i].bytes, objects[i].pattern, size);
			bytes += object_size(objects[i].bytes);
		}
		assert_int_equal(object_bytes_in_use(), bytes);
	}
	for (unsigned i = 0; i < array_size(objects); i++)
		object_free(objects[i].bytes);
}

static void zeroed_is_zero(void **state)
{
	for (unsigned round = 0; round < 3; round++) {
		char *small = object_alloc_zeroed(300), *large = object_alloc_zeroed(9000);

		for (unsigned i = 0; i < 300; i++)
			assert_int_equal(small[i], 0);
		for (unsigned i = 0; i < 9000; i++)
			assert_int_equal(large[i], 0);
		memset(small, 1, 300);
		memset(large, 1, 9000);
		object_free(small);
		object_free(large);
	}
}

static void empty_slabs_go_back(void **state)
{
	enum { COUNT = 2000 };
	void *objects[COUNT];

	for (unsigned i = 0; i < COUNT; i++)
		objects[i] = object_alloc(512);
	for (unsigned i = 0; i < COUNT; i++)
		object_free(objects[i]);
	/* Three at most stay: the current one, and two in reserve. */
	assert_in_range(frame_free_count(), initial_free - 3 * SLAB_PAGES, initial_free);
	object_trim();
	assert_int_equal(frame_free_count(), initial_free);
}

static void exhaustion_is_an_error_and_passes(void **state)
{
	static const size_t sizes[] = { 16, 64, 512, 3200, 4096, 65536, OBJECT_MAX };

	for (unsigned i = 0; i < array_size(sizes); i++) {
		void **last = NULL, **object;
		size_t count = 0;

		while ((object = object_alloc(sizes[i]))) {
			*object = last;
			last = object;
			count++;
		}
		assert_true(count * sizes[i] > RAM * 4 / 5);
		assert_null(object_alloc(sizes[i]));
		assert_null(object_alloc_zeroed(sizes[i]));
		/* One free makes room for exactly one. */
		object = last;
		last = *object;
		object_free(object);
		object = object_alloc(sizes[i]);
		assert_non_null(object);
		assert_null(object_alloc(sizes[i]));
		object_free(object);
		for (; last; last = object) {
			object = *last;
			object_free(last);
		}
		object_trim();
		assert_int_equal(frame_free_count(), initial_free);
	}
}

/* What a core keeps in reserve is not lost to other sizes. */
static void reserves_serve_other_sizes(void **state)
{
	void **last = NULL, **object;
	void *kept[8];

	for (unsigned i = 0; i < array_size(kept); i++)
		kept[i] = object_alloc(64 << (i % 4));
	for (unsigned i = 0; i < array_size(kept); i++)
		object_free(kept[i]);
	assert_true(frame_free_count() < initial_free);
	while ((object = object_alloc(4096))) {
		*object = last;
		last = object;
	}
	assert_int_equal(object_bytes_in_use(), initial_free * PAGE_SIZE);
	for (; last; last = object) {
		object = *last;
		object_free(last);
	}
}

static void wrong_frees_are_found_out(void **state)
{
	static char garbage[65536];
	char *object = object_alloc(100), *large = object_alloc(20000);
	paddr_t page = frame_alloc(SLAB_PAGES / 2);

	expect_assert_failure(object_free(garbage + 20000));
	expect_assert_failure(object_free(object + 16));
	expect_assert_failure(
	    object_free((void *)align_down((uintptr_t)object, SLAB_PAGES * PAGE_SIZE)));
	expect_assert_failure(object_free(large + PAGE_SIZE));
	expect_assert_failure(object_free(large + 64));
	expect_assert_failure(object_free(phys_to_virt(page)));
	expect_assert_failure(object_size(garbage + 20000));
	expect_assert_failure(object_alloc(OBJECT_MAX + 1));
	object_free(large);
	expect_assert_failure(object_free(large));
	frame_free(page, SLAB_PAGES / 2);
}

static void use_after_free_is_found_out(void **state)
{
	char *object = object_alloc(100);

	object_free(object);
	expect_assert_failure(object_free(object));
	object[20] = 1;
	expect_assert_failure(object_alloc(100));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(sizes_and_alignment, nothing_is_left),
		cmocka_unit_test_teardown(random_objects_keep_their_contents, nothing_is_left),
		cmocka_unit_test_teardown(zeroed_is_zero, nothing_is_left),
		cmocka_unit_test_teardown(empty_slabs_go_back, nothing_is_left),
		cmocka_unit_test_teardown(exhaustion_is_an_error_and_passes, nothing_is_left),
		cmocka_unit_test_teardown(reserves_serve_other_sizes, nothing_is_left),
		/* A failed assertion leaves the object half freed: nothing more to count. */
		cmocka_unit_test(wrong_frees_are_found_out),
		cmocka_unit_test(use_after_free_is_found_out),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
