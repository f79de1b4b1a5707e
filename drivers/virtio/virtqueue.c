#include "drivers/virtio/virtqueue.h"

#include "drivers/dma.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "mm/frame.h"
#include "mm/object.h"

#include <errno.h>
#include <string.h>

/* Descriptors need 16, the available ring 2, the used ring 4 bytes (VIRTIO 1.2, 2.7); what
 * different sides write is kept on different cache lines. */
struct layout {
	size_t available, used, total;
};

static struct layout layout_of(unsigned size)
{
	struct layout layout;

	layout.available = size * sizeof(struct virtqueue_descriptor);
	layout.used = align_up(layout.available + sizeof(struct virtqueue_available) +
				   (size + 1ul) * sizeof(uint16_t),
			       (size_t)CACHE_LINE);
	layout.total = layout.used + sizeof(struct virtqueue_used) +
		       size * sizeof(struct virtqueue_used_element) + sizeof(uint16_t);
	return layout;
}

static uint16_t *used_event(struct virtqueue *vq)
{
	return &vq->available->ring[vq->size];
}

int virtqueue_create(struct virtqueue *vq, struct virtio_device *device, unsigned index,
		     const char *name, unsigned max_size, unsigned vector)
{
	unsigned size = device->transport->queue_max_size(device, index);
	struct layout layout;
	char *memory;
	int error;

	memset(vq, 0, sizeof(*vq));
	if (size == 0)
		return -ENODEV;
	size = min(size, min(max_size, VIRTQUEUE_MAX_SIZE));
	while (size & (size - 1)) /* round down to a power of two */
		size &= size - 1;

	layout = layout_of(size);
	while (PAGE_SIZE << vq->order < layout.total)
		vq->order++;
	vq->memory = frame_alloc_zeroed(vq->order);
	vq->free_ids = object_alloc(size * sizeof(*vq->free_ids));
	if (vq->memory == 0 || vq->free_ids == NULL) {
		virtqueue_destroy(vq);
		return -ENOMEM;
	}
	memory = dma_memory(vq->memory);
	vq->descriptors = (struct virtqueue_descriptor *)memory;
	vq->available = (struct virtqueue_available *)(memory + layout.available);
	vq->used = (struct virtqueue_used *)(memory + layout.used);
	vq->size = size;
	vq->mask = size - 1;
	vq->index = (uint16_t)index;
	vq->name = name;
	vq->device = device;
	vq->event_index = device->features & VIRTIO_F_EVENT_IDX;
	for (unsigned i = size; i-- > 0;)
		virtqueue_put_id(vq, i); /* 0 on top */
	virtqueue_disable_interrupt(vq);

	error = device->transport->queue_enable(device, vq, vector);
	if (error)
		virtqueue_destroy(vq);
	return error;
}

void virtqueue_destroy(struct virtqueue *vq)
{
	if (vq->memory)
		frame_free(vq->memory, vq->order);
	object_free(vq->free_ids);
	memset(vq, 0, sizeof(*vq));
	vq->stopped = true;
}

void virtqueue_stop(struct virtqueue *vq, const char *problem, unsigned long value,
		    unsigned long limit)
{
	counters.rx_errors++;
	if (vq->stopped)
		return;
	vq->stopped = true;
	kprintf("virtio: %s queue %u stopped: the device %s (%lu of %lu)\n", vq->name, vq->index,
		problem, value, limit);
}

bool virtqueue_enable_interrupt(struct virtqueue *vq)
{
	if (vq->event_index)
		__atomic_store_n(used_event(vq), (uint16_t)vq->next_used, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&vq->available->flags, 0, __ATOMIC_RELAXED);
	ck_pr_fence_memory();
	if (virtqueue_waiting(vq) == 0)
		return true;
	virtqueue_disable_interrupt(vq);
	return false;
}

/* With event indices: the one just passed, which the device reaches again after 65536 buffers. An
 * interrupt too many every so often does no harm. */
void virtqueue_disable_interrupt(struct virtqueue *vq)
{
	if (vq->event_index)
		__atomic_store_n(used_event(vq), (uint16_t)(vq->next_used - 1), __ATOMIC_RELAXED);
	else
		__atomic_store_n(&vq->available->flags, AVAILABLE_NO_INTERRUPT, __ATOMIC_RELAXED);
}
