/*
 * Receive queues.
 *
 * Packets of a queue come from a fixed pool: two in a page, each with its struct packet in front of
 * the bytes the device writes. They are in one of four places: the ring, the stack's hands, the
 * free list (of the owning core alone), or `returned`, where other cores put them back without a
 * lock.
 *
 * The pool is at least twice the ring, so that the ring stays full while the stack holds packets.
 * When the stack holds so many that ring and free list run low, frames are dropped here and their
 * buffers go straight back: the ring never runs dry for good.
 */
#include "drivers/virtio/net_queues.h"

#include "drivers/dma.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "net/shared.h"
#include "smp/core.h"

#include <ck_stack.h>
#include <errno.h>
#include <string.h>

#define PACKET_SIZE 2048u
/* Chosen so that the headers of a TCP frame lie on two cache lines with struct packet before
 * them: the IP header is 4-aligned and, with TCP's timestamps, what follows begins a line. */
#define BUFFER_OFFSET 114u
#define BUFFER_SIZE (PACKET_SIZE - BUFFER_OFFSET)

/* With fewer entries a burst of any size is lost. */
#define MIN_RING 8u

struct receive_buffer {
	struct packet packet;
	struct receive_buffer *next_page; /* in the first buffer of a page: all pages of the pool */
	uint8_t unused[BUFFER_OFFSET - sizeof(struct packet) - sizeof(void *)];
	uint8_t bytes[BUFFER_SIZE]; /* header, frame */
};
_Static_assert(sizeof(struct receive_buffer) == PACKET_SIZE, "two buffers fill a page");
_Static_assert(offsetof(struct packet, next) == 0, "a packet is linked as a ck_stack_entry");

struct receive_queue {
	struct virtqueue vq;
	struct packet **packets; /* by descriptor: what the device holds, NULL: nothing */
	struct packet *free;
	unsigned nfree; /* in the free list */
	unsigned reserve; /* packets that the ring and the free list keep between them */
	unsigned refill_batch;
	bool mergeable; /* a frame may take several buffers */
	struct receive_buffer *pages;
	ck_stack_t returned CACHE_ALIGNED; /* producers: other cores; consumer: the owner */
} CACHE_ALIGNED;

static READ_MOSTLY struct receive_queue *queues[MAX_CORES]; /* by pair */
/* By pair; PACKET_NOBODY while it changes. Written by who leaves and takes over: others never see themselves. */
static SHARED uint8_t owners[MAX_CORES] CACHE_ALIGNED;
_Static_assert(MAX_CORES <= PACKET_NOBODY, "a core is a byte");
SHARED bool receive_interrupts[MAX_CORES];

static struct receive_buffer *buffer_of(struct packet *packet)
{
	return container_of(packet, struct receive_buffer, packet);
}

static void put_free(struct receive_queue *rq, struct packet *packet)
{
	packet->next = rq->free;
	packet->holder = (uint8_t)this_core;
	rq->free = packet;
	rq->nfree++;
}

/* Take back what other cores released: the whole stack at once. Pairs with packet_release(). */
static __attribute__((noinline)) void collect_returned(struct receive_queue *rq)
{
	ck_stack_entry_t *entry = ck_stack_batch_pop_upmc(&rq->returned);

	while (entry) {
		ck_stack_entry_t *next = entry->next;

		put_free(rq, (struct packet *)entry);
		entry = next;
	}
}

/* Give the device a buffer for every descriptor it has none for. A descriptor's length and flags
 * never change. The doorbell only rings when the device has run out and waits for it. */
static __attribute__((noinline)) void refill(struct receive_queue *rq)
{
	struct virtqueue *vq = &rq->vq;
	struct packet *packet;
	unsigned n;

	if (unlikely(ck_pr_load_ptr(&rq->returned.head) != NULL))
		collect_returned(rq);
	n = min(vq->nfree, rq->nfree);
	if (unlikely(n == 0))
		return;
	rq->nfree -= n;
	packet = rq->free;
	do {
		uint32_t id = virtqueue_get_id(vq);

		rq->packets[id] = packet;
		vq->descriptors[id].address = dma_direct_address(buffer_of(packet)->bytes);
		virtqueue_push(vq, id);
		packet = packet->next;
	} while (--n > 0);
	rq->free = packet;
	if (virtqueue_publish(vq))
		virtqueue_notify(vq);
}

