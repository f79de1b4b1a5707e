/*
 * When a core looks for what can be released: at some time, after so much, or when somebody waits.
 *
 * links: smp/epoch.c
 */
#include "smp/core.h"
#include "smp/epoch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define PASSES 5 /* in which all that is deferred is released if the core looks each time */

static struct deferred many[1000];
static unsigned ndeferred, nreleased;
static uint64_t now = NS_PER_S;

static void count(struct deferred *deferred)
{
	nreleased++;
}

static void defer_one(void)
{
	epoch_defer(&many[ndeferred++ % array_size(many)], count);
}

static void all_is_released(void)
{
	for (int i = 0; i < PASSES; i++) {
		now += NS_PER_S;
		epoch_safe_point(now);
	}
	assert_int_equal(nreleased, ndeferred);
	assert_int_equal(epoch_deadline_ns(), UINT64_MAX);
}

static void one_waits_for_its_time(void **state)
{
	uint64_t deadline;

	assert_int_equal(epoch_deadline_ns(), UINT64_MAX);
	defer_one();
	epoch_safe_point(now); /* the first is looked for at once */
	deadline = epoch_deadline_ns();
	assert_in_range(deadline, now + NS_PER_MS, now + 100 * NS_PER_MS);
	for (int i = 0; i < 100; i++)
		epoch_safe_point(deadline - 1);
	assert_int_equal(nreleased, 0);
	for (int i = 0; i < PASSES && epoch_deadline_ns() != UINT64_MAX; i++)
		epoch_safe_point(epoch_deadline_ns());
	assert_int_equal(nreleased, 1);
}

static void many_do_not_wait(void **state)
{
	for (int i = 0; i < 900; i++) {
		defer_one();
		epoch_safe_point(now);
		assert_in_range(ndeferred - nreleased, 0, 200);
	}
	all_is_released();
}

static void who_needs_memory_does_not_wait(void **state)
{
	assert_false(epoch_hurry());
	now += NS_PER_S;
	defer_one();
	epoch_safe_point(now);
	for (int i = 0; i < PASSES && epoch_hurry(); i++)
		epoch_safe_point(now);
	assert_int_equal(nreleased, ndeferred);
}

static void a_core_that_has_not_passed_holds_all_up(void **state)
{
	this_core = 1;
	epoch_wake();
	this_core = 0;
	defer_one();
	for (int i = 0; i < 100; i++)
		epoch_safe_point(now += NS_PER_S);
	assert_int_equal(nreleased, ndeferred - 1);
	this_core = 1;
	epoch_sleep();
	this_core = 0;
	all_is_released();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_waits_for_its_time),
		cmocka_unit_test(many_do_not_wait),
		cmocka_unit_test(who_needs_memory_does_not_wait),
		cmocka_unit_test(a_core_that_has_not_passed_holds_all_up),
	};

	ncores = 2;
	epoch_init();
	epoch_online();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
