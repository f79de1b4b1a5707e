/*
 * The timer heap against a model: an array in which the earliest is searched.
 *
 * links: sched/timer.c
 */
#include "sched/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TIMERS 200

static struct test_timer {
	struct timer timer;
	unsigned fired;
	uint64_t model_deadline; /* UINT64_MAX: not started */
	bool restart;
} timers[TIMERS];

static uint64_t fire_limit; /* nothing due later may fire */
static uint64_t last_fired;

static void expired(struct timer *timer)
{
	struct test_timer *test = container_of(timer, struct test_timer, timer);

	assert_false(timer->started);
	assert_true(timer->deadline_ns <= fire_limit);
	assert_int_equal(timer->deadline_ns, test->model_deadline);
	assert_true(timer->deadline_ns >= last_fired);
	last_fired = timer->deadline_ns;
	test->fired++;
	test->model_deadline = UINT64_MAX;
	if (test->restart) {
		test->restart = false;
		test->model_deadline = fire_limit + 1;
		timer_start(timer, test->model_deadline);
	}
}

static int setup(void **state)
{
	for (unsigned i = 0; i < TIMERS; i++) {
		timers[i] = (struct test_timer){ .model_deadline = UINT64_MAX };
		timer_init(&timers[i].timer, expired);
	}
	fire_limit = last_fired = 0;
	return 0;
}

static int teardown(void **state)
{
	for (unsigned i = 0; i < TIMERS; i++)
		timer_stop(&timers[i].timer);
	return timer_next_ns == UINT64_MAX ? 0 : -1;
}

static uint64_t model_next(void)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < TIMERS; i++)
		next = min(next, timers[i].model_deadline);
	return next;
}

static unsigned model_due(uint64_t now)
{
	unsigned due = 0;

	for (unsigned i = 0; i < TIMERS; i++)
		due += timers[i].model_deadline <= now;
	return due;
}

static void run(uint64_t now)
{
	unsigned due = model_due(now);

	fire_limit = now;
	last_fired = 0;
	assert_int_equal(timers_run(now), due);
	assert_int_equal(model_due(now), 0);
}

static void agrees_with_the_model(void **state)
{
	uint64_t now = 0;

	srand(1);
	for (unsigned step = 0; step < 50000; step++) {
		struct test_timer *test = &timers[rand() % TIMERS];

		switch (rand() % 8) {
		case 0:
		case 1:
		case 2:
		case 3: /* start or move; many deadlines are equal */
			test->model_deadline = now + (uint64_t)(rand() % 100);
			timer_start(&test->timer, test->model_deadline);
			break;
		case 4:
		case 5:
			test->model_deadline = UINT64_MAX;
			timer_stop(&test->timer);
			break;
		case 6:
			test->restart = true;
			break;
		case 7:
			now += (uint64_t)(rand() % 20);
			run(now);
			break;
		}
		assert_int_equal(test->timer.started, test->model_deadline != UINT64_MAX);
		assert_int_equal(timer_next_ns, model_next());
	}
}

static void fires_ten_thousand_in_order(void **state)
{
	enum { MANY = 10000 };
	struct test_timer *many = calloc(MANY, sizeof(*many));

	assert_non_null(many);
	for (unsigned i = 0; i < MANY; i++) {
		timer_init(&many[i].timer, expired);
		many[i].model_deadline = (uint64_t)i * 7919 % MANY;
		timer_start(&many[i].timer, many[i].model_deadline);
	}
	fire_limit = MANY;
	assert_int_equal(timers_run(MANY), MANY);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(many[i].fired, 1);
	free(many);
}

static struct timer eager;
static unsigned eager_runs;

static void restart_in_the_past(struct timer *timer)
{
	eager_runs++;
	timer_start(timer, 0);
}

static void a_timer_that_is_always_due_does_not_keep_the_core(void **state)
{
	timer_init(&eager, restart_in_the_past);
	timer_start(&eager, 0);
	assert_int_equal(timers_run(100), 1);
	assert_int_equal(eager_runs, 1);
	assert_int_equal(timers_run(100), 1);
	timer_stop(&eager);
}

static void stop_others(struct timer *timer)
{
	for (unsigned i = 0; i < TIMERS; i++)
		timer_stop(&timers[i].timer);
}

static void a_callback_may_stop_the_rest(void **state)
{
	struct timer first;

	for (unsigned i = 0; i < TIMERS; i++)
		timer_start(&timers[i].timer, 2);
	timer_init(&first, stop_others);
	timer_start(&first, 1);
	assert_int_equal(timers_run(10), 1);
	for (unsigned i = 0; i < TIMERS; i++)
		assert_int_equal(timers[i].fired, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(agrees_with_the_model, setup, teardown),
		cmocka_unit_test_setup_teardown(fires_ten_thousand_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(a_timer_that_is_always_due_does_not_keep_the_core,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_callback_may_stop_the_rest, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
