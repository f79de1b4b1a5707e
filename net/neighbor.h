/*
 * Neighbors: the Ethernet addresses that this core sends to.
 *
 * lwIP's tables (ARP, IPv6 neighbor discovery) are the truth; this is a small cache in front of them,
 * by final destination (so it also knows the way over the router). It is emptied every second and at
 * every ARP reply and advertisement: then lwIP's slow path looks again, which is also what renews
 * old entries.
 */
#pragma once

#include "lavra/types.h"
#include "net/address.h"

#include "lwip/ip4_addr.h"
#include "lwip/prot/ethernet.h"

struct netif;

void neighbor_init_core(void);

/* The header of a frame to a destination (network order), or NULL. It is nobody on this machine. */
const struct eth_hdr *neighbor_find(uint32_t destination);
/* lwIP has just sent there: remember the way if it is resolved. */
void neighbor_learn(struct netif *netif, const ip4_addr_t *destination);
/* IPv6: the same, and what lwIP has found; returns the copy. */
const struct eth_hdr *neighbor_find6(const struct address *destination);
const struct eth_hdr *neighbor_learn6(const struct netif *netif, const struct address *destination,
				      const uint8_t mac[6]);
void neighbor_forget(void);
/* ARP, neighbor discovery or reassembly have something to time. */
void neighbor_timers_needed(void);
