/*
 * The life of a thread: made, started, ended.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* CLONE_* */
#endif
#include "sched/run_queue.h"

#include "arch/x86_64/user_access.h"
#include "lavra/console.h"
#include "mm/area.h"
#include "mm/kva.h"
#include "mm/object.h"
#include "sched/affinity.h"
#include "smp/call.h"
#include "smp/trace.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

/* Deep enough for the network stack and a system call's work; interrupts have stacks of their own. */
#define KERNEL_STACK_PAGES 8

/* Of application threads, where their system calls run on stacks of the kernel's: Linux's size, of which a
 * third was the most that was ever seen in use, and two pages for the paths that calls copy there. */
#define SYSCALL_STACK_PAGES 6

/* Here, and not in posix/, because a thread that blocks asks for it. */
uint64_t process_signal_pending CACHE_ALIGNED;

static READ_MOSTLY void (*exit_callback)(struct thread *dead);
static bool with_syscall_stacks;

void thread_use_syscall_stacks(void)
{
	with_syscall_stacks = true;
}

void thread_set_exit_callback(void (*callback)(struct thread *dead))
{
	exit_callback = callback;
}

static struct thread *thread_new(const char *name, core_id_t core, uint64_t affinity)
{
	struct thread *thread = object_alloc_zeroed(sizeof(*thread));

	if (!thread)
		return NULL;
	thread->magic = THREAD_MAGIC;
	thread->core = core;
	thread->state = THREAD_RUNNABLE;
	thread->affinity = affinity;
	list_init(&thread->run_link);
	list_init(&thread->all_link);
	list_init(&thread->signal_queue);
	thread->signal_mask = ~0ull; /* signals are for applications */
	memcpy(thread->name, name, strnlen(name, sizeof(thread->name) - 1));
	thread_blocking_init(thread);
	return thread;
}

static void thread_free(struct thread *thread)
{
	if (thread->kernel_stack) /* an application's has a save area, too */
		kva_stack_free(thread->kernel_stack,
			       thread->save_area ? SYSCALL_STACK_PAGES : KERNEL_STACK_PAGES);
	object_free(thread->save_area);
	thread->magic = 0;
	object_free(thread);
}

static void thread_release(struct deferred *deferred)
{
	struct thread *thread = container_of(deferred, struct thread, deferred);

	/* Nobody can find it any more, but the message of one who did may be under way. Pairs with
	 * the release in interrupt_arrived(). */
	if (__atomic_load_n(&thread->interrupt_sent, __ATOMIC_ACQUIRE))
		epoch_defer(&thread->deferred, thread_release);
	else
		thread_free(thread);
}

/* A new thread goes to its first core's queue. */
static void thread_start(struct thread *thread)
{
	if (thread->core == this_core)
		run_queue_push_back(thread);
	else
		parcel_send(thread->core, &thread->move_parcel);
}

/* The first function of threads that start in C. */
static void run_entry(void *argument)
{
	struct thread *thread = argument;

	thread->entry(thread->argument);
	thread_exit(0);
}

struct thread *thread_create(const char *name, core_id_t core, void (*entry)(void *),
			     void *argument)
{
	struct thread *thread = thread_new(name, core, 1ull << core);

	if (!thread)
		return NULL;
	thread->affinity_set = true;
	thread->entry = entry;
	thread->argument = argument;
	thread->kernel_stack = kva_stack_alloc(KERNEL_STACK_PAGES);
	if (!thread->kernel_stack) {
		thread_free(thread);
		return NULL;
	}
	arch_context_init(&thread->context, thread->kernel_stack, run_entry, thread, NULL);
	thread_table_add_kernel(thread);
	thread_start(thread);
	return thread;
}

/* An application thread that has a save area and a number, but no context yet. */
static struct thread *application_thread_new(const char *name, core_id_t core, uint64_t affinity)
{
	struct thread *thread = thread_new(name, core, affinity);

	if (!thread)
		return NULL;
	thread->save_area = object_alloc_zeroed(arch_save_area_size());
	if (thread->save_area && with_syscall_stacks) {
		thread->kernel_stack = kva_stack_alloc(SYSCALL_STACK_PAGES);
		thread->entry_trap = arch_call_frame(thread->kernel_stack);
	}
	if (!thread->save_area || (with_syscall_stacks && !thread->kernel_stack) ||
	    thread_table_add(thread) != 0) {
		thread_free(thread);
		return NULL;
	}
	core_load_add(core, 1);
	trace_thread_name(thread->tid, thread->name);
	return thread;
}

struct thread *thread_create_main(void (*entry)(void *), void *stack_top, void *argument)
{
	uint64_t online = online_cores_mask();
	uint64_t affinity = affinity_default & online;
	struct thread *thread;

	if (!affinity) {
		kprintf("affinity: no such core is up, using all\n");
		affinity = online;
	}
	/* Its first turn in the queue takes it where it may run. */
	thread = application_thread_new("main", this_core, affinity);
	if (!thread)
		return NULL;
	thread->affinity_set = affinity != online;
	thread->signal_mask = 0;
	thread->entry = entry;
	thread->argument = argument;
	/* It begins in the kernel. */
	arch_context_init(&thread->context, arch_isolation() ? thread->kernel_stack : stack_top,
			  run_entry, thread, thread->save_area);
	thread->context.syscall_stack = thread->kernel_stack;
	thread_start(thread);
	return thread;
}

