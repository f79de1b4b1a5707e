/*
 * A received frame's headers, checked once: what steering decides by, and whether lwIP's
 * Ethernet and IP layers can be skipped.
 */
#pragma once

#include "net/checksum.h"
#include "net/flow.h"
#include "net/interface.h"
#include "net/packet_pbuf.h"

enum frame_kind {
	FRAME_TCP,
	FRAME_UDP,
	FRAME_FRAGMENT,
	FRAME_ARP_REPLY, /* to us or not: every core may be waiting for it */
	FRAME_ADVERTISEMENT, /* IPv6's, of a neighbor or router: likewise */
	FRAME_CORE_0, /* what one core answers for all: neighbor solicitations, group queries */
	FRAME_TOO_BIG, /* ICMPv6: a packet of ours did not fit */
	FRAME_OTHER, /* ARP requests, ICMP, other protocols */
};

struct frame {
	enum frame_kind kind;
	uint16_t ip_offset; /* where the IP header (or ARP message) begins */
	uint16_t ip_len; /* IP packet, header included, without padding */
	uint8_t tcp_flags;
	/* An IP header without options in the first part, of IPv4 with a right checksum. */
	bool plain;
	uint32_t sequence; /* TCP, host order */
	struct flow_key key; /* TCP and UDP; for UDP the ports alone matter */
	uint32_t hash;
	const uint8_t *addresses; /* IPv6: source and destination, in the header; NULL: IPv4 */
	uint16_t transport_offset; /* IPv6: from the IP header, of what is behind the extension
				    * headers, or of the fragment header */
};

/* Look at the headers. Returns false for what no stack should see: cut off, or lengths that
 * contradict each other. */
bool frame_parse(struct packet *packet, struct frame *frame);
/* The same of IPv6; `ip_offset` is known. */
bool frame_parse_ip6(const struct packet *packet, struct frame *frame);
/* Is the checksum of an ICMPv6 message right that is in one piece? */
bool frame_icmp6_checksum_is_right(const uint8_t *ip, const struct frame *frame);
/* Are a TCP header's length and options inside the `room` bytes that are in one piece? lwIP follows
 * options over the end. */
bool tcp_header_is_sound(const uint8_t *tcp, uint32_t room);

static inline uint16_t load16(const void *bytes)
{
	uint16_t value;

	__builtin_memcpy(&value, bytes, 2);
	return value;
}

static inline uint32_t load32(const void *bytes)
{
	uint32_t value;

	__builtin_memcpy(&value, bytes, 4);
	return value;
}

/* Addresses that never come from the wire: the loopback's (RFC 1122, 3.2.1.3), and as a source
 * our own. */
static inline bool address_is_impossible(uint32_t source, uint32_t destination)
{
	return (source & 0xff) == 127 || (destination & 0xff) == 127 ||
	       (source == netif_ip4_addr(&ethernet_interface)->addr && source != 0);
}

/* One's complement sum of an IP header of 20 bytes; 0xffff if its checksum is right. */
static inline uint16_t ip_header_sum(const uint8_t *ip)
{
	return checksum_fold((uint64_t)load32(ip) + load32(ip + 4) + load32(ip + 8) +
			     load32(ip + 12) + load32(ip + 16));
}

/* frame_parse() for what nearly all frames are: from the wire, in one part, TCP over IPv4, without
 * options. `addresses` stays as it is. False: it is something else, or not in order. */
static inline bool frame_parse_plain(struct packet *packet, struct frame *frame)
{
	const uint8_t *ip = packet->data + ETHERNET_HEADER_LEN;
	uint32_t ip_len;

	/* EtherType IPv4, no IP options, protocol TCP, no fragment, no TCP options. */
	if (packet->len < ETHERNET_HEADER_LEN + 40 || packet->len != packet->total_len ||
	    !packet_state(packet)->from_wire || load16(ip - 2) != 0x0008 || ip[0] != 0x45 ||
	    ip[9] != 6 || (load16(ip + 6) & 0xffbf) || (ip[32] & 0xf0) != 0x50)
		return false;
	ip_len = __builtin_bswap16(load16(ip + 2));
	if (ip_len < 40 || ip_len > packet->len - ETHERNET_HEADER_LEN || packet->len > UINT16_MAX ||
	    ip_header_sum(ip) != 0xffff)
		return false;
	__builtin_memcpy(&frame->key.remote_address, ip + 12, 4);
	__builtin_memcpy(&frame->key.local_address, ip + 16, 4);
	if (address_is_impossible(frame->key.remote_address, frame->key.local_address))
		return false;
	frame->kind = FRAME_TCP;
	frame->ip_offset = ETHERNET_HEADER_LEN;
	frame->ip_len = (uint16_t)ip_len;
	frame->tcp_flags = ip[33];
	frame->plain = true;
	frame->sequence = __builtin_bswap32(load32(ip + 24));
	__builtin_memcpy(&frame->key.remote_port, ip + 20, 2);
	__builtin_memcpy(&frame->key.local_port, ip + 22, 2);
	frame->hash = flow_hash(&frame->key);
	return true;
}
