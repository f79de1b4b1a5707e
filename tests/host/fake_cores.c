#include "tests/host/fake_cores.h"

#include "smp/epoch.h"
#include "smp/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct parcel *queues[CORES];

void parcel_init(struct parcel *parcel, void (*handler)(struct parcel *))
{
	*parcel = (struct parcel){ .handler = handler };
}

void parcel_send(core_id_t core, struct parcel *parcel)
{
	struct parcel **last = &queues[core];

	assert_false(parcel->in_flight);
	while (*last)
		last = &(*last)->next;
	parcel->next = NULL;
	parcel->in_flight = true;
	*last = parcel;
}

bool deliver_one(core_id_t core)
{
	struct parcel *parcel = queues[core];

	if (!parcel)
		return false;
	queues[core] = parcel->next;
	this_core = core;
	parcel->in_flight = false;
	parcel->handler(parcel);
	return true;
}

/* What is deferred waits until every core has emptied its queue once. */
static struct waiting {
	struct waiting *next;
	struct deferred *deferred;
	void (*release)(struct deferred *);
	unsigned cores_left;
} * waiting;

void epoch_defer(struct deferred *deferred, void (*release)(struct deferred *))
{
	struct waiting *entry = malloc(sizeof(*entry));

	*entry = (struct waiting){ waiting, deferred, release, (1u << CORES) - 1 };
	waiting = entry;
}

void safe_point(core_id_t core)
{
	struct waiting **link = &waiting;

	while (deliver_one(core))
		;
	while (*link) {
		struct waiting *entry = *link;

		entry->cores_left &= ~(1u << core);
		if (entry->cores_left) {
			link = &entry->next;
			continue;
		}
		*link = entry->next;
		entry->release(entry->deferred);
		free(entry);
	}
}

void settle(void)
{
	for (int i = 0; i < 20; i++)
		for (core_id_t core = 0; core < CORES; core++)
			safe_point(core);
	for (core_id_t core = 0; core < CORES; core++)
		assert_null(queues[core]);
	assert_null(waiting);
}

long core_call(core_id_t core, long (*function)(void *), void *argument)
{
	core_id_t caller = this_core;
	long result;

	this_core = core;
	result = function(argument);
	this_core = caller;
	return result;
}