/* What makes a thread in Linux's sense, and what it may have besides. */
#define CLONE_REQUIRED (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
#define CLONE_ALLOWED                                                                              \
	(CLONE_REQUIRED | CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |                     \
	 CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | CLONE_DETACHED | CLONE_IO)

long thread_clone(const struct syscall_frame *entry_frame, unsigned long flags, uint64_t stack,
		  int *parent_tid, int *child_tid, uint64_t thread_pointer)
{
	uint64_t affinity = __atomic_load_n(&current->affinity, __ATOMIC_RELAXED);
	struct thread *thread;
	long tid;

	if ((flags & CLONE_REQUIRED) != CLONE_REQUIRED)
		return -ENOSYS;
	if ((flags & ~(unsigned long)CLONE_ALLOWED) || !stack)
		return -EINVAL;
	thread = application_thread_new(current->name, core_choose(affinity, this_core), affinity);
	if (!thread)
		return -EAGAIN;
	thread->affinity_set = current->affinity_set;
	thread->signal_mask = current->signal_mask;
	if (!(flags & CLONE_SETTLS))
		thread_pointer = current->context.thread_pointer;
	arch_context_init_clone(&thread->context, entry_frame, stack, thread_pointer,
				thread->save_area);
	thread->context.syscall_stack = thread->kernel_stack;
	tid = thread->tid;
	/* As on Linux it is no error if one is not there. */
	if (flags & CLONE_PARENT_SETTID)
		(void)user_copy_4(parent_tid, &thread->tid);
	if (flags & CLONE_CHILD_SETTID)
		(void)user_copy_4(child_tid, &thread->tid);
	if (flags & CLONE_CHILD_CLEARTID)
		thread->clear_child_tid = child_tid;
	/* From here on it may run, and end. */
	thread_start(thread);
	return tid;
}

long thread_defer_unmap(vaddr_t address, size_t size)
{
	if (current->unmap_size)
		return -EINVAL;
	current->unmap_address = address;
	current->unmap_size = size;
	return 0;
}

/* The idle thread, after switching away from a thread for good. The thread that joins it may unmap
 * its stack as soon as the exit callback has told it; a detached one's is unmapped here. Its number is
 * gone before, so that who joined it does not find it any more. */
static void bury(struct thread *thread, core_id_t unused)
{
	unsigned left;

	(void)unused;
	left = thread_table_remove(thread);
	if (thread->tid) {
		core_load_add(thread->core, -1);
		if (left == 0)
			machine_exit(thread->exit_status & 0xff);
		if (exit_callback)
			exit_callback(thread);
		if (thread->unmap_size)
			area_unmap(thread->unmap_address, thread->unmap_size);
	}
	/* Others may still look at what thread_find() gave them. */
	epoch_defer(&thread->deferred, thread_release);
}

void thread_exit(int status)
{
	assert(current != idle_thread && current->state == THREAD_RUNNABLE);
	current->exit_status = status;
	current->state = THREAD_DEAD;
	leave_core(bury, 0);
	panic("a dead thread was continued");
}

/* ---- the idle threads, and the start of it all ---- */

static void idle_entry(void *unused)
{
	(void)unused;
	idle_loop();
}

/* How core_call() waits (smp/call.h). Before the first thread runs, it polls. */
static void *call_prepare(void)
{
	if (!current || current == idle_thread)
		return NULL;
	thread_prepare_block();
	return current;
}

static void call_block(void)
{
	while (!thread_block(UINT64_MAX))
		;
}

static void call_wake(void *thread)
{
	thread_wake(thread);
}

/* For reports of panics: any context, so nothing is believed of `current`. */
static bool name_current(int *tid, const char **name)
{
	if (!current || current->magic != THREAD_MAGIC)
		return false;
	*tid = current->tid;
	*name = current->name;
	return true;
}

/* No lock: the image is about to end, and who holds one may have been stopped. */
static bool name_stack(vaddr_t address, int *tid, const char **name)
{
	for (*tid = 1; *tid < THREAD_NUMBERS; ++*tid) {
		const struct thread *thread = thread_find(*tid);

		if (!thread ||
		    (vaddr_t)thread->kernel_stack - address - 1 >= SYSCALL_STACK_PAGES * PAGE_SIZE)
			continue;
		*name = thread->name;
		return true;
	}
	return false;
}

void sched_init(void)
{
	static const struct smp_blocking blocking = { .prepare = call_prepare,
						      .block = call_block,
						      .wake = call_wake,
						      .is_away = core_is_away };

	assert(arch_save_area_size() <= OBJECT_MAX);
	smp_set_blocking(&blocking);
	panic_set_thread_namer(name_current);
	panic_set_stack_namer(name_stack);
}

void sched_init_core(void)
{
	struct thread *thread = thread_new("idle", this_core, 1ull << this_core);
	void *stack = kva_stack_alloc(KERNEL_STACK_PAGES);

	if (!thread || !stack)
		panic("core %u: no memory for the idle thread", this_core);
	thread->kernel_stack = stack;
	arch_context_init(&thread->context, stack, idle_entry, NULL, NULL);
	idle_thread = thread;
	current = thread;
	run_queue_init();
	thread_table_add_kernel(thread);
}

void sched_run(void)
{
	struct context boot_stack = { 0 }; /* left behind */

	arch_irq_disable();
	arch_context_switch(&boot_stack, &idle_thread->context);
	panic("the boot stack was continued");
}
