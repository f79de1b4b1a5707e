/*
 * The neighbor cache, and the one-second timer of ARP and of reassembly.
 */
#include "net/neighbor.h"

#include "arch/arch.h"
#include "sched/timer.h"

#include "lwip/etharp.h"
#include "lwip/ip4_frag.h"

#include <string.h>

#define SLOTS 64
/* lwIP keeps an ARP entry for 300 s, so after that long without use there is nothing to time. */
#define TIMERS_LINGER_NS (310 * NS_PER_S)

struct neighbor {
	uint32_t destination; /* 0: empty */
	struct eth_addr mac;
};

static CORE_LOCAL struct neighbor neighbors[SLOTS];
static CORE_LOCAL bool any_neighbor;
static CORE_LOCAL struct timer second_timer;
static CORE_LOCAL uint64_t timers_until_ns;

static inline struct neighbor *slot_of(uint32_t destination)
{
	/* Hosts of one network differ in the last byte, which network order puts on top. */
	return &neighbors[(destination >> 24 ^ destination >> 16) % SLOTS];
}

const struct eth_addr *neighbor_find(uint32_t destination)
{
	struct neighbor *neighbor = slot_of(destination);

	return neighbor->destination == destination ? &neighbor->mac : NULL;
}

void neighbor_learn(struct netif *netif, const ip4_addr_t *destination)
{
	const ip4_addr_t *hop = destination, *found_address;
	struct neighbor *neighbor = slot_of(destination->addr);
	struct eth_addr *mac;

	neighbor_timers_needed();
	if (ip4_addr_isbroadcast(destination, netif) || ip4_addr_ismulticast(destination))
		return;
	if (!ip4_addr_netcmp(destination, netif_ip4_addr(netif), netif_ip4_netmask(netif)))
		hop = netif_ip4_gw(netif);
	if (etharp_find_addr(netif, hop, &mac, &found_address) < 0)
		return;
	neighbor->destination = destination->addr;
	neighbor->mac = *mac;
	any_neighbor = true;
}

void neighbor_forget(void)
{
	if (!any_neighbor)
		return;
	any_neighbor = false;
	memset(neighbors, 0, sizeof(neighbors));
}

static void second_passed(struct timer *timer)
{
	uint64_t now_ns = clock_ns();

	neighbor_forget();
	etharp_tmr();
	ip_reass_tmr();
	if (now_ns < timers_until_ns)
		timer_start(&second_timer, now_ns + NS_PER_S);
}

void neighbor_timers_needed(void)
{
	uint64_t now_ns = clock_ns();

	timers_until_ns = now_ns + TIMERS_LINGER_NS;
	if (!second_timer.started)
		timer_start(&second_timer, now_ns + NS_PER_S);
}

void neighbor_init_core(void)
{
	timer_init(&second_timer, second_passed);
}
