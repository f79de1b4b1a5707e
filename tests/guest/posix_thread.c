/*
 * Threads as an application sees them.
 */
#include "tests/guest/test.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ll

static long long now_ns(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * NS_PER_S + time.tv_nsec;
}

static unsigned core_count(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 0;
}

static int pin(pthread_t thread, unsigned core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	return pthread_setaffinity_np(thread, sizeof(set), &set);
}

static void unpin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (unsigned i = 0; i < 64; i++)
		CPU_SET(i, &set);
	CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
}

static void *return_argument(void *argument)
{
	return argument;
}

TEST(two_hundred_threads_are_created_and_joined)
{
	enum { COUNT = 200 };
	pthread_t threads[COUNT];
	void *result;

	for (long i = 0; i < COUNT; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, return_argument, (void *)i), 0);
	for (long i = 0; i < COUNT; i++) {
		CHECK_EQ(pthread_join(threads[i], &result), 0);
		CHECK_EQ(result, i);
	}
}

static atomic_uint detached_done;

static void *count_detached(void *argument)
{
	atomic_fetch_add(&detached_done, 1);
	return argument;
}

TEST(detached_threads_leave_nothing)
{
	enum { COUNT = 1000 };
	pthread_attr_t attributes;
	unsigned made = 0;

	/* With 128 KiB of stack each and none given back these would not fit. */
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, 2 << 20);
	atomic_store(&detached_done, 0);
	for (unsigned i = 0; i < COUNT; i++) {
		pthread_t thread;

		if (pthread_create(&thread, &attributes, count_detached, NULL) == 0)
			made++;
		while (atomic_load(&detached_done) + 20 < made)
			sched_yield();
	}
	CHECK_EQ(made, COUNT);
	while (atomic_load(&detached_done) < made)
		sched_yield();
	pthread_attr_destroy(&attributes);
}

/* ---- mutexes and conditions, over all cores ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static unsigned long guarded;

static void *add_to_guarded(void *argument)
{
	for (unsigned i = 0; i < 20000; i++) {
		pthread_mutex_lock(&mutex);
		guarded++;
		pthread_mutex_unlock(&mutex);
	}
	return argument;
}

TEST(a_mutex_excludes_on_all_cores)
{
	enum { COUNT = 8 };
	pthread_t threads[COUNT];

	guarded = 0;
	for (unsigned i = 0; i < COUNT; i++) {
		CHECK_EQ(pthread_create(&threads[i], NULL, add_to_guarded, NULL), 0);
		CHECK_EQ(pin(threads[i], i % core_count()), 0);
	}
	for (unsigned i = 0; i < COUNT; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(guarded, COUNT * 20000);
}

#define TURNS 2000
static unsigned turn;

static void *take_turns(void *argument)
{
	unsigned mine = (unsigned)(uintptr_t)argument;

	pthread_mutex_lock(&mutex);
	for (unsigned i = 0; i < TURNS; i++) {
		while (turn % 3 != mine)
			pthread_cond_wait(&condition, &mutex);
		turn++;
		pthread_cond_broadcast(&condition);
	}
	pthread_mutex_unlock(&mutex);
	return NULL;
}

TEST(a_condition_passes_turns_between_threads)
{
	pthread_t threads[3];

	turn = 0;
	for (uintptr_t i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, take_turns, (void *)i), 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(turn, 3 * TURNS);
}

static sem_t ping, pong;

static void *answer_pings(void *argument)
{
	for (unsigned i = 0; i < 2000; i++) {
		sem_wait(&ping);
		sem_post(&pong);
	}
	return argument;
}

TEST(semaphores_wake_across_cores)
{
	pthread_t thread;

	sem_init(&ping, 0, 0);
	sem_init(&pong, 0, 0);
	CHECK_EQ(pin(pthread_self(), 0), 0);
	CHECK_EQ(pthread_create(&thread, NULL, answer_pings, NULL), 0);
	CHECK_EQ(pin(thread, core_count() > 1 ? 1 : 0), 0);
	unpin();
	CHECK_EQ(pin(thread, core_count() - 1), 0);
	for (unsigned i = 0; i < 2000; i++) {
		sem_post(&ping);
		CHECK_EQ(sem_wait(&pong), 0);
	}
	pthread_join(thread, NULL);
}

TEST(a_barrier_and_a_rwlock_work)
{
	pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
	struct timespec soon;

	CHECK_EQ(pthread_rwlock_rdlock(&lock), 0);
	CHECK_EQ(pthread_rwlock_tryrdlock(&lock), 0);
	CHECK_EQ(pthread_rwlock_trywrlock(&lock), EBUSY);
	clock_gettime(CLOCK_REALTIME, &soon);
	soon.tv_nsec += 1000000;
	if (soon.tv_nsec >= NS_PER_S) {
		soon.tv_nsec -= NS_PER_S;
		soon.tv_sec++;
	}
	CHECK_EQ(pthread_rwlock_timedwrlock(&lock, &soon), ETIMEDOUT);
	pthread_rwlock_unlock(&lock);
	pthread_rwlock_unlock(&lock);
	CHECK_EQ(pthread_rwlock_trywrlock(&lock), 0);
	pthread_rwlock_unlock(&lock);
}

/* ---- what belongs to one thread ---- */

