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

static CORE_LOCAL bool draining;

/* Code of a domain that is entered by a gate. */
static READ_MOSTLY struct {
	uintptr_t start, size;
	void (*run)(void (*handler)(void *argument), void *argument);
} other_domain;

CORE_LOCAL uint64_t mailbox_posted_to;

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

int mailbox_put(core_id_t core, void (*handler)(void *), void *argument)
{
	struct message message = { .handler = handler, .argument = argument };
	struct mailbox *mailbox = mailboxes[core];

	assert(core < ncores);
	if (!CK_RING_ENQUEUE_MPSC(message, &mailbox->ring, mailbox->slots, &message))
		return -ENOSPC;
	/* The message must be visible before we look whether the owner sleeps. Pairs with the fence
	 * in mailbox_prepare_sleep(): either we see `sleeping`, or the owner sees the message. */
	ck_pr_fence_memory();
	if (__atomic_load_n(&mailbox->sleeping, __ATOMIC_RELAXED) &&
	    __atomic_exchange_n(&mailbox->sleeping, false, __ATOMIC_RELAXED))
		arch_send_ipi(core); /* one poster of a sleep interrupts, not each */
	else if (core != this_core)
		mailbox_posted_to |= 1ull << core;
	return 0;
}

void mailbox_set_domain(const char *start, const char *end,
			void (*run)(void (*handler)(void *argument), void *argument))
{
	other_domain.start = (uintptr_t)start;
	other_domain.size = (uintptr_t)(end - start);
	other_domain.run = run;
}

static void handle(const struct message *message)
{
	if (unlikely((uintptr_t)message->handler - other_domain.start < other_domain.size))
		other_domain.run(message->handler, message->argument);
	else
		message->handler(message->argument);
}

/* Of the two counters only the owner moves the first. */
static bool ring_is_empty(const struct mailbox *mailbox)
{
	return ck_pr_load_uint(&mailbox->ring.c_head) == ck_pr_load_uint(&mailbox->ring.p_tail);
}

static __attribute__((noinline)) unsigned drain(struct mailbox *mailbox)
{
	struct message message;
	unsigned count = 0;

	assert(!draining);
	draining = true;
	/* At most one ring's worth: handlers that answer each other must not keep us here. */
	while (count < MAILBOX_SLOTS &&
	       CK_RING_DEQUEUE_MPSC(message, &mailbox->ring, mailbox->slots, &message)) {
		handle(&message);
		count++;
	}
	draining = false;
	counters.messages += count;
	return count;
}

unsigned mailbox_drain(void)
{
	struct mailbox *mailbox = mailboxes[this_core];
	unsigned count = likely(ring_is_empty(mailbox)) ? 0 : drain(mailbox);

	parcels_flush();
	return count;
}

bool mailbox_is_empty(void)
{
	return ring_is_empty(mailboxes[this_core]) && !parcels_wait();
}

bool mailbox_prepare_sleep(void)
{
	struct mailbox *mailbox = mailboxes[this_core];

	/* Nobody interrupts us when a full mailbox elsewhere gets room. */
	if (parcels_wait())
		return false;
	__atomic_store_n(&mailbox->sleeping, true, __ATOMIC_RELAXED);
	/* `sleeping` must be visible before we look into the ring. Pairs with mailbox_put()'s fence. */
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
