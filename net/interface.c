/*
 * The interfaces of a core: receiving, sending, and the place they have in the core's poll.
 */
#include "net/interface.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "mm/object.h"
#include "net/checksum.h"
#include "net/config.h"
#include "net/exchange.h"
#include "net/frame.h"
#include "net/interface6.h"
#include "net/loopback.h"
#include "net/neighbor.h"
#include "net/net.h"
#include "net/path_mtu.h"
#include "net/queues.h"
#include "net/reassembly.h"
#include "net/shared.h"
#include "net/steering.h"
#include "smp/core.h"
#include "smp/mailbox.h"

#include "lwip/etharp.h"
#include "lwip/inet_chksum.h"
#include "lwip/ip.h"
#include "lwip/ip6.h"
#include "lwip/ip4_frag.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/etharp.h"
#include "lwip/prot/icmp6.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/udp.h"
#include "netif/ethernet.h"

#include <errno.h>

#define RECEIVE_BATCH 64
#define KICK_AFTER 16 /* frames queued without a doorbell */
#define SEGMENTS_MAX 16 /* of one frame; a longer chain is copied into one */

/* Of an interface's checksum flags: what lwIP computes, and what it verifies. */
#define GENERATE_FLAGS 0x00ff
#define CHECK_ALL 0xff00
/* The device or the sender on this machine vouches for the rest. */
#define CHECK_HEADERS                                                                              \
	(NETIF_CHECKSUM_CHECK_IP | NETIF_CHECKSUM_CHECK_ICMP | NETIF_CHECKSUM_CHECK_ICMP6)

#define GENERATED_BY_DEVICE (NETIF_CHECKSUM_GEN_TCP | NETIF_CHECKSUM_GEN_UDP)

CORE_LOCAL struct netif ethernet_interface;
CORE_LOCAL struct netif loopback_interface;

SHARED CACHE_ALIGNED struct queue_map network_queues;

static CORE_LOCAL uint64_t own_queues; /* queue pairs that this core polls */
static CORE_LOCAL unsigned own_queue; /* the one of these that it sends on */
static CORE_LOCAL unsigned unkicked; /* frames queued since the doorbell */

/* ---- receiving ---- */

/* As ip4_input() does before tcp_input(), for a frame whose headers frame_parse() found plain and
 * whose connection is known: so its addresses are ours. */
static inline void tcp_receive_plain(struct packet *packet, const struct frame *frame,
				     struct netif *netif)
{
	struct pbuf *pbuf =
	    packet_to_pbuf(packet, frame->ip_offset + IP_HLEN, frame->ip_len - (uint32_t)IP_HLEN);

	if (!pbuf)
		return;
	pbuf->if_idx = netif_get_index(netif);
	ip_data.current_netif = netif;
	ip_data.current_input_netif = netif;
	ip_data.current_ip_header_tot_len = IP_HLEN;
	/* Their type is IPv4 already: see receive_ip6(). */
	ip_2_ip4(&ip_data.current_iphdr_src)->addr = frame->key.remote_address;
	ip_2_ip4(&ip_data.current_iphdr_dest)->addr = frame->key.local_address;
	tcp_input(pbuf, netif);
	ip_data.current_netif = NULL;
	ip_data.current_input_netif = NULL;
}

/* The whole of a packet in pieces is a new packet, for whom it may concern. Its transport checksum is
 * not verified yet: `checksum_valid` is false. */
static void receive_whole(struct packet *whole, bool from_wire)
{
	packet_state(whole)->reassembled = from_wire;
	interface_receive(whole);
}

