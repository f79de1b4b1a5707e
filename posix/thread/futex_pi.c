/*
 * Futexes with an owner: FUTEX_LOCK_PI and its like, of which mutexes with the protocol
 * PTHREAD_PRIO_INHERIT are made.
 *
 * The word holds the owner's number. Who unlocks while others wait writes the first of them into it
 * and wakes it, so a thread that is woken owns the lock. There is one priority, so there is nothing
 * to inherit. Waiters hang in the futexes' queues with no bits, so that no other operation wakes them.
 *
 * When a thread ends, those that wait for a lock of its get that: the C library marks the word of a
 * robust mutex itself, and leaves the waking to us.
 */
#include "posix/thread/futex.h"

#include "arch/arch.h"
#include "posix/signal/signal.h"
#include "posix/user_memory.h"
#include "sched/thread.h"
#include "sched/wait_queue.h"

#include <errno.h>

struct pi_waiter {
	struct waiter waiter;
	int owner; /* for whose lock it waits; guarded by the queue's lock */
};

static unsigned waiting; /* threads, in all queues; atomic */

static bool waits_for(const struct waiter *waiter, const void *address)
{
	return waiter->key == address && !waiter->bits;
}

/* How many wait, two at most; *first is the oldest. */
static unsigned count_waiters(const struct wait_queue *queue, const void *address,
			      struct waiter **first)
{
	unsigned count = 0;

	list_for_each(link, &queue->waiters) {
		struct waiter *waiter = list_entry(link, struct waiter, link);

		if (!waits_for(waiter, address))
			continue;
		if (count++)
			break;
		*first = waiter;
	}
	return count;
}

/* All accesses are sequentially consistent, as Linux promises: the application's own are atomic
 * exchanges of the same word. 0: exchanged; -EAGAIN: *value is what it holds; -EFAULT. */
static long exchange(uint32_t *address, uint32_t *value, uint32_t desired)
{
	uint32_t expected = *value;

	if (user_compare_exchange(address, expected, desired, value))
		return -EFAULT;
	return *value == expected ? 0 : -EAGAIN;
}

/* The queue is locked. 0: it is ours; -EAGAIN: it has an owner (*owner_found), and is marked as waited
 * for if `wait`. */
static long take(struct wait_queue *queue, uint32_t *address, bool wait, int *owner_found)
{
	uint32_t self = (uint32_t)current->tid, value;
	struct waiter *first;
	long result;

	if (!user_copy_4(&value, address))
		return -EFAULT;
	for (;;) {
		uint32_t owner = value & FUTEX_TID_MASK;

		if (owner == self)
			return -EDEADLK;
		if (!owner) {
			uint32_t desired = self | (value & FUTEX_OWNER_DIED);

			if (count_waiters(queue, address, &first))
				desired |= FUTEX_WAITERS;
			result = exchange(address, &value, desired);
			if (result != -EAGAIN)
				return result;
			continue;
		}
		if (!thread_find((int)owner))
			return -ESRCH;
		*owner_found = (int)owner;
		if (!wait || value & FUTEX_WAITERS)
			return -EAGAIN;
		result = exchange(address, &value, value | FUTEX_WAITERS);
		if (result != -EAGAIN)
			return result ? result : -EAGAIN;
	}
}

/* A thread that ends loses its number before its locks are passed on. */
#define OWNER_LOOKS 10

static long try_to_lock(uint32_t *address, uint64_t deadline_ns, unsigned *looks)
{
	struct wait_queue *queue = futex_queue(address);
	struct pi_waiter waiter = { .waiter = { .key = address } };
	bool woken;
	long result;

	wait_queue_lock(queue);
	result = take(queue, address, true, &waiter.owner);
	if (result == -EAGAIN) {
		/* Before the queue is unlocked. Pairs with the load in futex_pi_thread_ended(). */
		__atomic_fetch_add(&waiting, 1, __ATOMIC_SEQ_CST);
		woken = wait_queue_wait_interruptible(queue, &waiter.waiter, deadline_ns);
		__atomic_fetch_sub(&waiting, 1, __ATOMIC_RELAXED);
		if (woken)
			return 0; /* the word names us */
		return thread_signal_ready(current) ? -EINTR : -ETIMEDOUT;
	}
	wait_queue_unlock(queue);
	if (result == -ESRCH && ++*looks < OWNER_LOOKS) {
		thread_prepare_block();
		thread_block(clock_ns() + NS_PER_MS);
		return -EAGAIN;
	}
	return result;
}

