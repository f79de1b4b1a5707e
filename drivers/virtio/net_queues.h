/*
 * The queues of the network device, between its setup (virtio_net.c), receive.c and transmit.c.
 */
#pragma once

#include "drivers/virtio/virtio_net.h"
#include "drivers/virtio/virtqueue.h"

/* Features of a network device; VIRTIO 1.2, 5.1.3. */
#define NET_F_CSUM (1ull << 0)
#define NET_F_GUEST_CSUM (1ull << 1)
#define NET_F_MTU (1ull << 3)
#define NET_F_MAC (1ull << 5)
#define NET_F_MRG_RXBUF (1ull << 15)
#define NET_F_CTRL_VQ (1ull << 17)
#define NET_F_MQ (1ull << 22)

/* In front of every frame; 5.1.6. num_buffers is there also without MRG_RXBUF. */
struct net_header {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t num_buffers;
};
#define NET_HEADER_SIZE 12u
_Static_assert(sizeof(struct net_header) == NET_HEADER_SIZE, "VIRTIO 1.2, 5.1.6");

#define NET_HEADER_NEEDS_CSUM 1u
#define NET_HEADER_DATA_VALID 2u

#define ETHERNET_HEADER_SIZE 14u

/* Make queue pair `pair`: rings and `npackets` receive buffers (of which at most half are in the
 * ring). 0 or a negative errno, with nothing left behind. Boot core; the device has no buffers
 * yet. */
int receive_queue_create(unsigned pair, core_id_t owner, struct virtio_device *device,
			 unsigned index, unsigned npackets, unsigned vector);
int transmit_queue_create(unsigned pair, struct virtio_device *device, unsigned index,
			  unsigned max_size);
/* Free what create made; nothing if it made nothing. The device has been reset. */
void receive_queue_destroy(unsigned pair);
void transmit_queue_destroy(unsigned pair);

/* By pair: are its interrupts directed to its core? The kernel writes it, before the core takes the queue over. */
extern bool receive_interrupts[MAX_CORES];

/* Nobody waits any more for what is being sent. Owning core. */
void transmit_queue_restart(unsigned pair);
/* Tell the device of all that is queued. Has it read what somebody waits for? Owning core. */
bool transmit_queue_is_idle(unsigned pair);

/* The device runs: give it receive buffers. Boot core, before the queue's core polls. */
void receive_queue_start(unsigned pair);

/* Have the device spread flows over `pairs` queue pairs, through its control queue `index`. 0;
 * -EPROTO: it refuses; -EIO: it does not answer. Says why. (control.c) */
int control_set_queue_pairs(struct virtio_device *device, struct virtqueue *vq, unsigned pairs);
