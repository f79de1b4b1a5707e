/*
 * Inside sched/: a core's run queue, the switch from thread to thread, and the idle thread.
 *
 * All of it is of the owning core alone; nothing here is called from outside the folder.
 */
#pragma once

#include "sched/thread.h"

#include "smp/core.h"

/* This core's idle thread: never blocked, never in the queue, runs when nothing else does. */
extern CORE_LOCAL struct thread *idle_thread;

/* How many threads of the queue may still run before the next poll: those that were runnable at
 * the last one, so that the work of one poll is done as one batch. */
extern CORE_LOCAL unsigned turns_left;

/* The tick interrupted this thread's turn since it began. */
extern CORE_LOCAL volatile bool turn_over;

void run_queue_init(void);
unsigned run_queue_length(void);
void run_queue_push_back(struct thread *thread);
void run_queue_push_front(struct thread *thread);
void run_queue_remove(struct thread *thread);

/* Take out the next thread to run, or NULL. Threads that may no longer run on this core are sent
 * to one where they may. */
struct thread *run_queue_next(void);

/* Continue `next`; returns when somebody continues the present thread, maybe on another core. */
void switch_to(struct thread *next);
/* Charge the time since the last switch to `previous`. */
void account_switch(struct thread *previous);
/* Time halted is nobody's. */
void account_idle(uint64_t idle_ns);

/* Leave this core for good: the idle thread calls act(thread, argument) once our state is saved.
 * Returns when (if) the thread is continued. */
void leave_core(void (*act)(struct thread *thread, core_id_t argument), core_id_t argument);

/* Send a thread that is neither running nor queued, and whose state is saved, to `core`. */
void thread_send(struct thread *thread, core_id_t core);
/* Its parcel's handler: it arrived. */
void thread_arrived(struct parcel *parcel);

static inline bool thread_may_run_on(const struct thread *thread, core_id_t core)
{
	return __atomic_load_n(&thread->affinity, __ATOMIC_RELAXED) >> core & 1;
}

/* The core of `mask` (at least one online) with the fewest application threads; of equals the next
 * one after `after`. */
core_id_t core_choose(uint64_t mask, core_id_t after);
/* Account an application thread to a core (or away from one). Any core. */
void core_load_add(core_id_t core, int delta);
/* If the current thread may not run here, move it where it may. */
void thread_obey_affinity(void);

/* Halt until an interrupt, unless there is work after all. */
void idle_wait(void);
/* No thread has called the kernel, so as to make a pass, for long. */
bool core_is_uncalled(void);
/* A preempted application is about to continue after a pass that `worked`: if it has not called the
 * kernel for long, work interrupts it from now on. Interrupts may be off afterwards. */
void core_watch(bool worked);

/* hurry.c: a pass begins, at poll_ns. */
void hurry_addressees(void);
/* The core is about to halt: when it must look again at those it has sent something (UINT64_MAX: never). */
uint64_t hurry_next(void);
/* The cores that are waited for. */
extern CORE_LOCAL uint64_t addressees;
/* The idle thread's life, from the top of its stack. */
void idle_loop(void) __attribute__((noreturn));

/* The timer hardware (tick.c): application code is about to run, interrupt it in time. */
void tick_arm(void);
/* ... after the pass at poll_ns by so much at the latest. */
void tick_within(uint64_t ns);
/* The core is about to halt (interrupts off), until `wake_ns` at the latest (UINT64_MAX: for ever). */
void tick_idle_enter(uint64_t wake_ns);
void tick_idle_leave(void);
/* When something on this core is due next: a timer, or a poller's work. UINT64_MAX: nothing is. */
uint64_t core_next_deadline(void);

/* The clock as core_poll() read it last. */
extern CORE_LOCAL uint64_t poll_ns;

/* Prepare a new thread's timer and parcels (block.c). */
void thread_blocking_init(struct thread *thread);

/* thread_table.c */
void thread_table_init(void);
int thread_table_add(struct thread *thread); /* application thread: gets a tid; 0 or -EAGAIN */
void thread_table_add_kernel(struct thread *thread); /* listed, without a tid */
/* Returns how many application threads are left. */
unsigned thread_table_remove(struct thread *thread);
