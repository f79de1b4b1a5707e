/* Futexes with an owner, and what becomes of the locks of threads that end. */
#include "tests/guest/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FUTEX_LOCK_PI 6
#define FUTEX_UNLOCK_PI 7
#define FUTEX_TRYLOCK_PI 8
#define FUTEX_WAIT_BITSET 9
#define FUTEX_LOCK_PI2 13
#define FUTEX_PRIVATE 128
#define FUTEX_CLOCK_REALTIME 256
#define WAITERS 0x80000000u
#define OWNER_DIED 0x40000000u

static long futex(atomic_uint *word, int operation, unsigned value, const struct timespec *timeout,
		  unsigned bits)
{
	return syscall(SYS_futex, word, operation, value, timeout, NULL, bits);
}

static struct timespec in_ms(clockid_t clock, long ms)
{
	struct timespec time;

	clock_gettime(clock, &time);
	time.tv_nsec += ms * 1000000;
	time.tv_sec += time.tv_nsec / 1000000000;
	time.tv_nsec %= 1000000000;
	return time;
}

TEST(an_owned_futex)
{
	atomic_uint word = 0;
	unsigned self = (unsigned)gettid();

	CHECK_EQ(futex(&word, FUTEX_LOCK_PI, 0, NULL, 0), 0);
	CHECK_EQ(atomic_load(&word), self);
	CHECK(futex(&word, FUTEX_LOCK_PI, 0, NULL, 0) == -1 && errno == EDEADLK);
	CHECK_EQ(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, 0), 0);
	CHECK_EQ(atomic_load(&word), 0);
	CHECK(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, 0) == -1 && errno == EPERM);
	CHECK_EQ(futex(&word, FUTEX_TRYLOCK_PI | FUTEX_PRIVATE, 0, NULL, 0), 0);
	CHECK_EQ(futex(&word, FUTEX_UNLOCK_PI | FUTEX_PRIVATE, 0, NULL, 0), 0);
	atomic_store(&word, 30000); /* nobody */
	CHECK(futex(&word, FUTEX_LOCK_PI, 0, NULL, 0) == -1 && errno == ESRCH);
	CHECK(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, 0) == -1 && errno == EPERM);
}

static atomic_uint shared_word;
static atomic_int ready, given_up;

/* Holds the lock until others have given up waiting, and then until one waits again. */
static void *hold_word(void *unused)
{
	(void)unused;
	CHECK_EQ(futex(&shared_word, FUTEX_LOCK_PI, 0, NULL, 0), 0);
	atomic_store(&ready, 1);
	while (!atomic_load(&given_up))
		usleep(100);
	/* Those that gave up have left their mark: it is wiped off to see the next one. */
	CHECK_EQ(atomic_exchange(&shared_word, (unsigned)gettid()), (unsigned)gettid() | WAITERS);
	atomic_store(&given_up, 0);
	while (!(atomic_load(&shared_word) & WAITERS))
		usleep(100);
	CHECK_EQ(futex(&shared_word, FUTEX_UNLOCK_PI, 0, NULL, 0), 0);
	return NULL;
}

TEST(an_owned_futex_is_waited_for)
{
	struct timespec past = in_ms(CLOCK_REALTIME, 0), soon = in_ms(CLOCK_REALTIME, 10);
	struct timespec monotonic;
	pthread_t thread;

	atomic_store(&ready, 0);
	atomic_store(&given_up, 0);
	atomic_store(&shared_word, 0);
	CHECK_EQ(pthread_create(&thread, NULL, hold_word, NULL), 0);
	while (!atomic_load(&ready))
		usleep(100);
	CHECK(futex(&shared_word, FUTEX_TRYLOCK_PI, 0, NULL, 0) == -1 && errno == EAGAIN);
	CHECK(futex(&shared_word, FUTEX_LOCK_PI, 0, &past, 0) == -1 && errno == ETIMEDOUT);
	CHECK(futex(&shared_word, FUTEX_LOCK_PI, 0, &soon, 0) == -1 && errno == ETIMEDOUT);
	monotonic = in_ms(CLOCK_MONOTONIC, 5);
	CHECK(futex(&shared_word, FUTEX_LOCK_PI2, 0, &monotonic, 0) == -1 && errno == ETIMEDOUT);
	atomic_store(&given_up, 1);
	while (atomic_load(&given_up))
		usleep(100);
	CHECK_EQ(futex(&shared_word, FUTEX_LOCK_PI, 0, NULL, 0), 0);
	CHECK_EQ(atomic_load(&shared_word) & ~WAITERS, (unsigned)gettid());
	CHECK_EQ(futex(&shared_word, FUTEX_UNLOCK_PI, 0, NULL, 0), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(atomic_load(&shared_word), 0);
}

TEST(a_wait_ends_at_a_moment_of_either_clock)
{
	atomic_uint word = 0;
	struct timespec until = in_ms(CLOCK_REALTIME, 10), now;

	CHECK(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &until, ~0u) == -1 &&
	      errno == ETIMEDOUT);
	clock_gettime(CLOCK_REALTIME, &now);
	CHECK(now.tv_sec > until.tv_sec ||
	      (now.tv_sec == until.tv_sec && now.tv_nsec >= until.tv_nsec));
	until = in_ms(CLOCK_MONOTONIC, 10);
	CHECK(futex(&word, FUTEX_WAIT_BITSET, 0, &until, ~0u) == -1 && errno == ETIMEDOUT);
}

