/*
 * Waiting under a spinlock.
 *
 * Whoever takes a waiter out of its queue wakes its thread, once. A waiter whose deadline passed
 * takes itself out, unless a waker was faster: then it waits for that wake-up, which is on its
 * way, because afterwards its stack frame (and the thread) may be gone.
 */
#include "sched/wait_queue.h"

#include "lavra/console.h"
#include "sched/thread.h"

void wait_queue_init(struct wait_queue *queue)
{
	ck_spinlock_init(&queue->lock);
	list_init(&queue->waiters);
}

void wait_queue_lock(struct wait_queue *queue)
{
	ck_spinlock_lock(&queue->lock);
}

void wait_queue_unlock(struct wait_queue *queue)
{
	ck_spinlock_unlock(&queue->lock);
}

void wait_queue_lock_two(struct wait_queue *a, struct wait_queue *b)
{
	wait_queue_lock(a < b ? a : b);
	if (a != b)
		wait_queue_lock(a < b ? b : a);
}

void wait_queue_unlock_two(struct wait_queue *a, struct wait_queue *b)
{
	wait_queue_unlock(a);
	if (a != b)
		wait_queue_unlock(b);
}

/* Lock the queue that the waiter is in at that moment, or was in last. */
static struct wait_queue *lock_queue_of(struct waiter *waiter)
{
	for (;;) {
		/* Pairs with the store in wait_queue_move(); the lock makes sure of it. */
		struct wait_queue *queue = __atomic_load_n(&waiter->queue, __ATOMIC_RELAXED);

		wait_queue_lock(queue);
		if (queue == __atomic_load_n(&waiter->queue, __ATOMIC_RELAXED))
			return queue;
		wait_queue_unlock(queue);
	}
}

static inline bool wait(struct wait_queue *queue, struct waiter *waiter, uint64_t deadline_ns,
			bool (*block)(uint64_t deadline_ns))
{
	bool timed_out;

	waiter->thread = current;
	waiter->queue = queue;
	waiter->queued = true;
	list_push_back(&queue->waiters, &waiter->link);
	thread_prepare_block();
	wait_queue_unlock(queue);

	if (block(deadline_ns))
		return true;

	queue = lock_queue_of(waiter);
	timed_out = waiter->queued;
	if (timed_out) {
		list_remove(&waiter->link);
		waiter->queued = false;
	}
	wait_queue_unlock(queue);
	if (timed_out)
		return false;
	while (!thread_block(UINT64_MAX))
		;
	return true;
}

bool wait_queue_wait(struct wait_queue *queue, struct waiter *waiter, uint64_t deadline_ns)
{
	return wait(queue, waiter, deadline_ns, thread_block);
}

bool wait_queue_wait_interruptible(struct wait_queue *queue, struct waiter *waiter,
				   uint64_t deadline_ns)
{
	return wait(queue, waiter, deadline_ns, thread_block_interruptible);
}

unsigned wait_queue_wake_locked(struct wait_queue *queue, unsigned count,
				bool (*match)(const struct waiter *, const void *),
				const void *argument)
{
	unsigned woken = 0;

	list_for_each_safe(link, &queue->waiters) {
		struct waiter *waiter = list_entry(link, struct waiter, link);
		struct thread *thread = waiter->thread;

		if (woken == count)
			break;
		if (match && !match(waiter, argument))
			continue;
		list_remove(link);
		waiter->queued = false;
		woken++;
		/* The waiter's frame may be gone when this returns. */
		thread_wake(thread);
	}
	return woken;
}

unsigned wait_queue_wake(struct wait_queue *queue, unsigned count)
{
	unsigned woken;

	wait_queue_lock(queue);
	woken = wait_queue_wake_locked(queue, count, NULL, NULL);
	wait_queue_unlock(queue);
	return woken;
}

void wait_queue_move(struct waiter *waiter, struct wait_queue *to)
{
	assert(waiter->queued);
	list_remove(&waiter->link);
	list_push_back(&to->waiters, &waiter->link);
	__atomic_store_n(&waiter->queue, to, __ATOMIC_RELAXED);
}
