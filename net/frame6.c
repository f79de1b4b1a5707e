/*
 * Reading the headers of a received IPv6 packet: what lwIP would believe without looking is looked
 * at here. Every length is compared with what is there before it is used.
 */
#include "net/frame.h"

#include "net/interface6.h"

#include "lwip/icmp6.h"
#include "lwip/nd6.h"
#include "lwip/prot/icmp6.h"
#include "lwip/prot/ip6.h"
#include "lwip/prot/nd6.h"
#include "lwip/prot/tcp.h"

#include <string.h>

/* Extension headers of one packet; senders that mean it have one or two. */
#define EXTENSIONS_MAX 4

#define ND_HOP_LIMIT 255 /* what comes from the same link, unforwarded (RFC 4861, 7.1.1) */
#define NS_LEN 24
#define RA_LEN 16
#define MLD_LEN 24

#define OPTION_SOURCE_LINK_ADDRESS 1
#define OPTION_TARGET_LINK_ADDRESS 2
#define OPTION_PREFIX 3
#define OPTION_MTU 5
#define OPTION_NAME_SERVERS 25 /* RFC 8106 */

/* Addresses that never come from the wire. */
static bool addresses_are_impossible(const struct address *source,
				     const struct address *destination)
{
	if (address_is_loopback(source) || address_is_loopback(destination) ||
	    address_is_ip4(source) || address_is_ip4(destination) || address_is_any6(destination))
		return true;
	return !address_is_any6(source) && interface_has_address6(source);
}

/*
 * Hop-by-hop or destination options at `at`, `end` bytes of the packet being in one piece. An option
 * that asks to be understood and is not makes the packet useless (RFC 8200, 4.2); it is dropped
 * without the message that its sender may want. Returns the header's length, 0 for a bad one.
 */
static uint32_t options_len(const uint8_t *ip, uint32_t at, uint32_t end)
{
	uint32_t len, option = at + 2;

	if (at + 8 > end)
		return 0;
	len = (ip[at + 1] + 1u) * 8;
	if (at + len > end)
		return 0;
	while (option < at + len) {
		if (ip[option] == IP6_PAD1_OPTION) {
			option++;
			continue;
		}
		if (option + 1 == at + len || (ip[option] & 0xc0))
			return 0;
		option += 2u + ip[option + 1];
	}
	return option == at + len ? len : 0;
}

/* Groups, and ::/64 with all that has a meaning of its own in it, are nobody's addresses. */
static bool prefix_is_impossible(const uint8_t *bytes)
{
	struct address prefix;

	memcpy(&prefix, bytes, 16);
	return address_is_multicast(&prefix) || prefix.halves[0] == 0;
}

/* The options of a neighbor discovery message; `first` is the type that the first one must have if
 * there is one (0: any), since lwIP takes it for that. */
static bool nd_options_are_sound(const uint8_t *option, const uint8_t *end, uint8_t first)
{
	if (first && option < end && option[0] != first)
		return false;
	while (option < end) {
		uint32_t eights;

		if (end - option < 8)
			return false;
		eights = option[1];
		if (eights == 0 || eights * 8 > (uint32_t)(end - option))
			return false;
		switch (option[0]) {
		case OPTION_SOURCE_LINK_ADDRESS:
		case OPTION_TARGET_LINK_ADDRESS:
			/* As of ARP. */
			if (option[2] & 1)
				return false;
			__attribute__((fallthrough));
		case OPTION_MTU:
			if (eights != 1)
				return false;
			break;
		case OPTION_PREFIX:
			if (eights != 4 || prefix_is_impossible(option + 16))
				return false;
			break;
		case OPTION_NAME_SERVERS:
			if (eights < 3 || eights % 2 == 0)
				return false;
			break;
		}
		option += eights * 8;
	}
	return true;
}

/* ICMPv6 at `at`, and all of the packet in one piece where neighbors are spoken of. */
static bool parse_icmp6(const uint8_t *ip, uint32_t at, uint32_t here, struct frame *frame)
{
	const uint8_t *icmp = ip + at, *end = ip + frame->ip_len;
	uint32_t len = frame->ip_len - at;
	struct address source, target;
	bool whole = here == frame->ip_len;

	if (here < at + 8)
		return false;
	memcpy(&source, ip + 8, 16);
	switch (icmp[0]) {
	case ICMP6_TYPE_NS:
	case ICMP6_TYPE_NA:
		if (at != IP6_HLEN || !whole || ip[7] != ND_HOP_LIMIT || icmp[1] != 0 ||
		    len < NS_LEN)
			return false;
		memcpy(&target, icmp + 8, 16);
		if (address_is_multicast(&target))
			return false;
		if (icmp[0] == ICMP6_TYPE_NS) {
			frame->kind = FRAME_CORE_0;
			return nd_options_are_sound(
			    icmp + NS_LEN, end,
			    address_is_any6(&source) ? 0 : OPTION_SOURCE_LINK_ADDRESS);
		}
		/* lwIP would give up an address that it uses already (RFC 4862, 5.4: only one that
		 * is still being tried). */
		if (interface_has_address6(&target))
			return false;
		frame->kind = FRAME_ADVERTISEMENT;
		return nd_options_are_sound(icmp + NS_LEN, end, OPTION_TARGET_LINK_ADDRESS);
	case ICMP6_TYPE_RA:
		if (at != IP6_HLEN || !whole || ip[7] != ND_HOP_LIMIT || icmp[1] != 0 ||
		    len < RA_LEN || !address_is_link_local(&source))
			return false;
		frame->kind = FRAME_ADVERTISEMENT;
		return nd_options_are_sound(icmp + RA_LEN, end, 0);
	case ICMP6_TYPE_RD:
		/* lwIP obeys whoever sends one. Without, packets take the way over the router. */
		return false;
	case ICMP6_TYPE_MLQ:
	case ICMP6_TYPE_MLR:
	case ICMP6_TYPE_MLD:
		if (!whole || ip[7] != 1 || len < MLD_LEN || !address_is_link_local(&source))
			return false;
		frame->kind = FRAME_CORE_0;
		return true;
	case ICMP6_TYPE_PTB:
		/* It quotes the packet that was too big. */
		if (at != IP6_HLEN || !whole || len < 8 + IP6_HLEN)
			return false;
		frame->kind = FRAME_TOO_BIG;
		return true;
	default:
		return true;
	}
}

