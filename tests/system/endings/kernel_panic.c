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

static READ_MOSTLY volatile int settled;

SYSCALL(ask_to_change_what_is_settled)(void)
{
	settled++;
	return 0;
}

__attribute__((noipa)) static long descend(long depth)
{
	volatile char frame[512];

	frame[0] = (char)depth;
	return depth < 0 ? 0 : descend(depth + 1) + frame[0];
}

SYSCALL(ask_for_stack_overflow)(void)
{
	return descend(0);
}

SYSCALL(ask_for_smashed_stack)(void)
{
	char name[16];
	volatile char *to = name;

	for (unsigned i = 0; i < 32; i++)
		to[i] = 'A';
	return to[0];
}
