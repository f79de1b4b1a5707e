/*
 * The timer interrupt of a core.
 *
 * While a core is busy it ticks at least once per TICK_NS, so that application code is
 * interrupted for other threads and for polling. Deadlines and ticks share the one hardware timer, and
 * it is programmed only to become earlier: an interrupt that is early for what it was
 * meant for does no harm, and a request then programs nothing. An idle core is woken by its next
 * deadline, or by nothing.
 */
#include "sched/run_queue.h"

static CORE_LOCAL uint64_t armed_ns = UINT64_MAX;
static CORE_LOCAL bool halting;

/* An interrupt in here re-arms on its own: then the hardware has the earlier time of the two and
 * `armed_ns` the later, which costs an early interrupt and no more. */
static void arm_no_later_than(uint64_t deadline_ns)
{
	if (deadline_ns >= armed_ns)
		return;
	armed_ns = deadline_ns;
	clock_arm(deadline_ns);
}

void tick_arm(void)
{
	uint64_t deadline = core_next_deadline();
	uint64_t tick = poll_ns + TICK_NS;

	arm_no_later_than(min(deadline, tick));
}

void tick_within(uint64_t ns)
{
	arm_no_later_than(poll_ns + ns);
}

void tick_idle_enter(uint64_t wake_ns)
{
	halting = true;
	arm_no_later_than(wake_ns);
}

void tick_idle_leave(void)
{
	halting = false;
}

void timer_interrupt(void)
{
	poll_wanted = true;
	turn_over = true;
	armed_ns = UINT64_MAX;
	if (!halting)
		arm_no_later_than(clock_ns() + TICK_NS);
}
