/*
 * Neighbors: the Ethernet addresses that this core sends to.
 *
 * lwIP's ARP table is the truth; this is a small cache in front of it, by final destination (so
 * it also knows the way over the router). It is emptied every second and at every ARP reply:
 * then lwIP's slow path looks again, which is also what renews old entries.
 */
#pragma once

#include "lavra/types.h"

#include "lwip/ip4_addr.h"
#include "lwip/prot/ethernet.h"

struct netif;

void neighbor_init_core(void);

/* The Ethernet address to use for a destination (network order), or NULL. */
const struct eth_addr *neighbor_find(uint32_t destination);
/* lwIP has just sent there: remember the way if it is resolved. */
void neighbor_learn(struct netif *netif, const ip4_addr_t *destination);
void neighbor_forget(void);
/* ARP or reassembly have something to time. */
void neighbor_timers_needed(void);
