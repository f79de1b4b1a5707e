/*
 * The network of a core: its lwIP, its queue, its timers.
 */
#pragma once

#include "lavra/types.h"

/* Boot core, once, before network_queues_init(), and after it every core (the boot core too), before it runs threads. */
void network_start(void);
void network_start_core(void);
/* Thread context on the boot core, when all cores run: the address as `ip=` says, told to every
 * core. Waits for DHCP for 10 s, says so, and goes on without. Returns 0 (perhaps without an
 * address), -ENODEV without a device (loopback only), -ENOMEM. */
int net_configure(void);

/* ---- inside net/ ---- */

void net_init(void); /* once: keys */
void net_init_core(void); /* lwIP in this core's window, interfaces, the flow table */

/* The interfaces' part in a pass, and around a sleep (net/interface.c). */
bool interface_poll(void);
bool interface_prepare_sleep(void);
/* Is something to be sent for which the ring had no room? Nothing interrupts when it has: look again soon. */
bool interface_waits_for_room(void);
void interface_awake(void);
