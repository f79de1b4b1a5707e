#include "drivers/virtio/virtio.h"

#include "arch/arch.h"
#include "lavra/console.h"

#include <errno.h>

#define RESET_TIMEOUT_NS (1 * NS_PER_S)

static void add_status(struct virtio_device *device, uint8_t status)
{
	device->transport->set_status(device, device->transport->status(device) | status);
}

void virtio_notify(struct virtio_device *device, unsigned index)
{
	device->transport->notify(device, index);
}

int virtio_reset(struct virtio_device *device)
{
	uint64_t deadline = clock_ns() + RESET_TIMEOUT_NS;

	device->transport->set_status(device, 0);
	while (device->transport->status(device) != 0) { /* VIRTIO 1.2, 4.1.4.3.2 */
		if (clock_ns() > deadline)
			return -EIO;
		arch_pause();
	}
	return 0;
}

int virtio_negotiate(struct virtio_device *device, uint64_t wanted)
{
	uint64_t offered;

	if (virtio_reset(device) != 0) {
		kprintf("virtio: the device does not reset\n");
		return -EIO;
	}
	add_status(device, VIRTIO_STATUS_ACKNOWLEDGE);
	add_status(device, VIRTIO_STATUS_DRIVER);
	offered = device->transport->features(device);
	if (!(offered & VIRTIO_F_VERSION_1)) {
		kprintf("virtio: a legacy device (before VIRTIO 1.0) is not supported\n");
		return -ENOTSUP;
	}
	device->features = offered & (wanted | VIRTIO_F_VERSION_1);
	device->transport->set_features(device, device->features);
	add_status(device, VIRTIO_STATUS_FEATURES_OK);
	if (!(device->transport->status(device) & VIRTIO_STATUS_FEATURES_OK)) {
		kprintf("virtio: the device refuses features %lx of the %lx it offers\n",
			device->features, offered);
		return -ENOTSUP;
	}
	return 0;
}

int virtio_start(struct virtio_device *device)
{
	add_status(device, VIRTIO_STATUS_DRIVER_OK);
	if (device->transport->status(device) &
	    (VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED)) {
		kprintf("virtio: the device does not start\n");
		return -EIO;
	}
	return 0;
}

int virtio_give_up(struct virtio_device *device)
{
	int error = virtio_reset(device);

	add_status(device, VIRTIO_STATUS_FAILED);
	return error;
}
