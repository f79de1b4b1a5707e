/*
 * The work of a core: what it looks at between threads, and how it sleeps when there is none.
 */
#include "sched/run_queue.h"

#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "mm/object.h"
#include "smp/window.h"

#include <string.h>

CORE_LOCAL volatile bool poll_wanted;
CORE_LOCAL uint64_t poll_ns;

static CORE_LOCAL bool polling;

static READ_MOSTLY struct poller *pollers;
static READ_MOSTLY bool never_halt;

/* With `poll` a core answers without the cost of leaving a halt, and takes all of its processor:
 * it is only for hosts that give every core one of its own. */
static const char *parse_idle(const char *value)
{
	if (strcmp(value, "poll") == 0)
		never_halt = true;
	else if (strcmp(value, "halt") == 0)
		never_halt = false;
	else
		return "must be halt or poll";
	return NULL;
}
BOOT_OPTION(idle, "idle=halt | poll: what a core without work does", parse_idle);

void core_add_poller(struct poller *poller)
{
	struct poller **last = &pollers;

	assert(poller->poll);
	while (*last)
		last = &(*last)->next;
	poller->next = NULL;
	/* Release: cores that run already see a complete one. */
	__atomic_store_n(last, poller, __ATOMIC_RELEASE);
}

uint64_t core_next_deadline(void)
{
	uint64_t next = timer_next_ns;

	for (const struct poller *poller = pollers; poller; poller = poller->next)
		if (poller->deadline_ns)
			next = min(next, *poller->deadline_ns);
	return next;
}

bool core_poll(void)
{
	bool worked;

	if (polling)
		return false;
	polling = true;
	/* Before looking: what an interrupt announces from here on is for the next pass. */
	poll_wanted = false;
	counters.polls++;
	poll_ns = clock_ns();
	worked = mailbox_drain() != 0;
	worked |= timers_run(poll_ns) != 0;
	for (struct poller *poller = pollers; poller; poller = poller->next)
		worked |= poller->poll();
	epoch_safe_point();
	polling = false;
	turns_left = run_queue_length();
	return worked;
}

#define AWAY_NS (100 * NS_PER_US)

bool core_is_away(core_id_t core)
{
	uint64_t seen_ns = __atomic_load_n(core_local_of(core, poll_ns), __ATOMIC_RELAXED);

	return (int64_t)(clock_ns() - seen_ns) > (int64_t)AWAY_NS && !mailbox_owner_sleeps(core);
}

/*
 * Nothing is lost between the last look and the halt: interrupts are off from before the look,
 * every source is first told to interrupt and then looked at, and an interrupt that is pending when
 * arch_wait_for_interrupt() enables them ends the halt.
 */
void idle_wait(void)
{
	struct poller *poller;
	uint64_t halted_ns = 0;

	assert(!polling);
	if (never_halt) {
		arch_pause();
		return;
	}
	/* It may be long until this core allocates again. */
	object_collect();
	arch_irq_disable();
	if (!mailbox_prepare_sleep()) {
		arch_irq_enable();
		return;
	}
	for (poller = pollers; poller; poller = poller->next)
		if (poller->prepare_sleep && !poller->prepare_sleep())
			break;
	if (!poller && !poll_wanted) {
		uint64_t before = clock_ns();
		uint64_t wake_ns = core_next_deadline();

		/* What we deferred is released when other cores have passed a safe point: look again. */
		if (epoch_is_pending())
			wake_ns = min(wake_ns, before + TICK_NS);
		if (wake_ns > before) {
			tick_idle_enter(wake_ns);
			epoch_sleep();
			arch_wait_for_interrupt();
			epoch_wake();
			tick_idle_leave();
			halted_ns = clock_ns() - before;
		}
	}
	/* `poller` is the one that refused: those after it were not told. */
	for (struct poller *told = pollers; told; told = told->next) {
		if (told->awake)
			told->awake();
		if (told == poller)
			break;
	}
	mailbox_awake();
	arch_irq_enable();
	counters.idle_ns += halted_ns;
	account_idle(halted_ns);
}
