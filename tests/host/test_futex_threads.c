/*
 * Wait queues and futexes, with host threads in place of ours: each is a core that runs one thread.
 *
 * links: sched/wait_queue.c posix/thread/futex.c posix/thread/futex_pi.c
 */
#include "posix/thread/futex.h"
#include "posix/syscall.h"
#include "sched/thread.h"
#include "sched/wait_queue.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

long sys_futex(uint32_t *address, int operation, uint32_t value, const struct timespec *timeout,
	       uint32_t *other, uint32_t value3);

enum {
	WAIT = 0,
	WAKE = 1,
	FD = 2,
	REQUEUE = 3,
	CMP_REQUEUE = 4,
	WAKE_OP = 5,
	LOCK_PI = 6,
	UNLOCK_PI = 7,
	TRYLOCK_PI = 8,
	WAIT_BITSET = 9,
	WAKE_BITSET = 10,
	WAIT_REQUEUE_PI = 11,
	PRIVATE = 128,
	REALTIME = 256,
};

/* ---- a scheduler of one thread per core ---- */

CORE_LOCAL struct thread *current;
uint64_t clock_epoch_ns = 1600000000 * NS_PER_S;

/* What stands for a thread; `woken` is in the struct thread, under this lock. */
struct fake {
	struct thread thread;
	pthread_mutex_t lock;
	pthread_cond_t condition;
	struct fake *next; /* in the courier's bag */
	bool blocked;
	unsigned wakes; /* since prepare; more than one is the mistake that is looked for */
};

static struct fake *fake_of(struct thread *thread)
{
	return container_of(thread, struct fake, thread);
}

static void fake_init(struct fake *fake, int tid)
{
	memset(fake, 0, sizeof(*fake));
	fake->thread.tid = tid;
	pthread_mutex_init(&fake->lock, NULL);
	pthread_cond_init(&fake->condition, NULL);
}

uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec - clock_epoch_ns;
}

void thread_prepare_block(void)
{
	struct fake *self = fake_of(current);

	pthread_mutex_lock(&self->lock);
	current->woken = false;
	self->wakes = 0;
	pthread_mutex_unlock(&self->lock);
}

bool thread_block(uint64_t deadline_ns)
{
	struct fake *self = fake_of(current);
	bool woken;
	int error = 0;

	pthread_mutex_lock(&self->lock);
	self->blocked = true;
	while (!self->thread.woken && error != ETIMEDOUT) {
		if (deadline_ns == UINT64_MAX) {
			pthread_cond_wait(&self->condition, &self->lock);
		} else {
			uint64_t wall = clock_epoch_ns + deadline_ns;
			struct timespec until = { .tv_sec = (time_t)(wall / NS_PER_S),
						  .tv_nsec = (long)(wall % NS_PER_S) };

			error = pthread_cond_timedwait(&self->condition, &self->lock, &until);
		}
	}
	self->blocked = false;
	woken = self->thread.woken;
	pthread_mutex_unlock(&self->lock);
	return woken;
}

/* Nobody sends signals here. */
bool thread_block_interruptible(uint64_t deadline_ns)
{
	return thread_block(deadline_ns);
}

bool signal_restarts(bool may_restart)
{
	(void)may_restart;
	abort();
}

/* Owners of locks: all alive. */
struct thread *thread_find(int tid)
{
	static struct thread somebody;

	return tid > 0 ? &somebody : NULL;
}

bool signal_always_restarts(void)
{
	abort();
}

