/*
 * The neighbor cache, and the one-second timer of ARP, neighbor discovery and reassembly.
 */
#include "net/neighbor.h"

#include "arch/arch.h"
#include "net/interface.h"
#include "net/reassembly.h"
#include "sched/timer.h"

#include "lwip/etharp.h"
#include "lwip/ip4_frag.h"
#include "lwip/mld6.h"
#include "lwip/nd6.h"
#include "lwip/priv/nd6_priv.h"

#include <string.h>

#define SLOTS 64
/* lwIP keeps an ARP entry for 300 s, so after that long without use there is nothing to time. */
#define TIMERS_LINGER_NS (310 * NS_PER_S)
/* How often lifetimes are looked at when nothing else is to be timed; and how many seconds are made up
 * for after a longer stop. */
#define LAZY_NS (30 * NS_PER_S)
#define CATCH_UP_MAX 120

struct neighbor {
	uint32_t destination; /* 0: empty */
	struct eth_hdr header;
};

struct neighbor6 {
	struct address destination; /* ::, empty */
	struct eth_hdr header;
};

static CORE_LOCAL struct neighbor neighbors[SLOTS];
static CORE_LOCAL struct neighbor6 neighbors6[SLOTS];
static CORE_LOCAL bool any_neighbor;
static CORE_LOCAL struct timer second_timer;
static CORE_LOCAL uint64_t timers_until_ns;
static CORE_LOCAL uint64_t counted_ns; /* up to here lwIP has counted seconds */

static inline struct neighbor *slot_of(uint32_t destination)
{
	/* Hosts of one network differ in the last byte, which network order puts on top. */
	return &neighbors[(destination >> 24 ^ destination >> 16) % SLOTS];
}

const struct eth_hdr *neighbor_find(uint32_t destination)
{
	struct neighbor *neighbor = slot_of(destination);

	return neighbor->destination == destination ? &neighbor->header : NULL;
}

static void fill_header(struct eth_hdr *header, const struct netif *netif, const uint8_t mac[6],
			uint16_t type)
{
	memcpy(&header->dest, mac, 6);
	memcpy(&header->src, netif->hwaddr, 6);
	header->type = lwip_htons(type);
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
	fill_header(&neighbor->header, netif, mac->addr, ETHTYPE_IP);
	any_neighbor = true;
}

static inline struct neighbor6 *slot_of6(const struct address *destination)
{
	return &neighbors6[(destination->bytes[15] ^ destination->bytes[14] ^ destination->bytes[7]) %
			   SLOTS];
}

const struct eth_hdr *neighbor_find6(const struct address *destination)
{
	struct neighbor6 *neighbor = slot_of6(destination);

	return address_equal(&neighbor->destination, destination) ? &neighbor->header : NULL;
}

const struct eth_hdr *neighbor_learn6(const struct netif *netif, const struct address *destination,
				      const uint8_t mac[6])
{
	struct neighbor6 *neighbor = slot_of6(destination);

	neighbor->destination = *destination;
	fill_header(&neighbor->header, netif, mac, ETHTYPE_IPV6);
	any_neighbor = true;
	return &neighbor->header;
}

void neighbor_forget(void)
{
	if (!any_neighbor)
		return;
	any_neighbor = false;
	memset(neighbors, 0, sizeof(neighbors));
	memset(neighbors6, 0, sizeof(neighbors6));
}

/* ---- time ---- */

/* What has to be looked at every second: questions without an answer, an address that is being
 * tried, a router that is being looked for, a report that is due. */
static bool nd_is_busy(void)
{
	for (unsigned i = 0; i < LWIP_ND6_NUM_NEIGHBORS; i++)
		if (neighbor_cache[i].state == ND6_INCOMPLETE ||
		    neighbor_cache[i].state == ND6_DELAY || neighbor_cache[i].state == ND6_PROBE)
			return true;
	for (s8_t i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++)
		if (ip6_addr_istentative(netif_ip6_addr_state(&ethernet_interface, i)))
			return true;
	for (const struct mld_group *group = netif_mld6_data(&ethernet_interface); group;
	     group = group->next)
		if (group->timer)
			return true;
	return ethernet_interface.rs_count != 0 && virtio_net_queue_pairs() != 0;
}

/* What ends in minutes or hours. */
static bool nd_has_lifetimes(void)
{
	for (unsigned i = 0; i < LWIP_ND6_NUM_ROUTERS; i++)
		if (default_router_list[i].neighbor_entry)
			return true;
	for (unsigned i = 0; i < LWIP_ND6_NUM_PREFIXES; i++)
		if (prefix_list[i].netif)
			return true;
	for (s8_t i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++)
		if (!ip6_addr_isinvalid(netif_ip6_addr_state(&ethernet_interface, i)) &&
		    !netif_ip6_addr_isstatic(&ethernet_interface, i) &&
		    !ip6_addr_life_isinfinite(netif_ip6_addr_valid_life(&ethernet_interface, i)))
			return true;
	return false;
}

/* lwIP counts seconds; it is given those that have passed since the last time. */
static void count_seconds(uint64_t now_ns)
{
	uint64_t passed = (now_ns - counted_ns) / NS_PER_S;

	counted_ns += passed * NS_PER_S;
	for (passed = min(passed, (uint64_t)CATCH_UP_MAX); passed; passed--) {
		nd6_tmr();
		/* In tenths of a second; a report may be up to a second late. */
		for (int i = 0; i < 10 && netif_mld6_data(&ethernet_interface); i++)
			mld6_tmr();
	}
}

static void second_passed(struct timer *timer)
{
	uint64_t now_ns = clock_ns();

	neighbor_forget();
	etharp_tmr();
	ip_reass_tmr();
	reassembly_expire();
	count_seconds(now_ns);
	if (now_ns < timers_until_ns || nd_is_busy() || reassembly_has_work())
		timer_start(&second_timer, now_ns + NS_PER_S);
	else if (nd_has_lifetimes())
		timer_start(&second_timer, now_ns + LAZY_NS);
}

void neighbor_timers_needed(void)
{
	uint64_t now_ns = clock_ns();
	bool lazy = now_ns >= timers_until_ns;

	timers_until_ns = now_ns + TIMERS_LINGER_NS;
	if (!second_timer.started)
		counted_ns = now_ns;
	else if (!lazy)
		return;
	timer_start(&second_timer, now_ns + NS_PER_S);
}

void neighbor_init_core(void)
{
	timer_init(&second_timer, second_passed);
}
