/*
 * What the network asks of the kernel: network_service_NAME is what its call of NAME comes to
 * (tools/make-network-gates). Nothing that it says is believed, and nothing here calls the network.
 */
#include "arch/arch.h"
#include "drivers/virtio/virtio_net.h"
#include "lavra/console.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "net/domain/services.h"
#include "smp/core.h"
#include "smp/epoch.h"
#include "smp/mailbox.h"

#include <errno.h>
#include <string.h>

/* The network is given up; at boot, or without isolation, the image. */
static void fail(const char *what)
{
	if (arch_network_runs())
		kprintf("network: core %u: %s\n", this_core, what);
	arch_network_give_up();
	panic("%s", what);
}

/* ---- memory: pages that are the network's while it has them ---- */

paddr_t network_service_obtain_frames(unsigned order)
{
	paddr_t frame = order <= MAX_ORDER ? frame_alloc(order) : 0;

	if (!frame)
		return 0;
	if (arch_give_to_network(frame, PAGE_SIZE << order, true) != 0) {
		frame_free(frame, order);
		return 0;
	}
	frame_lend(frame, order);
	return frame;
}

struct returned {
	struct deferred deferred;
	paddr_t frame;
	unsigned order;
};

static void release(struct deferred *deferred)
{
	struct returned *returned = container_of(deferred, struct returned, deferred);

	frame_free(returned->frame, returned->order);
	object_free(returned);
}

/* The kernel of another core may be looking there since before the key changed (net/look.h), until its next safe
 * point. Without memory for the note of it the block is lost. */
static void free_after_looks(paddr_t frame, unsigned order)
{
	struct returned *returned = object_alloc(sizeof(*returned));

	if (!returned)
		return;
	returned->frame = frame;
	returned->order = order;
	epoch_defer(&returned->deferred, release);
}

void network_service_return_frames(paddr_t frame, unsigned order)
{
	if (!frame_take_back(frame, order))
		fail("frees memory that it does not have");
	if (!arch_isolation())
		frame_free(frame, order);
	else if (arch_give_to_network(frame, PAGE_SIZE << order, false) == 0)
		free_after_looks(frame, order);
}

void network_service_frame_mark(paddr_t frame, unsigned order, bool marked)
{
	if (!frame_mark_lent(frame, order, marked))
		fail("marks memory that it does not have");
}

int network_service_frame_marked_order(paddr_t frame)
{
	return frame_marked_order(frame);
}

size_t network_service_frame_free_count(void)
{
	return frame_free_count();
}

size_t network_service_frame_total(void)
{
	return frame_total();
}

/* ---- other cores ---- */

int network_service_mailbox_put(core_id_t core, void (*handler)(void *), void *argument)
{
	/* With the network's rights it may call what it likes, but with no others. */
	if (core >= ncores || !arch_is_network_text((uintptr_t)handler))
		return -EINVAL;
	return mailbox_put(core, handler, argument);
}

/* ---- the device ---- */

void network_service_ring_doorbell(unsigned queue)
{
	virtio_net_notify(queue);
}

/* ---- the rest ---- */

uint64_t network_service_arch_random(void)
{
	return arch_random();
}

static void take_text(char copy[NETWORK_TEXT_MAX], const char *text)
{
	if (arch_network_runs() &&
	    (!arch_is_networks(text) || !arch_is_networks(text + NETWORK_TEXT_MAX - 1)))
		fail("prints what is not its own");
	memcpy(copy, text, NETWORK_TEXT_MAX);
	copy[NETWORK_TEXT_MAX - 1] = 0;
}

void network_service_say(const char *text)
{
	char copy[NETWORK_TEXT_MAX];

	take_text(copy, text);
	kprintf("%s", copy);
}

void network_service_die(const char *text)
{
	char copy[NETWORK_TEXT_MAX];

	take_text(copy, text);
	fail(copy);
}
