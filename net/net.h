/*
 * The network of a core: its lwIP, its queue, its timers.
 */
#pragma once

#include "lavra/types.h"

/* Boot core, once, after virtio_net_init(): keys, and the network's place in every core's poll. */
void net_init(void);
/* Every core (the boot core too), before it runs threads: lwIP in its window, interfaces, the
 * flow table. */
void net_init_core(void);
/* Thread context on the boot core, when all cores run: the address as `ip=` says, told to every
 * core. Waits for DHCP for 10 s, says so, and goes on without. Returns 0 (perhaps without an
 * address), -ENODEV without a device (loopback only), -ENOMEM. */
int net_configure(void);