/* Wake-ups arrive later, as messages do: a courier delivers them in order. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t condition;
	struct fake *first, *last;
	bool stop;
} courier = { .lock = PTHREAD_MUTEX_INITIALIZER, .condition = PTHREAD_COND_INITIALIZER };

static void deliver(struct fake *fake)
{
	pthread_mutex_lock(&fake->lock);
	fake->thread.woken = true;
	if (++fake->wakes > 1)
		abort();
	pthread_cond_signal(&fake->condition);
	pthread_mutex_unlock(&fake->lock);
}

static void *deliver_wakes(void *argument)
{
	pthread_mutex_lock(&courier.lock);
	while (!courier.stop) {
		struct fake *fake = courier.first;

		if (!fake) {
			pthread_cond_wait(&courier.condition, &courier.lock);
			continue;
		}
		courier.first = fake->next;
		pthread_mutex_unlock(&courier.lock);
		sched_yield();
		deliver(fake);
		pthread_mutex_lock(&courier.lock);
	}
	pthread_mutex_unlock(&courier.lock);
	return argument;
}

void thread_wake(struct thread *thread)
{
	struct fake *fake = fake_of(thread);

	fake->next = NULL;
	pthread_mutex_lock(&courier.lock);
	if (courier.first)
		courier.last->next = fake;
	else
		courier.first = fake;
	courier.last = fake;
	pthread_cond_signal(&courier.condition);
	pthread_mutex_unlock(&courier.lock);
}

static bool is_blocked(struct fake *fake)
{
	bool blocked;

	pthread_mutex_lock(&fake->lock);
	blocked = fake->blocked && !fake->thread.woken;
	pthread_mutex_unlock(&fake->lock);
	return blocked;
}

static void wait_until_blocked(struct fake *fake)
{
	while (!is_blocked(fake))
		sched_yield();
}

/* ---- one waiter, run by a thread of its own ---- */

struct waiting {
	struct fake fake;
	pthread_t host;
	uint32_t *address;
	int operation;
	uint32_t value, bits;
	const struct timespec *timeout;
	long result;
};

static void *wait_on_futex(void *argument)
{
	struct waiting *waiting = argument;

	current = &waiting->fake.thread;
	waiting->result = sys_futex(waiting->address, waiting->operation, waiting->value,
				    waiting->timeout, NULL, waiting->bits);
	return NULL;
}

static void start(struct waiting *waiting, int tid, uint32_t *address, int operation, uint32_t bits)
{
	fake_init(&waiting->fake, tid);
	waiting->address = address;
	waiting->operation = operation | PRIVATE;
	waiting->value = *address;
	waiting->bits = bits;
	waiting->timeout = NULL;
	assert_int_equal(pthread_create(&waiting->host, NULL, wait_on_futex, waiting), 0);
	wait_until_blocked(&waiting->fake);
}

static void start_waiting(struct waiting *waiting, uint32_t *address, uint32_t bits)
{
	start(waiting, 100, address, WAIT_BITSET, bits);
}

static void joined(struct waiting *waiting, long result)
{
	pthread_join(waiting->host, NULL);
	assert_int_equal(waiting->result, result);
}

static struct fake main_fake;
static uint32_t word, second_word;

static int setup(void **state)
{
	fake_init(&main_fake, 1);
	current = &main_fake.thread;
	futex_init();
	word = second_word = 0;
	return 0;
}

/* ---- tests ---- */

static void refuses_what_linux_refuses(void **state)
{
	struct timespec bad = { .tv_nsec = NS_PER_S }, negative = { .tv_sec = -1 };

	assert_int_equal(sys_futex(&word, WAIT, 1, NULL, NULL, 0), -EAGAIN);
	assert_int_equal(sys_futex((uint32_t *)((char *)&word + 1), WAIT, 0, NULL, NULL, 0),
			 -EINVAL);
	assert_int_equal(sys_futex(NULL, WAIT, 0, NULL, NULL, 0), -EFAULT);
	assert_int_equal(sys_futex(&word, WAIT, 0, &bad, NULL, 0), -EINVAL);
	assert_int_equal(sys_futex(&word, WAIT, 0, &negative, NULL, 0), -EINVAL);
	assert_int_equal(sys_futex(&word, WAIT_BITSET, 0, NULL, NULL, 0), -EINVAL);
	assert_int_equal(sys_futex(&word, WAKE_BITSET, 1, NULL, NULL, 0), -EINVAL);
	assert_int_equal(sys_futex(&word, WAIT_REQUEUE_PI, 0, NULL, NULL, 0), -ENOSYS);
	assert_int_equal(sys_futex(&word, FD, 0, NULL, NULL, 0), -ENOSYS);
	assert_int_equal(sys_futex(&word, WAKE | REALTIME, 1, NULL, NULL, 0), -ENOSYS);
	assert_int_equal(sys_futex(&word, REQUEUE, -1, NULL, &second_word, 0), -EINVAL);
	assert_int_equal(sys_futex(&word, CMP_REQUEUE, 1, NULL, &second_word, 1), -EAGAIN);
	assert_int_equal(sys_futex(&word, REQUEUE, 1, NULL, NULL, 0), -EFAULT);
	assert_int_equal(sys_futex(&word, WAKE, 1, NULL, NULL, 0), 0);
}

