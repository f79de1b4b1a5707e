/*
 * System calls by the `syscall` instruction, of programs that were made for Linux: the same table
 * as for function calls. The registers lie on the thread's own kernel stack
 * (arch/x86_64/syscall_instruction.S).
 */
#include "posix/signal/signal.h"
#include "posix/syscall.h"
#include "posix/thread/thread_calls.h"
#include "posix/user_memory.h"

#include "arch/arch.h"
#include "arch/x86_64/registers.h"
#include "arch/x86_64/syscall_frame.h"
#include "arch/x86_64/trap.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "lavra/trace.h"
#include "sched/thread.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>

/* Linux's struct clone_args, as far as its first version goes. */
struct clone_arguments {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};
#define CLONE_ARGUMENTS_MAX 4096

/* The child continues behind the same instruction. */
static long clone_from(const struct trap_frame *frame, const struct clone_arguments *arguments)
{
	const struct syscall_frame registers = {
		.number = frame->rax,
		.arguments = { frame->rdi, frame->rsi, frame->rdx, frame->r10, frame->r8,
			       frame->r9 },
		.return_address = frame->rip,
		.stack_pointer = frame->rsp,
		.rbx = frame->rbx,
		.rbp = frame->rbp,
		.r12 = frame->r12,
		.r13 = frame->r13,
		.r14 = frame->r14,
		.r15 = frame->r15,
	};
	uint64_t flags = arguments->flags;
	long result = clone_thread(&registers, flags, arguments->stack,
				   (int *)arguments->parent_tid, (int *)arguments->child_tid,
				   arguments->tls);

	/* Another process was wanted: C libraries make fork() and posix_spawn() of clone(). */
	if (result == -ENOSYS)
		return syscall_absent(flags & CLONE_VFORK ? SYS_vfork : SYS_fork);
	return result;
}

#define SIGNAL_AT_EXIT 0xff /* the low byte of clone()'s flags */

static __attribute__((noinline)) long instruction_clone(const struct trap_frame *frame)
{
	const struct clone_arguments arguments = {
		.flags = frame->rdi & ~(uint64_t)SIGNAL_AT_EXIT,
		.stack = frame->rsi,
		.parent_tid = frame->rdx,
		.child_tid = frame->r10,
		.tls = frame->r8,
	};

	return clone_from(frame, &arguments);
}

static __attribute__((noinline)) long instruction_clone3(const struct trap_frame *frame)
{
	const char *from = (const char *)frame->rdi;
	size_t size = frame->rsi;
	struct clone_arguments arguments;
	uint64_t word;

	if (size < sizeof(arguments))
		return -EINVAL;
	if (size > CLONE_ARGUMENTS_MAX)
		return -E2BIG;
	if (user_range_is_bad(from, size) || !user_copy(&arguments, from, sizeof(arguments)))
		return -EFAULT;
	/* What later versions added must not be asked for. */
	for (size_t done = sizeof(arguments); done < size; done += sizeof(word)) {
		word = 0;
		if (!user_copy(&word, from + done, min(size - done, sizeof(word))))
			return -EFAULT;
		if (word)
			return -E2BIG;
	}
	if ((arguments.exit_signal && arguments.flags & CLONE_THREAD) ||
	    !arguments.stack != !arguments.stack_size)
		return -EINVAL;
	arguments.stack += arguments.stack_size;
	return clone_from(frame, &arguments);
}

/* Restartable sequences: C libraries ask for them at the start of every thread, and do without. So
 * this refusal is not worth a line on the console. */
SYSCALL(rseq)(void *area, unsigned length, int flags, unsigned signature)
{
	return -ENOSYS;
}

bool syscall_from_instruction(struct trap_frame *frame)
{
	int number = (int)frame->rax; /* Linux, too, looks at these 32 bits alone */
	long result;

	count_system_call();
	current->entry_trap = frame;
	if (unlikely(number == SYS_clone))
		result = instruction_clone(frame);
	else if (unlikely(number == SYS_clone3))
		result = instruction_clone3(frame);
	else
		result = kernel_syscall(number, (long)frame->rdi, (long)frame->rsi,
					(long)frame->rdx, (long)frame->r10, (long)frame->r8,
					(long)frame->r9);
	frame->rax = (uint64_t)result;
	if (!arch_isolation())
		current->entry_trap = NULL;
	if (unlikely(signal_is_due())) {
		signal_deliver(frame);
		return true;
	}
	/* A single-stepped caller wants its trap behind the instruction, not in the kernel. */
	return unlikely(number == SYS_rt_sigreturn || frame->rflags & RFLAGS_TF);
}

/* ---- calls through gates ---- */

/* On the way of every call: it looks at nothing closely. */
__attribute__((optimize("omit-frame-pointer"))) bool syscall_is_over(void)
{
	const struct thread *thread = current;

	TRACE(TRACE_CALL_END, 0, 0);
	return likely(!(__atomic_load_n(&thread->signal_pending, __ATOMIC_RELAXED) |
			__atomic_load_n(&process_signal_pending, __ATOMIC_RELAXED) |
			(uint64_t)thread->signal_mask_saved | thread->call_restarts));
}

void syscall_deliver_signals(struct trap_frame *frame)
{
	if (signal_is_due())
		signal_deliver(frame);
}
