/*
 * The steering decision.
 */
#include "net/steering.h"

#include "net/ports.h"
#include "net/queues.h"
#include "smp/core.h"

#include "lwip/prot/dhcp.h"
#include "lwip/prot/iana.h"
#include "lwip/prot/tcp.h"

/* The set bit of `mask` that `hash` selects; `mask` is not empty. */
static core_id_t pick(uint64_t mask, uint32_t hash)
{
	unsigned count = 0, skip;

	for (uint64_t left = mask; left; left &= left - 1)
		count++;
	for (skip = hash % count; skip; skip--)
		mask &= mask - 1;
	return (core_id_t)__builtin_ctzll(mask);
}

/* `listeners` may take it: first those whose frames come to this core, then those with connections. */
static core_id_t steer_to_listener(uint64_t listeners, uint32_t hash)
{
	uint64_t near = listeners & network_queues.of[this_core].serves;

	if (near)
		return pick(near, hash);
	if (listeners & network_queues.cores)
		return pick(listeners & network_queues.cores, hash);
	return listeners ? pick(listeners, hash) : this_core;
}

static uint64_t listeners(uint8_t protocol, const struct frame *frame)
{
	struct address local = address_of_ip4(frame->key.local_address);

	if (frame->addresses)
		__builtin_memcpy(&local, frame->addresses + sizeof(local), sizeof(local));
	return ports_listeners(protocol, &local, frame->key.local_port);
}

/* A segment of a connection that this core does not know: it may have come to the wrong queue. */
static core_id_t steer_stray(const struct frame *frame, uint64_t tried)
{
	/* A port of the ephemeral range tells the core that connected; begin there. */
	core_id_t core = ports_ephemeral_core(lwip_htons(frame->key.local_port));

	tried |= 1ull << this_core;
	for (unsigned i = 0; i < ncores; i++, core = core + 1 < ncores ? core + 1 : 0)
		if (!(tried >> core & 1) && flow_may_be_on(core, frame->hash))
			return core;
	return this_core;
}

static core_id_t steer_tcp(const struct frame *frame, uint64_t tried, struct flow **flow)
{
	bool opens = (frame->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;

	*flow = frame->addresses ? flow_find6(&frame->key, frame->hash, frame->addresses)
				 : flow_find(&frame->key, frame->hash);
	if (likely(*flow != NULL)) {
		/* A new connection may begin above the sequence numbers of one in TIME_WAIT
		 * (RFC 1122, 4.2.2.13). */
		core_id_t moved_to;

		if (unlikely((*flow)->pcb->state == TIME_WAIT) && flow_moved(*flow, &moved_to)) {
			*flow = NULL;
			return moved_to;
		}
		if (likely((*flow)->pcb->state != TIME_WAIT) || !opens ||
		    (int32_t)(frame->sequence - (*flow)->pcb->rcv_nxt) <= 0)
			return this_core;
		flow_recycle(*flow);
		*flow = NULL;
	}
	if (ncores == 1)
		return this_core;
	if (!opens)
		return steer_stray(frame, tried);
	if (tried)
		return this_core;
	return steer_to_listener(listeners(IP_PROTO_TCP, frame), frame->hash);
}

static core_id_t steer_udp(const struct frame *frame)
{
	uint64_t receivers = listeners(IP_PROTO_UDP, frame);

	if (frame->key.local_port == lwip_htons(LWIP_IANA_PORT_DHCP_CLIENT) && !receivers)
		return 0;
	if (receivers >> this_core & 1)
		return this_core;
	return receivers ? pick(receivers, frame->hash) : this_core;
}

core_id_t steer(const struct frame *frame, uint64_t tried, struct flow **flow)
{
	*flow = NULL;
	switch (frame->kind) {
	case FRAME_TCP:
		return steer_tcp(frame, tried, flow);
	case FRAME_UDP:
		return tried ? this_core : steer_udp(frame);
	case FRAME_FRAGMENT:
		return 0; /* one core has all pieces of a packet */
	case FRAME_CORE_0:
		return 0;
	case FRAME_ARP_REPLY: /* these are copied to the others by their receiver */
	case FRAME_ADVERTISEMENT:
	case FRAME_TOO_BIG:
	case FRAME_OTHER:
		break;
	}
	return this_core;
}
