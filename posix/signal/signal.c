/*
 * System calls that send signals, wait for them, and say what shall become of them. The model is in
 * the header.
 */
#include "posix/signal/signal.h"

#include "posix/syscall.h"
#include "posix/time/timeout.h"
#include "posix/user_memory.h"

#include <errno.h>
#include <string.h>

#define USER 1000 /* as posix/process/identity.c answers */

/* ---- sending ---- */

static siginfo_t info_of(int number, int code)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = number;
	info.si_code = code;
	if (code != SI_KERNEL) {
		info.si_pid = PROCESS;
		info.si_uid = USER;
	}
	return info;
}

void signal_send_to_process(int number)
{
	siginfo_t info = info_of(number, SI_KERNEL);

	signal_send_process(&info);
}

void signal_broken_pipe(void)
{
	/* Linux says that the process has sent it. */
	siginfo_t info = info_of(SIGPIPE, SI_USER);

	signal_send(current, &info);
	signal_finish(-EPIPE);
}

/* 0 or -ESRCH. Any thread's number names the process, as on Linux. */
static int check_process(int process)
{
	return process == PROCESS || thread_find(process) ? 0 : -ESRCH;
}

static bool is_bad_number(int number)
{
	return number < 0 || number > SIGNALS;
}

static long send_to_thread(int tid, const siginfo_t *info)
{
	struct thread *thread = thread_find(tid);
	long result;

	if (!thread)
		return -ESRCH;
	/* Number 0 only asks whether there is such a thread. */
	result = info->si_signo ? signal_send(thread, info) : 0;
	return signal_finish(result);
}

SYSCALL(tkill)(int tid, int number)
{
	siginfo_t info = info_of(number, SI_TKILL);

	if (is_bad_number(number) || tid <= 0)
		return -EINVAL;
	return send_to_thread(tid, &info);
}

SYSCALL(tgkill)(int process, int tid, int number)
{
	if (process <= 0)
		return -EINVAL;
	return process == PROCESS ? sys_tkill(tid, number) : -ESRCH;
}

/* 0 and -1 mean us, too: we are the process group and all there is. (Linux leaves the caller out of "all",
 * but here -1 is also what killpg() makes of the number of our group.) */
SYSCALL(kill)(int process, int number)
{
	siginfo_t info = info_of(number, SI_USER);
	long result = 0;

	if (is_bad_number(number))
		return -EINVAL;
	if (process != 0 && process != -PROCESS && check_process(process))
		return -ESRCH;
	if (number)
		result = signal_send_process(&info);
	return signal_finish(result);
}

/* What the caller says came with it: believed, as on Linux if one sends to oneself. */
static int copy_info(siginfo_t *info, int number, const siginfo_t *from)
{
	if (user_read(info, from, sizeof(*info)))
		return -EFAULT;
	if (is_bad_number(number))
		return -EINVAL;
	info->si_signo = number;
	return 0;
}

SYSCALL(rt_sigqueueinfo)(int process, int number, const siginfo_t *from)
{
	siginfo_t info;
	long result = copy_info(&info, number, from);

	if (!result)
		result = check_process(process);
	if (!result && number)
		result = signal_send_process(&info);
	return signal_finish(result);
}

SYSCALL(rt_tgsigqueueinfo)(int process, int tid, int number, const siginfo_t *from)
{
	siginfo_t info;
	long result = copy_info(&info, number, from);

	if (result)
		return result;
	if (process <= 0 || tid <= 0)
		return -EINVAL;
	return process == PROCESS ? send_to_thread(tid, &info) : -ESRCH;
}

/* ---- waiting for signals ---- */

