/*
 * Signals; the model is in the header.
 */
#include "posix/signal.h"

#include "arch/x86_64/syscall_frame.h"
#include "posix/syscall.h"
#include "posix/timeout.h"
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

/* ---- delivery ---- */

static uint64_t process_pending; /* sent to the process while all threads block them; atomic */

/* The thread's mask has changed: what waits for the process and is not blocked comes to it. */
static void take_process_signals(void)
{
	uint64_t wanted;

	/* The mask is written before we look, and signal_send_to_process() looks at masks after it wrote:
	 * one of the two sees the other. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	wanted = __atomic_load_n(&process_pending, __ATOMIC_RELAXED) & ~current->signal_mask;
	if (!wanted)
		return;
	wanted &= __atomic_fetch_and(&process_pending, ~wanted, __ATOMIC_ACQ_REL);
	__atomic_fetch_or(&current->signal_pending, wanted, __ATOMIC_ACQ_REL);
}

static void set_mask(uint64_t mask)
{
	__atomic_store_n(&current->signal_mask, mask & ~UNBLOCKABLE, __ATOMIC_RELAXED);
	take_process_signals();
}

/* The current thread takes a signal that it handles: returns its number, or 0 if none waits. */
static int next_handler(struct kernel_sigaction *action)
{
	for (;;) {
		/* Other threads add bits; pairs with their fetch-or in send_to(). */
		uint64_t pending = __atomic_load_n(&current->signal_pending, __ATOMIC_ACQUIRE);
		uint64_t ready = pending & ~current->signal_mask;
		int number;

		if (!ready)
			return 0;
		number = __builtin_ctzll(ready) + 1;
		__atomic_fetch_and(&current->signal_pending, ~bit_of(number), __ATOMIC_ACQ_REL);
		*action = action_of(number);
		if (action->handler == SIG_IGN ||
		    (action->handler == SIG_DFL && ignored_by_default(number)))
			continue;
		if (action->handler == SIG_DFL)
			end_by_signal(number);
		return number;
	}
}

/*
 * Run the handler, as a call. The kernel's own state is at rest here.
 *
 * The registers that it may look at are the program counter, which it may change, and the stack
 * pointer, and only of calls that came in registers: musl's cancellation wants to know whether the
 * call has had an effect. The counter stands before the end of the call if it has none, and behind
 * it otherwise. Returns true if the handler changed it: then the thread continues there.
 */
static bool call_handler(int number, const struct kernel_sigaction *action, bool no_effect)
{
	struct syscall_frame *frame = current->entry_frame;
	uint64_t old_mask = current->signal_mask, mask = old_mask | action->mask;
	uint64_t counter = frame ? frame->return_address - no_effect : 0;
	siginfo_t info;
	ucontext_t context;

	if (current->signal_mask_saved)
		old_mask = current->signal_saved_mask;
	current->signal_mask_saved = false;
	if (!(action->flags & SA_NODEFER))
		mask |= bit_of(number);
	set_mask(mask);
	if (action->flags & SA_RESETHAND) {
		ck_spinlock_lock(&actions_lock);
		actions[number].handler = SIG_DFL;
		ck_spinlock_unlock(&actions_lock);
	}
	memset(&info, 0, sizeof(info));
	memset(&context, 0, sizeof(context));
	info.si_signo = number;
	info.si_code = SI_TKILL;
	info.si_pid = PROCESS;
	memcpy(&context.uc_sigmask, &old_mask, MASK_BYTES);
	context.uc_mcontext.gregs[REG_RIP] = (greg_t)counter;
	context.uc_mcontext.gregs[REG_RSP] = frame ? (greg_t)frame->stack_pointer : 0;
	/* It makes calls of its own, and it may never return. */
	current->entry_frame = NULL;
	((void (*)(int, siginfo_t *, void *))(void *)action->handler)(number, &info, &context);
	current->entry_frame = frame;
	/* A handler may change what the mask is afterwards: musl's for cancellation does. */
	memcpy(&old_mask, &context.uc_sigmask, MASK_BYTES);
	set_mask(old_mask);
	if ((uint64_t)context.uc_mcontext.gregs[REG_RIP] == counter)
		return false;
	counter = (uint64_t)context.uc_mcontext.gregs[REG_RIP];
	if (frame)
		frame->return_address = counter;
	else /* nowhere to return to: go there from here */
		((void (*)(void))counter)();
	return true;
}

/* The current thread takes what is pending and not blocked. */
struct delivery {
	bool ran; /* a handler */
	bool ends; /* ... that wants the call to end */
};

static struct delivery deliver_pending(bool no_effect)
{
	struct delivery delivery = { false, false };
	struct kernel_sigaction action;
	int number;

	while ((number = next_handler(&action))) {
		bool moved = call_handler(number, &action, no_effect);

		delivery.ran = true;
		delivery.ends |= moved || !(action.flags & SA_RESTART);
		no_effect &= !moved;
	}
	if (current->signal_mask_saved) {
		current->signal_mask_saved = false;
		set_mask(current->signal_saved_mask);
	}
	return delivery;
}

long signal_finish_slowly(long result)
{
	if (!current->signals_held)
		deliver_pending(result == -EINTR);
	return result;
}

bool signal_restarts(bool may_restart)
{
	struct delivery delivery;

	if (current->signals_held)
		return false;
	delivery = deliver_pending(true);
	return !delivery.ran || (may_restart && !delivery.ends);
}

void signal_hold(void)
{
	current->signals_held = true;
}

bool signal_release(long result)
{
	current->signals_held = false;
	if (result == -EINTR)
		return signal_restarts(true);
	signal_finish(result);
	return false;
}

/* ---- sending ---- */

static bool takes(const struct thread *thread, int number)
{
	return !(__atomic_load_n(&thread->signal_mask, __ATOMIC_RELAXED) & bit_of(number));
}

static void send_to(struct thread *thread, int number)
{
	struct kernel_sigaction action = action_of(number);
	bool awaited = __atomic_load_n(&thread->signal_awaited, __ATOMIC_RELAXED) & bit_of(number);

	/* A blocked one waits whatever its action is, which may be another later. */
	if (takes(thread, number) && !awaited) {
		if (action.handler == SIG_IGN ||
		    (action.handler == SIG_DFL && ignored_by_default(number)))
			return;
		/* Ending the image needs no cooperation of the thread. */
		if (action.handler == SIG_DFL)
			end_by_signal(number);
	}
	__atomic_fetch_or(&thread->signal_pending, bit_of(number), __ATOMIC_ACQ_REL);
	/* The current thread, too: it may be blocked, and polling for a timer that sends this. */
	thread_interrupt(thread);
}

struct choice {
	int number;
	struct thread *thread;
};

static void choose(struct thread *thread, void *argument)
{
	struct choice *choice = argument;

	if (thread->tid && takes(thread, choice->number) && (!choice->thread || thread == current))
		choice->thread = thread;
}

/* A thread that does not block it, the current one if possible, or NULL. Valid until the next safe
 * point. */
static struct thread *choose_thread(int number)
{
	struct choice choice = { number, NULL };

	thread_for_each(choose, &choice);
	return choice.thread;
}

void signal_send_to_process(int number)
{
	for (;;) {
		struct thread *thread = choose_thread(number);

		if (thread) {
			send_to(thread, number);
			return;
		}
		__atomic_fetch_or(&process_pending, bit_of(number), __ATOMIC_SEQ_CST);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (!choose_thread(number))
			return;
		/* Somebody unblocked it meanwhile, and has either taken it or missed it. */
		if (!(__atomic_fetch_and(&process_pending, ~bit_of(number), __ATOMIC_ACQ_REL) &
		      bit_of(number)))
			return;
	}
}

void signal_broken_pipe(void)
{
	send_to(current, SIGPIPE);
	signal_finish(-EPIPE);
}

SYSCALL(tkill)(int tid, int number)
{
	struct thread *thread = thread_find(tid);

	if (number < 0 || number > SIGNALS)
		return -EINVAL;
	if (!thread)
		return -ESRCH;
	if (number)
		send_to(thread, number);
	return signal_finish(0);
}

SYSCALL(tgkill)(int process, int tid, int number)
{
	return process == PROCESS ? sys_tkill(tid, number) : -ESRCH;
}

/* 0 and -1 mean us, too: we are the process group and all there is. */
SYSCALL(kill)(int process, int number)
{
	if (number < 0 || number > SIGNALS)
		return -EINVAL;
	if (process != PROCESS && process != -PROCESS && process != 0 && process != -1)
		return -ESRCH;
	if (number)
		signal_send_to_process(number);
	return signal_finish(0);
}

/* ---- waiting for signals ---- */

/* Until a handler has run; the old mask (signal_saved_mask) is back then. */
static long wait_for_handler(void)
{
	struct kernel_sigaction action;
	int number;

	thread_prepare_block();
	while (!(number = next_handler(&action)))
		thread_block_interruptible(UINT64_MAX);
	call_handler(number, &action, true);
	return signal_finish(-EINTR);
}

SYSCALL(pause)(void)
{
	return wait_for_handler();
}

SYSCALL(rt_sigsuspend)(const uint64_t *mask, size_t size)
{
	uint64_t old_mask;
	long result = signal_enter_mask(mask, size, &old_mask);

	if (result)
		return result;
	signal_leave_mask(old_mask, -EINTR);
	return wait_for_handler();
}

/* One of the signals in `set`, taken out of those that are pending; or 0. */
static int take_awaited(uint64_t set)
{
	uint64_t pending = __atomic_load_n(&current->signal_pending, __ATOMIC_ACQUIRE) & set;

	if (!pending)
		return 0;
	__atomic_fetch_and(&current->signal_pending, ~(pending & -pending), __ATOMIC_ACQ_REL);
	return __builtin_ctzll(pending) + 1;
}

static long await_signal(uint64_t set, uint64_t deadline_ns)
{
	uint64_t old_mask = current->signal_mask;
	long result;

	/* Senders choose a thread that takes the signal, and leave its action alone. */
	__atomic_store_n(&current->signal_awaited, set, __ATOMIC_RELAXED);
	set_mask(old_mask & ~set);
	thread_prepare_block();
	for (;;) {
		result = take_awaited(set);
		if (result)
			break;
		result = -EINTR;
		if (thread_signal_ready(current))
			break;
		result = -EAGAIN;
		if (clock_ns() >= deadline_ns)
			break;
		thread_block_interruptible(deadline_ns);
	}
	set_mask(old_mask);
	__atomic_store_n(&current->signal_awaited, 0, __ATOMIC_RELAXED);
	return result;
}

SYSCALL(rt_sigtimedwait)
(const uint64_t *set, siginfo_t *info, const struct timespec *timeout, size_t size)
{
	long result;

	if (size != MASK_BYTES)
		return -EINVAL;
	if (user_pointer_is_bad(set) || (info && user_pointer_is_bad(info)) ||
	    (timeout && user_pointer_is_bad(timeout)))
		return -EFAULT;
	if (timeout && timespec_is_bad(timeout))
		return -EINVAL;
	result = await_signal(*set & ~UNBLOCKABLE, deadline_of(timeout));
	if (result > 0 && info) {
		memset(info, 0, sizeof(*info));
		info->si_signo = (int)result;
		info->si_code = SI_TKILL;
		info->si_pid = PROCESS;
	}
	return signal_finish(result);
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
			set_mask(before | mask);
			break;
		case SIG_UNBLOCK:
			set_mask(before & ~mask);
			break;
		case SIG_SETMASK:
			set_mask(mask);
			break;
		default:
			return -EINVAL;
		}
	}
	if (old)
		*old = before;
	return signal_finish(0);
}