static void waits_until_the_timeout(void **state)
{
	struct timespec short_time = { .tv_nsec = 20 * NS_PER_MS }, wall, past = { 1, 0 };
	uint64_t before = clock_ns();

	assert_int_equal(sys_futex(&word, WAIT, 0, &short_time, NULL, 0), -ETIMEDOUT);
	assert_true(clock_ns() - before >= 20 * NS_PER_MS);
	clock_gettime(CLOCK_REALTIME, &wall);
	wall.tv_nsec += 20 * NS_PER_MS;
	if (wall.tv_nsec >= (long)NS_PER_S) {
		wall.tv_nsec -= NS_PER_S;
		wall.tv_sec++;
	}
	before = clock_ns();
	assert_int_equal(sys_futex(&word, WAIT_BITSET | REALTIME, 0, &wall, NULL, 1), -ETIMEDOUT);
	assert_true(clock_ns() - before < NS_PER_S);
	assert_int_equal(sys_futex(&word, WAIT_BITSET | REALTIME, 0, &past, NULL, 1), -ETIMEDOUT);
	assert_int_equal(sys_futex(&word, WAIT_BITSET, 0, &past, NULL, 1), -ETIMEDOUT);
	/* And nobody is left behind. */
	assert_int_equal(sys_futex(&word, WAKE, INT_MAX, NULL, NULL, 0), 0);
}

static void wakes_the_oldest_first_and_by_bits(void **state)
{
	struct waiting a, b, c;

	start_waiting(&a, &word, 1);
	start_waiting(&b, &word, 2);
	start_waiting(&c, &word, 3);
	assert_int_equal(sys_futex(&word, WAKE_BITSET, INT_MAX, NULL, NULL, 4), 0);
	assert_int_equal(sys_futex(&second_word, WAKE, INT_MAX, NULL, NULL, 0), 0);
	assert_int_equal(sys_futex(&word, WAKE_BITSET, INT_MAX, NULL, NULL, 2), 2);
	joined(&b, 0);
	joined(&c, 0);
	assert_true(is_blocked(&a.fake));
	assert_int_equal(sys_futex(&word, WAKE, 0, NULL, NULL, 0), 0);
	start_waiting(&b, &word, 1);
	assert_int_equal(sys_futex(&word, WAKE, 1, NULL, NULL, 0), 1);
	joined(&a, 0);
	assert_true(is_blocked(&b.fake));
	assert_int_equal(sys_futex(&word, WAKE, 5, NULL, NULL, 0), 1);
	joined(&b, 0);
}

static void requeues(void **state)
{
	struct waiting waiting[5];

	for (unsigned i = 0; i < 5; i++)
		start_waiting(&waiting[i], &word, ~0u);
	assert_int_equal(sys_futex(&word, CMP_REQUEUE, 1, (void *)2ul, &second_word, 0), 3);
	joined(&waiting[0], 0);
	assert_int_equal(sys_futex(&word, WAKE, INT_MAX, NULL, NULL, 0), 2);
	joined(&waiting[3], 0);
	joined(&waiting[4], 0);
	assert_int_equal(sys_futex(&second_word, WAKE, INT_MAX, NULL, NULL, 0), 2);
	joined(&waiting[1], 0);
	joined(&waiting[2], 0);
}

