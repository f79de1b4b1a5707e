#include "smp/mailbox.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "mm/object.h"
#include "smp/call.h"
#include "smp/core.h"

#include <ck_ring.h>
#include <errno.h>

CK_RING_PROTOTYPE(message, message)

#define MAILBOX_SLOTS 1024 /* a power of two; the ring holds one less */

/*
 * Producers of the ring: any core, in kernel context. Consumer: the owner.
 *
 * Kernel code is not preemptible and interrupt handlers do not post, so a producer is never
 * stopped between taking a slot and filling it by another producer of its own core; a producer on
 * another core waits for it (Concurrency Kit publishes slots in order) for a few instructions.
 */
struct mailbox {
	ck_ring_t ring;
	/* Written by the owner at each end of a sleep, by a poster that takes it upon itself to
	 * interrupt; read by posters after each message. Not beside the ring's counters. */
	bool sleeping CACHE_ALIGNED;
	struct message slots[MAILBOX_SLOTS] CACHE_ALIGNED;
} CACHE_ALIGNED;

static READ_MOSTLY struct mailbox *mailboxes[MAX_CORES];

/* Parcels that found a full mailbox, oldest first. */
static CORE_LOCAL struct parcel *outbox;
static CORE_LOCAL struct parcel **outbox_end;
static CORE_LOCAL bool draining;

int mailbox_init(void)
{
	for (core_id_t core = 0; core < ncores; core++) {
		struct mailbox *mailbox = object_alloc_zeroed(sizeof(*mailbox));

		if (!mailbox)
			return -ENOMEM;
		ck_ring_init(&mailbox->ring, MAILBOX_SLOTS);
		mailboxes[core] = mailbox;
	}
	return 0;
}

/* Does the outbox hold something for `core`? What follows must then not overtake it. */
static bool outbox_holds(core_id_t core)
{
	for (const struct parcel *parcel = outbox; parcel; parcel = parcel->next)
		if (parcel->destination == core)
			return true;
	return false;
}

static int post(core_id_t core, void (*handler)(void *), void *argument)
{
	struct message message = { .handler = handler, .argument = argument };
	struct mailbox *mailbox = mailboxes[core];

	if (!CK_RING_ENQUEUE_MPSC(message, &mailbox->ring, mailbox->slots, &message))
		return -ENOSPC;
	/* The message must be visible before we look whether the owner sleeps. Pairs with the fence
	 * in mailbox_prepare_sleep(): either we see `sleeping`, or the owner sees the message. */
	ck_pr_fence_memory();
	if (__atomic_load_n(&mailbox->sleeping, __ATOMIC_RELAXED) &&
	    __atomic_exchange_n(&mailbox->sleeping, false, __ATOMIC_RELAXED))
		arch_send_ipi(core); /* one poster of a sleep interrupts, not each */
	return 0;
}

int mailbox_post(core_id_t core, void (*handler)(void *), void *argument)
{
	assert(core < ncores);
	if (unlikely(outbox != NULL) && outbox_holds(core))
		return -ENOSPC;
	return post(core, handler, argument);
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

static void outbox_flush(void)
{
	struct parcel *parcel = outbox;
	uint64_t full = 0; /* cores whose mailbox refused one: later parcels must not overtake it */

	outbox = NULL;
	outbox_end = &outbox;
	while (parcel) {
		struct parcel *next = parcel->next;
		core_id_t core = parcel->destination;

		parcel->next = NULL;
		if ((full & 1ull << core) || post(core, parcel_arrived, parcel) != 0) {
			full |= 1ull << core;
			*outbox_end = parcel;
			outbox_end = &parcel->next;
		}
		parcel = next;
	}
}

unsigned mailbox_drain(void)
{
	struct mailbox *mailbox = mailboxes[this_core];
	struct message message;
	unsigned count = 0;

	assert(!draining);
	draining = true;
	/* At most one ring's worth: handlers that answer each other must not keep us here. */
	while (count < MAILBOX_SLOTS &&
	       CK_RING_DEQUEUE_MPSC(message, &mailbox->ring, mailbox->slots, &message)) {
		message.handler(message.argument);
		count++;
	}
	draining = false;
	if (count)
		counters.messages += count;
	if (unlikely(outbox != NULL))
		outbox_flush();
	return count;
}

static bool ring_is_empty(struct mailbox *mailbox)
{
	/* Of the two counters only the owner moves the first. */
	return ck_pr_load_uint(&mailbox->ring.c_head) == ck_pr_load_uint(&mailbox->ring.p_tail);
}

bool mailbox_is_empty(void)
{
	return ring_is_empty(mailboxes[this_core]) && !outbox;
}

bool mailbox_prepare_sleep(void)
{
	struct mailbox *mailbox = mailboxes[this_core];

	/* Nobody interrupts us when a full mailbox elsewhere gets room. */
	if (outbox)
		return false;
	__atomic_store_n(&mailbox->sleeping, true, __ATOMIC_RELAXED);
	/* `sleeping` must be visible before we look into the ring. Pairs with post()'s fence. */
	ck_pr_fence_memory();
	if (ring_is_empty(mailbox))
		return true;
	__atomic_store_n(&mailbox->sleeping, false, __ATOMIC_RELAXED);
	return false;
}

bool mailbox_owner_sleeps(core_id_t core)
{
	return __atomic_load_n(&mailboxes[core]->sleeping, __ATOMIC_RELAXED);
}

void mailbox_awake(void)
{
	/* A poster that saw `sleeping` just before still interrupts us: once too often. */
	__atomic_store_n(&mailboxes[this_core]->sleeping, false, __ATOMIC_RELAXED);
}

void ipi_interrupt(void)
{
	counters.ipis++;
}