/* Take the oldest used buffer; NULL: the queue was stopped. */
static inline struct packet *take(struct receive_queue *rq, uint32_t *len)
{
	struct virtqueue *vq = &rq->vq;
	struct packet *packet;
	uint32_t id;

	virtqueue_peek(vq, &id, len);
	if (unlikely(id >= vq->size)) {
		virtqueue_stop(vq, "names a buffer out of range", id, vq->size);
		return NULL;
	}
	packet = rq->packets[id];
	if (unlikely(packet == NULL)) {
		virtqueue_stop(vq, "names a buffer that it does not have", id, vq->size);
		return NULL;
	}
	if (unlikely(*len > BUFFER_SIZE)) {
		virtqueue_stop(vq, "says it wrote more than fits", *len, BUFFER_SIZE);
		return NULL;
	}
	rq->packets[id] = NULL;
	vq->next_used++;
	virtqueue_put_id(vq, id);
	return packet;
}

/* The further parts of a frame that took `nbuffers`; false if the queue was stopped. */
static __attribute__((noinline)) bool take_parts(struct receive_queue *rq, struct packet *first,
						 unsigned nbuffers, unsigned waiting)
{
	struct packet *last = first;

	/* All buffers of a frame become visible with the same index (5.1.6.4). */
	if (nbuffers == 0 || nbuffers > waiting) {
		virtqueue_stop(&rq->vq, "says a frame takes buffers that it has not used", nbuffers,
			       waiting);
		return false;
	}
	while (--nbuffers > 0) {
		uint32_t len;
		struct packet *part = take(rq, &len);

		if (part == NULL)
			return false;
		part->next = NULL;
		part->data = buffer_of(part)->bytes;
		part->len = len;
		part->total_len = len;
		part->checksum_valid = false;
		first->total_len += len;
		last->next = part;
		last = part;
	}
	return true;
}

/*
 * The stack holds nearly everything: drop what waits, so that the ring gets its buffers back. Only
 * whole buffers are counted here, not frames.
 */
static __attribute__((noinline)) void drop_waiting(struct receive_queue *rq, unsigned waiting)
{
	while (waiting-- > 0) {
		uint32_t len;
		struct packet *packet = take(rq, &len);

		if (packet == NULL)
			return;
		put_free(rq, packet);
		counters.rx_drops++;
	}
	refill(rq);
}

/* Does the stack hold so many packets that `n` more would leave ring and free list with too few? */
static bool is_low(const struct receive_queue *rq, unsigned n)
{
	return rq->vq.size - rq->vq.nfree + rq->nfree < rq->reserve + n;
}

static __attribute__((noinline)) unsigned receive_nothing(struct receive_queue *rq)
{
	/* Nothing comes, perhaps because the ring is short: give it what has been released
	 * since. */
	if (rq->vq.nfree >= rq->refill_batch && !rq->vq.stopped)
		refill(rq);
	return 0;
}

