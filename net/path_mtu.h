/*
 * Path MTU of IPv6 (RFC 8201): how long a packet to a destination may be. Routers do not cut IPv6
 * packets; what is too long for the path is sent in pieces.
 */
#pragma once

#include "net/address.h"

#include "lwip/err.h"
#include "lwip/ip6_addr.h"

struct netif;
struct pbuf;

#define PATH_MTU_MIN 1280 /* what every path carries (RFC 8200, 5) */

/* This core's knowledge; at most the interface's MTU. */
uint16_t path_mtu(const struct address *destination);

/* A Packet Too Big message: `icmp` and `len` bytes of it, 48 at least, from `from` on the wire. It is
 * believed if it quotes a packet that this core may have sent, and if nothing shorter is known. */
void path_mtu_message(const uint8_t *icmp, uint32_t len);

/* Send a packet, which begins with its IPv6 header, in pieces that fit. */
err_t path_mtu_send_in_pieces(struct netif *netif, struct pbuf *pbuf,
			      const ip6_addr_t *destination);
