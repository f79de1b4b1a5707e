/*
 * System calls as function calls: what musl is compiled with in place of the header of the same
 * name in its arch folder.
 *
 * A call with a constant number, which is nearly every call, becomes a direct call of
 * sys_<name>(): no trap, no register shuffling, and the linker sees what a program can
 * call. A number known only at run time goes through kernel_syscall() (posix/syscall_table.c).
 *
 * There is no vDSO: clock_gettime() is a function call already.
 */
#define __SYSCALL_LL_E(x) (x)
#define __SYSCALL_LL_O(x) (x)
#define IPC_64 0

long kernel_syscall(long number, long, long, long, long, long, long);

#define K(number, name) long sys_##name();
#include "syscall_list.h"
#undef K

#define SYSCALL_INLINE static __inline __attribute__((__always_inline__)) long

/* sys_<name> is called as a function of exactly so many longs: a call without a prototype would
 * also set up a count of vector registers. */
#define K(number, name)                                                                            \
	case number:                                                                               \
		return ((syscall_function *)sys_##name)ARGUMENTS;

#define ARGUMENTS ()
SYSCALL_INLINE __syscall0(long n)
{
	typedef long syscall_function(void);

	if (__builtin_constant_p(n)) {
		switch (n) {
#include "syscall_list.h"
		}
	}
	return kernel_syscall(n, 0, 0, 0, 0, 0, 0);
}
#undef ARGUMENTS

#define ARGUMENTS (a)
SYSCALL_INLINE __syscall1(long n, long a)
{
	typedef long syscall_function(long);

	if (__builtin_constant_p(n)) {
		switch (n) {
#include "syscall_list.h"
		}
	}
	return kernel_syscall(n, a, 0, 0, 0, 0, 0);
}
#undef ARGUMENTS

#define ARGUMENTS (a, b)
SYSCALL_INLINE __syscall2(long n, long a, long b)
{
	typedef long syscall_function(long, long);

	if (__builtin_constant_p(n)) {
		switch (n) {
#include "syscall_list.h"
		}
	}
	return kernel_syscall(n, a, b, 0, 0, 0, 0);
}
#undef ARGUMENTS

#define ARGUMENTS (a, b, c)
SYSCALL_INLINE __syscall3(long n, long a, long b, long c)
{
	typedef long syscall_function(long, long, long);

	if (__builtin_constant_p(n)) {
		switch (n) {
#include "syscall_list.h"
		}
	}
	return kernel_syscall(n, a, b, c, 0, 0, 0);
}
#undef ARGUMENTS

#define ARGUMENTS (a, b, c, d)
SYSCALL_INLINE __syscall4(long n, long a, long b, long c, long d)
{
	typedef long syscall_function(long, long, long, long);

	if (__builtin_constant_p(n)) {
		switch (n) {
#include "syscall_list.h"
		}
	}
	return kernel_syscall(n, a, b, c, d, 0, 0);
}
#undef ARGUMENTS

#define ARGUMENTS (a, b, c, d, e)
SYSCALL_INLINE __syscall5(long n, long a, long b, long c, long d, long e)
{
	typedef long syscall_function(long, long, long, long, long);

	if (__builtin_constant_p(n)) {
		switch (n) {
#include "syscall_list.h"
		}
	}
	return kernel_syscall(n, a, b, c, d, e, 0);
}
#undef ARGUMENTS

#define ARGUMENTS (a, b, c, d, e, f)
SYSCALL_INLINE __syscall6(long n, long a, long b, long c, long d, long e, long f)
{
	typedef long syscall_function(long, long, long, long, long, long);

	if (__builtin_constant_p(n)) {
		switch (n) {
#include "syscall_list.h"
		}
	}
	return kernel_syscall(n, a, b, c, d, e, f);
}
#undef ARGUMENTS

#undef K
#undef SYSCALL_INLINE