static _Thread_local long own = 42;
static _Thread_local char own_large[3000];
static pthread_key_t key;
static atomic_uint destroyed;

static void destroy_value(void *value)
{
	atomic_fetch_add(&destroyed, (unsigned)(uintptr_t)value);
}

static void *use_own(void *argument)
{
	long mine = (long)(intptr_t)argument;

	CHECK_EQ(own, 42);
	CHECK_EQ(own_large[2999], 0);
	CHECK_EQ(pthread_setspecific(key, argument), 0);
	own = mine;
	memset(own_large, (int)mine, sizeof(own_large));
	errno = (int)mine;
	for (unsigned i = 0; i < 20; i++) {
		sched_yield();
		CHECK_EQ(own, mine);
		CHECK_EQ(own_large[2999], mine);
		CHECK_EQ(errno, mine);
		CHECK_EQ(pthread_getspecific(key), mine);
	}
	return NULL;
}

TEST(thread_local_storage_is_local)
{
	enum { COUNT = 16 };
	pthread_t threads[COUNT];
	unsigned sum = 0;

	atomic_store(&destroyed, 0);
	CHECK_EQ(pthread_key_create(&key, destroy_value), 0);
	for (uintptr_t i = 0; i < COUNT; i++) {
		CHECK_EQ(pthread_create(&threads[i], NULL, use_own, (void *)(i + 1)), 0);
		sum += (unsigned)i + 1;
	}
	for (unsigned i = 0; i < COUNT; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(atomic_load(&destroyed), sum);
	CHECK_EQ(own, 42);
	pthread_key_delete(key);
}

static atomic_int other_tid;

static void *note_tid(void *argument)
{
	char name[16] = "";

	atomic_store(&other_tid, (int)syscall(SYS_gettid));
	CHECK_EQ(pthread_setname_np(pthread_self(), "worker"), 0);
	CHECK_EQ(pthread_getname_np(pthread_self(), name, sizeof(name)), 0);
	CHECK_EQ(strcmp(name, "worker"), 0);
	return argument;
}

TEST(numbers_and_names)
{
	pthread_t thread;

	CHECK_EQ(getpid(), 1);
	CHECK_EQ(getppid(), 0);
	CHECK_EQ(syscall(SYS_gettid), 1);
	CHECK_EQ(pthread_create(&thread, NULL, note_tid, NULL), 0);
	pthread_join(thread, NULL);
	CHECK(atomic_load(&other_tid) > 1);
}

/* ---- affinity ---- */

struct pinned {
	pthread_t thread;
	unsigned core;
	atomic_bool stop;
	atomic_uint looks;
};

static void *look_where_we_are(void *argument)
{
	struct pinned *pinned = argument;
	cpu_set_t set;

	CHECK_EQ(pin(pthread_self(), pinned->core), 0);
	CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
	CHECK_EQ(CPU_COUNT(&set), 1);
	CHECK(CPU_ISSET(pinned->core, &set));
	for (unsigned i = 0; i < 2000; i++) {
		CHECK_EQ(sched_getcpu(), pinned->core);
		if (i % 16 == 0)
			sched_yield();
		if (i % 512 == 0)
			nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
		atomic_fetch_add(&pinned->looks, 1);
	}
	return NULL;
}

TEST(a_pinned_thread_stays_on_its_core)
{
	enum { COUNT = 8 };
	struct pinned pinned[COUNT];

	for (unsigned i = 0; i < COUNT; i++) {
		memset(&pinned[i], 0, sizeof(pinned[i]));
		pinned[i].core = i % core_count();
		CHECK_EQ(pthread_create(&pinned[i].thread, NULL, look_where_we_are, &pinned[i]), 0);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		pthread_join(pinned[i].thread, NULL);
		CHECK_EQ(atomic_load(&pinned[i].looks), 2000);
	}
}

static atomic_int seen_core;
static atomic_bool stop;

/* Busy in application code only: the core itself has to notice. */
static void *spin_and_tell_core(void *argument)
{
	while (!atomic_load(&stop))
		atomic_store(&seen_core, sched_getcpu());
	return argument;
}

static volatile unsigned long spins;

static void *spin_silently(void *argument)
{
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		spins++;
	atomic_store(&seen_core, sched_getcpu());
	return argument;
}

static void *sleep_silently(void *argument)
{
	while (!atomic_load(&stop))
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	atomic_store(&seen_core, sched_getcpu());
	return argument;
}

static bool seen_within(unsigned core, unsigned seconds)
{
	long long end = now_ns(CLOCK_MONOTONIC) + seconds * NS_PER_S;

	while (atomic_load(&seen_core) != (int)core && now_ns(CLOCK_MONOTONIC) < end)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	return atomic_load(&seen_core) == (int)core;
}

TEST(a_running_thread_is_moved_by_another)
{
	unsigned cores = core_count();
	pthread_t thread;

	atomic_store(&stop, false);
	CHECK_EQ(pthread_create(&thread, NULL, spin_and_tell_core, NULL), 0);
	for (unsigned i = 0; i < 3 * cores; i++) {
		CHECK_EQ(pin(thread, i % cores), 0);
		CHECK(seen_within(i % cores, 20));
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
}

static void move_while(void *(*body)(void *))
{
	unsigned cores = core_count();
	pthread_t thread;

	for (unsigned core = 0; core < cores; core++) {
		atomic_store(&stop, false);
		CHECK_EQ(pthread_create(&thread, NULL, body, NULL), 0);
		nanosleep(&(struct timespec){ .tv_nsec = 3000000 }, NULL);
		CHECK_EQ(pin(thread, core), 0);
		nanosleep(&(struct timespec){ .tv_nsec = 30000000 }, NULL);
		atomic_store(&stop, true);
		pthread_join(thread, NULL);
		CHECK_EQ(atomic_load(&seen_core), core);
	}
}

TEST(a_thread_that_never_calls_us_is_moved)
{
	move_while(spin_silently);
}

TEST(a_sleeping_thread_wakes_on_its_new_core)
{
	move_while(sleep_silently);
}

TEST(affinity_errors_are_linux_errors)
{
	unsigned long mask[16] = { 0 };

	CHECK_EQ(syscall(SYS_sched_setaffinity, 0, sizeof(mask), mask), -1);
	CHECK_EQ(errno, EINVAL);
	mask[0] = 1ul << 63;
	if (core_count() < 64) {
		CHECK_EQ(syscall(SYS_sched_setaffinity, 0, sizeof(mask), mask), -1);
		CHECK_EQ(errno, EINVAL);
	}
	mask[0] = 1;
	CHECK_EQ(syscall(SYS_sched_setaffinity, 30000, sizeof(mask), mask), -1);
	CHECK_EQ(errno, ESRCH);
	CHECK_EQ(syscall(SYS_sched_getaffinity, 0, 4, mask), -1);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask), 8);
	CHECK_EQ(sysconf(_SC_NPROCESSORS_ONLN), core_count());
}

