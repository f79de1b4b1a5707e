/*
 * Transmit queues.
 *
 * Every descriptor has a slot of memory with room for the header. A short frame is copied behind
 * the header in the slot of its one descriptor: the caller's memory is free again at once, and the
 * device fetches one piece. A longer frame is a chain: the slot of the first descriptor (header,
 * and the first segment when that is short, as protocol headers are), then a descriptor for each
 * further segment.
 *
 * The queue never interrupts: what was sent is reclaimed when descriptors run low, and when the
 * owner asks (virtio_net_reclaim()).
 */
#include "drivers/virtio/net_queues.h"

#include "drivers/dma.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "mm/frame.h"
#include "mm/object.h"

#include <errno.h>
#include <string.h>

#define SLOT_SIZE 512u
#define MAX_COPIED (SLOT_SIZE - NET_HEADER_SIZE)
/* A first segment of at most this is copied also in a chain: one descriptor less for the device. */
#define MAX_COPIED_FIRST 128u
#define MAX_SEGMENTS 32u

struct transmission { /* by the first descriptor of a chain */
	void (*done)(void *argument); /* NULL: nobody wants to know */
	void *argument;
	uint16_t ndescriptors; /* 0: not in the device's hands */
	uint16_t next; /* the following descriptor, our own copy; by any descriptor of a chain */
};

struct transmit_queue {
	struct virtqueue vq;
	struct transmission *transmissions;
	uint8_t *slots;
	unsigned slots_order;
	unsigned max_segments;
} CACHE_ALIGNED;

static READ_MOSTLY struct transmit_queue *queues[MAX_CORES]; /* by pair */

static inline uint8_t *slot_of(struct transmit_queue *tq, uint32_t id)
{
	return tq->slots + (size_t)id * SLOT_SIZE;
}

/* Eight bytes at a time, the last eight overlapping what is there already. Frames are short and
 * their headers shorter: a call, and a routine that first finds out how to copy best, would cost
 * more. */
static inline void copy_bytes(uint8_t *to, const uint8_t *from, size_t len)
{
	const uint8_t *end = from + len;
	uint64_t a, b;

	if (unlikely(len < 8)) {
		while (from < end)
			*to++ = *from++;
		return;
	}
	for (; from < end - 32; from += 32, to += 32) {
		__builtin_memcpy(&a, from, 8);
		__builtin_memcpy(&b, from + 8, 8);
		__builtin_memcpy(to, &a, 8);
		__builtin_memcpy(to + 8, &b, 8);
		__builtin_memcpy(&a, from + 16, 8);
		__builtin_memcpy(&b, from + 24, 8);
		__builtin_memcpy(to + 16, &a, 8);
		__builtin_memcpy(to + 24, &b, 8);
	}
	for (; from < end - 8; from += 8, to += 8) {
		__builtin_memcpy(&a, from, 8);
		__builtin_memcpy(to, &a, 8);
	}
	__builtin_memcpy(&a, end - 8, 8);
	__builtin_memcpy(to + (end - from) - 8, &a, 8);
}

/* VIRTIO 1.2, 5.1.6.2: everything but the checksum is 0 ("no segmentation"). */
static inline void write_header(uint8_t *slot, const struct tx_offload *offload)
{
	uint64_t low = 0;
	uint32_t high = 0;

	if (offload && offload->needs_checksum) {
		low = NET_HEADER_NEEDS_CSUM | (uint64_t)offload->checksum_start << 48;
		high = offload->checksum_offset;
	}
	__builtin_memcpy(slot, &low, 8);
	__builtin_memcpy(slot + 8, &high, 4);
}

