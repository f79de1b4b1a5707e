/*
 * The kernel's side of the test frame.
 */
#include "tests/guest/test.h"

#include "lavra/console.h"
#include "posix/syscall.h"

#define LINES_PER_CASE 20

extern int test_failures; /* main.c; atomic */

void kernel_test_failed(const char *file, int line, const char *what, long long a, long long b,
			bool with_values)
{
	if (__atomic_fetch_add(&test_failures, 1, __ATOMIC_RELAXED) >= LINES_PER_CASE)
		return;
	if (with_values)
		kprintf("# %s:%d: %s: %lld and %lld\n", file, line, what, a, b);
	else
		kprintf("# %s:%d: %s\n", file, line, what);
}

SYSCALL(kernel_test)(void (*run)(void))
{
	run();
	return 0;
}
