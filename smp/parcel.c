/*
 * Parcels, and the outbox of those that found a full mailbox.
 */
#include "smp/mailbox.h"

#include "lavra/console.h"
#include "smp/core.h"

#include <errno.h>

/* Oldest first. */
static CORE_LOCAL struct parcel *outbox;
static CORE_LOCAL struct parcel **outbox_end;

/* Does the outbox hold something for `core`? What follows must then not overtake it. */
static bool outbox_holds(core_id_t core)
{
	for (const struct parcel *parcel = outbox; parcel; parcel = parcel->next)
		if (parcel->destination == core)
			return true;
	return false;
}

int mailbox_post(core_id_t core, void (*handler)(void *), void *argument)
{
	if (unlikely(outbox != NULL) && outbox_holds(core))
		return -ENOSPC;
	return mailbox_put(core, handler, argument);
}

void parcel_init(struct parcel *parcel, void (*handler)(struct parcel *))
{
	*parcel = (struct parcel){ .handler = handler };
}

static void parcel_arrived(void *argument)
{
	struct parcel *parcel = argument;

	/* Before the handler, which may send it on. Pairs with the load in parcel_send(). */
	__atomic_store_n(&parcel->in_flight, false, __ATOMIC_RELEASE);
	parcel->handler(parcel);
}

void parcel_send(core_id_t core, struct parcel *parcel)
{
	assert(core < ncores);
	assert(!__atomic_load_n(&parcel->in_flight, __ATOMIC_ACQUIRE));
	/* Ordered before the receiver's store by the ring. */
	__atomic_store_n(&parcel->in_flight, true, __ATOMIC_RELAXED);
	parcel->destination = core;
	parcel->next = NULL;
	if (mailbox_post(core, parcel_arrived, parcel) == 0)
		return;
	if (!outbox)
		outbox_end = &outbox;
	*outbox_end = parcel;
	outbox_end = &parcel->next;
}

static __attribute__((noinline)) void flush(void)
{
	struct parcel *parcel = outbox;
	uint64_t full = 0; /* cores whose mailbox refused one: later parcels must not overtake it */

	outbox = NULL;
	outbox_end = &outbox;
	while (parcel) {
		struct parcel *next = parcel->next;
		core_id_t core = parcel->destination;

		parcel->next = NULL;
		if ((full & 1ull << core) || mailbox_put(core, parcel_arrived, parcel) != 0) {
			full |= 1ull << core;
			*outbox_end = parcel;
			outbox_end = &parcel->next;
		}
		parcel = next;
	}
}

void parcels_flush(void)
{
	if (unlikely(outbox != NULL))
		flush();
}

bool parcels_wait(void)
{
	return outbox != NULL;
}