TEST(a_child_inherits_the_affinity)
{
	unsigned last = core_count() - 1;
	pthread_t thread;

	CHECK_EQ(pin(pthread_self(), last), 0);
	CHECK_EQ(sched_getcpu(), last);
	atomic_store(&stop, true);
	atomic_store(&seen_core, -1);
	CHECK_EQ(pthread_create(&thread, NULL, spin_silently, NULL), 0);
	pthread_join(thread, NULL);
	CHECK_EQ(atomic_load(&seen_core), last);
	unpin();
}

static void *tell_affinity(void *argument)
{
	cpu_set_t *seen = argument;

	CHECK_EQ(sched_getaffinity(0, sizeof(*seen), seen), 0);
	CHECK(CPU_ISSET(sched_getcpu(), seen));
	return NULL;
}

TEST(an_attribute_pins_a_thread_from_its_start)
{
	pthread_attr_t attributes;
	cpu_set_t set, seen;
	pthread_t thread;

	CHECK_EQ(pthread_attr_init(&attributes), 0);
	for (unsigned core = 0; core < core_count(); core++) {
		CPU_ZERO(&set);
		CPU_SET(core, &set);
		CHECK_EQ(pthread_attr_setaffinity_np(&attributes, sizeof(set), &set), 0);
		CHECK_EQ(pthread_create(&thread, &attributes, tell_affinity, &seen), 0);
		pthread_join(thread, NULL);
		CHECK(CPU_EQUAL(&set, &seen));
	}
	CPU_ZERO(&set);
	CPU_SET(63, &set);
	if (core_count() < 64) {
		CHECK_EQ(pthread_attr_setaffinity_np(&attributes, sizeof(set), &set), 0);
		CHECK_EQ(pthread_create(&thread, &attributes, tell_affinity, &seen), EINVAL);
	}
	pthread_attr_destroy(&attributes);
}

