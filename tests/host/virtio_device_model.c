#include "tests/host/virtio_device_model.h"

#include "lavra/counters.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "sched/thread.h"
#include "smp/core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct model model;

/* ---- the machine around the driver ---- */

CORE_LOCAL struct counters counters;
CORE_LOCAL volatile bool poll_wanted;
static uint64_t now_ns;

/* Every allocation is kept, so that it can be freed at the end and misuse is seen by the
 * sanitizer. */
static void *live[8192];

static void *allocate(size_t alignment, size_t size)
{
	void *memory;

	if (model.failing_allocation != 0 && --model.failing_allocation == 0)
		return NULL;
	memory = aligned_alloc(alignment, align_up(size, alignment));
	memset(memory, 0xa5, align_up(size, alignment));
	for (unsigned i = 0; i < array_size(live); i++) {
		if (live[i] == NULL) {
			live[i] = memory;
			model.allocations++;
			return memory;
		}
	}
	abort();
}

static void release(void *memory)
{
	if (memory == NULL)
		return;
	for (unsigned i = 0; i < array_size(live); i++) {
		if (live[i] == memory) {
			live[i] = NULL;
			model.allocations--;
			free(memory);
			return;
		}
	}
	abort(); /* freed twice, or never allocated */
}

void model_free_all(void)
{
	for (unsigned i = 0; i < array_size(live); i++) {
		free(live[i]);
		live[i] = NULL;
	}
	model.allocations = 0;
}

paddr_t frame_alloc(unsigned order)
{
	return (paddr_t)allocate(PAGE_SIZE, PAGE_SIZE << order);
}

paddr_t frame_alloc_zeroed(unsigned order)
{
	paddr_t frame = frame_alloc(order);

	if (frame)
		memset((void *)frame, 0, PAGE_SIZE << order);
	return frame;
}

void frame_free(paddr_t frame, unsigned order)
{
	release((void *)frame);
}

size_t frame_total(void)
{
	return model.memory_pages;
}

void *object_alloc(size_t size)
{
	return allocate(64, size);
}

void *object_alloc_zeroed(size_t size)
{
	void *object = object_alloc(size);

	return object ? memset(object, 0, size) : NULL;
}

void object_free(void *object)
{
	release(object);
}

/* Every look at the clock takes a millisecond: waits for a device that does nothing end soon. */
uint64_t clock_ns(void)
{
	return now_ns += NS_PER_MS;
}

uint64_t arch_random(void)
{
	return 0x123456789abcdef0;
}

int irq_allocate(core_id_t core, void (*handler)(void *), void *argument,
		 struct msi_message *message)
{
	if (model.cores_without_interrupts >> core & 1)
		return -ENOSPC;
	*message = (struct msi_message){ .address = 0xfee00000, .data = 0x40 + core };
	return 0;
}

/* ---- the transport ---- */

static uint8_t model_status(struct virtio_device *device)
{
	return model.status;
}

static void model_set_status(struct virtio_device *device, uint8_t status)
{
	if (model.nstatuses < array_size(model.statuses))
		model.statuses[model.nstatuses++] = status;
	if (status == 0 && !model.never_resets)
		memset(model.queues, 0, sizeof(model.queues));
	if (model.refuses_features)
		status &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
	if (!(status == 0 && model.never_resets))
		model.status = status;
}

static uint64_t model_features(struct virtio_device *device)
{
	return model.features;
}

static void model_set_features(struct virtio_device *device, uint64_t features)
{
	model.accepted = features;
}

static int model_read_config(struct virtio_device *device, unsigned offset, void *bytes,
			     unsigned len)
{
	uint8_t config[12] = { 0x52, 0x54, 0, 1, 2, 3 };

	memcpy(config + 8, &model.max_pairs, 2);
	memcpy(config + 10, &model.mtu, 2);
	if (offset + len > sizeof(config))
		return -EIO;
	memcpy(bytes, config + offset, len);
	return 0;
}

static unsigned model_queue_max_size(struct virtio_device *device, unsigned index)
{
	return index < 2u * model.max_pairs + 1 ? model.max_queue_size : 0;
}

static int model_queue_enable(struct virtio_device *device, struct virtqueue *vq, unsigned vector)
{
	struct model_queue *queue = &model.queues[vq->index];

	if (vector != VIRTIO_NO_VECTOR && model.refuses_vectors)
		return -ENOSPC;
	queue->size = vq->size;
	queue->descriptors = vq->descriptors;
	queue->available = vq->available;
	queue->used = vq->used;
	queue->vector = vector;
	queue->enabled = true;
	model_want_notification(queue);
	return 0;
}

/* VIRTIO 1.2, 5.1.6.5: class, command, pairs, and room for the answer. */
static void answer_control(struct model_queue *queue)
{
	uint16_t id = queue->available->ring[queue->next_available++ % queue->size];
	const struct virtqueue_descriptor *d = &queue->descriptors[id];
	const uint8_t *header = (const uint8_t *)d->address;

	d = &queue->descriptors[d->next];
	const uint16_t *pairs = (const uint16_t *)d->address;

	d = &queue->descriptors[d->next];
	uint8_t *ack = (uint8_t *)d->address;

	*ack = header[0] != 4 || header[1] != 0 || model.refuses_pairs;
	if (*ack == 0)
		model.pairs = *pairs;
	model_complete(queue, id, 1);
}

static void model_notify(struct virtio_device *device, unsigned index)
{
	struct model_queue *queue = &model.queues[index];

	queue->notifications++;
	if (index == 2 * model.max_pairs && !model.ignores_control)
		answer_control(queue);
}

