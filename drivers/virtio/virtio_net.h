/*
 * virtio-net: the network device, one receive/transmit queue pair per core.
 *
 * Queue pair i belongs to core i (i < virtio_net_queue_pairs()); only that core calls
 * the functions that take a queue. Everything the device writes is distrusted: a ring
 * entry that cannot be true stops that queue with one message, and is never followed.
 * Facts: Virtual I/O Device (VIRTIO) 1.2.
 */
#pragma once

#include "lavra/types.h"

/* A received frame, in place in its receive buffer. Its memory has the same address on all
 * cores. */
struct packet {
	struct packet *next; /* further parts of the same frame (mergeable buffers), or NULL */
	uint8_t *data; /* first part: the Ethernet header */
	uint32_t len; /* of this part */
	uint32_t total_len; /* of the frame (in the first part) */
	uint16_t home_queue; /* whose buffer it is */
	bool away; /* another core has it; the stack's to set, cleared when it is back */
	bool checksum_valid; /* the device vouches for the TCP/UDP checksum, or it is partial */
	uint64_t stack_private[8]; /* the network stack's: a pbuf lives here */
};

struct tx_segment {
	/* Direct map or image: physically contiguous memory with one address on all cores. */
	const void *data;
	uint32_t len;
};

struct tx_offload {
	bool needs_checksum; /* the device fills the checksum in */
	uint16_t checksum_start; /* from the frame's start */
	uint16_t checksum_offset; /* from checksum_start */
};

/* Find the first virtio-net device and bring it up with min(ncores, offered) queue pairs.
 * Returns 0, -ENODEV when there is none, or another negative errno after saying why. Boot core,
 * after smp_start(). */
int virtio_net_init(void);

unsigned virtio_net_queue_pairs(void); /* 0: no device */
const uint8_t *virtio_net_mac(void); /* 6 bytes */
unsigned virtio_net_mtu(void);
unsigned virtio_net_receive_buffers(void); /* of each queue pair */
bool virtio_net_offloads_tx_checksum(void);
bool virtio_net_offloads_rx_checksum(void);

/* Whoever had packets of the queue's and waited for frames to be sent has forgotten them, but for packets that
 * are on their way to other cores (`away`). Owning core. */
void virtio_net_restart(unsigned queue);

/* Take up to `max` received frames. Refills the ring. Returns how many. */
unsigned virtio_net_receive(unsigned queue, struct packet **packets, unsigned max);
/* Is a frame waiting? */
bool virtio_net_has_received(unsigned queue);

/* Give a packet (all its parts) back to its home queue. Any core, lock-free. */
void packet_release(struct packet *packet);

/* Queue a frame (Ethernet header first) for sending; the doorbell waits for virtio_net_kick().
 * Short frames are copied; for others `done(argument)` is called on this core when the device
 * has read the segments (a later virtio_net_reclaim()), and until then they must stay. Where the
 * frame was copied, `done` is called before the return. It only releases memory: it does not
 * send. Returns 0, -ENOBUFS (ring full: `done` is not called), -EIO (queue stopped), -EMSGSIZE. */
int virtio_net_send(unsigned queue, const struct tx_segment *segments, unsigned nsegments,
		    const struct tx_offload *offload, void (*done)(void *), void *argument);
/* Ring the doorbell if something was queued since the last and the device wants to know. */
void virtio_net_kick(unsigned queue);
/* Have the device look at its queue of this index. Any core. */
void virtio_net_notify(unsigned queue);
/* Is a quarter of the ring free, for who found it full? After virtio_net_reclaim(). */
bool virtio_net_has_room(unsigned queue);
/* Call `done` for what was sent. */
void virtio_net_reclaim(unsigned queue);

/* Receive interrupts of the queue, delivered to its core. Enabling returns false if a frame is
 * waiting after all (then look again). */
bool virtio_net_enable_interrupt(unsigned queue);
void virtio_net_disable_interrupt(unsigned queue);
