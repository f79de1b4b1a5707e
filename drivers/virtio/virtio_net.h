/*
 * virtio-net: the network device and its receive/transmit queue pairs, each of which a core owns.
 *
 * Only the owner calls the functions that take a queue, and a pair may get another owner
 * (virtio_net_leave()). Everything the device writes is distrusted: a ring
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
	uint8_t holder; /* core that has it, or PACKET_NOBODY; set by who passes it on */
	bool checksum_valid; /* the device vouches for the TCP/UDP checksum, or it is partial */
	uint64_t stack_private[8]; /* the network stack's: a pbuf lives here */
};

/* On its way between cores. */
#define PACKET_NOBODY 0xff

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

/* Find the first virtio-net device and bring it up with a queue pair for each of `count` cores, the first of
 * which owns the first, or as many as it offers. Returns 0, -ENODEV when there is none, or another negative
 * errno after saying why. Boot core, after smp_start(). */
int virtio_net_init(const core_id_t *owners, unsigned count);

unsigned virtio_net_queue_pairs(void); /* 0: no device */
const uint8_t *virtio_net_mac(void); /* 6 bytes */
unsigned virtio_net_mtu(void);
unsigned virtio_net_receive_buffers(void); /* of each queue pair */
bool virtio_net_offloads_tx_checksum(void);
bool virtio_net_offloads_rx_checksum(void);

/* This core's stack has forgotten all packets that it held, and that it waited for frames to be sent: those of
 * the queues in the mask `own` are free again, others go back to their queues. `own` are this core's, also one
 * that it was about to leave or to take over. */
void virtio_net_restart(uint64_t own);

/*
 * A pair changes its owner in three steps: the owner has stopped sending on it and leaves it; its interrupt is
 * sent to the next; who takes it over. Between them frames wait in the ring. Packets that the former owner holds
 * come back from there as from any other core.
 */
/* False: the device still reads what somebody waits for; try again soon. Owning core. */
bool virtio_net_leave(unsigned queue);
/* Make ready for interrupts of queues on `core`. 0, -ENOSPC or -ENOMEM: it cannot have any. One caller at a time. */
int virtio_net_prepare_interrupt(core_id_t core);
/* The queue's interrupts go to `core`, which was made ready. One caller at a time. */
void virtio_net_direct_interrupt(unsigned queue, core_id_t core);
/* This core owns it, from now on. */
void virtio_net_take_over(unsigned queue);

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
