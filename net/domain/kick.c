/*
 * The network's virtio_notify(), by the kernel's name (net/domain.mk): with isolation the doorbells are the
 * kernel's. It rings them when the call is over; the second time in a call, at once.
 */
#include "arch/arch.h"
#include "drivers/virtio/virtio.h"
#include "net/domain/services.h"
#include "net/exchange.h"

void virtio_notify(struct virtio_device *device, unsigned index)
{
	uint16_t bit = (uint16_t)(1u << index % 2);

	if (!arch_isolation() || network_exchange.kicks & bit)
		ring_doorbell(index);
	else
		network_exchange.kicks |= bit;
}
