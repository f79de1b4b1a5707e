/*
 * Timers of a core: an intrusive pairing heap ordered by deadline, so starting one never fails.
 *
 * A timer belongs to the core that started it; only that core starts, stops and fires
 * it, in core_poll(). The hardware timer is armed while a deadline is near or the core is
 * busy (one tick per TICK_NS), never while it idles without deadlines (sched/tick.c).
 */
#pragma once

#include "lavra/types.h"

struct timer {
	uint64_t deadline_ns;
	void (*expired)(struct timer *timer); /* owning core, at a safe point; must not block */
	struct timer *child, *sibling;
	struct timer *previous; /* left sibling, or the parent for the leftmost child */
	bool started;
};

#define TICK_NS (4 * NS_PER_MS)

void timer_init(struct timer *timer, void (*expired)(struct timer *));
/* Start, or move if started. Cannot fail. Owning core. */
void timer_start(struct timer *timer, uint64_t deadline_ns);
/* Stopping one that is not started does nothing. Owning core. */
void timer_stop(struct timer *timer);

/* The next deadline, UINT64_MAX: none. */
extern CORE_LOCAL uint64_t timer_next_ns;
/* Fire what is due at `now_ns`, each started timer at most once. Returns how many. core_poll()
 * calls it. */
unsigned timers_fire(uint64_t now_ns);
static inline unsigned timers_run(uint64_t now_ns)
{
	return unlikely(timer_next_ns <= now_ns) ? timers_fire(now_ns) : 0;
}
void timer_interrupt(void); /* arch calls it in interrupt context (sched/tick.c) */
