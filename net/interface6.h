/*
 * IPv6 on the interfaces of a core: addresses, routes, receiving and sending.
 *
 * Core 0 finds addresses and watches over them (net/config6.c) and answers neighbors for all; the
 * others have what it tells them. Who our neighbors are each core's lwIP finds out for itself.
 */
#pragma once

#include "net/address.h"
#include "net/frame.h"

struct network_config;

/* Is there IPv6 on the Ethernet interface (`ip6=off` says no)? Any core. */
bool interface_ip6_enabled(void);
/* Is it an address that the Ethernet interface uses? This core. */
bool interface_has_address6(const struct address *address);
/* That, or ::1. */
bool interface_is_local6(const struct address *address);
/* The address to speak from to `destination`: 0, -ENETUNREACH or -EADDRNOTAVAIL. */
int interface_source_address6(const struct address *destination, struct address *source);

/* The interfaces exist: give them what IPv6 needs. Every core. */
void interface_init_core6(void);
/* Take the addresses over that core 0 has; connections with those that are gone end. */
void interface_set_addresses6(const struct network_config *config);

/* As ip6_input() does before tcp_input(), for a plain frame whose connection is known. */
void tcp_receive_plain6(struct packet *packet, const struct frame *frame, struct netif *netif);
