/*
 * A received frame's headers, checked once: what steering decides by, and whether lwIP's
 * Ethernet and IP layers can be skipped.
 */
#pragma once

#include "net/flow.h"
#include "net/interface.h"
#include "net/packet_pbuf.h"

enum frame_kind {
	FRAME_TCP,
	FRAME_UDP,
	FRAME_FRAGMENT,
	FRAME_ARP_REPLY, /* to us or not: every core may be waiting for it */
	FRAME_OTHER,     /* ARP requests, ICMP, other protocols */
};

struct frame {
	enum frame_kind kind;
	uint16_t ip_offset;   /* where the IP header (or ARP message) begins */
	uint16_t ip_len;      /* IP packet, header included, without padding */
	uint8_t tcp_flags;
	bool plain;           /* IP header of 20 bytes with a right checksum, TCP header in the first part */
	uint32_t sequence;    /* TCP, host order */
	struct flow_key key;  /* TCP and UDP; for UDP the ports alone matter */
	uint32_t hash;
};

/* Look at the headers. Returns false for what no stack should see: cut off, or lengths that
 * contradict each other. */
bool frame_parse(struct packet *packet, struct frame *frame);
