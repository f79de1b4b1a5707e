/*
 * Mailbox: how one core hands work to another.
 *
 * Each core owns one mailbox, a bounded multi-producer, single-consumer ring. Any core
 * may post; only the owner drains, in core_poll(). Posting never blocks and never
 * allocates: a full mailbox is an error that the poster handles. The owner is
 * interrupted only if it sleeps, or runs application code for long. Messages of one poster arrive
 * in order.
 */
#pragma once

#include "lavra/types.h"

struct message {
	/* Runs on the receiving core, at a safe point; must not block. */
	void (*handler)(void *argument);
	void *argument; /* never a core-local address */
};

/* Post to `core`'s mailbox. Any core (also this one), kernel context (not an interrupt handler).
 * Returns 0, or -ENOSPC if the mailbox is full. */
int mailbox_post(core_id_t core, void (*handler)(void *), void *argument);

/* The same without a look at the outbox: smp/parcel.c, which keeps the order. */
int mailbox_put(core_id_t core, void (*handler)(void *), void *argument);

/* Handlers between `start` and `end` are not called, but given to `run` (net/calls). Boot core. */
void mailbox_set_domain(const char *start, const char *end,
			void (*run)(void (*handler)(void *argument), void *argument));

/*
 * A message that must not get lost: embedded in the object it is about. If the mailbox is full
 * it waits in this core's outbox and is posted by a later core_poll(). Until its handler runs, the
 * poster must not post it again (assert).
 */
struct parcel {
	void (*handler)(struct parcel *parcel);
	struct parcel *next;
	core_id_t destination;
	bool in_flight; /* set by the poster, cleared by the receiver: ordered by the ring */
};
void parcel_init(struct parcel *parcel, void (*handler)(struct parcel *));
void parcel_send(core_id_t core, struct parcel *parcel);
/* Post what waits in this core's outbox, as far as there is room now; does something wait? Owning core. */
void parcels_flush(void);
bool parcels_wait(void);

/* Handle what has arrived (at most one ring's worth), flush the outbox. Owning core. Returns the
 * number of messages handled. */
unsigned mailbox_drain(void);

/* The cores that were sent something and not interrupted for it, since this was cleared last. The
 * scheduler sees to it that they look (sched/hurry.c). */
extern CORE_LOCAL uint64_t mailbox_posted_to;

/* Is something waiting? Owning core, any context. */
bool mailbox_is_empty(void);

/*
 * Sleeping. The owner calls mailbox_prepare_sleep() with interrupts off; if it returns true nothing
 * was waiting and posters will interrupt from now on; then it halts, or runs an application that does
 * not call the kernel, and calls mailbox_awake().
 */
bool mailbox_prepare_sleep(void);
/* Does `core` sleep, so that the next poster interrupts it? A hint. Any core. */
bool mailbox_owner_sleeps(core_id_t core);
void mailbox_awake(void);

/* Run `function(argument)` on `core` at its next safe point, and wait for its result. The calling
 * thread blocks (its core does other work). On this core: a plain call. Any thread context. */
long core_call(core_id_t core, long (*function)(void *argument), void *argument);

/* Run on all online cores (this one included) and wait for all. Thread context. */
void core_call_all(void (*function)(void *argument), void *argument);

int mailbox_init(void); /* boot core: rings for all cores */
void ipi_interrupt(void); /* arch calls it in interrupt context */