/* A piece of a packet, on core 0. */
static void receive_fragment(struct packet *packet, const struct frame *frame)
{
	bool from_wire = packet_state(packet)->from_wire;
	struct pbuf *pbuf = packet_to_pbuf(packet, frame->ip_offset, frame->ip_len);
	struct packet *whole;

	if (!pbuf)
		return;
	if (*(const uint8_t *)pbuf->payload != 0x45 || inet_chksum(pbuf->payload, IP_HLEN) != 0) {
		counters.rx_errors++;
		pbuf_free(pbuf);
		return;
	}
	neighbor_timers_needed();
	pbuf = ip4_reass(pbuf);
	if (!pbuf)
		return;
	whole = packet_alloc(pbuf->tot_len);
	if (whole)
		pbuf_copy_partial(pbuf, whole->data, pbuf->tot_len, 0);
	else
		counters.rx_drops++;
	pbuf_free(pbuf);
	if (whole)
		receive_whole(whole, from_wire);
}

static void receive_fragment6(struct packet *packet, const struct frame *frame)
{
	bool from_wire = packet_state(packet)->from_wire;
	struct packet *whole = reassembly_add(packet, frame);

	neighbor_timers_needed();
	if (whole)
		receive_whole(whole, from_wire);
}

/* Tell lwIP what of this frame it has to verify. */
static inline void set_checks(struct netif *netif, const struct packet *packet)
{
	netif->chksum_flags = (netif->chksum_flags & GENERATE_FLAGS) |
			      (packet->checksum_valid ? CHECK_HEADERS : CHECK_ALL);
}

static void receive_ip6(struct packet *packet, const struct frame *frame, struct flow *flow,
			struct netif *netif)
{
	bool from_wire = packet_state(packet)->from_wire;
	struct pbuf *pbuf;

	if (flow && frame->plain) {
		tcp_receive_plain6(packet, frame, netif);
	} else {
		pbuf = packet_to_pbuf(packet, 0, (uint32_t)frame->ip_offset + frame->ip_len);
		if (pbuf && from_wire)
			ethernet_input(pbuf, netif);
		else if (pbuf)
			ip6_input(pbuf, netif);
	}
	/* As tcp_receive_plain() expects it. */
	IP_SET_TYPE_VAL(ip_data.current_iphdr_src, IPADDR_TYPE_V4);
	IP_SET_TYPE_VAL(ip_data.current_iphdr_dest, IPADDR_TYPE_V4);
}

/* The image of a test has it: a mistake (tests/system/stack). */
void network_mistake(const uint8_t *ip, uint32_t len) __attribute__((weak));

static void receive_here(struct packet *packet, const struct frame *frame, struct flow *flow)
{
	bool from_wire = packet_state(packet)->from_wire;
	/* Answers (to a ping, say) leave where the packet came in. */
	struct netif *netif = from_wire || packet_state(packet)->reassembled ? &ethernet_interface
									     : &loopback_interface;
	struct pbuf *pbuf;

	if (frame->kind == FRAME_FRAGMENT) {
		if (frame->addresses)
			receive_fragment6(packet, frame);
		else
			receive_fragment(packet, frame);
		return;
	}
	if (unlikely(frame->kind == FRAME_UDP && network_mistake))
		network_mistake(packet->data + frame->ip_offset, frame->ip_len);
	set_checks(netif, packet);
	flow_attach(flow);
	if (frame->addresses) {
		receive_ip6(packet, frame, flow, netif);
	} else if (flow && frame->plain) {
		tcp_receive_plain(packet, frame, netif);
	} else {
		pbuf = packet_to_pbuf(packet, 0, (uint32_t)frame->ip_offset + frame->ip_len);
		if (pbuf && from_wire)
			ethernet_input(pbuf, netif);
		else if (pbuf)
			ip4_input(pbuf, netif);
	}
	flow_detach();
}

/* If a core's network begins anew, what it holds is taken from it. */
static void set_holder(struct packet *packet, uint8_t holder)
{
	for (; packet; packet = packet->next)
		packet->holder = holder;
}

static void receive_forwarded(void *argument)
{
	set_holder(argument, (uint8_t)this_core);
	interface_receive(argument);
}

