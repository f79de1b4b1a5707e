/*
 * The network of a core: its lwIP, its queue, its timers.
 */
#pragma once

#include "lavra/types.h"

/* Boot core, after virtio_net_init(): read ip= option, register the poller. */
void net_init(void);
/* Every core (the boot core too), before it runs threads: lwip_init() in its window, netif, timers. */
void net_init_core(void);
/* Thread context on the boot core: start DHCP or set the static address on every core; waits (bounded,
 * says what it waits for) until there is an address. Returns 0, -ENODEV without a device (loopback only). */
int net_configure(void);