long futex_lock_pi(uint32_t *address, uint64_t deadline_ns)
{
	unsigned looks = 0;
	long result;

	/* It goes on after every handler, as on Linux. */
	do
		result = try_to_lock(address, deadline_ns, &looks);
	while (result == -EAGAIN || (result == -EINTR && signal_always_restarts()));
	return result;
}

long futex_trylock_pi(uint32_t *address)
{
	struct wait_queue *queue = futex_queue(address);
	long result;
	int owner;

	wait_queue_lock(queue);
	result = take(queue, address, false, &owner);
	wait_queue_unlock(queue);
	return result;
}

/* Those that wait for `address` wait for another owner from now on. */
static void change_owner(struct wait_queue *queue, const void *address, int owner)
{
	list_for_each(link, &queue->waiters) {
		struct waiter *waiter = list_entry(link, struct waiter, link);

		if (waits_for(waiter, address))
			container_of(waiter, struct pi_waiter, waiter)->owner = owner;
	}
}

/* The queue is locked; `value` is what the word holds. Who waited longest gets the lock. 0 or -EFAULT. */
static long pass_on(struct wait_queue *queue, uint32_t *address, uint32_t value, uint32_t mark)
{
	struct waiter *first = NULL;
	unsigned count = count_waiters(queue, address, &first);
	uint32_t desired = mark;
	int owner = count ? first->thread->tid : 0;
	long result;

	if (count)
		desired |= (uint32_t)owner | (count > 1 ? FUTEX_WAITERS : 0);
	/* It fails when the application writes into a lock that it does not own. */
	result = exchange(address, &value, desired);
	if (result || !count)
		return result == -EAGAIN ? 0 : result;
	wait_queue_wake_locked(queue, 1, waits_for, address);
	change_owner(queue, address, owner);
	return 0;
}

long futex_unlock_pi(uint32_t *address)
{
	struct wait_queue *queue = futex_queue(address);
	long result = -EFAULT;
	uint32_t value;

	wait_queue_lock(queue);
	if (user_copy_4(&value, address)) {
		result = -EPERM;
		if ((value & FUTEX_TID_MASK) == (uint32_t)current->tid)
			result = pass_on(queue, address, value, 0);
	}
	wait_queue_unlock(queue);
	return result;
}

/* The queue is locked. The owner has ended: its lock goes to who waits, or stands marked. */
static void owner_died(struct wait_queue *queue, uint32_t *address, int tid)
{
	uint32_t value, owner;
	long result;

	if (!user_copy_4(&value, address))
		return;
	owner = value & FUTEX_TID_MASK;
	if (!owner || owner == (uint32_t)tid) {
		pass_on(queue, address, value, FUTEX_OWNER_DIED);
		return;
	}
	/* The C library marked it, and somebody who did not ask us was faster than those who wait. */
	do
		result = exchange(address, &value, value | FUTEX_WAITERS);
	while (result == -EAGAIN);
	change_owner(queue, address, (int)(value & FUTEX_TID_MASK));
}

void futex_pi_owner_died(uint32_t *address, int tid)
{
	struct wait_queue *queue = futex_queue(address);
	uint32_t value;

	wait_queue_lock(queue);
	if (user_copy_4(&value, address) && (value & FUTEX_TID_MASK) == (uint32_t)tid)
		owner_died(queue, address, tid);
	wait_queue_unlock(queue);
}

/* One that waits for a thread that has ended, or NULL. */
static struct waiter *find_orphan(const struct wait_queue *queue, int tid)
{
	list_for_each(link, &queue->waiters) {
		struct waiter *waiter = list_entry(link, struct waiter, link);

		if (!waiter->bits && container_of(waiter, struct pi_waiter, waiter)->owner == tid)
			return waiter;
	}
	return NULL;
}

static void help_orphans(struct wait_queue *queue, void *tid)
{
	struct waiter *waiter;

	wait_queue_lock(queue);
	while ((waiter = find_orphan(queue, *(int *)tid))) {
		uint32_t *address = (uint32_t *)waiter->key;

		change_owner(queue, address, 0); /* each lock once, whatever comes of it */
		owner_died(queue, address, *(int *)tid);
	}
	wait_queue_unlock(queue);
}

void futex_pi_thread_ended(int tid)
{
	if (unlikely(__atomic_load_n(&waiting, __ATOMIC_SEQ_CST)))
		futex_for_each_queue(help_orphans, &tid);
}