static pthread_barrier_t all_placed;

static void *tell_core(void *argument)
{
	atomic_store((atomic_int *)argument, sched_getcpu());
	/* Until all are made, so that each counts as a load. */
	pthread_barrier_wait(&all_placed);
	return NULL;
}

TEST(new_threads_spread_over_the_cores)
{
	enum { EACH = 4 };
	unsigned cores = core_count(), count = cores * EACH - 1;
	pthread_t threads[64 * EACH];
	atomic_int core_of[64 * EACH];
	unsigned on[64] = { 0 };

	pthread_barrier_init(&all_placed, NULL, count + 1);
	for (unsigned i = 0; i < count; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, tell_core, &core_of[i]), 0);
	pthread_barrier_wait(&all_placed);
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&all_placed);
	on[sched_getcpu()]++; /* this thread */
	for (unsigned i = 0; i < count; i++)
		on[atomic_load(&core_of[i])]++;
	for (unsigned core = 0; core < cores; core++)
		CHECK_EQ(on[core], EACH);
}

/* ---- sleeping and waiting with a limit ---- */

TEST(a_sleep_is_never_too_short)
{
	for (unsigned i = 0; i < 10; i++) {
		long long before = now_ns(CLOCK_MONOTONIC);

		CHECK_EQ(nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL), 0);
		CHECK(now_ns(CLOCK_MONOTONIC) - before >= 5000000);
		CHECK(now_ns(CLOCK_MONOTONIC) - before < 5 * NS_PER_S);
	}
	CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &(struct timespec){ 1, 0 }, NULL),
		 0);
	CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &(struct timespec){ 0, 1 }, NULL),
		 EINVAL);
	CHECK_EQ(clock_nanosleep(77, 0, &(struct timespec){ 0, 1 }, NULL), EINVAL);
	CHECK_EQ(nanosleep(&(struct timespec){ 0, -1 }, NULL), -1);
	CHECK_EQ(errno, EINVAL);
}

static struct timespec realtime_after(long long ns)
{
	long long end = now_ns(CLOCK_REALTIME) + ns;

	return (struct timespec){ end / NS_PER_S, end % NS_PER_S };
}

TEST(waits_end_at_their_deadline)
{
	struct timespec deadline = realtime_after(10000000);
	pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
	sem_t nobody_posts;

	pthread_mutex_lock(&held);
	CHECK_EQ(pthread_cond_timedwait(&condition, &held, &deadline), ETIMEDOUT);
	CHECK(now_ns(CLOCK_REALTIME) >= deadline.tv_sec * NS_PER_S + deadline.tv_nsec);
	deadline = realtime_after(10000000);
	CHECK_EQ(pthread_mutex_timedlock(&held, &deadline), ETIMEDOUT);
	pthread_mutex_unlock(&held);
	sem_init(&nobody_posts, 0, 0);
	CHECK_EQ(sem_timedwait(&nobody_posts, &deadline), -1);
	CHECK_EQ(errno, ETIMEDOUT);
}

static unsigned futex_word;

static void *wait_for_futex(void *argument)
{
	long result;

	do
		result = syscall(SYS_futex, &futex_word, 0, 0, NULL, NULL, 0);
	while (result == 0 && __atomic_load_n(&futex_word, __ATOMIC_SEQ_CST) == 0);
	return argument;
}

