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

static int check_address(const uint32_t *address)
{
	if ((uintptr_t)address % sizeof(*address))
		return -EINVAL;
	return user_pointer_is_bad(address) ? -EFAULT : 0;
}

/* Nobody looks at the word, and it may be gone by now: a thread that wakes may do so after the one
 * that it wakes has freed it. */
static int check_wake_address(const uint32_t *address)
{
	if ((uintptr_t)address % sizeof(*address))
		return -EINVAL;
	return user_address_is_bad(address) ? -EFAULT : 0;
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

	wait_queue_lock(queue);
	/* Pairs with the application's atomic store before its wake: that store, then our lock by
	 * the waker; or our lock, then this load. Sequentially consistent as Linux promises. */
	if (__atomic_load_n(address, __ATOMIC_SEQ_CST) != value) {
		wait_queue_unlock(queue);
		return -EAGAIN;
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
	long count;

	wait_queue_lock_two(source, target);
	if (expected && __atomic_load_n(from, __ATOMIC_SEQ_CST) != *expected) {
		wait_queue_unlock_two(source, target);
		return -EAGAIN;
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

static int operate(uint32_t *address, uint32_t encoded, bool *holds)
{
	unsigned operation = encoded >> 28 & 7, comparison = encoded >> 24 & 15;
	int argument = sign_extend_12(encoded >> 12), right = sign_extend_12(encoded);
	uint32_t operand = (uint32_t)argument, old;
	int left;

	if (encoded >> 31) { /* FUTEX_OP_OPARG_SHIFT */
		if (argument < 0 || argument > 31)
			return -EINVAL;
		operand = 1u << argument;
	}
	/* Sequentially consistent: the application's own atomics on the word are, too. */
	switch (operation) {
	case 0:
		old = __atomic_exchange_n(address, operand, __ATOMIC_SEQ_CST);
		break;
	case 1:
		old = __atomic_fetch_add(address, operand, __ATOMIC_SEQ_CST);
		break;
	case 2:
		old = __atomic_fetch_or(address, operand, __ATOMIC_SEQ_CST);
		break;
	case 3:
		old = __atomic_fetch_and(address, ~operand, __ATOMIC_SEQ_CST);
		break;
	case 4:
		old = __atomic_fetch_xor(address, operand, __ATOMIC_SEQ_CST);
		break;
	default:
		return -ENOSYS;
	}
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
	if (timeout && user_pointer_is_bad(timeout))
		return -EFAULT;
	if (timeout && timespec_is_bad(timeout))
		return -EINVAL;
	*deadline_ns = timeout && absolute ? deadline_at(timeout, realtime ? clock_epoch_ns : 0)
					   : deadline_of(timeout);
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
	if (command == FUTEX_WAKE || command == FUTEX_WAKE_BITSET) {
		error = check_wake_address(address);
		return error ? error : (long)wake(address, count_of(value), bits);
	}
	error = check_address(address);
	if (error)
		return error;
	switch (command) {
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
	uint32_t value, wanted;

	if (check_address(word) != 0)
		return;
	if (inherits_priority) {
		futex_pi_owner_died(word, tid);
		return;
	}
	value = __atomic_load_n(word, __ATOMIC_RELAXED);
	do {
		if ((value & FUTEX_TID_MASK) != (uint32_t)tid)
			return;
		wanted = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
		/* Release: the next owner sees what the dead one wrote. Pairs with the acquiring
		 * exchange of the application's lock function. */
	} while (!__atomic_compare_exchange_n(word, &value, wanted, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	if (value & FUTEX_WAITERS)
		futex_wake(word, 1);
}

static void walk_robust_list(struct robust_list_head *head, int tid)
{
	struct robust_list *tagged, *pending;
	unsigned limit = ROBUST_LIST_LIMIT;

	if (!head || user_pointer_is_bad(head))
		return;
	pending = head->pending;
	for (tagged = head->list.next; robust_entry(tagged) != &head->list && limit--;) {
		struct robust_list *entry = robust_entry(tagged), *next;

		/* The next owner of the mutex may change the entry as soon as it is marked. */
		if (user_pointer_is_bad(entry))
			return;
		next = entry->next;
		if (entry != robust_entry(pending))
			owner_died((uint32_t *)((char *)entry + head->futex_offset), tid,
				   inherits(tagged));
		tagged = next;
	}
	if (robust_entry(pending) && !user_pointer_is_bad(robust_entry(pending)))
		owner_died((uint32_t *)((char *)robust_entry(pending) + head->futex_offset), tid,
			   inherits(pending));
}

void futex_thread_ended(struct thread *dead)
{
	walk_robust_list(dead->robust_list, dead->tid);
	futex_pi_thread_ended(dead->tid);
	if (dead->clear_child_tid && check_address((uint32_t *)dead->clear_child_tid) == 0) {
		/* Release: whoever joins sees all that the thread did. Pairs with the joiner's
		 * load of the word. */
		__atomic_store_n(dead->clear_child_tid, 0, __ATOMIC_RELEASE);
		futex_wake(dead->clear_child_tid, 1);
	}
}
