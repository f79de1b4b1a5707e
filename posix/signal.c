/*
 * Signals; the model is in the header.
 */
#include "posix/signal.h"

#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "lavra/console.h"
#include "sched/thread.h"

#include <ck_spinlock.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#define SIGNALS 64
#define MASK_BYTES 8
#define PROCESS 1 /* our process number, and the first thread's */

/* What musl passes to rt_sigaction (its arch/x86_64/ksigaction.h): not struct sigaction. */
struct kernel_sigaction {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void); /* not used: a handler returns as a function */
	uint64_t mask;
};

static ck_spinlock_t actions_lock = CK_SPINLOCK_INITIALIZER; /* guards actions; held for a copy */
static struct kernel_sigaction actions[SIGNALS + 1];

static uint64_t bit_of(int number)
{
	return 1ull << (number - 1);
}

#define UNBLOCKABLE (bit_of(SIGKILL) | bit_of(SIGSTOP))

static struct kernel_sigaction action_of(int number)
{
	struct kernel_sigaction action;

	ck_spinlock_lock(&actions_lock);
	action = actions[number];
	ck_spinlock_unlock(&actions_lock);
	return action;
}

static const char *name_of(int number)
{
	static const char *const names[] = {
		[SIGHUP] = "SIGHUP",   [SIGINT] = "SIGINT",   [SIGQUIT] = "SIGQUIT",
		[SIGILL] = "SIGILL",   [SIGTRAP] = "SIGTRAP", [SIGABRT] = "SIGABRT",
		[SIGBUS] = "SIGBUS",   [SIGFPE] = "SIGFPE",   [SIGKILL] = "SIGKILL",
		[SIGUSR1] = "SIGUSR1", [SIGSEGV] = "SIGSEGV", [SIGUSR2] = "SIGUSR2",
		[SIGPIPE] = "SIGPIPE", [SIGALRM] = "SIGALRM", [SIGTERM] = "SIGTERM",
	};

	return (size_t)number < array_size(names) && names[number] ? names[number] : "signal";
}

static bool ignored_by_default(int number)
{
	/* There is no job control that could continue what stops. */
	return bit_of(number) &
	       (bit_of(SIGCHLD) | bit_of(SIGURG) | bit_of(SIGWINCH) | bit_of(SIGCONT) |
		bit_of(SIGSTOP) | bit_of(SIGTSTP) | bit_of(SIGTTIN) | bit_of(SIGTTOU));
}

static void end_by_signal(int number)
{
	kprintf("lavra: the application ended by %s (%d), raised in thread %d (%s)\n",
		name_of(number), number, current->tid, current->name);
	machine_exit(128 + number);
}

/* Run the handler, as a call. The kernel's own state is at rest here: this is the last thing that a
 * system call does. */
static void call_handler(int number, const struct kernel_sigaction *action)
{
	uint64_t old_mask = current->signal_mask;
	siginfo_t info;
	ucontext_t context;

	current->signal_mask |= action->mask & ~UNBLOCKABLE;
	if (!(action->flags & SA_NODEFER))
		current->signal_mask |= bit_of(number);
	if (action->flags & SA_RESETHAND) {
		ck_spinlock_lock(&actions_lock);
		actions[number].handler = SIG_DFL;
		ck_spinlock_unlock(&actions_lock);
	}
	if (!(action->flags & SA_SIGINFO)) {
		action->handler(number);
		current->signal_mask = old_mask;
		return;
	}
	memset(&info, 0, sizeof(info));
	memset(&context, 0, sizeof(context));
	info.si_signo = number;
	info.si_code = SI_TKILL;
	info.si_pid = PROCESS;
	memcpy(&context.uc_sigmask, &old_mask, MASK_BYTES);
	((void (*)(int, siginfo_t *, void *))(void *)action->handler)(number, &info, &context);
	/* A handler may change what the mask is afterwards: musl's for cancellation does. */
	memcpy(&old_mask, &context.uc_sigmask, MASK_BYTES);
	current->signal_mask = old_mask & ~UNBLOCKABLE;
}

/* The current thread takes what is pending and not blocked. */
static void deliver_pending(void)
{
	for (;;) {
		/* Other threads add bits; pairs with their fetch-or in send_to(). */
		uint64_t pending = __atomic_load_n(&current->signal_pending, __ATOMIC_ACQUIRE);
		uint64_t ready = pending & ~current->signal_mask;
		struct kernel_sigaction action;
		int number;

		if (!ready)
			return;
		number = __builtin_ctzll(ready) + 1;
		__atomic_fetch_and(&current->signal_pending, ~bit_of(number), __ATOMIC_ACQ_REL);
		action = action_of(number);
		if (action.handler == SIG_IGN ||
		    (action.handler == SIG_DFL && ignored_by_default(number)))
			continue;
		if (action.handler == SIG_DFL)
			end_by_signal(number);
		call_handler(number, &action);
	}
}

