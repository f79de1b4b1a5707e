/*
 * A virtio device, whatever it is and however it is attached.
 *
 * A transport (virtio_pci.c) finds a device and fills in struct virtio_device; a device driver
 * negotiates, sets up its virtqueues and starts it. All of it on the boot core. Facts: VIRTIO 1.2.
 */
#pragma once

#include "arch/arch.h"
#include "lavra/types.h"

/* Device types; VIRTIO 1.2, 5. */
#define VIRTIO_TYPE_NETWORK 1

/* Features of any device; VIRTIO 1.2, 6. */
#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)
#define VIRTIO_F_ORDER_PLATFORM (1ull << 36)

/* Device status; VIRTIO 1.2, 2.1. */
#define VIRTIO_STATUS_ACKNOWLEDGE 1
#define VIRTIO_STATUS_DRIVER 2
#define VIRTIO_STATUS_DRIVER_OK 4
#define VIRTIO_STATUS_FEATURES_OK 8
#define VIRTIO_STATUS_NEEDS_RESET 64
#define VIRTIO_STATUS_FAILED 128

/* A queue with this vector does not interrupt; VIRTIO 1.2, 4.1.5.1.1. */
#define VIRTIO_NO_VECTOR 0xffff

struct virtio_device;
struct virtqueue;

struct virtio_transport {
	uint8_t (*status)(struct virtio_device *device);
	void (*set_status)(struct virtio_device *device, uint8_t status);
	uint64_t (*features)(struct virtio_device *device);
	void (*set_features)(struct virtio_device *device, uint64_t features);
	/* Copy `len` bytes of the device's own configuration, all of one moment. 0, or -EIO: beyond
	 * its end, or it never holds still. */
	int (*read_config)(struct virtio_device *device, unsigned offset, void *bytes,
			   unsigned len);
	/* The most entries that queue `index` can have; 0: there is no such queue. */
	unsigned (*queue_max_size)(struct virtio_device *device, unsigned index);
	/* Tell the device where the queue lies, and that `vector` announces its used buffers. 0
	 * or -EIO; -ENOSPC: the device cannot use the vector. */
	int (*queue_enable)(struct virtio_device *device, struct virtqueue *queue, unsigned vector);
	/* Tell the device to look at the available ring of queue `index`, if it was enabled. Any core. */
	void (*notify)(struct virtio_device *device, unsigned index);
	/* Let interrupt `vector` (< nvectors) raise `message`. */
	void (*set_vector)(struct virtio_device *device, unsigned vector,
			   const struct msi_message *message);
};

struct virtio_device {
	const struct virtio_transport *transport;
	uint64_t features; /* negotiated */
	unsigned nvectors; /* interrupt vectors; 0: the device must be polled */
};

/* Tell the device to look at the available ring of queue `index`. Any core. */
void virtio_notify(struct virtio_device *device, unsigned index);

/* Reset the device and wait (bounded) until it has forgotten all memory it was told of. 0 or
 * -EIO. */
int virtio_reset(struct virtio_device *device);
/* Reset, announce a driver, accept what the device offers of `wanted`; VERSION_1 is a must. 0, or
 * -EIO or -ENOTSUP after saying why. VIRTIO 1.2, 3.1.1, steps 1 to 6. */
int virtio_negotiate(struct virtio_device *device, uint64_t wanted);
/* The queues are set up: go. VIRTIO 1.2, 3.1.1, step 8. 0, or -EIO after saying why. */
int virtio_start(struct virtio_device *device);
/* Give up: the device is reset, so that its queues' memory can be freed, and told so. If it does
 * not even reset, returns -EIO: then it may still write, and the memory must stay. */
int virtio_give_up(struct virtio_device *device);

/* The first device of `type` on PCI, mapped and able to interrupt, or NULL with *error = -ENODEV
 * (there is none) or another negative errno after saying why. (virtio_pci.c) */
struct virtio_device *virtio_pci_open(unsigned type, int *error);
