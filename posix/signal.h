/*
 * Signals, as far as one process without a terminal has them.
 *
 * A signal comes from the program itself: raise(), abort(), kill() to itself, pthread_kill(), a write
 * to a broken pipe, alarm(). Its default action ends the image with status 128 + number and a line on
 * the console. A handler is a function call on the thread's own stack, made at the end of a system
 * call: the one that raised or unblocked the signal, or one that blocks (docs/posix.md).
 *
 * A blocked thread that gets a signal leaves its wait as at a deadline, with -EINTR. On the way
 * out, where it holds no reference and nothing else that would be lost if a handler is left by
 * siglongjmp(), the handlers run, and the call goes on or ends:
 *
 * - signal_restarts(): here a call may be started over if the handlers allow it (SA_RESTART).
 * - signal_finish(): here the result is final.
 * - signal_hold() and signal_release() around a call of several steps move it to the call's end.
 */
#pragma once

#include "lavra/types.h"
#include "sched/thread.h"

long signal_finish_slowly(long result);

/* The end of a system call: handlers of what is pending run. Returns `result`. */
static inline long signal_finish(long result)
{
	if (likely(!thread_signal_ready(current) && !current->signal_mask_saved))
		return result;
	return signal_finish_slowly(result);
}

/* A signal ended a wait before the call had any effect. Handlers run; returns true if the call is to
 * be started over, false if it returns -EINTR. `may_restart` false: only if none ran. */
bool signal_restarts(bool may_restart);

void signal_hold(void);
/* Returns true if the held call, which gave `result`, is to be started over. */
bool signal_release(long result);

/* As kill() does: to a thread that takes it. Also at a safe point; handlers run later. */
void signal_send_to_process(int number);
/* EPIPE: SIGPIPE to the current thread. */
void signal_broken_pipe(void);

/* For epoll_pwait() and the like: another mask during the wait. 0, -EFAULT, -EINVAL. */
long signal_enter_mask(const uint64_t *mask, size_t mask_size, uint64_t *old_mask);
/* With the wait's result: after -EINTR the old mask is back when the handler has run, so
 * signal_finish() must follow. */
void signal_leave_mask(uint64_t old_mask, long result);