/* Until a handler is to run; the old mask (signal_saved_mask) is back after it. */
static long wait_for_handler(void)
{
	thread_prepare_block();
	while (!signal_next_waits())
		thread_block_interruptible(UINT64_MAX);
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

static long await_signal(uint64_t set, uint64_t deadline_ns, siginfo_t *info)
{
	uint64_t old_mask = current->signal_mask;
	long result;

	/* Senders choose a thread that takes the signal, and leave its action alone. */
	__atomic_store_n(&current->signal_awaited, set & old_mask, __ATOMIC_RELAXED);
	signal_set_mask(old_mask & ~set);
	thread_prepare_block();
	for (;;) {
		result = signal_take(set, info);
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
	__atomic_store_n(&current->signal_awaited, 0, __ATOMIC_RELAXED);
	signal_set_mask(old_mask);
	return result;
}

SYSCALL(rt_sigtimedwait)
(const uint64_t *user_set, siginfo_t *user_info, const struct timespec *timeout, size_t size)
{
	struct timespec time;
	siginfo_t info;
	uint64_t set;
	long result;

	if (size != MASK_BYTES)
		return -EINVAL;
	if (user_read(&set, user_set, sizeof(set)) ||
	    (timeout && user_read(&time, timeout, sizeof(time))))
		return -EFAULT;
	if (timeout && timespec_is_bad(&time))
		return -EINVAL;
	result = await_signal(set & ~UNBLOCKABLE, deadline_of(timeout ? &time : NULL), &info);
	/* As on Linux the signal is taken all the same. */
	if (result > 0 && user_info && user_write(user_info, &info, sizeof(info)))
		result = -EFAULT;
	return signal_finish(result);
}

/* ---- masks ---- */

SYSCALL(rt_sigprocmask)(int how, const uint64_t *set, uint64_t *old, size_t size)
{
	uint64_t before = current->signal_mask, mask;

	if (size != MASK_BYTES)
		return -EINVAL;
	if (set) {
		if (user_read(&mask, set, sizeof(mask)))
			return -EFAULT;
		mask &= ~UNBLOCKABLE;
		switch (how) {
		case SIG_BLOCK:
			signal_set_mask(before | mask);
			break;
		case SIG_UNBLOCK:
			signal_set_mask(before & ~mask);
			break;
		case SIG_SETMASK:
			signal_set_mask(mask);
			break;
		default:
			return -EINVAL;
		}
	}
	return signal_finish(old ? user_write(old, &before, sizeof(before)) : 0);
}

SYSCALL(rt_sigpending)(uint64_t *set, size_t size)
{
	uint64_t pending = signal_waiting() & current->signal_mask;

	return size > MASK_BYTES ? -EINVAL : user_write(set, &pending, size);
}

long signal_enter_mask(const uint64_t *mask, size_t mask_size, uint64_t *old_mask)
{
	uint64_t wanted;

	if (mask_size != MASK_BYTES)
		return -EINVAL;
	if (user_read(&wanted, mask, sizeof(wanted)))
		return -EFAULT;
	*old_mask = current->signal_mask;
	signal_set_mask(wanted);
	return 0;
}

void signal_leave_mask(uint64_t old_mask, long result)
{
	if (result != -EINTR) {
		signal_set_mask(old_mask);
		return;
	}
	current->signal_saved_mask = old_mask;
	current->signal_mask_saved = true;
}

/* ---- dispositions ---- */

SYSCALL(rt_sigaction)
(int number, const struct kernel_sigaction *new, struct kernel_sigaction *old, size_t size)
{
	struct kernel_sigaction before, wanted;

	if (size != MASK_BYTES)
		return -EINVAL;
	if (new &&user_read(&wanted, new, sizeof(wanted)))
		return -EFAULT;
	if (number < 1 || number > SIGNALS || (new && (number == SIGKILL || number == SIGSTOP)))
		return -EINVAL;
	before = signal_change_action(number, new ? &wanted : NULL);
	return old ? user_write(old, &before, sizeof(before)) : 0;
}

/* ---- sigaltstack(2) ---- */

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

SYSCALL(sigaltstack)(const stack_t *new, stack_t *old)
{
	vaddr_t stack_pointer = signal_caller_stack();
	stack_t before = signal_stack_state(stack_pointer), wanted;
	unsigned mode;

	if (new) {
		if (user_read(&wanted, new, sizeof(wanted)))
			return -EFAULT;
		if (before.ss_flags & SS_ONSTACK)
			return -EPERM;
		mode = (unsigned)wanted.ss_flags & ~SS_AUTODISARM;
		if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE)
			return -EINVAL;
		if (mode != SS_DISABLE && wanted.ss_size < MINSIGSTKSZ)
			return -ENOMEM;
		current->signal_stack = mode == SS_DISABLE ? 0 : (vaddr_t)wanted.ss_sp;
		current->signal_stack_size = mode == SS_DISABLE ? 0 : wanted.ss_size;
		current->signal_stack_flags = wanted.ss_flags;
	}
	return old ? user_write(old, &before, sizeof(before)) : 0;
}
