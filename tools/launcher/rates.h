/*
 * What happened between two samples, by the second.
 *
 * A core's counters are true for the moment of its own clock that stands beside them, so rates are over the time
 * between two such moments, not over the time between two looks. A core that halts has nothing to say, and its
 * counters are true until now: the guest's present time is estimated from what its cores published just before
 * they were read.
 */
#pragma once

#include "tools/launcher/monitor_reader.h"

#define CLOCK_SAMPLES 16

/* The guest's clock, seen from the host's. Zeroed at first. */
struct guest_clock {
	int64_t offsets[CLOCK_SAMPLES]; /* guest minus host, of the newest publication in a sample */
	unsigned count; /* of samples so far */
};

struct core_rates {
	bool is_known; /* both samples have it, and time has passed */
	bool halts; /* now */
	double seconds; /* that the rates are over */
	double busy; /* 0 to 1: time not halted */
	double per_second[MONITOR_COUNTERS_MAX];
};

struct rates {
	unsigned ncores;
	struct core_rates cores[MONITOR_CORES_MAX];
};

/* Learn from the newest sample; `before` is the one before it, or NULL. */
void guest_clock_learn(struct guest_clock *clock, const struct monitor_reader *reader,
		       const struct sample *before, const struct sample *now);
/* The guest's time at `host_ns`, or a little less; 0: not known. */
uint64_t guest_clock_at(const struct guest_clock *clock, uint64_t host_ns);

void rates_compute(struct rates *rates, const struct monitor_reader *reader,
		   const struct guest_clock *clock, const struct sample *before,
		   const struct sample *now);
/* Of the cores in `mask`: rates added up, the busy share their mean. */
void rates_total(struct core_rates *total, const struct rates *rates,
		 const struct monitor_reader *reader, uint64_t mask);
