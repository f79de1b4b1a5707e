/*
 * futex(2).
 *
 * Waiters hang in a table of wait queues, hashed by address. The value is compared under the
 * lock of the word's queue: a waker that changes the word and then takes the lock finds every
 * waiter that saw the old value.
 */
#include "posix/thread/futex.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "posix/signal/signal.h"
#include "posix/syscall.h"
#include "posix/time/timeout.h"
#include "posix/user_memory.h"
#include "sched/thread.h"
#include "sched/wait_queue.h"

#include <errno.h>

/* Linux's include/uapi/linux/futex.h. */
enum {
	FUTEX_WAIT = 0,
	FUTEX_WAKE = 1,
	FUTEX_REQUEUE = 3,
	FUTEX_CMP_REQUEUE = 4,
	FUTEX_WAKE_OP = 5,
	FUTEX_LOCK_PI = 6,
	FUTEX_UNLOCK_PI = 7,
	FUTEX_TRYLOCK_PI = 8,
	FUTEX_WAIT_BITSET = 9,
	FUTEX_WAKE_BITSET = 10,
	FUTEX_LOCK_PI2 = 13,
	FUTEX_PRIVATE_FLAG = 128,
	FUTEX_CLOCK_REALTIME = 256,
};

#define FUTEX_BITSET_ALL 0xffffffffu

#define BUCKET_BITS 8

static struct bucket {
	struct wait_queue queue;
} CACHE_ALIGNED buckets[1 << BUCKET_BITS];

void futex_init(void)
{
	for (unsigned i = 0; i < array_size(buckets); i++)
		wait_queue_init(&buckets[i].queue);
}

struct wait_queue *futex_queue(const void *address)
{
	/* Fibonacci hashing: neighbouring words (a mutex's, a condition's) go to different queues. */
	uint64_t hash = ((uintptr_t)address >> 2) * 0x9e3779b97f4a7c15ull;

	return &buckets[hash >> (64 - BUCKET_BITS)].queue;
}

void futex_for_each_queue(void (*visit)(struct wait_queue *, void *), void *argument)
{
	for (unsigned i = 0; i < array_size(buckets); i++)
		visit(&buckets[i].queue, argument);
}

/* That the word is there is found out by looking at it. Who wakes does not: a thread may do so after the
 * one that it wakes has freed the word. */
static int check_address(const uint32_t *address)
{
	if ((uintptr_t)address % sizeof(*address))
		return -EINVAL;
	return user_range_is_bad(address, sizeof(*address)) ? -EFAULT : 0;
}

struct wanted {
	const void *key;
	uint32_t bits;
};

static bool waits_for(const struct waiter *waiter, const void *argument)
{
	const struct wanted *wanted = argument;

	return waiter->key == wanted->key && (waiter->bits & wanted->bits);
}

static unsigned wake_locked(struct wait_queue *queue, const void *address, unsigned count,
			    uint32_t bits)
{
	struct wanted wanted = { address, bits };

	return wait_queue_wake_locked(queue, count, waits_for, &wanted);
}

static unsigned wake(const void *address, unsigned count, uint32_t bits)
{
	struct wait_queue *queue = futex_queue(address);
	unsigned woken;

	wait_queue_lock(queue);
	woken = wake_locked(queue, address, count, bits);
	wait_queue_unlock(queue);
	return woken;
}

unsigned futex_wake(const void *address, unsigned count)
{
	return wake(address, count, FUTEX_BITSET_ALL);
}

static long futex_wait(const uint32_t *address, uint32_t value, uint32_t bits, uint64_t deadline_ns)
{
	struct wait_queue *queue = futex_queue(address);
	struct waiter waiter = { .key = address, .bits = bits };
	uint32_t now;
	bool there;

	wait_queue_lock(queue);
	/* Pairs with the application's atomic store before its wake: that store, then our lock by
	 * the waker; or our lock, then this load. Sequentially consistent as Linux promises. */
	there = user_copy_4(&now, address);
	if (unlikely(!there || now != value)) {
		wait_queue_unlock(queue);
		return there ? -EAGAIN : -EFAULT;
	}
	if (wait_queue_wait_interruptible(queue, &waiter, deadline_ns))
		return 0;
	return thread_signal_ready(current) ? -EINTR : -ETIMEDOUT;
}

/* A wait without a deadline goes on after the handler of a signal, if that one allows it. */
static long futex_wait_on(const uint32_t *address, uint32_t value, uint32_t bits,
			  uint64_t deadline_ns)
{
	long result;

	do
		result = futex_wait(address, value, bits, deadline_ns);
	while (result == -EINTR && signal_restarts(deadline_ns == UINT64_MAX));
	return result;
}

