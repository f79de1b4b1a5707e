/*
 * Signals, as far as one process without a terminal has them.
 *
 * A signal comes from the program itself: raise(), abort(), kill() to itself, pthread_kill(), a write
 * to a broken pipe. Its default action ends the image with status 128 + number and a line on
 * the console. A handler is a function call on the thread's own stack, made at the end of the
 * system call that raised or unblocked the signal; one for another thread waits for that
 * thread's next change of its mask, and no blocked call is interrupted (docs/posix.md).
 */
#pragma once

#include "lavra/types.h"

/* EPIPE: SIGPIPE to the current thread. */
void signal_broken_pipe(void);

/* For epoll_pwait() and the like: another mask during the wait. 0, -EFAULT, -EINVAL. */
long signal_enter_mask(const uint64_t *mask, size_t mask_size, uint64_t *old_mask);
void signal_leave_mask(uint64_t old_mask);
