#include "smp/call.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "smp/core.h"
#include "smp/mailbox.h"

#include <stddef.h>

static READ_MOSTLY const struct smp_blocking *blocking;

struct call { /* on the caller's stack */
	struct parcel parcel;
	long (*function)(void *argument);
	void *argument;
	long result;
	void *waiter; /* the caller's thread; NULL: it polls `done` */
	bool done;
};

void smp_set_blocking(const struct smp_blocking *registered)
{
	blocking = registered;
}

static void call_arrived(struct parcel *parcel)
{
	struct call *call = container_of(parcel, struct call, parcel);
	void *waiter = call->waiter;

	call->result = call->function(call->argument);
	/* The result first. Pairs with the loads of `done` in core_call(). A caller that polls
	 * leaves as soon as it sees this: without a waiter `call` is gone from here on. */
	__atomic_store_n(&call->done, true, __ATOMIC_RELEASE);
	if (waiter)
		blocking->wake(waiter);
}

long core_call(core_id_t core, long (*function)(void *argument), void *argument)
{
	struct call call = { .function = function, .argument = argument };
	bool away = false;

	if (core == this_core)
		return function(argument);
	assert(core_is_online(core));
	parcel_init(&call.parcel, call_arrived);
	if (blocking) {
		call.waiter = blocking->prepare();
		away = blocking->is_away(core);
	}
	parcel_send(core, &call.parcel);
	if (away)
		arch_send_ipi(core);
	if (call.waiter) {
		/* Exactly one wake-up comes, also if `done` shows before it: leaving without it
		 * would let it hit a later wait. */
		blocking->block();
		assert(__atomic_load_n(&call.done, __ATOMIC_ACQUIRE));
	} else {
		while (!__atomic_load_n(&call.done, __ATOMIC_ACQUIRE)) {
			mailbox_drain(); /* the other core may be calling us */
			arch_pause();
		}
	}
	return call.result;
}

struct call_all {
	void (*function)(void *argument);
	void *argument;
};

static long call_one_of_all(void *argument)
{
	const struct call_all *all = argument;

	all->function(all->argument);
	return 0;
}

void core_call_all(void (*function)(void *argument), void *argument)
{
	struct call_all all = { .function = function, .argument = argument };

	/* One after the other: nothing that calls this is in a hurry. The thread may be moved while
	 * it waits, so which core is "this one" is looked up anew for each. */
	for (core_id_t core = 0; core < ncores; core++)
		if (core_is_online(core))
			core_call(core, call_one_of_all, &all);
}