unsigned virtio_net_receive(unsigned queue, struct packet **packets, unsigned max)
{
	struct receive_queue *rq = queues[queue];
	struct virtqueue *vq = &rq->vq;
	uint32_t end; /* of what waits */
	unsigned waiting, n = 0;
	uint64_t bytes = 0;

	waiting = virtqueue_waiting(vq);
	if (waiting == 0 || unlikely(vq->stopped))
		return receive_nothing(rq);
	if (unlikely(waiting > vq->size - vq->nfree)) {
		virtqueue_stop(vq, "says it used more buffers than it has", waiting,
			       vq->size - vq->nfree);
		return 0;
	}
	max = min(min(max, waiting), vq->size / 2);
	if (unlikely(is_low(rq, max))) {
		collect_returned(rq);
		if (is_low(rq, max)) {
			drop_waiting(rq, waiting);
			return 0;
		}
	}

	end = vq->next_used + waiting;
	do {
		const struct net_header *header;
		struct packet *packet;
		uint32_t len;

		packet = take(rq, &len);
		if (unlikely(packet == NULL))
			break;
		if (unlikely(len < NET_HEADER_SIZE + ETHERNET_HEADER_SIZE)) {
			counters.rx_errors++;
			put_free(rq, packet);
			max = min(max, n + (end - vq->next_used));
			continue;
		}
		header = (const struct net_header *)buffer_of(packet)->bytes;
		len -= NET_HEADER_SIZE;
		packet->next = NULL;
		packet->data = buffer_of(packet)->bytes + NET_HEADER_SIZE;
		packet->len = len;
		packet->total_len = len;
		packet->checksum_valid = header->flags &
					 (NET_HEADER_NEEDS_CSUM | NET_HEADER_DATA_VALID);

		unsigned nbuffers = __atomic_load_n(&header->num_buffers, __ATOMIC_RELAXED);

		/* Without MRG_RXBUF devices leave num_buffers as it was. */
		if (unlikely(nbuffers != 1) && rq->mergeable) {
			if (!take_parts(rq, packet, nbuffers, end - vq->next_used + 1)) {
				packet_release(packet);
				break;
			}
			len = packet->total_len;
			max = min(max, n + 1 + (end - vq->next_used));
		}
		packets[n++] = packet;
		bytes += len;
	} while (n < max);

	counters.rx_batches++;
	counters.rx_waiting += waiting;
	counters.rx_packets += n;
	counters.rx_bytes += bytes;
	if (vq->nfree >= rq->refill_batch && likely(!vq->stopped))
		refill(rq);
	return n;
}

bool virtio_net_has_received(unsigned queue)
{
	const struct virtqueue *vq = &queues[queue]->vq;

	return !vq->stopped && virtqueue_waiting(vq) != 0;
}

/* Pairs with collect_returned(): the exchange there sees all that was written before the push. */
static void release_elsewhere(struct packet *packet)
{
	struct receive_queue *rq = queues[packet->home_queue];

	while (packet) {
		struct packet *next = packet->next;

		packet->holder = PACKET_NOBODY;
		ck_stack_push_upmc(&rq->returned, (ck_stack_entry_t *)packet);
		packet = next;
	}
}

void packet_release(struct packet *packet)
{
	struct receive_queue *rq;

	if (unlikely(owners[packet->home_queue] != this_core)) {
		release_elsewhere(packet);
		return;
	}
	rq = queues[packet->home_queue];
	do {
		struct packet *next = packet->next;

		put_free(rq, packet);
		packet = next;
	} while (unlikely(packet != NULL));
}

bool virtio_net_enable_interrupt(unsigned queue)
{
	struct receive_queue *rq = queues[queue];

	if (rq->vq.stopped)
		return true; /* nothing will ever come */
	if (rq->vq.nfree >= rq->refill_batch)
		refill(rq);
	return __atomic_load_n(&receive_interrupts[queue], __ATOMIC_RELAXED) &&
	       virtqueue_enable_interrupt(&rq->vq);
}

void virtio_net_disable_interrupt(unsigned queue)
{
	if (!queues[queue]->vq.stopped)
		virtqueue_disable_interrupt(&queues[queue]->vq);
}

/* Two packets from each page, into the free list. */
static int fill_pool(struct receive_queue *rq, unsigned pair, unsigned npackets)
{
	for (unsigned i = 0; i < npackets; i += PAGE_SIZE / PACKET_SIZE) {
		paddr_t frame = frame_alloc(0);
		struct receive_buffer *buffers;

		if (frame == 0)
			return -ENOMEM;
		buffers = dma_memory(frame);
		buffers->next_page = rq->pages;
		rq->pages = buffers;
		for (unsigned j = 0; j < PAGE_SIZE / PACKET_SIZE; j++) {
			buffers[j].packet.home_queue = (uint16_t)pair;
			put_free(rq, &buffers[j].packet);
			buffers[j].packet.holder = owners[pair]; /* not the boot core's */
		}
	}
	return 0;
}