/* What the device has sent is free again. */
static __attribute__((noinline)) void reclaim(struct transmit_queue *tq)
{
	struct virtqueue *vq = &tq->vq;
	unsigned waiting = virtqueue_waiting(vq);

	if (waiting == 0 || unlikely(vq->stopped))
		return;
	if (unlikely(waiting > vq->size - vq->nfree)) {
		virtqueue_stop(vq, "says it used more buffers than it has", waiting,
			       vq->size - vq->nfree);
		return;
	}
	do {
		struct transmission *t;
		uint32_t id, len;
		unsigned n;

		virtqueue_peek(vq, &id, &len);
		if (unlikely(id >= vq->size)) {
			virtqueue_stop(vq, "names a buffer out of range", id, vq->size);
			return;
		}
		t = &tq->transmissions[id];
		n = t->ndescriptors;
		if (unlikely(n == 0)) {
			virtqueue_stop(vq, "names a buffer that it does not have", id, vq->size);
			return;
		}
		t->ndescriptors = 0;
		vq->next_used++;
		virtqueue_put_id(vq, id);
		while (unlikely(--n > 0)) {
			id = tq->transmissions[id].next;
			virtqueue_put_id(vq, id);
		}
		if (t->done)
			t->done(t->argument);
	} while (--waiting > 0);
}

/* At least `n` descriptors, if the device can spare them. */
static inline bool have_descriptors(struct transmit_queue *tq, unsigned n)
{
	if (likely(tq->vq.nfree >= n))
		return true;
	reclaim(tq);
	return tq->vq.nfree >= n;
}

static inline void describe(struct virtqueue *vq, uint32_t id, uint64_t address, uint32_t len,
			    unsigned flags, uint32_t next)
{
	struct virtqueue_descriptor *descriptor = &vq->descriptors[id];

	descriptor->address = address;
	descriptor->len = len;
	descriptor->flags = (uint16_t)flags;
	descriptor->next = (uint16_t)next;
}

static inline int send_copied(struct transmit_queue *tq, const struct tx_segment *segments,
			      unsigned nsegments, const struct tx_offload *offload, uint32_t total)
{
	struct virtqueue *vq = &tq->vq;
	uint8_t *slot, *to;
	uint32_t id;

	if (unlikely(!have_descriptors(tq, 1)))
		return -ENOBUFS;
	id = virtqueue_get_id(vq);
	slot = slot_of(tq, id);
	write_header(slot, offload);
	to = slot + NET_HEADER_SIZE;
	for (unsigned i = 0; i < nsegments; i++) {
		copy_bytes(to, segments[i].data, segments[i].len);
		to += segments[i].len;
	}
	tq->transmissions[id].done = NULL;
	tq->transmissions[id].ndescriptors = 1;
	describe(vq, id, dma_direct_address(slot), NET_HEADER_SIZE + total, 0, 0);
	virtqueue_push(vq, id);
	return 0;
}

static __attribute__((noinline)) int
send_chain(struct transmit_queue *tq, const struct tx_segment *segments, unsigned nsegments,
	   const struct tx_offload *offload, void (*done)(void *), void *argument)
{
	struct virtqueue *vq = &tq->vq;
	struct transmission *t;
	uint32_t len = NET_HEADER_SIZE;
	uint64_t address;
	uint8_t *slot;
	uint32_t first, id;
	unsigned i = segments[0].len <= MAX_COPIED_FIRST; /* from which on they stay in place */

	if (unlikely(!have_descriptors(tq, nsegments - i + 1)))
		return -ENOBUFS;
	first = id = virtqueue_get_id(vq);
	slot = slot_of(tq, id);
	write_header(slot, offload);
	if (likely(i == 1)) {
		copy_bytes(slot + len, segments[0].data, segments[0].len);
		len += segments[0].len;
	}
	t = &tq->transmissions[first];
	t->done = done;
	t->argument = argument;
	t->ndescriptors = (uint16_t)(nsegments - i + 1);
	address = dma_direct_address(slot);
	for (; i < nsegments; i++) {
		uint32_t next = virtqueue_get_id(vq);

		describe(vq, id, address, len, DESCRIPTOR_NEXT, next);
		tq->transmissions[id].next = (uint16_t)next;
		address = dma_address(segments[i].data);
		len = segments[i].len;
		id = next;
	}
	describe(vq, id, address, len, 0, 0);
	virtqueue_push(vq, first);
	return 0;
}