/* Wake `nwake` waiters of `from`, let up to `nmove` more wait for `to`. Returns how many both. */
static long futex_requeue(const uint32_t *from, const uint32_t *to, unsigned nwake, unsigned nmove,
			  const uint32_t *expected)
{
	struct wait_queue *source = futex_queue(from), *target = futex_queue(to);
	struct wanted wanted = { from, FUTEX_BITSET_ALL };
	uint32_t now;
	long count;

	wait_queue_lock_two(source, target);
	if (expected) {
		/* Sequentially consistent, as in futex_wait(). */
		bool there = user_copy_4(&now, from);

		if (!there || now != *expected) {
			wait_queue_unlock_two(source, target);
			return there ? -EAGAIN : -EFAULT;
		}
	}
	count = wake_locked(source, from, nwake, FUTEX_BITSET_ALL);
	if (from == to)
		nmove = 0;
	/* Only those that are there now: with one queue for both words the moved ones come to its
	 * end, but they wait for another word then. */
	list_for_each_safe(link, &source->waiters) {
		struct waiter *waiter = list_entry(link, struct waiter, link);

		if (!nmove)
			break;
		if (!waits_for(waiter, &wanted))
			continue;
		waiter->key = to;
		wait_queue_move(waiter, target);
		nmove--;
		count++;
	}
	wait_queue_unlock_two(source, target);
	return count;
}

/* FUTEX_WAKE_OP's encoding (futex(2)): operation and comparison, each with 12 signed bits. */
static int sign_extend_12(uint32_t bits)
{
	return (int)(bits << 20) >> 20;
}

static int changed_by(unsigned operation, uint32_t old, uint32_t operand, uint32_t *changed)
{
	switch (operation) {
	case 0:
		*changed = operand;
		return 0;
	case 1:
		*changed = old + operand;
		return 0;
	case 2:
		*changed = old | operand;
		return 0;
	case 3:
		*changed = old & ~operand;
		return 0;
	case 4:
		*changed = old ^ operand;
		return 0;
	}
	return -ENOSYS;
}

/* What the word was before, in *old. */
static int change(uint32_t *address, unsigned operation, uint32_t operand, uint32_t *old)
{
	uint32_t expected, desired;

	if (!user_copy_4(&expected, address))
		return -EFAULT;
	for (;;) {
		int error = changed_by(operation, expected, operand, &desired);

		if (error)
			return error;
		/* Sequentially consistent: the application's own atomics on the word are, too. */
		if (user_compare_exchange(address, expected, desired, old))
			return -EFAULT;
		if (*old == expected)
			return 0;
		expected = *old;
	}
}

static int operate(uint32_t *address, uint32_t encoded, bool *holds)
{
	unsigned operation = encoded >> 28 & 7, comparison = encoded >> 24 & 15;
	int argument = sign_extend_12(encoded >> 12), right = sign_extend_12(encoded);
	uint32_t operand = (uint32_t)argument, old;
	int left, error;

	if (encoded >> 31) { /* FUTEX_OP_OPARG_SHIFT */
		if (argument < 0 || argument > 31)
			return -EINVAL;
		operand = 1u << argument;
	}
	error = change(address, operation, operand, &old);
	if (error)
		return error;
	left = (int)old;
	switch (comparison) {
	case 0:
		*holds = left == right;
		return 0;
	case 1:
		*holds = left != right;
		return 0;
	case 2:
		*holds = left < right;
		return 0;
	case 3:
		*holds = left <= right;
		return 0;
	case 4:
		*holds = left > right;
		return 0;
	case 5:
		*holds = left >= right;
		return 0;
	}
	return -ENOSYS;
}

static long futex_wake_op(const uint32_t *address, uint32_t *other, unsigned nwake,
			  unsigned nwake_other, uint32_t encoded)
{
	struct wait_queue *first = futex_queue(address), *second = futex_queue(other);
	bool holds = false;
	long count;

	wait_queue_lock_two(first, second);
	count = operate(other, encoded, &holds);
	if (count == 0) {
		count = wake_locked(first, address, nwake, FUTEX_BITSET_ALL);
		if (holds)
			count += wake_locked(second, other, nwake_other, FUTEX_BITSET_ALL);
	}
	wait_queue_unlock_two(first, second);
	return count;
}

/* The deadline on clock_ns()'s scale: FUTEX_WAIT's timeout is relative, FUTEX_WAIT_BITSET's
 * absolute on the named clock. */
static int futex_deadline(const struct timespec *timeout, bool absolute, bool realtime,
			  uint64_t *deadline_ns)
{
	struct timespec time;

	*deadline_ns = UINT64_MAX;
	if (!timeout)
		return 0;
	if (user_read(&time, timeout, sizeof(time)))
		return -EFAULT;
	if (timespec_is_bad(&time))
		return -EINVAL;
	*deadline_ns = absolute ? deadline_at(&time, realtime ? clock_epoch_ns : 0)
				: deadline_of(&time);
	return 0;
}

/* Counts are ints to Linux; a negative one wakes at least one there, and as many as there are here,
 * which is what those who pass -1 want. */
static unsigned count_of(long value)
{
	return (unsigned)value;
}