static void model_set_vector(struct virtio_device *device, unsigned vector,
			     const struct msi_message *message)
{
	if (vector >= model.nvectors)
		abort();
	model.directed[vector] = message->data;
}

static const struct virtio_transport model_transport = {
	.status = model_status,
	.set_status = model_set_status,
	.features = model_features,
	.set_features = model_set_features,
	.read_config = model_read_config,
	.queue_max_size = model_queue_max_size,
	.queue_enable = model_queue_enable,
	.notify = model_notify,
	.set_vector = model_set_vector,
};

struct virtio_device *virtio_pci_open(unsigned type, int *error)
{
	if (model.absent) {
		*error = -ENODEV;
		return NULL;
	}
	model.device.transport = &model_transport;
	model.device.nvectors = model.nvectors;
	return &model.device;
}

void model_reset(void)
{
	model_free_all();
	memset(&model, 0, sizeof(model));
	memset(&counters, 0, sizeof(counters));
	model.features = VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1 | NET_F_CSUM | NET_F_GUEST_CSUM |
			 NET_F_MAC | NET_F_MRG_RXBUF | NET_F_CTRL_VQ | NET_F_MQ;
	model.max_queue_size = 256;
	model.max_pairs = 2;
	model.nvectors = 4;
	model.memory_pages = 16384; /* 64 MiB */
	model.mtu = 1500;
	ncores = 2;
	this_core = 0;
}

/* ---- the device's work ---- */

struct model_queue *model_receive_queue(unsigned pair)
{
	return &model.queues[2 * pair];
}

struct model_queue *model_transmit_queue(unsigned pair)
{
	return &model.queues[2 * pair + 1];
}

void model_complete(struct model_queue *queue, uint32_t id, uint32_t len)
{
	uint16_t index = queue->used->index;

	queue->used->ring[index % queue->size] =
	    (struct virtqueue_used_element){ .id = id, .len = len };
	__atomic_store_n(&queue->used->index, (uint16_t)(index + 1), __ATOMIC_RELEASE);
}

static unsigned navailable(const struct model_queue *queue)
{
	return (uint16_t)(__atomic_load_n(&queue->available->index, __ATOMIC_ACQUIRE) -
			  queue->next_available);
}

bool model_receive(unsigned pair, const void *frame, size_t len, uint8_t flags)
{
	struct model_queue *queue = model_receive_queue(pair);
	struct net_header header = { .flags = flags };
	const uint8_t *from = frame;
	size_t done = 0, total = len + NET_HEADER_SIZE;
	uint16_t used = queue->used->index;
	struct net_header *first = NULL;

	for (size_t room = 0, i = 0; room < total; i++) {
		uint16_t id;

		if (i == navailable(queue))
			return false;
		id = queue->available->ring[(queue->next_available + i) % queue->size];
		room += queue->descriptors[id].len;
	}
	while (done < total) {
		uint16_t id = queue->available->ring[queue->next_available++ % queue->size];
		const struct virtqueue_descriptor *d = &queue->descriptors[id];
		uint8_t *to = (uint8_t *)d->address;
		size_t n = min(total - done, (size_t)d->len), skip = 0;

		if (d->flags != DESCRIPTOR_DEVICE_WRITES)
			abort();
		if (first == NULL) {
			first = (struct net_header *)to;
			/* num_buffers stays as it was, unless it has a meaning. */
			memcpy(to, &header, offsetof(struct net_header, num_buffers));
			skip = NET_HEADER_SIZE;
		}
		memcpy(to + skip, from, n - skip);
		from += n - skip;
		done += n;
		header.num_buffers++;
		queue->used->ring[used++ % queue->size] =
		    (struct virtqueue_used_element){ .id = id, .len = (uint32_t)n };
	}
	if (model.accepted & NET_F_MRG_RXBUF)
		first->num_buffers = header.num_buffers;
	__atomic_store_n(&queue->used->index, used, __ATOMIC_RELEASE);
	return true;
}

size_t model_take(unsigned pair, uint8_t *bytes, unsigned *ndescriptors, uint16_t *id)
{
	struct model_queue *queue = model_transmit_queue(pair);
	const struct virtqueue_descriptor *d;
	size_t len = 0;

	if (navailable(queue) == 0)
		return 0;
	*id = queue->available->ring[queue->next_available++ % queue->size];
	*ndescriptors = 0;
	d = &queue->descriptors[*id];
	for (;;) {
		if (d->flags & DESCRIPTOR_DEVICE_WRITES)
			abort();
		memcpy(bytes + len, (const void *)d->address, d->len);
		len += d->len;
		++*ndescriptors;
		if (!(d->flags & DESCRIPTOR_NEXT))
			return len;
		d = &queue->descriptors[d->next];
	}
}

size_t model_transmit(unsigned pair, uint8_t *bytes, unsigned *ndescriptors)
{
	uint16_t id;
	size_t len = model_take(pair, bytes, ndescriptors, &id);

	if (len)
		model_complete(model_transmit_queue(pair), id, 0);
	return len;
}

static bool has_event_index(void)
{
	return model.features & VIRTIO_F_EVENT_IDX;
}

void model_want_notification(struct model_queue *queue)
{
	if (has_event_index())
		*(uint16_t *)&queue->used->ring[queue->size] = queue->available->index;
	else
		queue->used->flags = 0;
}

bool model_would_interrupt(const struct model_queue *queue, uint16_t old)
{
	uint16_t new = queue->used->index;

	if (!has_event_index())
		return !(queue->available->flags & AVAILABLE_NO_INTERRUPT);
	return (uint16_t)(new - queue->available->ring[queue->size] - 1) < (uint16_t)(new - old);
}
