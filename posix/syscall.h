/*
 * System calls are function calls: musl calls sys_<name>() directly where the number is constant, and
 * kernel_syscall() otherwise. Each is declared here by SYSCALL() where it is defined; what has no
 * definition is answered by syscall_absent() (posix/absent.c): ENOSYS, said once on the console.
 */
#pragma once

#include "lavra/types.h"

/* Arguments arrive as six longs at most (System V ABI); a definition takes as many as it uses. Its
 * callers are musl's, which declare it for themselves (posix/libc/overlay/syscall_arch.h). */
#pragma GCC diagnostic ignored "-Wmissing-declarations"
#define SYSCALL(name) __attribute__((visibility("default"), used)) long sys_##name

/* System call `number`, known only at run time (posix/syscall_table.c). */
__attribute__((visibility("default"))) long kernel_syscall(long number, long a, long b, long c,
							   long d, long e, long f);
/* Its name, without sys_; NULL if there is none. */
const char *syscall_name(long number);
/* Every one that there is, with the function's address, by which a trace knows it (lavra/trace.h). */
void syscall_for_each(void (*visit)(uint64_t function, const char *name));
/* Say once that the program wanted `number`; returns -ENOSYS. */
long syscall_absent(long number);
