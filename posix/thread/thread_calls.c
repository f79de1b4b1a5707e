/*
 * System calls about threads: making and ending them, their names and numbers, their registers.
 *
 * The image is one process, number 1; its first thread has number 1 too. It has no parent.
 */
#include "posix/thread/thread_calls.h"

#include "arch/arch.h"
#include "arch/x86_64/syscall_frame.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "posix/thread/futex.h"
#include "posix/signal/signal.h"
#include "posix/syscall.h"
#include "posix/time/time_calls.h"
#include "posix/user_memory.h"
#include "sched/thread.h"
#include "smp/shootdown.h"

#include <errno.h>
#include <sched.h>
#include <sys/membarrier.h>
#include <sys/syscall.h>

#define PROCESS_ID 1

static void thread_ended(struct thread *dead)
{
	signal_thread_ended(dead);
	time_thread_ended(dead);
	futex_thread_ended(dead);
}

void thread_calls_init(void)
{
	futex_init();
	thread_set_exit_callback(thread_ended);
}

long clone_thread(const struct syscall_frame *frame, uint64_t flags, uint64_t stack,
		  int *parent_tid, int *child_tid, uint64_t thread_pointer)
{
	if (flags & CLONE_PARENT_SETTID && user_range_is_bad(parent_tid, sizeof(*parent_tid)))
		return -EFAULT;
	if (flags & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID) &&
	    user_range_is_bad(child_tid, sizeof(*child_tid)))
		return -EFAULT;
	return thread_clone(frame, flags, stack, parent_tid, child_tid, thread_pointer);
}

static long clone_from_registers(struct syscall_frame *frame)
{
	const uint64_t *argument = frame->arguments; /* Linux's order on x86-64 */
	long result = clone_thread(frame, argument[0], argument[1], (int *)argument[2],
				   (int *)argument[3], argument[4]);

	return result == -ENOSYS ? syscall_absent(SYS_clone) : result;
}

/* The C library's assembly files come here (arch/x86_64/syscall_entry.S). Two calls need to know
 * where they come from: the child of clone() continues from the same registers, and a detached
 * thread unmaps the stack that it stands on before it exits. */
long syscall_from_registers(struct syscall_frame *frame)
{
	const uint64_t *argument = frame->arguments;
	long result;

	count_system_call();
	if (frame->number == SYS_clone)
		return clone_from_registers(frame);
	if (frame->number == SYS_munmap && frame->stack_pointer - argument[0] < argument[1])
		return thread_defer_unmap(argument[0], argument[1]);
	current->entry_frame = frame;
	result = kernel_syscall((long)frame->number, (long)argument[0], (long)argument[1],
				(long)argument[2], (long)argument[3], (long)argument[4],
				(long)argument[5]);
	result = signal_finish(result);
	current->entry_frame = NULL;
	return result;
}

SYSCALL(exit)(int status)
{
	thread_exit(status & 0xff);
}

SYSCALL(exit_group)(int status)
{
	machine_exit(status & 0xff);
}

SYSCALL(getpid)(void)
{
	return PROCESS_ID;
}

SYSCALL(getppid)(void)
{
	return 0;
}

SYSCALL(gettid)(void)
{
	return current->tid;
}

SYSCALL(set_tid_address)(int *address)
{
	current->clear_child_tid = address;
	return current->tid;
}

#define ROBUST_LIST_HEAD_SIZE (3 * sizeof(long))

SYSCALL(set_robust_list)(void *head, size_t size)
{
	if (size != ROBUST_LIST_HEAD_SIZE)
		return -EINVAL;
	current->robust_list = head;
	return 0;
}

SYSCALL(get_robust_list)(int tid, void **head, size_t *size)
{
	static const size_t head_size = ROBUST_LIST_HEAD_SIZE;
	const struct thread *thread = tid ? thread_find(tid) : current;

	if (!thread)
		return -ESRCH;
	if (user_write(size, &head_size, sizeof(head_size)))
		return -EFAULT;
	return user_write(head, &thread->robust_list, sizeof(thread->robust_list));
}

/* Linux's arch/x86/include/uapi/asm/prctl.h. */
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003

SYSCALL(arch_prctl)(int code, uint64_t address)
{
	switch (code) {
	case ARCH_SET_FS:
		if (address >= USER_END && address < IMAGE_HALF)
			return -EPERM;
		arch_set_thread_pointer(&current->context, address);
		return 0;
	case ARCH_GET_FS:
		return user_write((void *)address, &current->context.thread_pointer,
				  sizeof(current->context.thread_pointer));
	}
	return -EINVAL;
}

/* Every core has executed a barrier when this returns: it answers an interrupt, which is one
 * (SDM volume 3, 8.3, serializing). A shootdown of a page that is never mapped is that and no more. */
static void interrupt_all_cores(void)
{
	tlb_shootdown(0, 1);
}

/* What the process has registered for. Nothing is prepared by it; but a program that forgets to do so
 * hears of it here as it would on Linux. */
static int registered;

static long barrier_if(int registration)
{
	if (registration && !(__atomic_load_n(&registered, __ATOMIC_RELAXED) & registration))
		return -EPERM;
	interrupt_all_cores();
	return 0;
}

SYSCALL(membarrier)(int command, unsigned flags)
{
	if (flags)
		return -EINVAL;
	switch (command) {
	case MEMBARRIER_CMD_QUERY:
		return MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |
		       MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED |
		       MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |
		       MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE |
		       MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE;
	case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
	case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
	case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
		__atomic_fetch_or(&registered, command, __ATOMIC_RELAXED);
		return 0;
	case MEMBARRIER_CMD_GLOBAL:
	case MEMBARRIER_CMD_GLOBAL_EXPEDITED:
		return barrier_if(0);
	case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
		return barrier_if(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
	/* The interrupt's return serialises instructions, too (SDM volume 3, 8.3). */
	case MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE:
		return barrier_if(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE);
	}
	return -EINVAL;
}
