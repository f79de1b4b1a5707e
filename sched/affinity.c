/*
 * Which core a thread runs on: placement, affinity, and moving.
 */
#include "sched/run_queue.h"

#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "sched/affinity.h"

#include <errno.h>

/* Application threads accounted to each core. Shared, because a burst of clone() must see its own
 * placements at once; written only when a thread is made, moves or ends. */
static int load[MAX_CORES] CACHE_ALIGNED;

/* What the first thread may use, and all that inherit from it. */
READ_MOSTLY uint64_t affinity_default = ~0ull;
uint64_t network_cores = ~0ull;

const char *affinity_parse(const char *text, uint64_t *mask)
{
	uint64_t parsed = 0;

	for (;;) {
		unsigned first = 0, last = 0;
		unsigned *number = &first;
		bool digits = false;

		for (;; text++) {
			if (*text >= '0' && *text <= '9') {
				*number = *number * 10 + (unsigned)(*text - '0');
				digits = true;
				if (*number >= MAX_CORES)
					return "core numbers are below 64";
			} else if (*text == '-' && digits && number == &first) {
				number = &last;
				digits = false;
			} else {
				break;
			}
		}
		if (number == &first)
			last = first;
		if (!digits || last < first || (*text && *text != ','))
			return "must be a list of cores such as 0,2-3";
		for (unsigned core = first; core <= last; core++)
			parsed |= 1ull << core;
		if (!*text)
			break;
		text++;
	}
	*mask = parsed;
	return NULL;
}

static const char *leave_to_threads(uint64_t mask)
{
	if (!(affinity_default & mask))
		return "leaves no core to application threads";
	affinity_default &= mask;
	return NULL;
}

static const char *parse_app(const char *value)
{
	uint64_t mask;
	const char *wrong = affinity_parse(value, &mask);

	return wrong ? wrong : leave_to_threads(mask);
}
BOOT_OPTION(app, "app=LIST: cores that application threads may use, such as 0,2-3", parse_app);

static const char *parse_isolate(const char *value)
{
	uint64_t mask;
	const char *wrong = affinity_parse(value, &mask);

	return wrong ? wrong : leave_to_threads(~mask);
}
BOOT_OPTION(isolate, "isolate=LIST: cores for threads that ask for them by their affinity alone",
	    parse_isolate);

static const char *parse_net(const char *value)
{
	return affinity_parse(value, &network_cores);
}
BOOT_OPTION(net, "net=LIST: cores that have the network's queues and connections, such as 0,2-3",
	    parse_net);

core_id_t network_core(void)
{
	uint64_t mask = network_cores & online_cores_mask();
	unsigned skip;

	if (mask >> this_core & 1)
		return this_core;
	for (skip = this_core % (unsigned)__builtin_popcountll(mask); skip; skip--)
		mask &= mask - 1;
	return (core_id_t)__builtin_ctzll(mask);
}

uint64_t online_cores_mask(void)
{
	uint64_t mask = 0;

	for (core_id_t core = 0; core < ncores; core++)
		if (core_is_online(core))
			mask |= 1ull << core;
	return mask;
}

void core_load_add(core_id_t core, int delta)
{
	__atomic_fetch_add(&load[core], delta, __ATOMIC_RELAXED);
}

core_id_t core_choose(uint64_t mask, core_id_t after)
{
	core_id_t best = after;
	int best_load = INT32_MAX;

	for (unsigned i = 1; i <= ncores; i++) {
		core_id_t core = (after + i) % ncores;
		int core_load = __atomic_load_n(&load[core], __ATOMIC_RELAXED);

		if (!(mask >> core & 1) || !core_is_online(core) || core_load >= best_load)
			continue;
		best = core;
		best_load = core_load;
	}
	return best;
}

void thread_send(struct thread *thread, core_id_t core)
{
	assert(thread->state == THREAD_RUNNABLE && !thread->queued && thread != current);
	if (thread->tid) {
		core_load_add(thread->core, -1);
		core_load_add(core, 1);
	}
	/* Wake-ups that arrive here from now on are forwarded (block.c). */
	__atomic_store_n(&thread->core, core, __ATOMIC_RELAXED);
	if (core == this_core)
		run_queue_push_back(thread);
	else
		parcel_send(core, &thread->move_parcel);
}

void thread_arrived(struct parcel *parcel)
{
	struct thread *thread = container_of(parcel, struct thread, move_parcel);

	assert_on_core(thread->core);
	run_queue_push_back(thread);
}

void thread_migrate(core_id_t core)
{
	assert(core_is_online(core));
	if (core != this_core)
		leave_core(thread_send, core);
}

void thread_obey_affinity(void)
{
	uint64_t mask = __atomic_load_n(&current->affinity, __ATOMIC_RELAXED);

	if (unlikely(!(mask >> this_core & 1)))
		thread_migrate(core_choose(mask, this_core));
}

/* On the core where the thread was when its affinity changed. A thread that runs now is sent away when
 * it comes to the queue: this message interrupted it. A blocked one is when it wakes up. */
static void affinity_changed(void *argument)
{
	struct thread *thread = thread_find((int)(intptr_t)argument);

	if (!thread || thread->core != this_core || !thread->queued ||
	    thread_may_run_on(thread, this_core))
		return;
	run_queue_remove(thread);
	thread_send(thread, core_choose(thread->affinity, this_core));
}

int thread_set_affinity(int tid, uint64_t mask)
{
	uint64_t online = online_cores_mask();
	struct thread *thread = tid ? thread_find(tid) : current;
	core_id_t core;

	mask &= online;
	if (!thread)
		return -ESRCH;
	if (!mask)
		return -EINVAL;
	thread->affinity_set = mask != online;
	__atomic_store_n(&thread->affinity, mask, __ATOMIC_RELAXED);
	if (thread == current) {
		thread_obey_affinity();
		return 0;
	}
	core = __atomic_load_n(&thread->core, __ATOMIC_RELAXED);
	/* A full mailbox only delays it to the next tick: the core looks at the affinity of every
	 * thread that it takes from its queue. */
	if (!(mask >> core & 1) &&
	    mailbox_post(core, affinity_changed, (void *)(intptr_t)thread->tid) == 0 &&
	    core != this_core)
		arch_send_ipi(core);
	return 0;
}

uint64_t thread_affinity(int tid)
{
	struct thread *thread = tid ? thread_find(tid) : current;

	if (!thread)
		return 0;
	return __atomic_load_n(&thread->affinity, __ATOMIC_RELAXED) & online_cores_mask();
}
