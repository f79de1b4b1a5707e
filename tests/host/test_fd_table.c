/*
 * Descriptors: the lowest free number, limits, lookups, a failed allocation, and what cores keep.
 *
 * links: posix/file/fd_table.c
 */
#include "posix/file/file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/object.h"

#define LINE 8 /* descriptors in a cache line */

static bool memory_is_out;

void *object_alloc_zeroed(size_t size)
{
	return memory_is_out ? NULL : calloc(1, size);
}

static struct file a, b;

/* And what cores have kept is taken out, and closed on the first. */
static void close_all(void)
{
	for (int fd = 0; fd < (int)FD_MAX; fd++)
		fd_remove(fd);
	assert_int_equal(fd_count(), 0);
	while (fd_install(&a, 1, false) > 0)
		;
	this_core = 0;
	for (int fd = (int)FD_MAX - 1; fd >= 0; fd--)
		fd_remove(fd);
	assert_true(fd_is_free());
}

static int open_on(core_id_t core)
{
	this_core = core;
	return fd_install(&a, 0, false);
}

static void close_on(core_id_t core, int fd)
{
	this_core = core;
	assert_ptr_equal(fd_remove(fd), &a);
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

/* ---- several cores ---- */

static void each_core_has_lines_of_its_own(void **state)
{
	int line_of[100];
	int fd;

	for (int i = 0; i < 100; i++)
		open_on(0); /* those that it has kept, too */
	memset(line_of, -1, sizeof(line_of));
	for (int i = 0; i < 400; i++) {
		fd = open_on((core_id_t)i % 4);
		assert_in_range(fd, 100, 100 + 400 + 4 * LINE);
		if (line_of[fd / LINE] < 0)
			line_of[fd / LINE] = i % 4;
		assert_int_equal(line_of[fd / LINE], i % 4);
	}
	assert_int_equal(fd_count(), 500);
	close_all();
}

static void a_core_opens_the_lowest_that_it_closed(void **state)
{
	int on_1[20], on_2[20];

	for (int i = 0; i < LINE; i++)
		open_on(0);
	for (int i = 0; i < 20; i++) {
		on_1[i] = open_on(1);
		on_2[i] = open_on(2);
	}
	close_on(1, on_1[3]);
	close_on(2, on_2[9]);
	close_on(2, on_2[7]);
	close_on(2, on_2[8]);
	assert_int_equal(open_on(2), on_2[7]);
	assert_int_equal(open_on(2), on_2[8]);
	assert_int_equal(open_on(2), on_2[9]);
	assert_int_equal(open_on(1), on_1[3]);
	assert_ptr_equal(fd_remove(on_1[4]), &a);
	/* It is core 1's that a search from a number on finds. */
	this_core = 2;
	assert_int_equal(fd_install(&a, on_1[4], false), on_1[4]);
	close_all();
}

static void the_first_numbers_are_the_lowest_on_all_cores(void **state)
{
	for (int i = 0; i < 100; i++)
		open_on((core_id_t)i % 4);
	for (int fd = LINE - 1; fd >= 0; fd--)
		close_on((core_id_t)fd % 3, fd);
	for (int fd = 0; fd < LINE; fd++)
		assert_int_equal(open_on(3), fd);
	close_all();
}

static void nothing_is_kept_from_who_finds_no_other(void **state)
{
	fd_set_limit(64);
	for (int i = 0; i < 64; i++)
		assert_in_range(open_on((core_id_t)i % 4), 0, 63);
	assert_false(fd_is_free());
	assert_int_equal(open_on(1), -EMFILE);
	close_on(1, 40);
	close_on(2, 33);
	assert_true(fd_is_free());
	assert_int_equal(open_on(3), 33);
	assert_int_equal(open_on(3), 40);
	assert_false(fd_is_free());
	assert_int_equal(open_on(3), -EMFILE);
	close_on(3, 50);
	fd_set_limit(40);
	assert_false(fd_is_free());
	assert_int_equal(open_on(3), -EMFILE);
	fd_set_limit(FD_MAX);
	assert_int_equal(open_on(3), 50);
	close_all();
}

static void a_kept_number_is_replaced(void **state)
{
	struct file *old = &b;
	int fds[40];

	for (int i = 0; i < 40; i++)
		fds[i] = open_on(1);
	close_on(1, fds[20]);
	close_on(1, fds[21]);
	this_core = 2;
	assert_int_equal(fd_replace(fds[20], &a, false, &old), fds[20]);
	assert_null(old);
	assert_int_equal(open_on(1), fds[21]);
	assert_int_not_equal(open_on(1), fds[20]);
	assert_int_equal(fd_count(), 41);
	close_all();
}

static void what_one_core_closes_is_not_kept_from_the_others(void **state)
{
	static int fds[5000];

	for (int i = 0; i < 5000; i++)
		fds[i] = open_on(1);
	for (int i = 0; i < 5000; i++)
		close_on(2, fds[i]);
	/* All but what a core may keep. */
	for (int i = 0; i < 4700; i++)
		assert_in_range(open_on(3), 0, 5000 + 512);
	close_all();
}

/* Against a list of what is open. */
static void play(unsigned cores, unsigned seed)
{
	static bool open[2000];
	unsigned nopen = 0;

	memset(open, 0, sizeof(open));
	srand(seed);
	for (int turn = 0; turn < 20000; turn++) {
		core_id_t core = (core_id_t)rand() % cores;
		int fd = rand() % (turn % 4000 < 2000 ? 300 : 60), lowest = 0;
		struct file *old;

		this_core = core;
		if (rand() % 8 == 0) {
			assert_int_equal(fd_replace(fd, &a, false, &old), fd);
			assert_int_equal(old != NULL, open[fd]);
			nopen += !open[fd];
			open[fd] = true;
		} else if (nopen > 250 || rand() % 2) {
			assert_int_equal(fd_remove(fd) != NULL, open[fd]);
			nopen -= open[fd];
			open[fd] = false;
		} else {
			if (rand() % 8 == 0)
				lowest = fd;
			fd = fd_install(&a, lowest, false);
			assert_in_range(fd, lowest, (int)array_size(open) - 1);
			assert_false(open[fd]);
			for (int i = lowest; i < (cores == 1 || lowest ? fd : min(fd, LINE)); i++)
				assert_true(open[i]);
			nopen++;
			open[fd] = true;
		}
		assert_int_equal(fd_count(), nopen);
	}
	close_all();
}

static void one_core_is_exact(void **state)
{
	for (unsigned seed = 0; seed < 10; seed++)
		play(1, seed);
}

static void no_number_is_given_twice(void **state)
{
	for (unsigned seed = 0; seed < 10; seed++)
		play(2 + seed % 3, seed);
}

static int four_cores(void **state)
{
	ncores = 4;
	return 0;
}

int main(void)
{
	const struct CMUnitTest on_one_core[] = {
		cmocka_unit_test(without_memory),
		cmocka_unit_test(looking_up_nonsense),
		cmocka_unit_test(the_lowest_free_is_taken),
		cmocka_unit_test(from_a_number_on),
		cmocka_unit_test(the_limit),
		cmocka_unit_test(replacing),
		cmocka_unit_test(all_of_them),
		cmocka_unit_test(one_core_is_exact),
	};
	const struct CMUnitTest on_four_cores[] = {
		cmocka_unit_test(each_core_has_lines_of_its_own),
		cmocka_unit_test(a_core_opens_the_lowest_that_it_closed),
		cmocka_unit_test(the_first_numbers_are_the_lowest_on_all_cores),
		cmocka_unit_test(nothing_is_kept_from_who_finds_no_other),
		cmocka_unit_test(a_kept_number_is_replaced),
		cmocka_unit_test(what_one_core_closes_is_not_kept_from_the_others),
		cmocka_unit_test(no_number_is_given_twice),
	};

	return cmocka_run_group_tests(on_one_core, NULL, NULL) +
	       cmocka_run_group_tests(on_four_cores, four_cores, NULL);
}