TEST(futex_calls)
{
	struct timespec short_time = { .tv_nsec = 2000000 };
	unsigned word = 7;
	pthread_t threads[6];
	long woken = 0;

	CHECK_EQ(syscall(SYS_futex, &word, 0, 8, NULL, NULL, 0), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(syscall(SYS_futex, &word, 0, 7, &short_time, NULL, 0), -1);
	CHECK_EQ(errno, ETIMEDOUT);
	CHECK_EQ(syscall(SYS_futex, NULL, 0, 7, NULL, NULL, 0), -1);
	CHECK_EQ(errno, EFAULT);
	/* FUTEX_WAIT_REQUEUE_PI */
	CHECK_EQ(syscall(SYS_futex, &word, 11, 7, NULL, NULL, 0), -1);
	CHECK_EQ(errno, ENOSYS);
	CHECK_EQ(syscall(SYS_futex, &word, 1, INT_MAX, NULL, NULL, 0), 0);

	futex_word = 0;
	for (unsigned i = 0; i < 6; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, wait_for_futex, NULL), 0);
	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	__atomic_store_n(&futex_word, 1, __ATOMIC_SEQ_CST);
	woken = syscall(SYS_futex, &futex_word, 1, INT_MAX, NULL, NULL, 0);
	CHECK(woken >= 0 && woken <= 6);
	for (unsigned i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
}

static pthread_mutex_t robust;

static void *die_with_mutex(void *argument)
{
	pthread_mutex_lock(&robust);
	return argument;
}

TEST(a_robust_mutex_outlives_its_owner)
{
	pthread_mutexattr_t attributes;
	pthread_t thread;

	pthread_mutexattr_init(&attributes);
	CHECK_EQ(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST), 0);
	CHECK_EQ(pthread_mutex_init(&robust, &attributes), 0);
	CHECK_EQ(pthread_create(&thread, NULL, die_with_mutex, NULL), 0);
	pthread_join(thread, NULL);
	CHECK_EQ(pthread_mutex_lock(&robust), EOWNERDEAD);
	CHECK_EQ(pthread_mutex_consistent(&robust), 0);
	CHECK_EQ(pthread_mutex_unlock(&robust), 0);
	CHECK_EQ(pthread_mutex_trylock(&robust), 0);
	CHECK_EQ(pthread_mutex_unlock(&robust), 0);
}

/* ---- time ---- */

static atomic_llong latest_ns;

static void *read_clock(void *argument)
{
	for (unsigned i = 0; i < 5000; i++) {
		long long seen = atomic_load(&latest_ns);
		long long now = now_ns(CLOCK_MONOTONIC);

		CHECK(now >= seen);
		atomic_store(&latest_ns, now);
	}
	return argument;
}

TEST(the_clock_never_goes_back_between_cores)
{
	unsigned cores = core_count();
	pthread_t threads[64];

	atomic_store(&latest_ns, 0);
	for (unsigned i = 0; i < cores; i++) {
		CHECK_EQ(pthread_create(&threads[i], NULL, read_clock, NULL), 0);
		CHECK_EQ(pin(threads[i], i), 0);
	}
	for (unsigned i = 0; i < cores; i++)
		pthread_join(threads[i], NULL);
	/* After 2020, before 2100: the real-time clock was read. */
	CHECK(now_ns(CLOCK_REALTIME) / NS_PER_S > 1577836800);
	CHECK(now_ns(CLOCK_REALTIME) / NS_PER_S < 4102444800);
}

TEST(processor_time_is_of_those_who_use_it)
{
	long long process = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	long long before = now_ns(CLOCK_THREAD_CPUTIME_ID), slept;
	long long end = now_ns(CLOCK_MONOTONIC) + 20000000;

	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	slept = now_ns(CLOCK_THREAD_CPUTIME_ID) - before;
	CHECK(slept < 40000000);
	while (now_ns(CLOCK_MONOTONIC) < end + 50000000)
		;
	CHECK(now_ns(CLOCK_THREAD_CPUTIME_ID) > before + slept);
	CHECK(now_ns(CLOCK_PROCESS_CPUTIME_ID) > process);
}

TEST(policies_are_linux_default)
{
	struct sched_param param = { .sched_priority = 50 };

	CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_OTHER);
	CHECK_EQ(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &param), -1);
	CHECK_EQ(errno, EPERM);
	CHECK_EQ(sched_get_priority_max(SCHED_FIFO), 99);
	CHECK_EQ(sched_get_priority_min(SCHED_OTHER), 0);
	CHECK_EQ(sched_get_priority_min(99), -1);
}