static long send_to(struct thread *thread, int number)
{
	struct kernel_sigaction action;

	if (number < 0 || number > SIGNALS)
		return -EINVAL;
	if (!thread)
		return -ESRCH;
	if (number == 0)
		return 0;
	action = action_of(number);
	if (action.handler == SIG_IGN || (action.handler == SIG_DFL && ignored_by_default(number)))
		return 0;
	/* Ending the image needs no cooperation of the thread. */
	if (action.handler == SIG_DFL && !(thread->signal_mask & bit_of(number) & ~UNBLOCKABLE))
		end_by_signal(number);
	__atomic_fetch_or(&thread->signal_pending, bit_of(number), __ATOMIC_ACQ_REL);
	if (thread == current)
		deliver_pending();
	return 0;
}

void signal_broken_pipe(void)
{
	send_to(current, SIGPIPE);
}

SYSCALL(tkill)(int tid, int number)
{
	return send_to(thread_find(tid), number);
}

SYSCALL(tgkill)(int process, int tid, int number)
{
	return process == PROCESS ? send_to(thread_find(tid), number) : -ESRCH;
}

/* 0 and -1 mean us, too: we are the process group and all there is. */
SYSCALL(kill)(int process, int number)
{
	if (process != PROCESS && process != -PROCESS && process != 0 && process != -1)
		return -ESRCH;
	return send_to(current, number);
}

/* ---- masks ---- */

SYSCALL(rt_sigprocmask)(int how, const uint64_t *set, uint64_t *old, size_t size)
{
	uint64_t before = current->signal_mask;

	if (size != MASK_BYTES)
		return -EINVAL;
	if ((set && user_pointer_is_bad(set)) || (old && user_pointer_is_bad(old)))
		return -EFAULT;
	if (set) {
		uint64_t mask = *set & ~UNBLOCKABLE;

		switch (how) {
		case SIG_BLOCK:
			current->signal_mask |= mask;
			break;
		case SIG_UNBLOCK:
			current->signal_mask &= ~mask;
			break;
		case SIG_SETMASK:
			current->signal_mask = mask;
			break;
		default:
			return -EINVAL;
		}
	}
	if (old)
		*old = before;
	if (set)
		deliver_pending();
	return 0;
}

SYSCALL(rt_sigpending)(uint64_t *set, size_t size)
{
	if (size > MASK_BYTES)
		return -EINVAL;
	if (user_pointer_is_bad(set))
		return -EFAULT;
	*set = __atomic_load_n(&current->signal_pending, __ATOMIC_ACQUIRE) & current->signal_mask;
	return 0;
}

long signal_enter_mask(const uint64_t *mask, size_t mask_size, uint64_t *old_mask)
{
	if (mask_size != MASK_BYTES)
		return -EINVAL;
	if (user_pointer_is_bad(mask))
		return -EFAULT;
	*old_mask = current->signal_mask;
	current->signal_mask = *mask & ~UNBLOCKABLE;
	deliver_pending();
	return 0;
}

void signal_leave_mask(uint64_t old_mask)
{
	/* What came during the wait and the wait's mask lets through runs before the old one is back. */
	deliver_pending();
	current->signal_mask = old_mask;
	deliver_pending();
}

/* ---- dispositions ---- */

SYSCALL(rt_sigaction)
(int number, const struct kernel_sigaction *new, struct kernel_sigaction *old, size_t size)
{
	struct kernel_sigaction before;

	if (number < 1 || number > SIGNALS || size != MASK_BYTES)
		return -EINVAL;
	if (new && (number == SIGKILL || number == SIGSTOP))
		return -EINVAL;
	if ((new &&user_pointer_is_bad(new)) || (old && user_pointer_is_bad(old)))
		return -EFAULT;
	ck_spinlock_lock(&actions_lock);
	before = actions[number];
	if (new)
		actions[number] = *new;
	ck_spinlock_unlock(&actions_lock);
	if (old)
		*old = before;
	return 0;
}

/* Accepted and remembered by nobody: handlers are calls on the thread's own stack, so none needs
 * another one. The old state is always "none". */
SYSCALL(sigaltstack)(const stack_t *new, stack_t *old)
{
	if ((new &&user_pointer_is_bad(new)) || (old && user_pointer_is_bad(old)))
		return -EFAULT;
	if (new && (new->ss_flags & ~SS_DISABLE))
		return -EINVAL;
	if (new && !(new->ss_flags &SS_DISABLE) && new->ss_size < MINSIGSTKSZ)
		return -ENOMEM;
	if (old)
		*old = (stack_t){ .ss_flags = SS_DISABLE };
	return 0;
}