static void requeues_within_one_queue(void **state)
{
	enum { WORDS = 4096 };
	static uint32_t many[WORDS];
	struct waiting waiting[3];

	/* Every pair of words somewhere shares one of 256 queues: go over many. */
	for (unsigned i = 1; i < WORDS; i += 61) {
		start_waiting(&waiting[0], &many[0], ~0u);
		start_waiting(&waiting[1], &many[0], ~0u);
		start_waiting(&waiting[2], &many[0], ~0u);
		assert_int_equal(sys_futex(&many[0], REQUEUE, 0, (void *)2ul, &many[i], 0), 2);
		assert_int_equal(sys_futex(&many[0], WAKE, INT_MAX, NULL, NULL, 0), 1);
		joined(&waiting[2], 0);
		assert_int_equal(sys_futex(&many[i], WAKE, INT_MAX, NULL, NULL, 0), 2);
		joined(&waiting[0], 0);
		joined(&waiting[1], 0);
	}
}

static void wake_op_operates_and_compares(void **state)
{
	struct waiting a, b;

	start_waiting(&a, &word, ~0u);
	start_waiting(&b, &second_word, ~0u);
	/* second = second + 5, wake both words' waiters if it was < 1. */
	assert_int_equal(sys_futex(&word, WAKE_OP, 1, (void *)1ul, &second_word,
				   1u << 28 | 2u << 24 | 5u << 12 | 1u),
			 2);
	joined(&a, 0);
	joined(&b, 0);
	assert_int_equal(second_word, 5);
	/* or with 1 << 4, was it > 5? No. */
	start_waiting(&b, &second_word, ~0u);
	assert_int_equal(sys_futex(&word, WAKE_OP, 1, (void *)1ul, &second_word,
				   1u << 31 | 2u << 28 | 4u << 24 | 4u << 12 | 5u),
			 0);
	assert_int_equal(second_word, 0x15);
	/* andn with -1 clears all; was it == 0x15? Yes. */
	assert_int_equal(sys_futex(&word, WAKE_OP, 1, (void *)1ul, &second_word,
				   3u << 28 | 0u << 24 | 0xfffu << 12 | 0x15u),
			 1);
	joined(&b, 0);
	assert_int_equal(second_word, 0);
	assert_int_equal(sys_futex(&word, WAKE_OP, 1, (void *)1ul, &second_word, 7u << 28),
			 -ENOSYS);
	assert_int_equal(
	    sys_futex(&word, WAKE_OP, 1, (void *)1ul, &second_word, 1u << 31 | 40u << 12), -EINVAL);
}

/* ---- robust mutexes, and the tid word ---- */

struct entry {
	struct entry *next;
	uint32_t lock;
};

struct head {
	struct entry *next;
	long offset;
	struct entry *pending;
};

static void a_dead_thread_leaves_its_mutexes(void **state)
{
	struct entry mine = { .lock = 7 }, waited = { .lock = 7 | 0x80000000u };
	struct entry others = { .lock = 8 }, pending = { .lock = 7 };
	struct head head = { .next = &mine,
			     .offset = offsetof(struct entry, lock),
			     .pending = &pending };
	struct thread dead = { .tid = 7, .robust_list = &head };
	struct waiting a, b;
	int tid_word = 7;

	mine.next = &waited;
	waited.next = &others;
	others.next = (struct entry *)&head;
	dead.clear_child_tid = &tid_word;
	start_waiting(&a, &waited.lock, ~0u);
	start_waiting(&b, (uint32_t *)&tid_word, ~0u);
	futex_thread_ended(&dead);
	joined(&a, 0);
	joined(&b, 0);
	assert_int_equal(tid_word, 0);
	assert_int_equal(mine.lock, 0x40000000u);
	assert_int_equal(waited.lock, 0xc0000000u);
	assert_int_equal(others.lock, 8);
	assert_int_equal(pending.lock, 0x40000000u);
}

/* ---- locks with an owner ---- */

#define WAITERS 0x80000000u
#define OWNER_DIED 0x40000000u

