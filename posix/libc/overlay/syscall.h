/*
 * Cancellation points as function calls, where nobody cancels.
 *
 * musl makes read(), accept(), epoll_wait() and the like through __syscall_cp(), with a number
 * known only at run time, so that pthread_cancel() can end them. A program that does not link
 * pthread_cancel() calls the kernel directly instead. Everything else is musl's own header.
 */
#include_next <syscall.h>

#ifndef LAVRA_SYSCALL_CP
#define LAVRA_SYSCALL_CP

/* Null where pthread_cancel() is not linked: a constant of the link. */
extern const char __pthread_cancel_code[] __asm__("pthread_cancel") __attribute__((__weak__));

#define SYSCALL_CP(slow, direct) (__pthread_cancel_code ? (slow) : (direct))

#undef __syscall_cp0
#undef __syscall_cp1
#undef __syscall_cp2
#undef __syscall_cp3
#undef __syscall_cp4
#undef __syscall_cp5
#undef __syscall_cp6
#define __syscall_cp0(n) SYSCALL_CP((__syscall_cp)(n, 0, 0, 0, 0, 0, 0), __syscall0(n))
#define __syscall_cp1(n, a) SYSCALL_CP((__syscall_cp)(n, __scc(a), 0, 0, 0, 0, 0), __syscall1(n, a))
#define __syscall_cp2(n, a, b)                                                                     \
	SYSCALL_CP((__syscall_cp)(n, __scc(a), __scc(b), 0, 0, 0, 0), __syscall2(n, a, b))
#define __syscall_cp3(n, a, b, c)                                                                  \
	SYSCALL_CP((__syscall_cp)(n, __scc(a), __scc(b), __scc(c), 0, 0, 0), __syscall3(n, a, b, c))
#define __syscall_cp4(n, a, b, c, d)                                                               \
	SYSCALL_CP((__syscall_cp)(n, __scc(a), __scc(b), __scc(c), __scc(d), 0, 0),                \
		   __syscall4(n, a, b, c, d))
#define __syscall_cp5(n, a, b, c, d, e)                                                            \
	SYSCALL_CP((__syscall_cp)(n, __scc(a), __scc(b), __scc(c), __scc(d), __scc(e), 0),         \
		   __syscall5(n, a, b, c, d, e))
#define __syscall_cp6(n, a, b, c, d, e, f)                                                         \
	SYSCALL_CP((__syscall_cp)(n, __scc(a), __scc(b), __scc(c), __scc(d), __scc(e), __scc(f)),  \
		   __syscall6(n, a, b, c, d, e, f))

#endif