static void forward(struct packet *packet, core_id_t core)
{
	packet_state(packet)->tried |= 1ull << this_core;
	set_holder(packet, PACKET_NOBODY);
	if (mailbox_post(core, receive_forwarded, packet) == 0) {
		counters.frames_forwarded++;
	} else {
		counters.rx_drops++;
		set_holder(packet, (uint8_t)this_core);
		packet_free(packet);
	}
}

/* Every core resolves addresses for itself, and any of them may have asked; or sent what was too
 * big. */
static void copy_to_others(const struct packet *packet)
{
	for (core_id_t core = 0; core < ncores; core++) {
		struct packet *copy;

		if (core == this_core || !core_is_online(core))
			continue;
		copy = packet_copy(packet);
		if (copy)
			forward(copy, core);
	}
}

/* What comes seldom and concerns every core, or one for all. Returns whether lwIP shall have it. */
static __attribute__((noinline)) bool receive_news(const struct packet *packet,
						   const struct frame *frame)
{
	const uint8_t *ip = packet->data + frame->ip_offset;
	const uint8_t *message = ip + frame->transport_offset;
	uint32_t len = frame->ip_len - (uint32_t)frame->transport_offset;

	if (frame->kind != FRAME_CORE_0 && !packet_state((struct packet *)packet)->tried)
		copy_to_others(packet);
	if (frame->kind == FRAME_ARP_REPLY) {
		neighbor_forget();
		return true;
	}
	neighbor_timers_needed();
	if (frame->kind == FRAME_TOO_BIG) {
		if (frame_icmp6_checksum_is_right(ip, frame))
			path_mtu_message(message, len);
		return false;
	}
	neighbor_forget();
	if (this_core == 0 && message[0] == ICMP6_TYPE_RA &&
	    frame_icmp6_checksum_is_right(ip, frame))
		config_router_advertisement(message, len);
	return true;
}

static inline bool is_news(const struct frame *frame)
{
	return frame->kind >= FRAME_ARP_REPLY && frame->kind <= FRAME_TOO_BIG;
}

void interface_receive(struct packet *packet)
{
	struct packet_state *state = packet_state(packet);
	struct frame frame;
	struct flow *flow;
	core_id_t core;

	if (likely(frame_parse_plain(packet, &frame))) {
		flow = flow_find(&frame.key, frame.hash);
		if (likely(flow && flow->pcb->state != TIME_WAIT)) {
			set_checks(&ethernet_interface, packet);
			flow_attach(flow);
			tcp_receive_plain(packet, &frame, &ethernet_interface);
			flow_detach();
			return;
		}
		frame.addresses = NULL;
	} else if (!frame_parse(packet, &frame)) {
		counters.rx_errors++;
		packet_free(packet);
		return;
	}
	core = steer(&frame, state->tried, &flow);
	if (unlikely(core != this_core)) {
		forward(packet, core);
		return;
	}
	if (unlikely(is_news(&frame)) && !receive_news(packet, &frame)) {
		packet_free(packet);
		return;
	}
	receive_here(packet, &frame, flow);
}

/* ---- sending ---- */

/* A frame on its way to a core that has a transmit queue. */
struct handed_frame {
	uint32_t len;
	struct tx_offload offload;
	uint8_t data[];
};

static void handed_frame_sent(void *argument)
{
	object_free(argument);
}

static void frame_queued(void)
{
	if (++unkicked >= KICK_AFTER || unlikely(network_exchange.at_once)) {
		unkicked = 0;
		virtio_net_kick(own_queue);
	}
}

/* A frame found no room: what TCP has left goes on when there is some (resume_sending()). */
static CORE_LOCAL bool ring_was_full;

/* Queue on this core's ring; a full one gets a second chance after the device was told to go on. The
 * driver counts what it cannot take. */
