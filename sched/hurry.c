/*
 * Messages to cores that run application code.
 *
 * A core that sleeps, or is known to compute, is interrupted by who posts. Any other is expected to look
 * by itself, which under load it does within microseconds. Whether it did is looked at by the core that
 * posted, later, in its own passes and before it halts: by what that core's clock said at its last
 * pass. So a message waits for AWAY_NS and not for a tick, and one to a core that calls the kernel often
 * costs its poster a bit in a mask.
 */
#include "sched/run_queue.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "smp/window.h"

#define AWAY_NS (100 * NS_PER_US)

CORE_LOCAL uint64_t addressees;
static CORE_LOCAL uint64_t posted_before_ns; /* what the addressees were sent */

static uint64_t pass_of(core_id_t core)
{
	return __atomic_load_n(core_local_of(core, poll_ns), __ATOMIC_RELAXED);
}

bool core_is_away(core_id_t core)
{
	static CORE_LOCAL core_id_t interrupted = MAX_CORES;
	static CORE_LOCAL uint64_t interrupted_after;
	uint64_t seen_ns = pass_of(core);

	if ((int64_t)(clock_ns() - seen_ns) <= (int64_t)AWAY_NS || mailbox_owner_sleeps(core))
		return false;
	if (interrupted == core && interrupted_after == seen_ns)
		return false;
	interrupted = core;
	interrupted_after = seen_ns;
	return true;
}

/* Those that have looked since, or will be interrupted by the end of their sleep, are none any more. */
static void strike_out(void)
{
	for (uint64_t rest = addressees; rest; rest &= rest - 1) {
		core_id_t core = (core_id_t)__builtin_ctzll(rest);

		if (pass_of(core) >= posted_before_ns || mailbox_owner_sleeps(core))
			addressees &= ~(1ull << core);
	}
}

static void begin(uint64_t now)
{
	addressees = mailbox_posted_to;
	mailbox_posted_to = 0;
	posted_before_ns = now;
}

void hurry_addressees(void)
{
	if (addressees) {
		if (poll_ns - posted_before_ns <= AWAY_NS)
			return;
		strike_out();
		for (uint64_t rest = addressees; rest; rest &= rest - 1)
			arch_send_ipi((core_id_t)__builtin_ctzll(rest));
	}
	begin(poll_ns);
}

uint64_t hurry_next(void)
{
	strike_out();
	if (!addressees && mailbox_posted_to) {
		begin(clock_ns());
		strike_out();
	}
	return addressees ? posted_before_ns + AWAY_NS : UINT64_MAX;
}