static void a_lock_is_passed_on_in_order(void **state)
{
	struct waiting a, b;

	assert_int_equal(sys_futex(&word, LOCK_PI, 0, NULL, NULL, 0), 0);
	assert_int_equal(word, 1);
	start(&a, 100, &word, LOCK_PI, 0);
	assert_int_equal(word, 1 | WAITERS);
	start(&b, 101, &word, LOCK_PI, 0);
	/* Nobody else wakes them, and nothing moves them. */
	assert_int_equal(sys_futex(&word, WAKE, INT_MAX, NULL, NULL, 0), 0);
	assert_int_equal(sys_futex(&word, REQUEUE, 1, (struct timespec *)INT_MAX, &second_word, 0),
			 0);
	assert_int_equal(sys_futex(&word, UNLOCK_PI, 0, NULL, NULL, 0), 0);
	joined(&a, 0);
	assert_int_equal(word, 100 | WAITERS);
	assert_int_equal(sys_futex(&word, TRYLOCK_PI, 0, NULL, NULL, 0), -EAGAIN);
	assert_int_equal(sys_futex(&word, UNLOCK_PI, 0, NULL, NULL, 0), -EPERM);
	current = &a.fake.thread;
	assert_int_equal(sys_futex(&word, UNLOCK_PI, 0, NULL, NULL, 0), 0);
	joined(&b, 0);
	assert_int_equal(word, 101);
	current = &b.fake.thread;
	assert_int_equal(sys_futex(&word, LOCK_PI, 0, NULL, NULL, 0), -EDEADLK);
	assert_int_equal(sys_futex(&word, UNLOCK_PI, 0, NULL, NULL, 0), 0);
	assert_int_equal(word, 0);
}

static void a_dead_owner_leaves_its_locks(void **state)
{
	struct entry robust = { .lock = 7 };
	struct head head = { .offset = offsetof(struct entry, lock) };
	struct thread dead = { .tid = 7, .robust_list = &head }, next_dead = { .tid = 100 };
	struct waiting a, b, c;

	/* By the list of robust mutexes, whose entries are marked. */
	head.next = (struct entry *)((uintptr_t)&robust | 1);
	robust.next = (struct entry *)&head;
	start(&a, 100, &robust.lock, LOCK_PI, 0);
	start(&b, 101, &robust.lock, LOCK_PI, 0);
	/* By what the C library wrote, and by nothing at all. */
	word = 7;
	start(&c, 102, &word, LOCK_PI, 0);
	word = OWNER_DIED;
	futex_thread_ended(&dead);
	joined(&a, 0);
	joined(&c, 0);
	assert_int_equal(robust.lock, 100 | WAITERS | OWNER_DIED);
	assert_int_equal(word, 102 | OWNER_DIED);
	futex_thread_ended(&next_dead);
	joined(&b, 0);
	assert_int_equal(robust.lock, 101 | OWNER_DIED);
}

static void a_circular_robust_list_ends(void **state)
{
	struct entry a = { .lock = 7 }, b = { .lock = 7 };
	struct head head = { .next = &a, .offset = offsetof(struct entry, lock) };
	struct thread dead = { .tid = 7, .robust_list = &head };

	a.next = &b;
	b.next = &a;
	futex_thread_ended(&dead);
	assert_int_equal(a.lock, 0x40000000u);
	assert_int_equal(b.lock, 0x40000000u);
}

/* ---- all at once ---- */

/* A wait that was ended by a waker has had its wake-up when it returns; one that timed out never gets
 * one: the next wait would take it for its own. */
static void wait_and_count_wakes(uint32_t *address, uint32_t value, const struct timespec *timeout)
{
	struct fake *self = fake_of(current);
	long result = sys_futex(address, WAIT | PRIVATE, value, timeout, NULL, 0);

	pthread_mutex_lock(&self->lock);
	if (result != -EAGAIN && self->wakes != (result == 0))
		abort();
	pthread_mutex_unlock(&self->lock);
}

#define WORKERS 4
#define ROUNDS 3000

static uint32_t mutex_word, counter;