bool frame_icmp6_checksum_is_right(const uint8_t *ip, const struct frame *frame)
{
	uint32_t len = frame->ip_len - (uint32_t)frame->transport_offset;
	/* The pseudo header of RFC 8200, 8.1. */
	uint64_t sum = (uint64_t)internet_checksum(ip + 8, 32) + PP_HTONS(IP6_NEXTH_ICMP6) +
		       lwip_htons((uint16_t)len);

	return checksum_fold(sum + internet_checksum(ip + frame->transport_offset, (int)len)) ==
	       0xffff;
}

static bool parse_transport(const uint8_t *ip, uint8_t protocol, uint32_t at, uint32_t here,
			    bool trusted, struct frame *frame)
{
	const uint8_t *transport = ip + at;

	switch (protocol) {
	case IP6_NEXTH_TCP:
		if (here < at + TCP_HLEN || !tcp_header_is_sound(transport, here - at))
			return false;
		frame->kind = FRAME_TCP;
		frame->tcp_flags = transport[13];
		frame->sequence = __builtin_bswap32(load32(transport + 4));
		frame->plain = at == IP6_HLEN;
		break;
	case IP6_NEXTH_UDP:
		/* Without a checksum nothing guards the addresses (RFC 8200, 8.1); what does not
		 * leave this machine needs none. */
		if (here < at + 8 || (load16(transport + 6) == 0 && !trusted))
			return false;
		frame->kind = FRAME_UDP;
		break;
	case IP6_NEXTH_ICMP6:
		return parse_icmp6(ip, at, here, frame);
	case IP6_NEXTH_ROUTING: /* RFC 5095: it makes others our amplifiers, or us theirs */
	case IP6_NEXTH_HOPBYHOP: /* not where it belongs */
		return false;
	default:
		return true;
	}
	flow_key6(&frame->key, ip + 8, load16(transport), load16(transport + 2));
	frame->hash = flow_hash(&frame->key);
	return true;
}

bool frame_parse_ip6(const struct packet *packet, struct frame *frame)
{
	const uint8_t *ip = packet->data + frame->ip_offset;
	uint32_t here = packet->len - frame->ip_offset, at = IP6_HLEN;
	struct address source, destination;
	uint8_t next;

	if (packet->len < frame->ip_offset + (uint32_t)IP6_HLEN || ip[0] >> 4 != 6)
		return false;
	frame->ip_len = __builtin_bswap16(load16(ip + 4));
	if (frame->ip_len == 0 || frame->ip_len > UINT16_MAX - IP6_HLEN ||
	    frame->ip_len + (uint32_t)IP6_HLEN > packet->total_len - frame->ip_offset)
		return false;
	frame->ip_len += IP6_HLEN;
	here = min(here, (uint32_t)frame->ip_len); /* of the packet, in the first part */
	memcpy(&source, ip + 8, 16);
	memcpy(&destination, ip + 24, 16);
	if (address_is_multicast(&source) ||
	    (packet->data != ip &&
	     (!interface_ip6_enabled() || addresses_are_impossible(&source, &destination))))
		return false;
	frame->addresses = ip + 8;
	next = ip[6];
	for (unsigned extensions = 0;; extensions++) {
		uint32_t len;

		if (next == IP6_NEXTH_FRAGMENT) {
			if (at + 8 > here)
				return false;
			frame->transport_offset = (uint16_t)at;
			if (load16(ip + at + 2) &
			    PP_HTONS(IP6_FRAG_OFFSET_MASK | IP6_FRAG_MORE_FLAG)) {
				frame->kind = FRAME_FRAGMENT;
				return true;
			}
			len = 8; /* a whole packet all the same (RFC 6946) */
		} else if ((next == IP6_NEXTH_HOPBYHOP && at == IP6_HLEN) ||
			   next == IP6_NEXTH_DESTOPTS) {
			len = options_len(ip, at, here);
			if (len == 0)
				return false;
		} else {
			break;
		}
		if (extensions == EXTENSIONS_MAX)
			return false;
		next = ip[at];
		at += len;
	}
	frame->transport_offset = (uint16_t)at;
	return parse_transport(ip, next, at, here, packet->checksum_valid, frame);
}
