/*
 * The clock's arithmetic: rates of counters, and how long a timer must count. Pure, tested on the
 * host.
 */
#pragma once

#include "lavra/types.h"

/* A rate as a 32.32 fixed-point factor: value * factor >> 32, with a 128-bit product. */
typedef uint64_t rate_t;

static inline uint64_t scale(uint64_t value, rate_t rate)
{
	return (uint64_t)((unsigned __int128)value * rate >> 32);
}

/* (numerator << 32) / denominator, both below 2^32 * 10. */
static inline rate_t make_rate(uint64_t numerator, uint64_t denominator)
{
	return ((numerator / denominator) << 32) + ((numerator % denominator) << 32) / denominator;
}

/* Further ahead the timer is armed anew on the way: so no product overflows. */
#define MAX_AHEAD_NS (3600 * NS_PER_S)

/*
 * How many ticks at `ticks_per_ns` from `now_ns` on reach the deadline. Counted from now, not from
 * boot: two rates that are inverse to each other are rounded each on its own, and over days of
 * uptime the timer would interrupt ever earlier than the clock says, again and again.
 */
static inline uint64_t ticks_until(uint64_t deadline_ns, uint64_t now_ns, rate_t ticks_per_ns)
{
	uint64_t ahead = deadline_ns > now_ns ? min(deadline_ns - now_ns, MAX_AHEAD_NS) : 0;

	/* A little late rather than early: by more than both roundings (2^-28 from 100 MHz on). */
	return scale(ahead + (ahead >> 27), ticks_per_ns) + 1;
}
