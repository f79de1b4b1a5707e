/*
 * The kernel's own ways to end, for the application to ask for.
 */
#include "lavra/console.h"
#include "posix/syscall.h"

SYSCALL(ask_for_panic)(void)
{
	panic("asked for by %s", "a test");
}

SYSCALL(ask_for_failed_assertion)(void)
{
	volatile int one = 1;

	assert(one == 2);
	return 0;
}
