/*
 * Reading the headers of a received frame. Everything here comes from outside: every length is
 * compared with what is there before it is used.
 */
#include "net/frame.h"

#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/etharp.h"
#include "lwip/prot/ethernet.h"
#include "lwip/prot/iana.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/tcp.h"
#include "lwip/prot/udp.h"

#define ARP_SENDER 8 /* its hardware address (RFC 826) */

static bool parse_arp(const struct packet *packet, struct frame *frame)
{
	const uint8_t *arp = packet->data + frame->ip_offset;

	if (packet->len < frame->ip_offset + (uint32_t)SIZEOF_ETHARP_HDR)
		return false;
	/* That a neighbor's address is a group's, or everybody's, is not to be believed (RFC 1812, 3.3.2). */
	if (arp[ARP_SENDER] & 1)
		return false;
	frame->ip_len = SIZEOF_ETHARP_HDR;
	if (load16(arp + 6) == lwip_htons(ARP_REPLY))
		frame->kind = FRAME_ARP_REPLY;
	return true;
}

bool tcp_header_is_sound(const uint8_t *tcp, uint32_t room)
{
	uint32_t len = (uint32_t)(tcp[12] >> 4) * 4, at = TCP_HLEN;

	if (len < TCP_HLEN || len > room)
		return false;
	while (at < len && tcp[at] != LWIP_TCP_OPT_EOL) {
		if (tcp[at] == LWIP_TCP_OPT_NOP) {
			at++;
			continue;
		}
		if (at + 1 == len || tcp[at + 1] < 2)
			return false;
		at += tcp[at + 1];
	}
	return at <= len;
}

static bool parse_ip(const struct packet *packet, struct frame *frame)
{
	const uint8_t *ip = packet->data + frame->ip_offset;
	uint32_t room = packet->total_len - frame->ip_offset;
	uint32_t here = packet->len - frame->ip_offset; /* in the first part */
	uint32_t header_len, ip_len;
	const uint8_t *transport;

	if (packet->len < frame->ip_offset + (uint32_t)IP_HLEN || ip[0] >> 4 != 4)
		return false;
	header_len = (ip[0] & 15) * 4u;
	ip_len = lwip_htons(load16(ip + 2));
	if (header_len < IP_HLEN || header_len > here || ip_len < header_len || ip_len > room)
		return false;
	if (packet->data != ip && address_is_impossible(load32(ip + 12), load32(ip + 16)))
		return false;
	frame->ip_len = (uint16_t)ip_len;
	/* lwIP's ICMP errors quote 8 bytes behind the header, there or not. What is
	 * shorter than the shortest header of any transport is of no use; only the end of a
	 * fragmented packet may be. */
	if (!(load16(ip + 6) & lwip_htons(IP_OFFMASK)) && min(ip_len, here) < header_len + 8)
		return false;
	if (load16(ip + 6) & lwip_htons(IP_OFFMASK | IP_MF)) {
		frame->kind = FRAME_FRAGMENT;
		return true;
	}
	memcpy(&frame->key.remote_address, ip + 12, 4);
	memcpy(&frame->key.local_address, ip + 16, 4);
	transport = ip + header_len;
	switch (ip[9]) {
	case IP_PROTO_TCP:
		if (min(ip_len, here) < header_len + TCP_HLEN ||
		    !tcp_header_is_sound(transport, min(ip_len, here) - header_len))
			return false;
		frame->kind = FRAME_TCP;
		frame->tcp_flags = transport[13];
		frame->sequence = lwip_htonl(load32(transport + 4));
		frame->plain = header_len == IP_HLEN && ip_header_sum(ip) == 0xffff;
		break;
	case IP_PROTO_UDP:
		frame->kind = FRAME_UDP; /* its header is as long as was checked above */
		break;
	default:
		return true;
	}
	frame->key.remote_port = load16(transport);
	frame->key.local_port = load16(transport + 2);
	frame->hash = flow_hash(&frame->key);
	return true;
}

bool frame_parse(struct packet *packet, struct frame *frame)
{
	uint16_t type;

	frame->kind = FRAME_OTHER;
	frame->plain = false;
	frame->ip_offset = 0;
	frame->addresses = NULL;
	frame->transport_offset = 0;
	if (packet->total_len < packet->len)
		return false;
	if (!packet_state(packet)->from_wire)
		return packet->total_len <= UINT16_MAX && packet->len != 0 &&
		       (packet->data[0] >> 4 == 6 ? frame_parse_ip6(packet, frame)
						  : parse_ip(packet, frame));
	/* lwIP counts lengths in 16 bits. */
	if (packet->len < ETHERNET_HEADER_LEN || packet->total_len > UINT16_MAX)
		return false;
	frame->ip_offset = ETHERNET_HEADER_LEN;
	type = load16(packet->data + 12);
	if (type == lwip_htons(ETHTYPE_IP))
		return parse_ip(packet, frame);
	if (type == lwip_htons(ETHTYPE_IPV6))
		return frame_parse_ip6(packet, frame);
	if (type == lwip_htons(ETHTYPE_ARP))
		return parse_arp(packet, frame);
	return false;
}
