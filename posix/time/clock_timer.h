/*
 * A timer on any of Linux's clocks: what timer_create() and setitimer() are made of.
 *
 * It lives on one core, and only code there touches it. One on a clock of processor time looks
 * at the clock again and again: such a clock runs at most as fast as all cores together, so it never
 * fires early, and it fires late by the few milliseconds in which running threads are accounted.
 */
#pragma once

#include "lavra/types.h"
#include "sched/timer.h"

struct clock_timer {
	struct timer timer;
	int clock;
	bool armed;
	uint64_t expires_ns; /* on its clock */
	uint64_t interval_ns; /* 0: once */
	/* `missed` more intervals have passed than this one. Owning core, at a safe point. */
	void (*expired)(struct clock_timer *timer, uint64_t missed);
};

struct clock_timer_state {
	uint64_t left_ns; /* 0: off */
	uint64_t interval_ns;
};

void clock_timer_init(struct clock_timer *timer, int clock,
		      void (*expired)(struct clock_timer *timer, uint64_t missed));
/* `expires_ns` on its clock, in the past: at once. Owning core, as are those below. */
void clock_timer_start(struct clock_timer *timer, uint64_t expires_ns, uint64_t interval_ns);
void clock_timer_stop(struct clock_timer *timer);
struct clock_timer_state clock_timer_state(const struct clock_timer *timer);
