#include "posix/time/clock_timer.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "posix/time/time_calls.h"
#include "smp/core.h"

/* No look at a clock of processor time sooner than this after the last. */
#define LOOK_NS NS_PER_MS

static uint64_t saturating_add(uint64_t a, uint64_t b)
{
	return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

/* When to look at the clock next, if it reads `now_ns`. */
static uint64_t next_look(const struct clock_timer *timer, uint64_t now_ns)
{
	uint64_t left = timer->expires_ns > now_ns ? timer->expires_ns - now_ns : 0;

	if (left && clock_is_of_processor(timer->clock))
		left = max(left / ncores, (uint64_t)LOOK_NS);
	return saturating_add(clock_ns(), left);
}

static void look(struct timer *inner)
{
	struct clock_timer *timer = container_of(inner, struct clock_timer, timer);
	uint64_t now, missed = 0;

	/* The thread whose clock it is may be gone: then it never fires again. */
	if (clock_read(timer->clock, &now) != 0) {
		timer->armed = false;
		return;
	}
	if (now < timer->expires_ns) {
		timer_start(&timer->timer, next_look(timer, now));
		return;
	}
	/* From the last time on, so that it does not drift, but never many at once. */
	if (timer->interval_ns) {
		missed = (now - timer->expires_ns) / timer->interval_ns;
		timer->expires_ns =
		    saturating_add(timer->expires_ns, (missed + 1) * timer->interval_ns);
		timer_start(&timer->timer, next_look(timer, now));
	} else {
		timer->armed = false;
	}
	timer->expired(timer, missed);
}

void clock_timer_init(struct clock_timer *timer, int clock,
		      void (*expired)(struct clock_timer *timer, uint64_t missed))
{
	*timer = (struct clock_timer){ .clock = clock, .expired = expired };
	timer_init(&timer->timer, look);
}

void clock_timer_start(struct clock_timer *timer, uint64_t expires_ns, uint64_t interval_ns)
{
	uint64_t now = 0;

	timer->expires_ns = expires_ns;
	timer->interval_ns = interval_ns;
	timer->armed = clock_read(timer->clock, &now) == 0;
	if (timer->armed)
		timer_start(&timer->timer, next_look(timer, now));
	else
		timer_stop(&timer->timer);
}

void clock_timer_stop(struct clock_timer *timer)
{
	timer->armed = false;
	timer->interval_ns = 0;
	timer_stop(&timer->timer);
}

struct clock_timer_state clock_timer_state(const struct clock_timer *timer)
{
	struct clock_timer_state state = { 0, timer->interval_ns };
	uint64_t now;

	if (!timer->armed || clock_read(timer->clock, &now) != 0)
		return state;
	/* One that is due but not yet seen is still on: not 0. */
	state.left_ns = timer->expires_ns > now ? timer->expires_ns - now : 1;
	return state;
}
