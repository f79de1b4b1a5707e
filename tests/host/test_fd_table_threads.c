/*
 * Descriptors that threads, each a core, open, close and replace at the same time: no number names two files,
 * and none is lost.
 *
 * links: posix/file/fd_table.c
 */
#include "posix/file/file.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mm/object.h"

#define NTHREADS 4u
#define FILES 64u
#define TURNS 20000u

void *object_alloc_zeroed(size_t size)
{
	return calloc(1, size);
}

/* A file that is under a number; atomic. */
static struct named {
	struct file file;
	bool is;
} files[NTHREADS][FILES];

static struct named *any_unnamed(core_id_t core, unsigned *seed)
{
	struct named *named = &files[core][(unsigned)rand_r(seed) % FILES];

	return __atomic_load_n(&named->is, __ATOMIC_ACQUIRE) ? NULL : named;
}

static void now_named(struct named *named)
{
	assert_false(__atomic_exchange_n(&named->is, true, __ATOMIC_ACQ_REL));
}

static void not_named(struct file *file)
{
	if (file)
		assert_true(__atomic_exchange_n(&container_of(file, struct named, file)->is, false,
						__ATOMIC_ACQ_REL));
}

static void *open_and_close(void *argument)
{
	unsigned seed = (unsigned)(uintptr_t)argument;

	this_core = (core_id_t)(uintptr_t)argument;
	for (unsigned i = 0; i < TURNS; i++) {
		int fd = rand_r(&seed) % 300;
		struct named *named = any_unnamed(this_core, &seed);
		struct file *old = NULL;

		if (!named || rand_r(&seed) % 3 == 0) {
			not_named(fd_remove(fd));
			continue;
		}
		/* Before: who finds it may close it at once. */
		now_named(named);
		if (rand_r(&seed) % 4 == 0) {
			assert_int_equal(fd_replace(fd, &named->file, i & 1, &old), fd);
			not_named(old);
		} else {
			fd = fd_install(&named->file, rand_r(&seed) % 8 ? 0 : fd, i & 1);
			assert_in_range(fd, 0, FD_MAX - 1);
		}
		(void)fd_get_close_on_exec(fd);
	}
	return NULL;
}

static void numbers_are_taken_once(void **state)
{
	pthread_t threads[NTHREADS];
	unsigned named = 0, found = 0;

	ncores = NTHREADS;
	for (uintptr_t i = 0; i < NTHREADS; i++)
		pthread_create(&threads[i], NULL, open_and_close, (void *)i);
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < NTHREADS * FILES; i++)
		named += files[i / FILES][i % FILES].is;
	assert_int_equal(fd_count(), named);
	for (int fd = 0; fd < (int)FD_MAX; fd++) {
		struct file *file = fd_remove(fd);

		found += file != NULL;
		not_named(file);
	}
	assert_int_equal(found, named);
	/* All numbers are there to be taken still. */
	for (unsigned i = 0; i < FD_MAX; i++)
		assert_in_range(fd_install(&files[0][0].file, 0, false), 0, FD_MAX - 1);
	assert_false(fd_is_free());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_taken_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