/* Drepper's mutex: 0 free, 1 taken, 2 taken and waited for. */
static void lock(const struct timespec *timeout)
{
	uint32_t value = 0;

	if (__atomic_compare_exchange_n(&mutex_word, &value, 1, false, __ATOMIC_ACQUIRE,
					__ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(&mutex_word, 2, __ATOMIC_ACQUIRE) != 0)
		wait_and_count_wakes(&mutex_word, 2, timeout);
}

static void unlock(void)
{
	if (__atomic_exchange_n(&mutex_word, 0, __ATOMIC_RELEASE) == 2)
		sys_futex(&mutex_word, WAKE | PRIVATE, 1, NULL, NULL, 0);
}

static void *contend(void *argument)
{
	struct timespec timeout = { .tv_nsec = 1 + (long)(uintptr_t)argument * 3000 };
	struct fake fake;

	fake_init(&fake, 50);
	current = &fake.thread;
	for (unsigned i = 0; i < ROUNDS; i++) {
		/* Timeouts that race with wake-ups, and waits without. */
		lock(i % 2 ? &timeout : NULL);
		counter++;
		unlock();
	}
	return NULL;
}

static void wakes_and_timeouts_race(void **state)
{
	pthread_t hosts[WORKERS];

	counter = 0;
	for (uintptr_t i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&hosts[i], NULL, contend, (void *)i), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(hosts[i], NULL);
	assert_int_equal(counter, WORKERS * ROUNDS);
	assert_int_equal(mutex_word, 0);
}

static uint32_t requeue_from, requeue_to;
static bool requeue_stop;

static void *wait_briefly(void *argument)
{
	struct timespec timeout = { .tv_nsec = 20000 };
	struct fake fake;

	fake_init(&fake, 51);
	current = &fake.thread;
	for (unsigned i = 0; i < 300; i++)
		wait_and_count_wakes(&requeue_from, 0, &timeout);
	return NULL;
}

static void *requeue_for_ever(void *argument)
{
	while (!__atomic_load_n(&requeue_stop, __ATOMIC_RELAXED)) {
		sys_futex(&requeue_from, REQUEUE, 0, (void *)(long)INT_MAX, &requeue_to, 0);
		sys_futex(&requeue_to, WAKE, 1, NULL, NULL, 0);
	}
	return NULL;
}

static void timeouts_race_with_moving_between_queues(void **state)
{
	pthread_t waiters[WORKERS], mover;

	requeue_stop = false;
	assert_int_equal(pthread_create(&mover, NULL, requeue_for_ever, NULL), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&waiters[i], NULL, wait_briefly, NULL), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(waiters[i], NULL);
	__atomic_store_n(&requeue_stop, true, __ATOMIC_RELAXED);
	pthread_join(mover, NULL);
	assert_int_equal(sys_futex(&requeue_from, WAKE, INT_MAX, NULL, NULL, 0), 0);
	assert_int_equal(sys_futex(&requeue_to, WAKE, INT_MAX, NULL, NULL, 0), 0);
}

static pthread_t courier_host;

static int start_courier(void **state)
{
	return pthread_create(&courier_host, NULL, deliver_wakes, NULL);
}

static int stop_courier(void **state)
{
	pthread_mutex_lock(&courier.lock);
	courier.stop = true;
	pthread_cond_signal(&courier.condition);
	pthread_mutex_unlock(&courier.lock);
	return pthread_join(courier_host, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(refuses_what_linux_refuses, setup),
		cmocka_unit_test_setup(waits_until_the_timeout, setup),
		cmocka_unit_test_setup(wakes_the_oldest_first_and_by_bits, setup),
		cmocka_unit_test_setup(requeues, setup),
		cmocka_unit_test_setup(requeues_within_one_queue, setup),
		cmocka_unit_test_setup(wake_op_operates_and_compares, setup),
		cmocka_unit_test_setup(a_dead_thread_leaves_its_mutexes, setup),
		cmocka_unit_test_setup(a_lock_is_passed_on_in_order, setup),
		cmocka_unit_test_setup(a_dead_owner_leaves_its_locks, setup),
		cmocka_unit_test_setup(a_circular_robust_list_ends, setup),
		cmocka_unit_test_setup(wakes_and_timeouts_race, setup),
		cmocka_unit_test_setup(timeouts_race_with_moving_between_queues, setup),
	};

	return cmocka_run_group_tests(tests, start_courier, stop_courier);
}