static int queue_frame(const struct tx_segment *segments, unsigned nsegments,
		       const struct tx_offload *offload, void (*done)(void *), void *argument)
{
	int error = virtio_net_send(own_queue, segments, nsegments, offload, done, argument);

	if (unlikely(error == -ENOBUFS)) {
		unkicked = 0;
		virtio_net_kick(own_queue);
		virtio_net_reclaim(own_queue);
		error = virtio_net_send(own_queue, segments, nsegments, offload, done, argument);
		ring_was_full |= error == -ENOBUFS;
	}
	if (likely(error == 0))
		frame_queued();
	return error;
}

static bool hand_on(struct handed_frame *frame);

static void send_handed_frame(void *argument)
{
	struct handed_frame *frame = argument;
	struct tx_segment segment = { .data = frame->data, .len = frame->len };

	if (unlikely(!own_queues))
		hand_on(frame); /* the queue has moved meanwhile */
	else if (queue_frame(&segment, 1, &frame->offload, handed_frame_sent, frame) != 0)
		object_free(frame);
}

/* The core that has the queue on which this one sends; itself: the queue is about to move (net/queues.h). */
static core_id_t sending_core(void)
{
	return network_queues.owners[network_queues.of[this_core].sends_on];
}

/* To the core that has a queue for it. False: it was dropped. */
static bool hand_on(struct handed_frame *frame)
{
	core_id_t core = sending_core();

	if (core != this_core && mailbox_post(core, send_handed_frame, frame) == 0)
		return true;
	ring_was_full |= core == this_core;
	counters.tx_drops++;
	object_free(frame);
	return false;
}

static struct handed_frame *copy_frame(struct pbuf *pbuf, const struct tx_offload *offload)
{
	struct handed_frame *frame = object_alloc(sizeof(*frame) + pbuf->tot_len);

	if (!frame)
		return NULL;
	frame->len = pbuf->tot_len;
	frame->offload = *offload;
	pbuf_copy_partial(pbuf, frame->data, pbuf->tot_len, 0);
	return frame;
}

/* Sending from a core without a queue, or of a frame in more pieces than a ring entry should have. */
static err_t send_copy(struct pbuf *pbuf, const struct tx_offload *offload)
{
	struct handed_frame *frame = copy_frame(pbuf, offload);

	if (!frame)
		return ERR_MEM;
	if (!own_queues)
		return hand_on(frame) ? ERR_OK : ERR_BUF;
	send_handed_frame(frame);
	return ERR_OK;
}

static void pbuf_sent(void *argument)
{
	pbuf_free(argument);
}

/*
 * The device adds the checksum of TCP and UDP where it offers to; it wants the sum of the pseudo
 * header in the field (virtio 1.2, 5.1.6.2). lwIP was told not to compute one and left it 0.
 */
static inline void offload(struct tx_offload *offload, uint8_t *frame, uint32_t transport, bool tcp,
			   uint64_t addresses_sum, uint32_t len)
{
	uint32_t field = tcp ? 16 : 6;
	uint16_t sum = checksum_fold(addresses_sum +
				     lwip_htons((uint16_t)(tcp ? IP_PROTO_TCP : IP_PROTO_UDP)) +
				     lwip_htons((uint16_t)len));

	memcpy(frame + transport + field, &sum, 2);
	offload->needs_checksum = true;
	offload->checksum_start = (uint16_t)transport;
	offload->checksum_offset = (uint16_t)field;
}

/* A datagram whose checksum is to be made; one that goes in pieces has it already. */
static inline bool is_unsummed_udp(const uint8_t *udp, uint8_t protocol, uint32_t room)
{
	return protocol == IP_PROTO_UDP && room >= UDP_HLEN && load16(udp + 6) == 0;
}

