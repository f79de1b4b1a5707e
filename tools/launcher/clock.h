/*
 * This machine's time.
 */
#pragma once

#include <stdint.h>
#include <time.h>

/* Since some moment; never goes back. */
static inline uint64_t host_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t host_ms(void)
{
	return host_ns() / 1000000;
}

static inline void pause_ms(unsigned ms)
{
	const struct timespec pause = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&pause, NULL);
}