/* ---- mutexes ---- */

static pthread_mutex_t mutex;
static long counter;

static void init_mutex(int protocol, int robust, int type)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	CHECK_EQ(pthread_mutexattr_setprotocol(&attributes, protocol), 0);
	CHECK_EQ(pthread_mutexattr_setrobust(&attributes, robust), 0);
	CHECK_EQ(pthread_mutexattr_settype(&attributes, type), 0);
	CHECK_EQ(pthread_mutex_init(&mutex, &attributes), 0);
	pthread_mutexattr_destroy(&attributes);
}

static void count_signal(int number)
{
	(void)number;
}

static void *count(void *argument)
{
	for (int i = 0; i < 2000; i++) {
		CHECK_EQ(pthread_mutex_lock(&mutex), 0);
		counter++;
		if (argument && i % 50 == 0)
			usleep(10);
		CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
	}
	return NULL;
}

TEST(mutexes_that_inherit_priority)
{
	enum { THREADS = 4 };
	struct sigaction action = { .sa_handler = count_signal };
	pthread_t threads[THREADS];

	CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
	init_mutex(PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED, PTHREAD_MUTEX_ERRORCHECK);
	counter = 0;
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, count, (void *)(intptr_t)(i & 1)), 0);
	/* Signals interrupt the waits, which go on. */
	for (int i = 0; i < 200; i++) {
		pthread_kill(threads[i % THREADS], SIGUSR1);
		usleep(100);
	}
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	CHECK_EQ(counter, THREADS * 2000);
	CHECK_EQ(pthread_mutex_lock(&mutex), 0);
	CHECK_EQ(pthread_mutex_lock(&mutex), EDEADLK);
	CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
	CHECK_EQ(pthread_mutex_destroy(&mutex), 0);
	signal(SIGUSR1, SIG_DFL);
}

static void *lock_and_end(void *argument)
{
	CHECK_EQ(pthread_mutex_lock(&mutex), 0);
	atomic_store(&ready, 1);
	usleep((unsigned)(uintptr_t)argument);
	return NULL;
}

TEST(robust_mutexes_tell_that_their_owner_died)
{
	static const int protocols[] = { PTHREAD_PRIO_NONE, PTHREAD_PRIO_INHERIT };

	for (int i = 0; i < 2; i++)
		for (int waits = 0; waits < 2; waits++) {
			pthread_t thread;

			init_mutex(protocols[i], PTHREAD_MUTEX_ROBUST, PTHREAD_MUTEX_NORMAL);
			atomic_store(&ready, 0);
			CHECK_EQ(pthread_create(&thread, NULL, lock_and_end,
						(void *)(uintptr_t)(waits ? 20000 : 0)),
				 0);
			while (!atomic_load(&ready))
				usleep(100);
			if (!waits)
				CHECK_EQ(pthread_join(thread, NULL), 0);
			CHECK_EQ(pthread_mutex_lock(&mutex), EOWNERDEAD);
			if (waits)
				CHECK_EQ(pthread_join(thread, NULL), 0);
			CHECK_EQ(pthread_mutex_consistent(&mutex), 0);
			CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
			CHECK_EQ(pthread_mutex_lock(&mutex), 0);
			CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
			CHECK_EQ(pthread_mutex_destroy(&mutex), 0);
		}
}
