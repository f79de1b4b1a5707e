/*
 * A received packet as lwIP sees it: a custom pbuf inside the packet, so that nothing is
 * allocated and nothing copied.
 */
#pragma once

#include "drivers/virtio/virtio_net.h"
#include "lavra/console.h"

#include "lwip/pbuf.h"

#include <string.h>

/* What the network keeps in a packet (its stack_private). */
struct packet_state {
	struct pbuf_custom pbuf;
	uint64_t tried; /* cores that had the packet and did not know its connection */
	bool allocated; /* an object of ours, not a receive buffer */
	bool from_wire; /* begins with an Ethernet header */
	bool reassembled; /* came in pieces through the Ethernet interface; without its header */
};
_Static_assert(sizeof(struct packet_state) <= sizeof(((struct packet *)0)->stack_private),
	       "a packet holds the network's state");

static inline struct packet_state *packet_state(struct packet *packet)
{
	return (struct packet_state *)packet->stack_private;
}

/* An empty packet of ours with room for `len` bytes, or NULL. Any core may free it. */
struct packet *packet_alloc(uint32_t len);
/* A copy of all parts in one. */
struct packet *packet_copy(const struct packet *packet);
/* All parts. Any core. */
void packet_free(struct packet *packet);

/* The packet from `offset` on as a pbuf chain, `len` bytes of it; the packet belongs to it. NULL if
 * memory is out (the packet is freed). While applications leave many packets unread the data is
 * copied, so that the device does not run out of buffers. */
struct pbuf *packet_to_pbuf(struct packet *packet, uint32_t offset, uint32_t len);

/* Receive buffers that this core's lwIP and sockets hold, and how many they may: all cores
 * together a quarter of what the device has. */
extern CORE_LOCAL unsigned packets_held;
extern CORE_LOCAL unsigned packets_held_max;
