/*
 * The clock's arithmetic: a timer set for a deadline does not interrupt before the clock shows it,
 * however long the machine has run.
 */
#include "arch/x86_64/clock_rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint64_t rates[] = { 100000000,  999999937,  1000000000, 2596097000,
				  2999999977, 3333333333, 5100000007, 10000000000 };

static void nanoseconds_are_right(void **state)
{
	for (size_t i = 0; i < array_size(rates); i++) {
		rate_t ns_per_tick = make_rate(NS_PER_S, rates[i]);
		uint64_t day = scale(rates[i] * 86400, ns_per_tick);

		assert_in_range(day, 86400 * NS_PER_S - 300000, 86400 * NS_PER_S);
	}
}

static void no_interrupt_comes_early(void **state)
{
	static const uint64_t intervals[] = { 0, 1, 999, 4 * NS_PER_MS, NS_PER_S, MAX_AHEAD_NS };

	for (size_t i = 0; i < array_size(rates); i++) {
		rate_t ns_per_tick = make_rate(NS_PER_S, rates[i]);
		rate_t ticks_per_ns = make_rate(rates[i], NS_PER_S);

		/* From a moment after boot to a year. */
		for (uint64_t up = 1; up < rates[i] * 86400 * 366; up = up * 3 + 1) {
			for (size_t k = 0; k < array_size(intervals); k++) {
				uint64_t now = scale(up, ns_per_tick);
				uint64_t deadline = now + intervals[k];
				uint64_t ticks = ticks_until(deadline, now, ticks_per_ns);
				uint64_t then = scale(up + ticks, ns_per_tick);

				assert_true(then >= deadline);
				/* Nor much later: a few ticks and a hundred-millionth. */
				assert_true(then - deadline <= 21 + intervals[k] / 100000000);
			}
		}
	}
}

static void far_deadlines_do_not_overflow(void **state)
{
	for (size_t i = 0; i < array_size(rates); i++) {
		rate_t ticks_per_ns = make_rate(rates[i], NS_PER_S);
		uint64_t hour = ticks_until(MAX_AHEAD_NS, 0, ticks_per_ns);

		assert_in_range(hour, 3600 * rates[i] / 2, 3600 * rates[i] * 2);
		assert_int_equal(ticks_until(UINT64_MAX - 1, 0, ticks_per_ns), hour);
		assert_int_equal(ticks_until(1ull << 63, 5, ticks_per_ns), hour);
		assert_int_equal(ticks_until(5, 6, ticks_per_ns), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nanoseconds_are_right),
		cmocka_unit_test(no_interrupt_comes_early),
		cmocka_unit_test(far_deadlines_do_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