static void offload_checksum6(struct pbuf *pbuf, struct tx_offload *tx_offload)
{
	uint8_t *frame = pbuf->payload, *ip = frame + ETHERNET_HEADER_LEN;
	uint32_t transport = ETHERNET_HEADER_LEN + IP6_HLEN;
	uint64_t sum = 0;
	bool tcp;

	if (pbuf->len < transport + UDP_HLEN)
		return;
	tcp = ip[6] == IP_PROTO_TCP && pbuf->len >= transport + TCP_HLEN;
	if (!tcp && !is_unsummed_udp(frame + transport, ip[6], pbuf->len - transport))
		return;
	for (unsigned i = 8; i < IP6_HLEN; i += 4)
		sum += load32(ip + i);
	offload(tx_offload, frame, transport, tcp, sum, pbuf->tot_len - transport);
}

static __attribute__((noinline)) void offload_other_checksum(struct pbuf *pbuf,
							     struct tx_offload *tx_offload)
{
	uint8_t *frame = pbuf->payload, *ip = frame + ETHERNET_HEADER_LEN;
	uint32_t transport = ETHERNET_HEADER_LEN + IP_HLEN;

	if (pbuf->len < transport + UDP_HLEN)
		return;
	if (load16(ip - 2) == PP_HTONS(ETHTYPE_IPV6))
		offload_checksum6(pbuf, tx_offload);
	else if (load16(ip - 2) == PP_HTONS(ETHTYPE_IP) && ip[0] == 0x45 &&
		 !(load16(ip + 6) & PP_HTONS(IP_OFFMASK | IP_MF)) &&
		 is_unsummed_udp(frame + transport, ip[9], pbuf->len - transport))
		offload(tx_offload, frame, transport, false,
			(uint64_t)load32(ip + 12) + load32(ip + 16), pbuf->tot_len - transport);
}

static inline void offload_checksum(struct pbuf *pbuf, struct tx_offload *tx_offload)
{
	uint8_t *frame = pbuf->payload, *ip = frame + ETHERNET_HEADER_LEN;
	uint32_t transport = ETHERNET_HEADER_LEN + IP_HLEN;

	if (likely(pbuf->len >= transport + TCP_HLEN && ip[9] == IP_PROTO_TCP && ip[0] == 0x45 &&
		   load16(ip - 2) == PP_HTONS(ETHTYPE_IP)))
		offload(tx_offload, frame, transport, true,
			(uint64_t)load32(ip + 12) + load32(ip + 16), pbuf->tot_len - transport);
	else
		offload_other_checksum(pbuf, tx_offload);
}

/* lwIP's linkoutput: `pbuf` begins with the Ethernet header. */
static err_t ethernet_transmit(struct netif *netif, struct pbuf *pbuf)
{
	struct tx_segment segments[SEGMENTS_MAX];
	struct tx_offload offload = { .needs_checksum = false };
	unsigned nsegments = 0;

	if (!(netif->chksum_flags & NETIF_CHECKSUM_GEN_TCP))
		offload_checksum(pbuf, &offload);
	if (unlikely(!own_queues))
		return send_copy(pbuf, &offload);
	if (likely(!pbuf->next)) {
		segments[nsegments++] = (struct tx_segment){ pbuf->payload, pbuf->len };
	} else {
		for (struct pbuf *part = pbuf; part; part = part->next) {
			if (part->len == 0)
				continue;
			if (unlikely(nsegments == SEGMENTS_MAX))
				return send_copy(pbuf, &offload);
			segments[nsegments++] = (struct tx_segment){ part->payload, part->len };
		}
	}
	/* Until the device has read it; lwIP does not touch a segment that others refer to. */
	pbuf_ref(pbuf);
	if (unlikely(queue_frame(segments, nsegments, &offload, pbuf_sent, pbuf) != 0)) {
		pbuf_free(pbuf);
		return ERR_BUF;
	}
	return ERR_OK;
}

