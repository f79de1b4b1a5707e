/*
 * Path MTUs, and packets in pieces.
 */
#include "net/path_mtu.h"

#include "arch/arch.h"
#include "lavra/counters.h"
#include "net/flow.h"
#include "net/frame.h"
#include "net/interface6.h"
#include "net/lwip_address.h"
#include "net/ports.h"
#include "smp/core.h"

#include "lwip/inet_chksum.h"
#include "lwip/ip6.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/ip6.h"

#include <string.h>

/* Destinations behind a narrow link; the one that expires first makes room. */
#define PATHS 32
#define LIFETIME_NS (600 * NS_PER_S) /* RFC 8201, 4: then it may have grown */
#define FRAGMENT_HEADER_LEN 8

struct path {
	struct address destination;
	uint16_t mtu; /* 0: empty */
	uint64_t expires_ns;
};

static CORE_LOCAL struct path paths[PATHS];
static CORE_LOCAL bool any_path;

static struct path *path_find(const struct address *destination)
{
	for (unsigned i = 0; i < PATHS; i++)
		if (paths[i].mtu && address_equal(&paths[i].destination, destination))
			return &paths[i];
	return NULL;
}

uint16_t path_mtu(const struct address *destination)
{
	uint16_t mtu = netif_mtu6(&ethernet_interface);
	struct path *path = any_path ? path_find(destination) : NULL;

	if (!path)
		return mtu;
	if (clock_ns() >= path->expires_ns) {
		path->mtu = 0;
		return mtu;
	}
	return min(path->mtu, mtu);
}

static void remember(const struct address *destination, uint16_t mtu)
{
	struct path *path = path_find(destination);

	if (!path) {
		path = &paths[0];
		for (unsigned i = 0; i < PATHS && path->mtu; i++)
			if (!paths[i].mtu || paths[i].expires_ns < path->expires_ns)
				path = &paths[i];
		path->destination = *destination;
	}
	path->mtu = mtu;
	path->expires_ns = clock_ns() + LIFETIME_NS;
	any_path = true;
}

/* Does a segment with this sequence number wait for its acknowledgement? The segments that are made
 * from now on fit; those that wait go in pieces. */
static bool adapt_connection(const uint8_t *quoted, uint16_t mtu)
{
	const uint8_t *tcp = quoted + IP6_HLEN;
	uint8_t addresses[32]; /* the quoted packet is ours: source and destination change places */
	struct flow_key key;
	struct tcp_pcb *pcb;
	struct flow *flow;
	uint32_t sequence = __builtin_bswap32(load32(tcp + 4));

	memcpy(addresses, quoted + 24, 16);
	memcpy(addresses + 16, quoted + 8, 16);
	flow_key6(&key, addresses, load16(tcp + 2), load16(tcp));
	flow = flow_find6(&key, flow_hash(&key), addresses);
	if (!flow || flow->is_marker)
		return false;
	pcb = flow->pcb;
	if (!TCP_SEQ_GEQ(sequence, pcb->lastack) || !TCP_SEQ_LT(sequence, pcb->snd_nxt))
		return false;
	/* lwIP asserts that what waits to be sent is in segments of at most this size. */
	if (!pcb->unsent)
		pcb->mss = min(pcb->mss, (uint16_t)(mtu - IP6_HLEN - TCP_HLEN));
	return true;
}

void path_mtu_message(const uint8_t *icmp, uint32_t len)
{
	const uint8_t *quoted = icmp + 8;
	uint32_t mtu = __builtin_bswap32(load32(icmp + 4));
	struct address source, destination;
	bool ours = false;

	memcpy(&source, quoted + 8, 16);
	memcpy(&destination, quoted + 24, 16);
	/* RFC 8201, 4: nothing below the minimum is believed. */
	if (quoted[0] >> 4 != 6 || mtu < PATH_MTU_MIN || mtu >= path_mtu(&destination) ||
	    !interface_has_address6(&source) || len < 8 + IP6_HLEN + 8)
		return;
	if (quoted[6] == IP6_NEXTH_TCP)
		ours = adapt_connection(quoted, (uint16_t)mtu);
	else if (quoted[6] == IP6_NEXTH_UDP)
		ours = ports_listeners(IP6_NEXTH_UDP, &source, load16(quoted + IP6_HLEN)) >>
			   this_core &
		       1;
	if (ours)
		remember(&destination, (uint16_t)mtu);
}

/* The device cannot add a checksum to pieces: 0 means that it was to. */
static void complete_checksum(struct pbuf *pbuf, const struct ip6_hdr *header, uint8_t protocol)
{
	uint16_t at = protocol == IP6_NEXTH_TCP ? 16 : 6, sum = 0;
	ip6_addr_t source, destination;

	if ((protocol != IP6_NEXTH_TCP && protocol != IP6_NEXTH_UDP) ||
	    pbuf->len < IP6_HLEN + at + 2 || load16((uint8_t *)pbuf->payload + IP6_HLEN + at) != 0)
		return;
	ip6_addr_copy_from_packed(source, header->src);
	ip6_addr_copy_from_packed(destination, header->dest);
	pbuf_remove_header(pbuf, IP6_HLEN);
	sum = ip6_chksum_pseudo(pbuf, protocol, pbuf->tot_len, &source, &destination);
	if (sum == 0)
		sum = 0xffff;
	memcpy((uint8_t *)pbuf->payload + at, &sum, 2);
	pbuf_add_header(pbuf, IP6_HLEN);
}

err_t path_mtu_send_in_pieces(struct netif *netif, struct pbuf *pbuf, const ip6_addr_t *destination)
{
	struct address to = address_of_lwip6(destination);
	uint16_t room = (path_mtu(&to) - IP6_HLEN - FRAGMENT_HEADER_LEN) & 0xfff8;
	uint16_t total = pbuf->tot_len - IP6_HLEN;
	uint32_t identification = (uint32_t)arch_random();
	uint8_t header[IP6_HLEN + FRAGMENT_HEADER_LEN];
	uint8_t protocol;

	if (pbuf_copy_partial(pbuf, header, IP6_HLEN, 0) != IP6_HLEN)
		return ERR_BUF;
	protocol = header[6];
	complete_checksum(pbuf, pbuf->payload, protocol);
	header[6] = IP6_NEXTH_FRAGMENT;
	header[IP6_HLEN] = protocol;
	header[IP6_HLEN + 1] = 0;
	memcpy(header + IP6_HLEN + 4, &identification, 4);
	for (uint16_t at = 0; at < total;) {
		uint16_t len = min(room, (uint16_t)(total - at));
		struct pbuf *piece = pbuf_alloc(PBUF_LINK, sizeof(header) + len, PBUF_RAM);
		uint16_t field;
		err_t error;

		if (!piece)
			return ERR_MEM;
		field = lwip_htons(FRAGMENT_HEADER_LEN + len);
		memcpy(header + 4, &field, 2);
		field = lwip_htons(at | (at + len < total));
		memcpy(header + IP6_HLEN + 2, &field, 2);
		memcpy(piece->payload, header, sizeof(header));
		pbuf_copy_partial(pbuf, (uint8_t *)piece->payload + sizeof(header), len,
				  IP6_HLEN + at);
		error = netif->output_ip6(netif, piece, destination);
		pbuf_free(piece);
		if (error != ERR_OK)
			return error;
		at += len;
	}
	return ERR_OK;
}
