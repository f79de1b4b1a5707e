/*
 * System calls that do not exist here: said once each, so that a person sees why a program gives up.
 */
#include "posix/syscall.h"

#include "lavra/console.h"

#include <errno.h>

#define NUMBERS 512

static const char *const names[NUMBERS] = {
#define K(number, name) [number] = #name,
#include "syscall_list.h"
#undef K
};

/* Set once for ever, from any core: the exchange decides who prints. */
static bool said[NUMBERS];
static bool said_of_others;

long syscall_absent(long number)
{
	bool known = number >= 0 && number < NUMBERS && names[number];
	bool *flag = known ? &said[number] : &said_of_others;

	if (!__atomic_exchange_n(flag, true, __ATOMIC_RELAXED))
		kprintf("lavra: system call %s (%ld) does not exist here; it returns ENOSYS\n",
			known ? names[number] : "without a name", number);
	return -ENOSYS;
}
