/*
 * Blocking, waking and yielding.
 *
 * A blocked thread stays on the processor for as long as nobody else wants it: it polls for
 * the core on its own stack, and halts the core there. Only when another thread becomes runnable
 * is there a switch.
 */
#include "sched/run_queue.h"

#include "lavra/console.h"
#include "lavra/trace.h"

void thread_prepare_block(void)
{
	current->woken = false;
}

/* Owning core. */
static void make_runnable(struct thread *thread)
{
	timer_stop(&thread->timer);
	thread->state = THREAD_RUNNABLE;
	if (thread != current)
		run_queue_push_back(thread);
}

static void timeout_expired(struct timer *timer)
{
	make_runnable(container_of(timer, struct thread, timer));
}

bool thread_block(uint64_t deadline_ns)
{
	struct thread *thread = current;
	bool polled = thread->has_polled;

	assert(thread != idle_thread && thread->state == THREAD_RUNNABLE);
	thread->has_polled = false;
	if (thread->woken)
		return true;
	thread->state = THREAD_BLOCKED;
	if (deadline_ns != UINT64_MAX)
		timer_start(&thread->timer, deadline_ns);
	while (thread->state == THREAD_BLOCKED) {
		bool worked = false;
		struct thread *next;

		if (turns_left == 0 && !polled) {
			worked = core_poll();
			if (thread->state != THREAD_BLOCKED)
				break;
		}
		polled = false;
		next = run_queue_next();
		if (next) {
			if (turns_left)
				turns_left--;
			tick_arm();
			switch_to(next);
		} else if (turns_left) {
			turns_left = 0;
		} else if (!worked) {
			idle_wait();
		}
	}
	thread_obey_affinity();
	tick_arm();
	return thread->woken;
}

/* Owning core. The thread may have timed out and be runnable already: then it finds `woken` when it
 * looks whether it was taken out of the wait structure. */
static void wake_here(struct thread *thread)
{
	assert(thread->magic == THREAD_MAGIC);
	TRACE(TRACE_WAKE, thread->tid, 0);
	thread->woken = true;
	if (thread->state == THREAD_BLOCKED)
		make_runnable(thread);
}

/* The wake-up arrived on a core where the thread was. If it has moved, this core knows where to:
 * each core on its way wrote `core` before it let the thread go. */
static void wake_arrived(struct parcel *parcel)
{
	struct thread *thread = container_of(parcel, struct thread, wake_parcel);
	core_id_t core = __atomic_load_n(&thread->core, __ATOMIC_RELAXED);

	if (core == this_core)
		wake_here(thread);
	else
		parcel_send(core, parcel);
}

void thread_wake(struct thread *thread)
{
	/* Ordered by the wait structure: the waiter wrote it before it let itself be found. */
	core_id_t core = __atomic_load_n(&thread->core, __ATOMIC_RELAXED);

	if (core == this_core)
		wake_here(thread);
	else
		parcel_send(core, &thread->wake_parcel);
}

/* ---- signals ---- */

bool thread_block_interruptible(uint64_t deadline_ns)
{
	struct thread *thread = current;
	bool woken = thread->woken;

	/* The message about a signal that is delivered already may come late: not the end then. */
	while (!woken && !thread_signal_ready(thread)) {
		thread->interrupted = false;
		thread->interruptible = true;
		woken = thread_block(deadline_ns);
		thread->interruptible = false;
		if (!thread->interrupted)
			break;
	}
	return woken;
}

/* Owning core. As a timeout: `woken` stays false, and the thread takes itself out of the wait
 * structure. One that is not blocked looks at its signals before it blocks the next time. */
static void interrupt_here(struct thread *thread)
{
	if (thread->state != THREAD_BLOCKED || !thread->interruptible)
		return;
	thread->interrupted = true;
	make_runnable(thread);
}

static void interrupt_arrived(struct parcel *parcel)
{
	struct thread *thread = container_of(parcel, struct thread, interrupt_parcel);
	core_id_t core = __atomic_load_n(&thread->core, __ATOMIC_RELAXED);

	if (core != this_core) {
		parcel_send(core, parcel);
		return;
	}
	if (thread->state == THREAD_DEAD) {
		/* The last use of it: pairs with the acquire in thread_release(). */
		__atomic_store_n(&thread->interrupt_sent, false, __ATOMIC_RELEASE);
		return;
	}
	/* Acquire: who finds it set does not send, and its signal's bit is seen from here on. */
	(void)__atomic_exchange_n(&thread->interrupt_sent, false, __ATOMIC_ACQ_REL);
	interrupt_here(thread);
}

void thread_interrupt(struct thread *thread)
{
	core_id_t core = __atomic_load_n(&thread->core, __ATOMIC_RELAXED);

	if (core == this_core) {
		interrupt_here(thread);
	} else if (!__atomic_exchange_n(&thread->interrupt_sent, true, __ATOMIC_ACQ_REL)) {
		parcel_send(core, &thread->interrupt_parcel);
		/* Application code that runs there is interrupted at once: it may never call us. */
		arch_send_ipi(core);
	}
}

void thread_blocking_init(struct thread *thread)
{
	timer_init(&thread->timer, timeout_expired);
	parcel_init(&thread->wake_parcel, wake_arrived);
	parcel_init(&thread->move_parcel, thread_arrived);
	parcel_init(&thread->interrupt_parcel, interrupt_arrived);
}

void thread_yield(void)
{
	struct thread *next;

	core_poll();
	next = run_queue_next();
	if (next) {
		run_queue_push_back(current);
		tick_arm();
		switch_to(next);
	}
	thread_obey_affinity();
	tick_arm();
}
