/*
 * Threads, and the scheduler of each core.
 *
 * A thread belongs to one core at a time; its state changes only on that core, so the
 * run queue needs no lock. A wake-up from elsewhere travels as a message. Rules:
 *
 * - The kernel is not preemptible: between two blocking calls nothing else of this core runs.
 * - A blocked thread polls the core's work (core_poll) on its own stack while no other
 *   thread is runnable: with one thread per core there is no context switch at all.
 * - Every wait that a waker took out of a wait structure gets exactly one wake-up; a waiter
 *   that timed out but was already taken out waits for it. So no wake-up reaches a dead thread.
 * - A running thread leaves its core (migration, a changed affinity, death) only through the idle
 *   thread, which acts on it when its registers are saved and its stack is no longer in use; one that
 *   waits in the run queue is sent from there.
 * - A thread may return from any blocking call on another core than it entered on, if its
 *   affinity was changed meanwhile: what depends on the core looks at this_core again.
 */
#pragma once

#include "arch/arch.h"
#include "lavra/list.h"
#include "lavra/types.h"
#include "sched/timer.h"
#include "smp/epoch.h"
#include "smp/mailbox.h"

enum thread_state {
	THREAD_RUNNABLE, /* running, in its core's run queue, or on its way to another core */
	THREAD_BLOCKED,
	THREAD_DEAD,
};

#define THREAD_MAGIC 0x74687264u /* "thrd" */
#define THREAD_NAME_SIZE 16 /* with the terminating 0, as Linux's PR_SET_NAME */

struct thread {
	uint32_t magic;
	int tid; /* 1 and up; 0 for kernel threads */
	struct context context;
	core_id_t core; /* where it runs or waits; written on that core, read by wakers */
	enum thread_state state;
	bool woken; /* a wake-up came since thread_prepare_block() */
	bool has_polled; /* a pass in this call found nothing: thread_block() begins without one */
	bool queued; /* in the run queue */
	bool affinity_set; /* narrowed by the application: then it never follows a flow */
	uint64_t affinity; /* allowed cores; any thread may write it (atomic) */
	struct list run_link;
	struct list all_link; /* thread_table.c; guarded by its lock */
	struct timer timer; /* its timeout */
	struct parcel wake_parcel; /* carries its wake-up to the core where it waits */
	struct parcel move_parcel; /* carries the thread to another core; both may be on the way */
	char name[THREAD_NAME_SIZE];
	void (*entry)(void *); /* of kernel threads and the main thread */
	void *argument;
	/* Linux's view */
	int *clear_child_tid; /* set_tid_address, CLONE_CHILD_CLEARTID */
	void *robust_list;
	uint64_t signal_mask; /* blocked signals; written by the thread itself */
	uint64_t signal_pending; /* sent to it and not yet delivered; atomic, any thread sets bits */
	uint64_t signal_awaited; /* sigtimedwait() takes them instead of their action */
	uint64_t signal_saved_mask; /* for after the next handler, if signal_mask_saved */
	bool signal_mask_saved;
	uint8_t signals_held; /* handlers wait: so many calls of several steps are under way */
	uint8_t
	    call_restarts; /* what becomes of the call that a signal ended (posix/signal/signal.h) */
	struct list signal_queue; /* what came with the pending ones (posix/signal/signal_queue.c) */
	vaddr_t signal_stack; /* sigaltstack(): where it begins, */
	size_t signal_stack_size; /* 0: none */
	int signal_stack_flags;
	struct syscall_frame *entry_frame; /* of a call from registers; NULL in a handler */
	/* Of a call by the syscall instruction, else NULL; with isolation, of any call, or the last one. */
	struct trap_frame *entry_trap;
	int exit_status;
	uint64_t cpu_ns; /* time run, up to the last switch */
	uint64_t queued_ns; /* when it came into the run queue */
	void *save_area; /* arch_save_area_size() bytes; application threads */
	/* Top of the stack of kernel threads, and of that for `syscall` instructions of application
	 * threads; NULL: none. */
	void *kernel_stack;
	vaddr_t unmap_address; /* thread_defer_unmap() */
	size_t unmap_size;
	struct deferred deferred;
	bool interruptible; /* blocked where a signal may end the wait */
	bool interrupted; /* a signal ended it; owning core, as `interruptible` */
	bool interrupt_sent; /* the parcel is under way; atomic */
	struct parcel interrupt_parcel; /* takes the news of a signal to the thread's core */
};

extern CORE_LOCAL struct thread *current;

/* Sent to the process: any thread that does not block them takes them. Atomic. */
extern uint64_t process_signal_pending;

/* A signal waits that the thread takes: its next chance to block returns at once. */
static inline bool thread_signal_ready(const struct thread *thread)
{
	/* Relaxed: who set the bit tells the thread by a message, or is the thread. */
	return (__atomic_load_n(&thread->signal_pending, __ATOMIC_RELAXED) |
		__atomic_load_n(&process_signal_pending, __ATOMIC_RELAXED)) &
	       ~thread->signal_mask;
}

/* Set by interrupt handlers of this core to say that a poll is due: then application code is
 * preempted for it, and the core does not halt. core_poll() clears it before it looks. */
extern CORE_LOCAL volatile bool poll_wanted;

void sched_init(void); /* boot core, after smp windows exist, before the others start */
void sched_init_core(void); /* every core; makes its idle thread, which `current` then is */

/* Run this core's threads for ever, on its idle thread's stack. */
void sched_run(void) __attribute__((noreturn));

/* A kernel thread with a guarded stack of its own, runnable on `core`. NULL if memory is out.
 * It ends when `entry` returns. Any core, kernel context. */