int virtio_net_send(unsigned queue, const struct tx_segment *segments, unsigned nsegments,
		    const struct tx_offload *offload, void (*done)(void *), void *argument)
{
	struct transmit_queue *tq = queues[queue];
	uint32_t total = 0;
	int error;

	for (unsigned i = 0; i < nsegments; i++)
		total += segments[i].len;
	if (unlikely(tq->vq.stopped))
		return -EIO;
	if (likely(total <= MAX_COPIED)) {
		if (unlikely(total < ETHERNET_HEADER_SIZE))
			return -EMSGSIZE;
		error = send_copied(tq, segments, nsegments, offload, total);
		if (likely(error == 0) && done)
			done(argument);
	} else {
		if (unlikely(total > virtio_net_mtu() + ETHERNET_HEADER_SIZE ||
			     nsegments > tq->max_segments))
			return -EMSGSIZE;
		error = send_chain(tq, segments, nsegments, offload, done, argument);
	}
	if (unlikely(error)) {
		counters.tx_drops++;
		return error;
	}
	counters.tx_packets++;
	counters.tx_bytes += total;
	return 0;
}

void virtio_net_kick(unsigned queue)
{
	struct virtqueue *vq = &queues[queue]->vq;

	if (vq->next_available == vq->published || unlikely(vq->stopped))
		return;
	if (virtqueue_publish(vq)) {
		counters.tx_kicks++;
		virtqueue_notify(vq);
	}
}

void transmit_queue_restart(unsigned pair)
{
	struct transmit_queue *tq = queues[pair];

	for (unsigned i = 0; i < tq->vq.size; i++)
		tq->transmissions[i].done = NULL;
}

bool virtio_net_has_room(unsigned queue)
{
	const struct virtqueue *vq = &queues[queue]->vq;

	return vq->nfree >= vq->size / 4;
}

void virtio_net_reclaim(unsigned queue)
{
	reclaim(queues[queue]);
}

bool transmit_queue_is_idle(unsigned pair)
{
	const struct transmit_queue *tq = queues[pair];

	virtio_net_kick(pair);
	virtio_net_reclaim(pair);
	for (unsigned i = 0; i < tq->vq.size; i++)
		if (tq->transmissions[i].ndescriptors && tq->transmissions[i].done)
			return tq->vq.stopped; /* then they are never called */
	return true;
}

int transmit_queue_create(unsigned pair, struct virtio_device *device, unsigned index,
			  unsigned max_size)
{
	struct transmit_queue *tq = object_alloc_zeroed(sizeof(*tq));
	paddr_t slots;
	int error;

	queues[pair] = tq;
	if (tq == NULL)
		return -ENOMEM;
	error = virtqueue_create(&tq->vq, device, index, "transmit", max_size, VIRTIO_NO_VECTOR);
	if (error)
		return error;
	tq->max_segments = min(MAX_SEGMENTS, tq->vq.size - 1u);
	while (PAGE_SIZE << tq->slots_order < (size_t)tq->vq.size * SLOT_SIZE)
		tq->slots_order++;
	slots = frame_alloc(tq->slots_order);
	tq->slots = slots ? dma_memory(slots) : NULL;
	tq->transmissions = object_alloc_zeroed(tq->vq.size * sizeof(*tq->transmissions));
	return slots && tq->transmissions ? 0 : -ENOMEM;
}

void transmit_queue_destroy(unsigned pair)
{
	struct transmit_queue *tq = queues[pair];

	if (tq == NULL)
		return;
	if (tq->slots)
		frame_free(dma_direct_address(tq->slots), tq->slots_order);
	object_free(tq->transmissions);
	virtqueue_destroy(&tq->vq);
	object_free(tq);
	queues[pair] = NULL;
}