int receive_queue_create(unsigned pair, core_id_t owner, struct virtio_device *device,
			 unsigned index, unsigned npackets, unsigned vector)
{
	struct receive_queue *rq = object_alloc_zeroed(sizeof(*rq));
	struct virtqueue *vq;
	int error;

	queues[pair] = rq;
	owners[pair] = (uint8_t)owner;
	if (rq == NULL)
		return -ENOMEM;
	vq = &rq->vq;
	ck_stack_init(&rq->returned);
	error = virtqueue_create(vq, device, index, "receive", npackets / 2, vector);
	if (error)
		return error;
	if (vq->size < MIN_RING)
		return -EIO;
	rq->packets = object_alloc_zeroed(vq->size * sizeof(*rq->packets));
	error = rq->packets ? fill_pool(rq, pair, npackets) : -ENOMEM;
	if (error)
		return error; /* the device knows the rings: freed when it has been reset */
	rq->mergeable = device->features & NET_F_MRG_RXBUF;
	rq->reserve = vq->size / 4;
	rq->refill_batch = min(16u, vq->size / 8);
	for (unsigned i = 0; i < vq->size; i++) {
		vq->descriptors[i].len = BUFFER_SIZE;
		vq->descriptors[i].flags = DESCRIPTOR_DEVICE_WRITES;
	}
	return 0;
}

/* Does the device have it? */
static bool is_in_ring(const struct receive_queue *rq, const struct packet *packet)
{
	for (unsigned i = 0; i < rq->vq.size; i++)
		if (rq->packets[i] == packet)
			return true;
	return false;
}

/* Do for each packet that this core holds of the queue's. */
static void for_each_held(struct receive_queue *rq,
			  void (*act)(struct receive_queue *, struct packet *))
{
	for (struct receive_buffer *page = rq->pages; page; page = page->next_page)
		for (unsigned i = 0; i < PAGE_SIZE / PACKET_SIZE; i++)
			if (__atomic_load_n(&page[i].packet.holder, __ATOMIC_RELAXED) == this_core)
				act(rq, &page[i].packet);
}

static void free_unless_in_ring(struct receive_queue *rq, struct packet *packet)
{
	if (!is_in_ring(rq, packet))
		put_free(rq, packet);
}

static void restart_own(struct receive_queue *rq)
{
	rq->free = NULL;
	rq->nfree = 0;
	for_each_held(rq, free_unless_in_ring);
	if (!rq->vq.stopped)
		refill(rq);
}

static void send_home(struct receive_queue *rq, struct packet *packet)
{
	packet->next = NULL; /* its parts are held here, too, and found by themselves */
	packet_release(packet);
}

void virtio_net_restart(uint64_t own)
{
	for (unsigned queue = 0; queue < virtio_net_queue_pairs(); queue++) {
		if (own >> queue & 1) {
			if (owners[queue] != this_core) /* failed on the way */
				virtio_net_take_over(queue);
			restart_own(queues[queue]);
			transmit_queue_restart(queue);
		} else {
			for_each_held(queues[queue], send_home);
		}
	}
}

/* Whoever has the queue holds what is free, and what the device has. */
static void hold_own(struct receive_queue *rq, uint8_t holder)
{
	for (struct packet *packet = rq->free; packet; packet = packet->next)
		packet->holder = holder;
	for (unsigned i = 0; i < rq->vq.size; i++)
		if (rq->packets[i])
			rq->packets[i]->holder = holder;
}

bool virtio_net_leave(unsigned queue)
{
	if (!transmit_queue_is_idle(queue))
		return false;
	owners[queue] = PACKET_NOBODY;
	hold_own(queues[queue], PACKET_NOBODY);
	return true;
}

void virtio_net_take_over(unsigned queue)
{
	hold_own(queues[queue], (uint8_t)this_core);
	owners[queue] = (uint8_t)this_core;
}

void receive_queue_start(unsigned pair)
{
	refill(queues[pair]);
}

void receive_queue_destroy(unsigned pair)
{
	struct receive_queue *rq = queues[pair];

	if (rq == NULL)
		return;
	while (rq->pages) {
		struct receive_buffer *page = rq->pages;

		rq->pages = page->next_page;
		frame_free(dma_direct_address(page), 0);
	}
	object_free(rq->packets);
	virtqueue_destroy(&rq->vq);
	object_free(rq);
	queues[pair] = NULL;
}