SYSCALL(futex)
(uint32_t *address, int operation, uint32_t value, const struct timespec *timeout, uint32_t *other,
 uint32_t value3)
{
	bool realtime = operation & FUTEX_CLOCK_REALTIME;
	int command = operation & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
	long second_count = (long)(uintptr_t)timeout; /* the same argument, by command */
	uint32_t bits = FUTEX_BITSET_ALL;
	uint64_t deadline_ns;
	int error;

	if (realtime && command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET &&
	    command != FUTEX_LOCK_PI2)
		return -ENOSYS;
	switch (command) {
	case FUTEX_WAIT_BITSET:
	case FUTEX_WAKE_BITSET:
		bits = value3;
		if (!bits)
			return -EINVAL;
		break;
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
		if ((int)value < 0 || (int)second_count < 0)
			return -EINVAL;
		break;
	case FUTEX_WAIT:
	case FUTEX_WAKE:
	case FUTEX_WAKE_OP:
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
	case FUTEX_TRYLOCK_PI:
	case FUTEX_UNLOCK_PI:
		break;
	default:
		return -ENOSYS;
	}
	error = check_address(address);
	if (unlikely(error))
		return error;
	switch (command) {
	case FUTEX_WAKE:
	case FUTEX_WAKE_BITSET:
		return (long)wake(address, count_of(value), bits);
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
		error =
		    futex_deadline(timeout, command == FUTEX_WAIT_BITSET, realtime, &deadline_ns);
		return error ? error : futex_wait_on(address, value, bits, deadline_ns);
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
		realtime |= command == FUTEX_LOCK_PI;
		error = futex_deadline(timeout, true, realtime, &deadline_ns);
		return error ? error : futex_lock_pi(address, deadline_ns);
	case FUTEX_TRYLOCK_PI:
		return futex_trylock_pi(address);
	case FUTEX_UNLOCK_PI:
		return futex_unlock_pi(address);
	}
	error = check_address(other);
	if (error)
		return error;
	if (command == FUTEX_WAKE_OP)
		return futex_wake_op(address, other, count_of(value), count_of(second_count),
				     value3);
	return futex_requeue(address, other, value, count_of(second_count),
			     command == FUTEX_CMP_REQUEUE ? &value3 : NULL);
}

/* ---- the end of a thread ---- */

/* Linux's struct robust_list_head. Bit 0 of an entry says that its mutex inherits priorities. */
struct robust_list {
	struct robust_list *next;
};

struct robust_list_head {
	struct robust_list list;
	long futex_offset;
	struct robust_list *pending;
};

#define ROBUST_LIST_LIMIT 2048 /* as Linux: a broken list must not keep us for ever */

static struct robust_list *robust_entry(struct robust_list *tagged)
{
	return (struct robust_list *)((uintptr_t)tagged & ~1ul);
}

static bool inherits(const struct robust_list *tagged)
{
	return (uintptr_t)tagged & 1;
}

static void owner_died(uint32_t *word, int tid, bool inherits_priority)
{
	uint32_t value, old;

	if (check_address(word) != 0)
		return;
	if (inherits_priority) {
		futex_pi_owner_died(word, tid);
		return;
	}
	if (!user_copy_4(&old, word))
		return;
	do {
		value = old;
		if ((value & FUTEX_TID_MASK) != (uint32_t)tid)
			return;
		/* The next owner sees what the dead one wrote. Pairs with the acquiring exchange of
		 * the application's lock function. */
		if (user_compare_exchange(word, value, (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED,
					  &old))
			return;
	} while (old != value);
	if (value & FUTEX_WAITERS)
		futex_wake(word, 1);
}

static uint32_t *word_of(struct robust_list *entry, long futex_offset)
{
	return (uint32_t *)((uintptr_t)entry + (uintptr_t)futex_offset);
}

static void walk_robust_list(struct robust_list_head *user_head, int tid)
{
	struct robust_list *tagged, *pending, next;
	struct robust_list_head head;
	unsigned limit = ROBUST_LIST_LIMIT;

	if (!user_head || user_read(&head, user_head, sizeof(head)))
		return;
	pending = head.pending;
	for (tagged = head.list.next; robust_entry(tagged) != &user_head->list && limit--;) {
		struct robust_list *entry = robust_entry(tagged);

		/* The next owner of the mutex may change the entry as soon as it is marked. */
		if (user_read(&next, entry, sizeof(next)))
			return;
		if (entry != robust_entry(pending))
			owner_died(word_of(entry, head.futex_offset), tid, inherits(tagged));
		tagged = next.next;
	}
	if (robust_entry(pending))
		owner_died(word_of(robust_entry(pending), head.futex_offset), tid,
			   inherits(pending));
}

void futex_thread_ended(struct thread *dead)
{
	static const int ended;

	walk_robust_list(dead->robust_list, dead->tid);
	futex_pi_thread_ended(dead->tid);
	/* Release, as every store of this processor: whoever joins sees all that the thread did. Pairs with
	 * the joiner's load of the word. */
	if (dead->clear_child_tid && check_address((uint32_t *)dead->clear_child_tid) == 0 &&
	    user_copy_4(dead->clear_child_tid, &ended))
		futex_wake(dead->clear_child_tid, 1);
}
