/*
 * The scheduler from inside: kernel threads, moving, waking, timers, idling.
 */
#include "tests/guest/test.h"

#include "lavra/counters.h"
#include "sched/affinity.h"
#include "sched/thread.h"
#include "sched/wait_queue.h"
#include "smp/core.h"
#include "smp/epoch.h"

static void sleep_ns(uint64_t ns)
{
	thread_prepare_block();
	thread_block(clock_ns() + ns);
}

/* Wait until *word is `value`; false after ten seconds. */
static bool becomes(const unsigned *word, unsigned value)
{
	uint64_t end = clock_ns() + 10 * NS_PER_S;

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value) {
		if (clock_ns() > end)
			return false;
		sleep_ns(NS_PER_MS / 4);
	}
	return true;
}

/* ---- threads and moving ---- */

static unsigned done;

static void start_somewhere(void *argument)
{
	CHECK_EQ(this_core, (uintptr_t)argument);
	CHECK_EQ(current->tid, 0);
	CHECK(arch_irq_is_enabled());
	__atomic_fetch_add(&done, 1, __ATOMIC_RELEASE);
}

KERNEL_TEST(kernel_threads_start_on_their_core)
{
	enum { ROUNDS = 20 };
	unsigned made = 0;

	__atomic_store_n(&done, 0, __ATOMIC_RELAXED);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (core_id_t core = 0; core < ncores; core++) {
			CHECK(
			    thread_create("test", core, start_somewhere, (void *)(uintptr_t)core));
			made++;
		}
		CHECK(becomes(&done, made));
	}
}

KERNEL_TEST(a_thread_goes_around_all_cores)
{
	core_id_t home = this_core;
	volatile uint64_t on_stack = 0x5eed;

	for (unsigned round = 0; round < 200; round++) {
		for (core_id_t core = 0; core < ncores; core++) {
			thread_migrate(core);
			CHECK_EQ(this_core, core);
			CHECK_EQ(current->core, core);
			CHECK_EQ(on_stack, 0x5eed);
			CHECK(arch_irq_is_enabled());
		}
	}
	thread_migrate(home);
}

/* ---- waking ---- */

static struct wait_queue queue;
static unsigned sleeping, woken, timed_out;

static void wait_in_queue(void *argument)
{
	struct waiter waiter;

	wait_queue_lock(&queue);
	__atomic_fetch_add(&sleeping, 1, __ATOMIC_RELAXED);
	if (wait_queue_wait(&queue, &waiter, argument ? clock_ns() + NS_PER_MS : UINT64_MAX))
		__atomic_fetch_add(&woken, 1, __ATOMIC_RELAXED);
	else
		__atomic_fetch_add(&timed_out, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&done, 1, __ATOMIC_RELEASE);
}

static void reset_queue(void)
{
	wait_queue_init(&queue);
	sleeping = woken = timed_out = done = 0;
}

KERNEL_TEST(sleepers_of_all_cores_are_woken_once)
{
	unsigned count = 3 * ncores;

	for (unsigned round = 0; round < 10; round++) {
		reset_queue();
		for (unsigned i = 0; i < count; i++)
			CHECK(thread_create("test", i % ncores, wait_in_queue, NULL));
		CHECK(becomes(&sleeping, count));
		CHECK_EQ(wait_queue_wake(&queue, 1), 1);
		CHECK(becomes(&done, 1));
		CHECK_EQ(wait_queue_wake(&queue, count), count - 1);
		CHECK(becomes(&done, count));
		CHECK_EQ(woken, count);
	}
}

KERNEL_TEST(wakes_race_with_timeouts)
{
	unsigned count = 4 * ncores;

	for (unsigned round = 0; round < 20; round++) {
		unsigned taken = 0;
		uint64_t end;

		reset_queue();
		for (unsigned i = 0; i < count; i++)
			CHECK(thread_create("test", i % ncores, wait_in_queue, (void *)1ul));
		CHECK(becomes(&sleeping, count));
		/* Around the moment at which they time out. */
		end = clock_ns() + 2 * NS_PER_MS;
		while (clock_ns() < end) {
			taken += wait_queue_wake(&queue, 1);
			core_poll();
		}
		CHECK(becomes(&done, count));
		CHECK_EQ(woken, taken);
		CHECK_EQ(woken + timed_out, count);
	}
}

static long add_one(void *argument)
{
	return *(long *)argument + (long)this_core;
}

KERNEL_TEST(calls_to_other_cores_return_their_result)
{
	for (unsigned round = 0; round < 200; round++) {
		for (core_id_t core = 0; core < ncores; core++) {
			long value = round;

			CHECK_EQ(core_call(core, add_one, &value), round + core);
		}
	}
}

/* ---- timers ---- */

static struct timer timers[64];
static unsigned fired;
static bool fired_early;

static void timer_fired(struct timer *timer)
{
	if (clock_ns() < timer->deadline_ns)
		fired_early = true;
	fired++;
}

/* Timers are their core's, and while this waits its thread must stay. */
KERNEL_TEST(timers_fire_on_their_core_and_not_early)
{
	uint64_t start = clock_ns();

	fired = 0;
	fired_early = false;
	for (unsigned i = 0; i < array_size(timers); i++) {
		timer_init(&timers[i], timer_fired);
		timer_start(&timers[i], start + (i * 37 % 64) * NS_PER_MS / 4);
	}
	CHECK(becomes(&fired, array_size(timers)));
	CHECK(!fired_early);
	CHECK(clock_ns() >= start + 63 * NS_PER_MS / 4);
}

/* ---- idling ---- */

KERNEL_TEST(an_idle_core_halts_and_does_not_tick)
{
	struct counters before[MAX_CORES];
	uint64_t start, slept;

	sleep_ns(20 * NS_PER_MS); /* what went on before settles */
	for (core_id_t core = 0; core < ncores; core++)
		before[core] = counters_of(core);
	start = clock_ns();
	sleep_ns(400 * NS_PER_MS);
	slept = clock_ns() - start;
	for (core_id_t core = 0; core < ncores; core++) {
		struct counters after = counters_of(core);
		uint64_t ticks = after.timer_interrupts - before[core].timer_interrupts;

		/* 100 if it ticked. Timers of the network may be due a few times a second. */
		if (ticks > 40)
			CHECK_EQ(ticks, 0);
		/* This core's own idle time is counted up to its last halt. */
		if (core == this_core)
			CHECK(after.idle_ns - before[core].idle_ns > slept / 2);
	}
}

/* ---- deferred release ---- */

static struct deferred deferred;
static uint64_t released_ns;

static void release(struct deferred *unused)
{
	(void)unused;
	released_ns = clock_ns();
}

KERNEL_TEST(what_is_deferred_is_released_although_all_cores_halt)
{
	uint64_t start = clock_ns();

	released_ns = 0;
	epoch_defer(&deferred, release);
	CHECK_EQ(released_ns, 0);
	/* One long wait, so that nothing but the deferral itself wakes this core. */
	sleep_ns(NS_PER_S);
	CHECK(released_ns != 0);
	CHECK(released_ns - start < 700 * NS_PER_MS);
}

KERNEL_TEST(a_wake_before_the_block_is_not_lost)
{
	thread_prepare_block();
	thread_wake(current);
	CHECK(thread_block(clock_ns() + 10 * NS_PER_S));
	thread_prepare_block();
	CHECK(!thread_block(clock_ns()));
	CHECK(!thread_block(0));
}
