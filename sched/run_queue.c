/*
 * The run queue of a core, first in first out, and the switch between threads.
 */
#include "sched/run_queue.h"

#include "lavra/console.h"
#include "lavra/counters.h"
#include "lavra/trace.h"

CORE_LOCAL struct thread *current;
CORE_LOCAL struct thread *idle_thread;
CORE_LOCAL unsigned turns_left;
CORE_LOCAL volatile bool turn_over;

static CORE_LOCAL unsigned length;
static CORE_LOCAL uint64_t running_since_ns;

/* What the idle thread does to the thread that left (leave_core()). */
static CORE_LOCAL struct thread *leaver;
static CORE_LOCAL void (*leaver_act)(struct thread *thread, core_id_t argument);
static CORE_LOCAL core_id_t leaver_argument;

/* The queue is a ring through the threads; its head is the idle thread's link, because the head
 * needs an address that is the same on all cores: other threads point to it. */
static inline struct list *queue(void)
{
	return &idle_thread->run_link;
}

void run_queue_init(void)
{
	list_init(queue());
	length = 0;
}

unsigned run_queue_length(void)
{
	return length;
}

static void check_queueable(const struct thread *thread)
{
	assert(thread->magic == THREAD_MAGIC);
	assert(thread->state == THREAD_RUNNABLE && !thread->queued && thread != idle_thread);
	assert_on_core(thread->core);
}

/* The clock as it was read last, by a pass or a switch: near enough. */
static void note_queued(struct thread *thread)
{
	thread->queued = true;
	thread->queued_ns = max(poll_ns, running_since_ns);
}

void run_queue_push_back(struct thread *thread)
{
	check_queueable(thread);
	list_push_back(queue(), &thread->run_link);
	note_queued(thread);
	length++;
}

void run_queue_push_front(struct thread *thread)
{
	check_queueable(thread);
	list_push_front(queue(), &thread->run_link);
	note_queued(thread);
	length++;
}

void run_queue_remove(struct thread *thread)
{
	assert(thread->queued);
	list_remove(&thread->run_link);
	thread->queued = false;
	length--;
}

struct thread *run_queue_next(void)
{
	while (length) {
		struct thread *thread = list_first(queue(), struct thread, run_link);

		run_queue_remove(thread);
		if (likely(thread_may_run_on(thread, this_core)))
			return thread;
		thread_send(thread, core_choose(thread->affinity, this_core));
	}
	return NULL;
}

void account_switch(struct thread *previous)
{
	uint64_t now = clock_ns();

	previous->cpu_ns += now - running_since_ns;
	running_since_ns = now;
	turn_over = false;
}

void account_idle(uint64_t idle_ns)
{
	running_since_ns += idle_ns;
}

uint64_t thread_cpu_ns(const struct thread *thread)
{
	uint64_t ns = __atomic_load_n(&thread->cpu_ns, __ATOMIC_RELAXED);

	return thread == current ? ns + clock_ns() - running_since_ns : ns;
}

void switch_to(struct thread *next)
{
	struct thread *previous = current;
	unsigned long interrupts;

	assert(next->magic == THREAD_MAGIC && next->core == this_core);
	counters.context_switches++;
	TRACE(TRACE_SWITCH, next->tid, 0);
	account_switch(previous);
	if (next != idle_thread)
		counters.run_queue_ns += running_since_ns - min(running_since_ns, next->queued_ns);
	/* No interrupt may see `current` and the registers disagree. */
	interrupts = arch_irq_save();
	current = next;
	arch_context_switch(&previous->context, &next->context);
	arch_irq_restore(interrupts);
}

void leave_core(void (*act)(struct thread *, core_id_t), core_id_t argument)
{
	assert(current != idle_thread && !leaver);
	leaver = current;
	leaver_act = act;
	leaver_argument = argument;
	switch_to(idle_thread);
}

void idle_loop(void)
{
	for (;;) {
		struct thread *next;
		bool worked;

		if (leaver) {
			struct thread *left = leaver;

			leaver = NULL;
			leaver_act(left, leaver_argument);
		}
		worked = core_poll();
		/* Who knows when the next pass comes? What this one has sent leaves with it. */
		if (worked && core_is_uncalled())
			worked = core_poll();
		next = run_queue_next();
		if (next) {
			tick_arm();
			if (next->context.preempted)
				core_watch(worked);
			switch_to(next);
			arch_irq_enable();
		} else if (!worked) {
			idle_wait();
		}
	}
}

/* ---- preemption: called by the interrupt exit path (arch/arch.h) ---- */

bool sched_should_preempt(void)
{
	/* Other runnable threads wait for the tick, which wants a poll too. */
	return poll_wanted || !mailbox_is_empty();
}

struct context *current_context(void)
{
	return &current->context;
}

void *sched_core_stack(void)
{
	/* Only application code is preempted, so the idle thread is not running, and it was last
	 * switched away from in idle_loop(), which keeps nothing on its stack from pass to pass. */
	return idle_thread->kernel_stack;
}

void sched_preempted(void)
{
	struct thread *thread = current;
	bool its_turn_is_over = turn_over;

	counters.preemptions++;
	TRACE(TRACE_SWITCH, 0, 0);
	account_switch(thread);
	current = idle_thread;
	if (its_turn_is_over)
		run_queue_push_back(thread);
	else
		run_queue_push_front(thread);
	arch_irq_enable();
	idle_loop();
}
