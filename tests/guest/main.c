/*
 * Runs the in-guest tests: all of them, or those whose "file name" begins with an argument.
 */
#include "tests/guest/test.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct test_case *const test_cases_start[], *const test_cases_end[]; /* image.ld */

const char *test_skip_reason;
int test_cores;

/* Failed checks of the running case; kernel tests count here, too. */
atomic_int test_failures;

/* One case may fail in a loop: the first few say what is wrong. */
#define LINES_PER_CASE 20

void test_failed(const char *file, int line, const char *what, long long a, long long b,
		 bool with_values)
{
	if (atomic_fetch_add(&test_failures, 1) >= LINES_PER_CASE)
		return;
	if (with_values)
		printf("# %s:%d: %s: %lld and %lld\n", file, line, what, a, b);
	else
		printf("# %s:%d: %s\n", file, line, what);
	fflush(stdout);
}

/* "tests/guest/posix_thread.c" -> "posix_thread: name" */
static void full_name(char *buffer, size_t size, const struct test_case *test)
{
	const char *base = strrchr(test->file, '/');

	base = base ? base + 1 : test->file;
	snprintf(buffer, size, "%.*s: %s", (int)strcspn(base, "."), base, test->name);
}

static bool is_wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(name, argv[i], strlen(argv[i])) == 0)
			return true;
	return argc <= 1;
}

/* The compiler lays them out as it likes: by file, in the order in which they are written. */
static int compare(const void *a, const void *b)
{
	const struct test_case *first = *(const struct test_case *const *)a;
	const struct test_case *second = *(const struct test_case *const *)b;
	int by_file = strcmp(first->file, second->file);

	return by_file ? by_file : first->line - second->line;
}

int main(int argc, char **argv)
{
	size_t count = (size_t)(test_cases_end - test_cases_start);
	const struct test_case **tests = malloc(count * sizeof(*tests) + 1);
	cpu_set_t all_cores;
	char name[200];
	int number = 0, failed = 0;

	if (!tests) {
		printf("Bail out! no memory for the list of tests\n");
		return 1;
	}
	memcpy(tests, test_cases_start, count * sizeof(*tests));
	qsort(tests, count, sizeof(*tests), compare);
	sched_getaffinity(0, sizeof(all_cores), &all_cores);
	test_cores = CPU_COUNT(&all_cores);
	for (const struct test_case **test = tests; test < tests + count; test++) {
		full_name(name, sizeof(name), *test);
		if (!is_wanted(name, argc, argv))
			continue;
		/* If the image hangs or dies, this says where. */
		printf("# run %s\n", name);
		fflush(stdout);
		atomic_store(&test_failures, 0);
		test_skip_reason = NULL;
		if ((*test)->in_kernel)
			sys_kernel_test((*test)->run);
		else
			(*test)->run();
		/* A case may pin this thread; the next one starts as the first did. */
		sched_setaffinity(0, sizeof(all_cores), &all_cores);
		number++;
		if (atomic_load(&test_failures)) {
			failed++;
			printf("not ok %d - %s\n", number, name);
		} else if (test_skip_reason) {
			printf("ok %d - %s # SKIP %s\n", number, name, test_skip_reason);
		} else {
			printf("ok %d - %s\n", number, name);
		}
		fflush(stdout);
	}
	free(tests);
	printf("1..%d\n", number);
	return failed || !number;
}
