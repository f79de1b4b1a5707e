/*
 * What the kernel asks of a core's network beside the calls of net/socket.h.
 */
#pragma once

#include "lavra/types.h"

struct counters;

/* At boot, with the kernel's rights: once on the boot core, before network_queues_init(); then on every core,
 * before it runs threads: lwIP in its window, interfaces, the flow table. */
void network_init(void);
void network_init_core(void);

/* Again, with its part of the window as at first. */
void network_restart_core(void);

/* Its part in a pass of core_poll(), and around a sleep (sched/thread.h, struct poller). */
bool network_poll(uint64_t now_ns);
bool network_prepare_sleep(void);
void network_awake(void);

/* Run the handler of a message that the network posted. */
void network_run(void (*handler)(void *argument), void *argument);

/* Connections of this core. */
extern CORE_LOCAL unsigned flow_count;

/* This core's (counters_of() has them), and the bytes in its objects over all cores. */
extern CORE_LOCAL struct counters network_counters;
size_t network_object_bytes_in_use(void);

/* The deadline of the network's first timer on this core. */
extern CORE_LOCAL uint64_t network_timer_next_ns;
