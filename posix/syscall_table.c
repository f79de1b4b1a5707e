/*
 * System calls by number: for numbers known only at run time, and for every call that Lavra does
 * not have.
 *
 * Each Linux system call has a weak definition here that says it is absent; a SYSCALL() elsewhere
 * takes its place. The list is made from musl's (posix/libc/folder.mk).
 */
#include "posix/syscall.h"

#include "lavra/trace.h"

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
	long result;

	if ((unsigned long)number < array_size(table))
		function = table[number];
	if (!function)
		return syscall_absent(number);
	TRACE(TRACE_CALL, (uintptr_t)function, 0);
	result = function(a, b, c, d, e, f);
	TRACE(TRACE_CALL_END, result, 0);
	return result;
}

const char *syscall_name(long number)
{
	static const char *const names[] = {
#define K(number, name) [number] = #name,
#include "syscall_list.h"
#undef K
	};

	return (unsigned long)number < array_size(names) ? names[number] : NULL;
}

void syscall_for_each(void (*visit)(uint64_t function, const char *name))
{
	for (size_t number = 0; number < array_size(table); number++)
		if (table[number])
			visit((uintptr_t)table[number], syscall_name((long)number));
}
