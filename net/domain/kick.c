/*
 * The network's virtio_notify(), by the kernel's name (net/domain.mk): with isolation the doorbells are the
 * kernel's. It rings those of the pair that this core sends on when the call is over; the second time in a call, and
 * others, at once.
 */
#include "arch/arch.h"
#include "drivers/virtio/virtio.h"
#include "net/domain/services.h"
#include "net/exchange.h"
#include "net/queues.h"

void virtio_notify(struct virtio_device *device, unsigned index)
{
	uint16_t bit = (uint16_t)(1u << index % 2);

	if (!arch_isolation() || index / 2 != network_queues.of[this_core].sends_on ||
	    network_exchange.kicks & bit)
		ring_doorbell(index);
	else
		network_exchange.kicks |= bit;
}
