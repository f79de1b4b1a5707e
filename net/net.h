/*
 * The network of a core: its lwIP, its queue, its timers.
 */
#pragma once

#include "lavra/types.h"

/* net/ and lwIP are optimised as one unit (net/lwip.mk); what others call of it says so. */
#ifdef __clang__
#define NET_EXPORT
#else
#define NET_EXPORT __attribute__((externally_visible))
#endif

/* Boot core, after virtio_net_init(): read ip= option, register the poller. */
NET_EXPORT void net_init(void);
/* Every core (the boot core too), before it runs threads: lwip_init() in its window, netif, timers. */
NET_EXPORT void net_init_core(void);
/* Thread context on the boot core: start DHCP or set the static address on every core; waits (bounded,
 * says what it waits for) until there is an address. Returns 0, -ENODEV without a device (loopback only). */
NET_EXPORT int net_configure(void);