/* Put the Ethernet header in front of an IP packet. False: there is no room for it. */
static inline bool push_header(struct pbuf *pbuf, const struct eth_hdr *header)
{
	uint8_t *to = (uint8_t *)pbuf->payload - sizeof(*header);

	/* As pbuf_add_header() does for what lwIP allocates to be sent. */
	if (likely((pbuf->type_internal & PBUF_TYPE_FLAG_STRUCT_DATA_CONTIGUOUS) &&
		   to >= (uint8_t *)pbuf + sizeof(*pbuf))) {
		pbuf->payload = to;
		pbuf->len += (u16_t)sizeof(*header);
		pbuf->tot_len += (u16_t)sizeof(*header);
	} else if (pbuf_add_header(pbuf, sizeof(*header)) != 0) {
		return false;
	}
	memcpy(pbuf->payload, header, sizeof(*header));
	return true;
}

err_t interface_send_to(struct netif *netif, struct pbuf *pbuf, const struct eth_hdr *header)
{
	return likely(push_header(pbuf, header)) ? ethernet_transmit(netif, pbuf) : ERR_BUF;
}

/* lwIP's output: `pbuf` begins with the IPv4 header. */
static err_t ethernet_send(struct netif *netif, struct pbuf *pbuf, const ip4_addr_t *destination)
{
	const struct eth_hdr *header = neighbor_find(destination->addr);

	if (unlikely(!header)) {
		err_t error;

		if (interface_is_local(destination->addr))
			return loopback_send(pbuf);
		error = etharp_output(netif, pbuf, destination);
		neighbor_learn(netif, destination);
		return error;
	}
	return interface_send_to(netif, pbuf, header);
}

static err_t loopback_output(struct netif *netif, struct pbuf *pbuf, const ip4_addr_t *destination)
{
	return loopback_send(pbuf);
}

void interface_reclaim(void)
{
	if (!own_queues)
		return;
	if (unkicked) {
		unkicked = 0;
		virtio_net_kick(own_queue);
	}
	virtio_net_reclaim(own_queue);
}

/* ---- addresses and routes ---- */

bool interface_is_local(uint32_t address)
{
	return (address & lwip_htonl(0xff000000)) == lwip_htonl(0x7f000000) ||
	       (address != 0 && address == netif_ip4_addr(&ethernet_interface)->addr);
}

struct netif *interface_route(const ip4_addr_t *source, const ip4_addr_t *destination)
{
	if ((destination->addr & lwip_htonl(0xff000000)) == lwip_htonl(0x7f000000))
		return &loopback_interface;
	return virtio_net_queue_pairs() ? &ethernet_interface : NULL;
}

uint32_t interface_source_address(uint32_t destination)
{
	if ((destination & lwip_htonl(0xff000000)) == lwip_htonl(0x7f000000))
		return lwip_htonl(0x7f000001);
	return netif_ip4_addr(&ethernet_interface)->addr;
}

void interface_set_address(uint32_t address, uint32_t netmask, uint32_t gateway)
{
	ip4_addr_t ip = { address }, mask = { netmask }, router = { gateway };

	if (netif_ip4_addr(&ethernet_interface)->addr == address &&
	    netif_ip4_netmask(&ethernet_interface)->addr == netmask &&
	    netif_ip4_gw(&ethernet_interface)->addr == gateway)
		return;
	neighbor_forget();
	/* lwIP ends the connections of an address that goes away, if it sees them. */
	flow_attach_all();
	netif_set_addr(&ethernet_interface, &ip, &mask, &router);
	flow_detach();
}

/* ---- the core's poll ---- */

/* lwIP has kept the segments that could not be queued, and would wait for a timer to send them. */
static bool resume_sending(void)
{
	if (own_queues)
		virtio_net_reclaim(own_queue);
	if (own_queues ? !virtio_net_has_room(own_queue) : sending_core() == this_core)
		return false;
	ring_was_full = false;
	flow_resume_sending();
	return true;
}

bool interface_waits_for_room(void)
{
	return ring_was_full;
}