struct thread *thread_create(const char *name, core_id_t core, void (*entry)(void *),
			     void *argument);

/* The application's first thread (tid 1) on this core: runs entry(argument), with isolation on its kernel
 * stack, otherwise on the application stack that ends at `stack_top` (16-byte aligned). NULL if memory is
 * out. */
struct thread *thread_create_main(void (*entry)(void *), void *stack_top, void *argument);

/* Application threads made from now on get a stack for the `syscall` instruction. Before the first
 * is made. */
void thread_use_syscall_stacks(void);

/* An application thread for clone(): flags as Linux's; placed on the least loaded allowed core.
 * Returns its tid; -ENOSYS for what is not a thread of this address space (fork), -EINVAL,
 * -EAGAIN when memory or thread numbers (32,767) are out. */
long thread_clone(const struct syscall_frame *entry_frame, unsigned long flags, uint64_t stack,
		  int *parent_tid, int *child_tid, uint64_t thread_pointer);

/* End the current thread; the last application thread ends the image with its status. What
 * remains is done by the idle thread, off the dead thread's stack: the deferred unmapping, the
 * exit callback, release of memory. */
void thread_exit(int status) __attribute__((noreturn));

/* posix/ registers what Linux does at a thread's end (robust list, clear_child_tid): called on the
 * idle thread, must not block. Boot core. */
void thread_set_exit_callback(void (*callback)(struct thread *dead));

/* munmap() of the current thread's own stack by a thread that is about to exit: done after its
 * last instruction. 0, or -EINVAL if one is deferred already. */
long thread_defer_unmap(vaddr_t address, size_t size);

#define THREAD_NUMBERS 32768 /* Linux's default limit, too */
struct thread *thread_find(int tid); /* any core; valid until the next safe point */
unsigned thread_count(void); /* application threads alive */
/* Time that the thread has run, the present turn included; a snapshot for other cores' threads. */
uint64_t thread_cpu_ns(const struct thread *thread);
/* Call `visit` for every thread, kernel threads too, under the table's lock: it must not block. */
void thread_for_each(void (*visit)(struct thread *thread, void *argument), void *argument);

/*
 * Blocking. Thread context, owning core:
 *	thread_prepare_block();
 *	... put the thread where a waker finds it ...
 *	woken = thread_block(deadline_ns);
 * Returns true if woken, false when clock_ns() reached the deadline (UINT64_MAX: none). After a
 * false return it may be called again without preparing, to wait on.
 */
void thread_prepare_block(void);
bool thread_block(uint64_t deadline_ns);

/* The same, but a signal ends it as the deadline does: false with thread_signal_ready(). */
bool thread_block_interruptible(uint64_t deadline_ns);

/* The thread's signal_pending has a new bit: end its interruptible block, if it is in one. Any core;
 * what thread_find() gave will do. */
void thread_interrupt(struct thread *thread);

/* Wake a thread that prepared to block. Any core; kernel context or timer callback. */
void thread_wake(struct thread *thread);

/* Let other threads of this core run; polls. */
void thread_yield(void);

/* Move the current thread to `core` (online) and return there, or, if its affinity does not allow that
 * core (any more), on one that it allows. */
void thread_migrate(core_id_t core);

/* Linux's sched_setaffinity for any thread; tid 0: the current one. A running or runnable thread
 * moves at its core's next look, a blocked one when it wakes.
 * 0, -EINVAL (no online core in the mask), -ESRCH. */
int thread_set_affinity(int tid, uint64_t mask);
/* The allowed cores that are online, or 0 if there is no such thread. */
uint64_t thread_affinity(int tid);

/*
 * One pass over this core's work: mailbox, expired timers, pollers (the network). Returns true if
 * something was done. Owning core, thread or idle context; inside itself it does nothing (so what a
 * poller calls may poll, but it must not block).
 */
bool core_poll(void);

/* What a core does that has no work: halt until it is interrupted, look on and on, or look on for as long as
 * that pays. The boot option `idle=` says what all do at first. Any core, thread context. */
enum idle_mode { IDLE_HALT, IDLE_POLL, IDLE_ADAPTIVE };
enum idle_mode core_idle_mode(core_id_t core);
void core_set_idle_mode(core_id_t core, enum idle_mode mode);

/* Has `core` not looked at its work for a while, without being asleep? Then it runs application code,
 * and would look at the next message when this core sees to that (sched/hurry.c), or at its tick: who
 * does not want to wait for that asks before posting and interrupts it afterwards (arch_send_ipi). True
 * once for each time that it is away. A hint. Any core, kernel context. */
bool core_is_away(core_id_t core);

/* Application code runs on this core that has not called the kernel for a while: what is sent is told to
 * the device at once, since nobody knows when the next pass comes. */
extern CORE_LOCAL bool core_computes;

/* Add a source of work. `poll` returns true if it did something. `prepare_sleep` enables the source's
 * interrupt and returns false if work is waiting after all (then the core does not halt); `awake`
 * disables it again, and follows every prepare_sleep. Both may be NULL. prepare_sleep runs with
 * interrupts off. Boot core, before the others start, or later, by one core at a time, if it has no
 * `awake`; called on every core. */
struct poller {
	bool (*poll)(uint64_t now_ns); /* when the pass began */
	bool (*prepare_sleep)(void);
	void (*awake)(void);
	/* CORE_LOCAL: when it must be polled at the latest. NULL: whenever that is. */
	const uint64_t *deadline_ns;
	struct poller *next;
};
void core_add_poller(struct poller *poller);