SYSCALL(rt_sigpending)(uint64_t *set, size_t size)
{
	if (size > MASK_BYTES)
		return -EINVAL;
	if (user_pointer_is_bad(set))
		return -EFAULT;
	*set = (__atomic_load_n(&current->signal_pending, __ATOMIC_RELAXED) |
		__atomic_load_n(&process_pending, __ATOMIC_RELAXED)) &
	       current->signal_mask;
	return 0;
}

long signal_enter_mask(const uint64_t *mask, size_t mask_size, uint64_t *old_mask)
{
	if (mask_size != MASK_BYTES)
		return -EINVAL;
	if (user_pointer_is_bad(mask))
		return -EFAULT;
	*old_mask = current->signal_mask;
	set_mask(*mask);
	return 0;
}

void signal_leave_mask(uint64_t old_mask, long result)
{
	if (result != -EINTR) {
		set_mask(old_mask);
		return;
	}
	current->signal_saved_mask = old_mask;
	current->signal_mask_saved = true;
}

/* ---- dispositions ---- */

static void discard(struct thread *thread, void *number)
{
	__atomic_fetch_and(&thread->signal_pending, ~bit_of(*(int *)number), __ATOMIC_RELAXED);
}

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
	/* What waits and is ignored from now on is gone (POSIX). */
	if (new &&
	    (new->handler == SIG_IGN || (new->handler == SIG_DFL &&ignored_by_default(number)))) {
		thread_for_each(discard, &number);
		__atomic_fetch_and(&process_pending, ~bit_of(number), __ATOMIC_RELAXED);
	}
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