/* Returns how many frames there were. */
static unsigned receive_batch(unsigned queue)
{
	struct packet *packets[RECEIVE_BATCH];
	unsigned received = virtio_net_receive(queue, packets, RECEIVE_BATCH);

	for (unsigned i = 0; i < received; i++) {
		for (struct packet *part = packets[i]; part; part = part->next)
			packet_state(part)->allocated = false;
		packet_state(packets[i])->tried = 0;
		packet_state(packets[i])->from_wire = true;
		interface_receive(packets[i]);
	}
	return received;
}

bool interface_poll(void)
{
	unsigned received = 0;
	bool worked, resumed = false;

	/* What applications and handlers of messages queued since the last pass. */
	if (unkicked && own_queues) {
		unkicked = 0;
		virtio_net_kick(own_queue);
	}
	for (uint64_t left = own_queues; left; left &= left - 1)
		received += receive_batch((unsigned)__builtin_ctzll(left));
	if (unlikely(ring_was_full))
		resumed = resume_sending();
	worked = loopback_poll() || received || resumed;
	if (worked)
		interface_reclaim();
	return worked;
}

bool interface_prepare_sleep(void)
{
	if (loopback_has_work())
		return false;
	interface_reclaim();
	for (uint64_t left = own_queues; left; left &= left - 1)
		if (!virtio_net_enable_interrupt((unsigned)__builtin_ctzll(left)))
			return false;
	return true;
}

void interface_awake(void)
{
	for (uint64_t left = own_queues; left; left &= left - 1)
		virtio_net_disable_interrupt((unsigned)__builtin_ctzll(left));
}

/* ---- queues ---- */

static void look_at_queues(void)
{
	own_queues = network_queues.of[this_core].owns;
	own_queue = network_queues.of[this_core].sends_on;
}

bool interface_leave_queue(unsigned queue)
{
	look_at_queues();
	return virtio_net_leave(queue);
}

void interface_take_queue(unsigned queue)
{
	virtio_net_take_over(queue);
	look_at_queues();
}

static err_t ethernet_up(struct netif *netif)
{
	netif->name[0] = 'e';
	netif->name[1] = 'n';
	netif->mtu = (u16_t)virtio_net_mtu();
	netif->hwaddr_len = 6;
	memcpy(netif->hwaddr, virtio_net_mac(), 6);
	netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET |
		       NETIF_FLAG_LINK_UP;
	netif->output = ethernet_send;
	netif->linkoutput = ethernet_transmit;
	return ERR_OK;
}

static err_t loopback_up(struct netif *netif)
{
	netif->name[0] = 'l';
	netif->name[1] = 'o';
	netif->mtu = LOOPBACK_MTU;
	netif->flags = NETIF_FLAG_LINK_UP;
	netif->output = loopback_output;
	return ERR_OK;
}

void interface_init_core(void)
{
	ip4_addr_t address = { lwip_htonl(0x7f000001) }, mask = { lwip_htonl(0xff000000) };
	ip4_addr_t none = { 0 };
	unsigned pairs = virtio_net_queue_pairs();

	look_at_queues();
	packets_held_max = pairs * virtio_net_receive_buffers() / ncores / 4;
	netif_add(&loopback_interface, &address, &mask, &none, NULL, loopback_up, ip4_input);
	netif_set_up(&loopback_interface);
	/* Nothing gets lost in memory. */
	loopback_interface.chksum_flags &= (u16_t)~GENERATED_BY_DEVICE;
	if (!pairs) {
		interface_init_core6();
		return;
	}
	netif_add(&ethernet_interface, &none, &none, &none, NULL, ethernet_up, ethernet_input);
	netif_set_default(&ethernet_interface);
	netif_set_up(&ethernet_interface);
	if (virtio_net_offloads_tx_checksum())
		ethernet_interface.chksum_flags &= (u16_t)~GENERATED_BY_DEVICE;
	interface_init_core6();
}
