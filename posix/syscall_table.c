/*
 * System calls by number: for numbers known only at run time, and for every call that Lavra does
 * not have.
 *
 * Each Linux system call has a weak definition here that says it is absent; a SYSCALL() elsewhere
 * takes its place. The list is made from musl's (posix/libc/folder.mk).
 */
#include "posix/syscall.h"

#define K(number, name)                                                                            \
	long sys_##name(long a, long b, long c, long d, long e, long f);                           \
	__attribute__((weak, visibility("default"),                                                \
		       section(".text.absent." #name))) long sys_##name(long a, long b, long c,    \
									long d, long e, long f)    \
	{                                                                                          \
		return syscall_absent(number);                                                     \
	}
#include "syscall_list.h"
#undef K

typedef long syscall_function(long, long, long, long, long, long);

static syscall_function *const table[] = {
#define K(number, name) [number] = sys_##name,
#include "syscall_list.h"
#undef K
};

long kernel_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	syscall_function *function = NULL;

	if ((unsigned long)number < array_size(table))
		function = table[number];
	return function ? function(a, b, c, d, e, f) : syscall_absent(number);
}
