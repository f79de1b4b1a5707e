/*
 * Virtqueue: a split virtqueue (VIRTIO 1.2, 2.7), the rings a driver and a device share.
 *
 * One core owns a queue and is the only one to call these functions. What the driver needs to
 * know (which descriptors are free, how far it has read) is kept in private memory; of shared
 * memory only the used ring is read, each field once, and checked: a queue whose device says what
 * cannot be true is stopped, and from then on nothing in it is looked at again.
 *
 * Order of memory accesses, each with its partner in the device (VIRTIO 1.2, 2.7.13, 2.7.14):
 *
 *	load-acquire of used->index
 *		the device's store of it after the entries
 *	store-release of available->index
 *		the device's load of it before the entries
 *	store of available->index, full fence, load of avail_event
 *		the device's store of avail_event, fence, load of available->index
 *	store of used_event, full fence, load of used->index
 *		the device's store of used->index, fence, load of used_event
 */
#pragma once

#include "drivers/virtio/virtio.h"
#include "lavra/types.h"

#include <ck_pr.h>

#define DESCRIPTOR_NEXT 1u
#define DESCRIPTOR_DEVICE_WRITES 2u

struct virtqueue_descriptor { /* VIRTIO 1.2, 2.7.5 */
	uint64_t address;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

struct virtqueue_available { /* 2.7.6; behind the ring: the used_event index */
	uint16_t flags;
	uint16_t index;
	uint16_t ring[];
};
#define AVAILABLE_NO_INTERRUPT 1u

struct virtqueue_used_element {
	uint32_t id;
	uint32_t len;
};

struct virtqueue_used { /* 2.7.8; behind the ring: the avail_event index */
	uint16_t flags;
	uint16_t index;
	struct virtqueue_used_element ring[];
};
#define USED_NO_NOTIFY 1u

#define VIRTQUEUE_MAX_SIZE 256u

struct virtqueue {
	struct virtqueue_descriptor *descriptors;
	struct virtqueue_available *available;
	struct virtqueue_used *used;
	/* Whole words are cheaper to count in; of the indices, shared memory shows the low 16
	 * bits. */
	uint32_t mask; /* size - 1; the size is a power of two */
	uint32_t nfree; /* descriptors in free_ids */
	uint32_t next_used; /* used entries before this one have been taken */
	uint32_t next_available; /* available entries before this one have been written */
	uint32_t published; /* ... and before this one, shown to the device */
	uint32_t size;
	uint16_t *free_ids; /* a stack: the last one used is still in the cache */
	bool event_index;
	bool stopped;
	uint16_t index; /* among the device's queues */
	struct virtio_device *device;
	const char *name; /* in messages: "receive", "transmit", "control" */
	paddr_t memory;
	unsigned order;
};

/* Allocate the rings of the device's queue `index`, of at most `max_size` entries, and tell the
 * device. It neither interrupts nor has buffers yet. 0, -ENODEV (no such queue), -ENOMEM, -EIO,
 * -ENOSPC (no such vector). Boot core. */
int virtqueue_create(struct virtqueue *vq, struct virtio_device *device, unsigned index,
		     const char *name, unsigned max_size, unsigned vector);
/* Free the rings. The device has been reset, or was never told. */
void virtqueue_destroy(struct virtqueue *vq);

/* The device has said what cannot be true: stop, count it and say so (`format` with two
 * numbers). */
void virtqueue_stop(struct virtqueue *vq, const char *problem, unsigned long value,
		    unsigned long limit) __attribute__((cold));

/* Let the device interrupt when it uses a buffer. False: it has used one already; then it does
 * not. */
bool virtqueue_enable_interrupt(struct virtqueue *vq);
void virtqueue_disable_interrupt(struct virtqueue *vq);

/* How many used entries wait, unchecked: the caller compares it with what it gave out. */
static inline unsigned virtqueue_waiting(const struct virtqueue *vq)
{
	return (uint16_t)(__atomic_load_n(&vq->used->index, __ATOMIC_ACQUIRE) - vq->next_used);
}

/* The oldest waiting entry, each field read once. */
static inline void virtqueue_peek(const struct virtqueue *vq, uint32_t *id, uint32_t *len)
{
	const struct virtqueue_used_element *element = &vq->used->ring[vq->next_used & vq->mask];

	*id = __atomic_load_n(&element->id, __ATOMIC_RELAXED);
	*len = __atomic_load_n(&element->len, __ATOMIC_RELAXED);
}

static inline uint32_t virtqueue_get_id(struct virtqueue *vq)
{
	return vq->free_ids[--vq->nfree];
}

static inline void virtqueue_put_id(struct virtqueue *vq, uint32_t id)
{
	vq->free_ids[vq->nfree++] = (uint16_t)id;
}

/* Write the chain that starts at descriptor `id` to the available ring. */
static inline void virtqueue_push(struct virtqueue *vq, uint32_t id)
{
	vq->available->ring[vq->next_available++ & vq->mask] = (uint16_t)id;
}

/* Show the device what was pushed. True: it wants to be notified. */
static inline bool virtqueue_publish(struct virtqueue *vq)
{
	uint32_t old = vq->published, new = vq->next_available;

	vq->published = new;
	__atomic_store_n(&vq->available->index, (uint16_t) new, __ATOMIC_RELEASE);
	ck_pr_fence_memory();
	if (likely(vq->event_index)) { /* VIRTIO 1.2, 2.7.10 */
		uint16_t event =
		    __atomic_load_n((uint16_t *)&vq->used->ring[vq->size], __ATOMIC_RELAXED);

		return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
	}
	return !(__atomic_load_n(&vq->used->flags, __ATOMIC_RELAXED) & USED_NO_NOTIFY);
}

static inline void virtqueue_notify(const struct virtqueue *vq)
{
	virtio_notify(vq->device, vq->index);
}
