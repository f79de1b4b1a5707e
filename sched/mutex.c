/*
 * Those who wait for a mutex wait in one of a few queues, by its address, so that a mutex is one word.
 */
#include "sched/mutex.h"

#include "sched/wait_queue.h"

#define QUEUE(i)                                                                                   \
	{                                                                                          \
		.lock = CK_SPINLOCK_INITIALIZER, .waiters = LIST_INIT(queues[i].waiters)           \
	}

static struct wait_queue queues[] = { QUEUE(0), QUEUE(1), QUEUE(2), QUEUE(3),
				      QUEUE(4), QUEUE(5), QUEUE(6), QUEUE(7) };

static struct wait_queue *queue_of(const struct mutex *mutex)
{
	return &queues[(uintptr_t)mutex / CACHE_LINE % array_size(queues)];
}

void mutex_lock_slowly(struct mutex *mutex)
{
	struct wait_queue *queue = queue_of(mutex);

	for (;;) {
		struct waiter waiter = { .key = mutex };

		wait_queue_lock(queue);
		/* With the queue locked: who unlocks from here on finds the waiter. Whoever has
		 * waited leaves the mark, since others may wait still. */
		if (__atomic_exchange_n(&mutex->state, MUTEX_AWAITED, __ATOMIC_ACQUIRE) ==
		    MUTEX_FREE)
			break;
		wait_queue_wait(queue, &waiter, UINT64_MAX);
	}
	wait_queue_unlock(queue);
}

static bool waits_for(const struct waiter *waiter, const void *mutex)
{
	return waiter->key == mutex;
}

void mutex_wake(struct mutex *mutex)
{
	struct wait_queue *queue = queue_of(mutex);

	wait_queue_lock(queue);
	wait_queue_wake_locked(queue, 1, waits_for, mutex);
	wait_queue_unlock(queue);
}
