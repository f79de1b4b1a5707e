/*
 * System calls that do not exist here: said once each, so that a person sees why a program gives up.
 * Not said are those that C libraries and language runtimes try, with another way ready.
 */
#include "posix/syscall.h"

#include "lavra/console.h"

#include <errno.h>
#include <sys/syscall.h>

#define NUMBERS 512

/* Younger than the C library. */
#define FUTEX_WAITV 449
#define MSEAL 462

/* Set once for ever, from any core: the exchange decides who prints. */
static bool said[NUMBERS];
static bool said_of_others;

static bool is_only_tried(long number)
{
	switch (number) {
	case SYS_rseq:
	case SYS_clone3:
	case SYS_io_uring_setup:
	case SYS_landlock_create_ruleset:
	case SYS_userfaultfd:
	case SYS_get_mempolicy:
	case SYS_set_mempolicy:
	case SYS_mbind:
	case SYS_pidfd_open:
	case FUTEX_WAITV:
	case MSEAL:
		return true;
	}
	return false;
}

long syscall_absent(long number)
{
	const char *name = syscall_name(number);
	bool known = name && number < NUMBERS;
	bool *flag = known ? &said[number] : &said_of_others;

	if (is_only_tried(number))
		return -ENOSYS;
	if (!__atomic_exchange_n(flag, true, __ATOMIC_RELAXED))
		kprintf("lavra: system call %s (%ld) does not exist here; it returns ENOSYS\n",
			name ? name : "without a name", number);
	return -ENOSYS;
}
