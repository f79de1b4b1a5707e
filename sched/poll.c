/*
 * The work of a core: what it looks at between threads, and how it sleeps when there is none.
 */
#include "sched/run_queue.h"

#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "lavra/trace.h"
#include "mm/object.h"
#include "sched/affinity.h"
#include "smp/monitor.h"
#include "smp/window.h"

#include <string.h>

CORE_LOCAL volatile bool poll_wanted;
CORE_LOCAL uint64_t poll_ns;

CORE_LOCAL bool core_computes;

static CORE_LOCAL bool polling;
static CORE_LOCAL bool watching; /* sources interrupt, for core_watch() */
static CORE_LOCAL uint64_t called_ns; /* the last pass that a thread made by calling the kernel */

static READ_MOSTLY struct poller *pollers;
/*
 * With IDLE_POLL a core answers without the cost of leaving a halt, and takes all of its processor: it is only for
 * hosts that give every core one of its own. With IDLE_ADAPTIVE it looks on for a while after it had work, for
 * as long as that has paid before: `window_ns` grows when a halt turns out to have been shorter than
 * WINDOW_MAX_NS, and shrinks when it was longer.
 */
static READ_MOSTLY uint64_t poll_cores, adaptive_cores; /* at first; the others halt */
static CORE_LOCAL unsigned changed_mode; /* plus one; 0: it is the first still; any core */
static CORE_LOCAL uint64_t window_ns;
static CORE_LOCAL uint64_t work_ended_ns;

#define WINDOW_MIN_NS (10 * NS_PER_US)
#define WINDOW_MAX_NS (200 * NS_PER_US)

static bool is_word(const char *value, size_t length, const char *word)
{
	return strlen(word) == length && strncmp(value, word, length) == 0;
}

static const char *parse_idle(const char *value)
{
	const char *list = strchr(value, ':');
	size_t length = list ? (size_t)(list - value) : strlen(value);
	bool poll = is_word(value, length, "poll"), adaptive = is_word(value, length, "adaptive");
	uint64_t mask = ~0ull;
	const char *wrong = list ? affinity_parse(list + 1, &mask) : NULL;

	if (wrong)
		return wrong;
	if (!poll && !adaptive && !is_word(value, length, "halt"))
		return "must be halt, poll or adaptive, and perhaps a list of cores as in poll:0-1";
	poll_cores = poll ? poll_cores | mask : poll_cores & ~mask;
	adaptive_cores = adaptive ? adaptive_cores | mask : adaptive_cores & ~mask;
	return NULL;
}
BOOT_OPTION(idle,
	    "idle=halt | poll | adaptive, and :LIST for some cores: what one without work does",
	    parse_idle);

enum idle_mode core_idle_mode(core_id_t core)
{
	unsigned changed = __atomic_load_n(core_local_of(core, changed_mode), __ATOMIC_RELAXED);

	if (changed)
		return (enum idle_mode)(changed - 1);
	if (poll_cores >> core & 1)
		return IDLE_POLL;
	return adaptive_cores >> core & 1 ? IDLE_ADAPTIVE : IDLE_HALT;
}

void core_set_idle_mode(core_id_t core, enum idle_mode mode)
{
	__atomic_store_n(core_local_of(core, changed_mode), (unsigned)mode + 1, __ATOMIC_RELAXED);
	/* One that halts looks when it is woken. */
	arch_send_ipi(core);
}

/* Is it too early to halt? */
static bool looks_on(void)
{
	enum idle_mode mode = core_idle_mode(this_core);

	return mode == IDLE_POLL || (mode == IDLE_ADAPTIVE && poll_ns - work_ended_ns < window_ns);
}

static void learn_window(uint64_t halted_ns)
{
	if (halted_ns >= WINDOW_MAX_NS)
		window_ns = window_ns > WINDOW_MIN_NS ? window_ns / 2 : 0;
	else
		window_ns = min(max(2 * window_ns, WINDOW_MIN_NS), WINDOW_MAX_NS);
}

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

/* Sources do not interrupt any more: those up to `last`, or all. */
static void sources_quiet(const struct poller *last)
{
	for (struct poller *poller = pollers; poller; poller = poller->next) {
		if (poller->awake)
			poller->awake();
		if (poller == last)
			break;
	}
	mailbox_awake();
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
	monitor_look(poll_ns);
	core_computes = false;
	if (unlikely(watching)) {
		watching = false;
		sources_quiet(NULL);
	}
	if (current != idle_thread)
		called_ns = poll_ns;
	if (unlikely(mailbox_posted_to | addressees))
		hurry_addressees();
	worked = mailbox_drain() != 0;
	worked |= timers_run(poll_ns) != 0;
	for (struct poller *poller = pollers; poller; poller = poller->next)
		worked |= poller->poll(poll_ns);
	epoch_safe_point();
	polling = false;
	turns_left = run_queue_length();
	if (worked)
		work_ended_ns = poll_ns;
	return worked;
}

/* ---- waiting for interrupts ---- */

/*
 * Interrupts off. Every source is told to interrupt, and then looked at, so that nothing is lost between
 * the last look and what comes then. False if one has work: then none interrupts.
 */
static bool sources_interrupt(void)
{
	if (!mailbox_prepare_sleep())
		return false;
	for (struct poller *poller = pollers; poller; poller = poller->next)
		if (poller->prepare_sleep && !poller->prepare_sleep()) {
			sources_quiet(poller);
			return false;
		}
	if (!poll_wanted)
		return true;
	sources_quiet(NULL);
	return false;
}

/* An interrupt that is pending when arch_wait_for_interrupt() enables them ends the halt. */
void idle_wait(void)
{
	uint64_t halted_ns = 0;

	assert(!polling && !watching);
	if (looks_on()) {
		arch_pause();
		return;
	}
	/* It may be long until this core allocates again. */
	object_collect();
	arch_irq_disable();
	if (sources_interrupt()) {
		uint64_t before = clock_ns();
		uint64_t wake_ns = min(core_next_deadline(), hurry_next());

		/* What we deferred is released when other cores have passed a safe point: look again. */
		if (epoch_is_pending())
			wake_ns = min(wake_ns, before + TICK_NS);
		if (wake_ns > before) {
			counters.halts++;
			wake_ns = min(wake_ns, monitor_halts(before));
			tick_idle_enter(wake_ns);
			epoch_sleep();
			TRACE(TRACE_HALT, 0, 0);
			arch_wait_for_interrupt();
			TRACE(TRACE_RUN, 0, 0);
			epoch_wake();
			tick_idle_leave();
			monitor_wakes();
			halted_ns = clock_ns() - before;
		}
		sources_quiet(NULL);
	}
	arch_irq_enable();
	if (halted_ns)
		learn_window(halted_ns);
	counters.idle_ns += halted_ns;
	account_idle(halted_ns);
}

/* From when on an application is taken for one that computes, and how long it is left alone after a pass
 * that found work, so that a flood does not keep it from ever going on. */
#define COMPUTES_NS NS_PER_MS
#define LEFT_ALONE_NS (100 * NS_PER_US)

bool core_is_uncalled(void)
{
	return poll_ns - called_ns >= COMPUTES_NS;
}

/* Interrupts are off until the application runs: one that comes meanwhile interrupts it. */
void core_watch(bool worked)
{
	if (!core_is_uncalled())
		return;
	core_computes = true;
	arch_irq_disable();
	watching = !worked && sources_interrupt();
	if (!watching)
		tick_within(LEFT_ALONE_NS);
}
