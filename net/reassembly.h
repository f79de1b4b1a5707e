/*
 * IPv6 packets that come in pieces (RFC 8200, 4.5). All pieces are core 0's; the whole is a packet
 * without extension headers, for whom it may concern. IPv4's pieces lwIP puts together.
 *
 * Bounded: packets and bytes that wait, pieces of one packet, and time. Pieces that overlap end the
 * packet (RFC 5722).
 */
#pragma once

#include "net/frame.h"

/* Take a piece over. Returns the whole packet when this completes it. */
struct packet *reassembly_add(struct packet *packet, const struct frame *frame);
/* Forget what has waited too long; once a second while anything waits. */
void reassembly_expire(void);
bool reassembly_has_work(void);
