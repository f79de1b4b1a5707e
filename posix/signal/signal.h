/*
 * Signals, as far as one process without a terminal has them.
 *
 * A signal comes from the program itself: raise(), kill() to itself, pthread_kill(), sigqueue(), a
 * write to a broken pipe, a timer, a fault. What waits hangs in the thread's queue or the process's
 * (posix/signal/signal_queue.c). Its default action ends the image with status 128 + number and a line on
 * the console. A handler runs in one of three ways (posix/signal/signal_deliver.c):
 *
 * - Without isolation, as a function call, at the end of a system call that was a function call.
 * - By a frame as Linux makes it (arch/x86_64/signal_frame.h), at the end of a system call that came
 *   by the `syscall` instruction or through a gate: signal_deliver().
 * - By such a frame, between any two instructions outside the kernel's text: where an interrupt
 *   came, where a preempted thread goes on, and for a fault.
 *
 * A blocked thread that gets a signal leaves its wait as at a deadline, with -EINTR. On the way
 * out, where it holds no reference and nothing else that would be lost if a handler is left by
 * siglongjmp(), the handlers run, and the call goes on or ends:
 *
 * - signal_restarts(): here a call may be started over if the handlers allow it (SA_RESTART).
 * - signal_finish(): here the result is final.
 * - signal_hold() and signal_release() around a call of several steps move it to the call's end.
 *
 * In a call by the `syscall` instruction or through a gate these three run no handler and say -EINTR: signal_deliver()
 * does the rest, and starts the instruction over if that is to be.
 */
#pragma once

#include "lavra/list.h"
#include "lavra/types.h"
#include "sched/thread.h"

#include <signal.h>

/* thread->call_restarts, for signal_deliver(). */
enum {
	CALL_ENDS, /* with the result that it has */
	CALL_RESTARTS_WITHOUT_HANDLER, /* over if no handler runs, else -EINTR */
	CALL_RESTARTS, /* over if the first handler has SA_RESTART */
	CALL_RESTARTS_ALWAYS,
};

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

/* The same for a call that no signal ends: handlers run, and it is started over. Returns false if that
 * is to be done by signal_deliver(): then the result is -EINTR. */
bool signal_always_restarts(void);

/* May be nested. */
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

/* ---- signals as data: signalfd ---- */

/* Take one of `set` that waits for the current thread or the process, the lowest number first, oldest
 * first. Returns its number, with what came with it in *info, or 0. */
int signal_take(uint64_t set, siginfo_t *info);
/* What waits for the current thread or the process, blocked or not. */
uint64_t signal_waiting(void);

/* Called whenever a signal of `set` has begun to wait, be it for the process or for some thread: on
 * any core, with a lock held, so that it may send a parcel and no more. */
struct signal_watch {
	struct list link;
	uint64_t set; /* change it by signal_watch_change() */
	void (*notify)(struct signal_watch *watch);
};
void signal_watch_add(struct signal_watch *watch, uint64_t set,
		      void (*notify)(struct signal_watch *watch));
void signal_watch_change(struct signal_watch *watch, uint64_t set);
/* No notify() runs when this has returned. */
void signal_watch_remove(struct signal_watch *watch);

/* ---- calls by the `syscall` instruction ----
 *
 * The entry builds a struct trap_frame (arch/x86_64/trap.h) of the caller's registers: vector
 * TRAP_SYSCALL, error = the call's number, rip behind the instruction, rflags from r11, cs and ss
 * the selectors of arch/x86_64/registers.h. Then, interrupts on, on the thread's kernel stack:
 *
 *	current->entry_trap = frame;
 *	frame->rax = kernel_syscall(number, ...);	rt_sigreturn replaces *frame, returns its rax
 *	current->entry_trap = NULL;
 *	if (signal_is_due())
 *		signal_deliver(frame);
 *	... return by the frame, all of its registers
 *
 * At signal_deliver() the vector registers must be those of the application: if the call has let
 * other threads run, the entry has saved and restored them.
 */

/* Has signal_deliver() something to do? */
static inline bool signal_is_due(void)
{
	return unlikely(thread_signal_ready(current) || current->signal_mask_saved ||
			current->call_restarts != CALL_ENDS);
}

/*
 * Change the frame so that the handlers of what is pending run before what it describes: each gets
 * Linux's frame on the thread's stack, or on that of sigaltstack(). Ends the image if a signal says
 * so, or if there is no memory for the frame. The frame describes application code of the current
 * thread. Any stack but the application's; interrupts as they were.
 */
struct trap_frame;
void signal_deliver(struct trap_frame *frame);

/* Bytes of stack that a handler needs before it does anything: AT_MINSIGSTKSZ. */
size_t signal_frame_size(void);

/* ---- inside posix/signal/ ---- */

#define SIGNALS 64
#define MASK_BYTES 8
#define PROCESS 1 /* our process number, and the first thread's */

static inline uint64_t signal_bit(int number)
{
	return 1ull << (number - 1);
}

#define UNBLOCKABLE (signal_bit(SIGKILL) | signal_bit(SIGSTOP))

/* What rt_sigaction takes on x86-64 (musl's ksigaction.h): not struct sigaction. */
struct kernel_sigaction {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

/* A signal on its way. One that belongs to a timer is never freed here. */
struct queued_signal {
	struct list link;
	siginfo_t info;
	struct thread *thread; /* whose queue it is in; NULL: the process's */
	bool is_timers; /* posix/time/posix_timer.c: embedded there */
	int last_overrun; /* of a timer's, when it was taken */
};

/* Send; -EAGAIN if a real-time signal finds RLIMIT_SIGPENDING used up. info->si_signo is 1 to 64. Any
 * core, kernel context. Handlers run later, also the current thread's. */
long signal_send(struct thread *thread, const siginfo_t *info);
long signal_send_process(const siginfo_t *info);
/* A timer's, with its own entry; thread NULL: to the process. If the entry still waits it is counted in
 * its si_overrun instead, as are the `missed` ones. */
void signal_send_timer(struct thread *thread, struct queued_signal *entry, uint64_t missed);
/* The entry is in no queue when this has returned. */
void signal_recall_timer(struct queued_signal *entry);

/* sigaltstack()'s state for somebody whose stack pointer is this; and that of the current call's
 * caller, or of a function beneath it. */
stack_t signal_stack_state(vaddr_t stack_pointer);
vaddr_t signal_caller_stack(void);

/* The action for a fault, if it is a handler. */
bool signal_take_action(int number, struct kernel_sigaction *action);
/* A signal that the current thread does not block and handles, taken from its queue, with its action;
 * or 0. Ends the image if the action is to. */
int signal_next(struct kernel_sigaction *action, siginfo_t *info);
/* Is there such a one? Drops what is ignored. */
bool signal_next_waits(void);
/* rt_sigaction(): returns the action before. `new` NULL: only that. */
struct kernel_sigaction signal_change_action(int number, const struct kernel_sigaction *new);
/* Replace the current thread's mask of blocked signals. */
void signal_set_mask(uint64_t mask);
/* The thread ends: who else takes what waits for the process? */
void signal_thread_ended(struct thread *dead);

/* RLIMIT_SIGPENDING: how many may wait, and at first. */
#define SIGNAL_QUEUE_LIMIT 8192ul
uint64_t signal_queue_limit(void);
void signal_queue_set_limit(uint64_t limit);

void signal_end_image(int number) __attribute__((noreturn));
