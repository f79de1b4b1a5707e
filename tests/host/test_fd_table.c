/*
 * Descriptors: the lowest free number, limits, lookups, and a failed allocation.
 *
 * links: posix/file/fd_table.c
 */
#include "posix/file/file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mm/object.h"

static bool memory_is_out;

void *object_alloc_zeroed(size_t size)
{
	return memory_is_out ? NULL : calloc(1, size);
}

static struct file a, b;

static void close_all(void)
{
	for (int fd = 0; fd < (int)FD_MAX; fd++)
		fd_remove(fd);
	assert_int_equal(fd_count(), 0);
}

static void the_lowest_free_is_taken(void **state)
{
	for (int i = 0; i < 200; i++)
		assert_int_equal(fd_install(&a, 0, false), i);
	assert_int_equal(fd_count(), 200);
	assert_ptr_equal(fd_remove(130), &a);
	assert_ptr_equal(fd_remove(63), &a);
	assert_null(fd_remove(63));
	assert_int_equal(fd_install(&b, 0, false), 63);
	assert_int_equal(fd_install(&b, 0, false), 130);
	assert_int_equal(fd_install(&b, 0, false), 200);
	assert_ptr_equal(fd_lookup(130), &b);
	close_all();
}

static void from_a_number_on(void **state)
{
	assert_int_equal(fd_install(&a, 100, true), 100);
	assert_int_equal(fd_install(&a, 100, false), 101);
	assert_int_equal(fd_install(&a, 65535, false), 65535);
	assert_int_equal(fd_install(&a, 65535, false), -EMFILE);
	assert_int_equal(fd_install(&a, -1, false), -EINVAL);
	assert_int_equal(fd_install(&a, FD_MAX, false), -EINVAL);
	assert_int_equal(fd_get_close_on_exec(100), 1);
	assert_int_equal(fd_get_close_on_exec(101), 0);
	assert_int_equal(fd_get_close_on_exec(102), -EBADF);
	fd_remove(100);
	assert_int_equal(fd_install(&a, 100, false), 100);
	assert_int_equal(fd_get_close_on_exec(100), 0);
	close_all();
}

static void all_of_them(void **state)
{
	for (int i = 0; i < (int)FD_MAX; i++)
		assert_int_equal(fd_install(&a, 0, false), i);
	assert_int_equal(fd_install(&b, 0, false), -EMFILE);
	fd_remove(40000);
	assert_int_equal(fd_install(&b, 0, false), 40000);
	close_all();
}

static void the_limit(void **state)
{
	fd_set_limit(70);
	for (int i = 0; i < 70; i++)
		assert_int_equal(fd_install(&a, 0, false), i);
	assert_int_equal(fd_install(&a, 0, false), -EMFILE);
	assert_int_equal(fd_install(&a, 70, false), -EINVAL);
	fd_set_limit(FD_MAX + 1);
	assert_int_equal(fd_limit(), FD_MAX);
	close_all();
}

static void replacing(void **state)
{
	struct file *old = &b;

	assert_int_equal(fd_replace(2000, &a, true, &old), 2000);
	assert_null(old);
	assert_int_equal(fd_replace(2000, &b, false, &old), 2000);
	assert_ptr_equal(old, &a);
	assert_int_equal(fd_count(), 1);
	assert_int_equal(fd_get_close_on_exec(2000), 0);
	assert_int_equal(fd_replace(-1, &b, false, &old), -EBADF);
	assert_int_equal(fd_replace(FD_MAX, &b, false, &old), -EBADF);
	assert_int_equal(fd_set_close_on_exec(2001, true), -EBADF);
	close_all();
}

static void without_memory(void **state)
{
	struct file *old;

	/* No other test comes near these numbers. */
	memory_is_out = true;
	assert_int_equal(fd_install(&a, 50 * 1024, false), -ENOMEM);
	assert_int_equal(fd_replace(50 * 1024, &a, false, &old), -ENOMEM);
	memory_is_out = false;
	assert_null(fd_lookup(50 * 1024));
	assert_int_equal(fd_count(), 0);
	assert_int_equal(fd_install(&a, 50 * 1024, false), 50 * 1024);
	close_all();
}

static void looking_up_nonsense(void **state)
{
	assert_null(fd_lookup(-1));
	assert_null(fd_lookup(FD_MAX));
	assert_null(fd_lookup(0x7fffffff));
	assert_null(fd_remove(-5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_memory),
		cmocka_unit_test(looking_up_nonsense),
		cmocka_unit_test(the_lowest_free_is_taken),
		cmocka_unit_test(from_a_number_on),
		cmocka_unit_test(the_limit),
		cmocka_unit_test(replacing),
		cmocka_unit_test(all_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
