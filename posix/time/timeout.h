/*
 * Linux's ways to say for how long, as deadlines on clock_ns(). What is beyond 580 years is for ever.
 */
#pragma once

#include "arch/arch.h"
#include "lavra/types.h"

#include <time.h>

#define NO_WAIT 0ull /* a deadline that has passed */

static inline uint64_t deadline_in(uint64_t seconds, uint64_t ns)
{
	uint64_t now;

	if (seconds == 0 && ns == 0)
		return NO_WAIT;
	now = clock_ns();
	if (seconds >= (UINT64_MAX - now) / NS_PER_S - 1)
		return UINT64_MAX;
	return now + seconds * NS_PER_S + ns;
}

static inline bool timespec_is_bad(const struct timespec *time)
{
	return time->tv_sec < 0 || (unsigned long)time->tv_nsec >= NS_PER_S;
}

/* NULL: for ever. Checked before. */
static inline uint64_t deadline_of(const struct timespec *timeout)
{
	return timeout ? deadline_in(timeout->tv_sec, timeout->tv_nsec) : UINT64_MAX;
}

/* The moment `time` of a clock that reads `offset_ns` when clock_ns() is 0. Checked before. */
static inline uint64_t deadline_at(const struct timespec *time, uint64_t offset_ns)
{
	uint64_t ns;

	if ((uint64_t)time->tv_sec >= UINT64_MAX / NS_PER_S)
		return UINT64_MAX;
	ns = (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec;
	return ns > offset_ns ? ns - offset_ns : NO_WAIT;
}

/* Negative: for ever. */
static inline uint64_t deadline_in_ms(int timeout_ms)
{
	return timeout_ms < 0 ? UINT64_MAX : deadline_in(0, timeout_ms * NS_PER_MS);
}
