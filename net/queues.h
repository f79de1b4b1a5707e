/*
 * Which core has which queue pairs of the network device, and which cores have connections.
 *
 * Without `net=` every core has connections, and queue pair i is core i's. A core may have several pairs,
 * all of which it polls, and sends on one of them; or none: then another core sends what it has to send, and
 * new connections come to it only if the device had no pair for it. A pair that moves takes its interrupt with
 * it. Connections stay where they are: frames that now come to another core are handed on.
 *
 * The kernel has the map (net/calls/queues.h) and tells the network, each core's entry on that core while it is not
 * in the network, but for `serves`. What stands here is the network's, so the kernel does not go by it.
 */
#pragma once

#include "lavra/types.h"
#include "smp/core.h"

struct core_queues {
	uint64_t owns; /* pairs that the core polls */
	uint64_t leaves; /* pairs that it polls no more, until the device has sent what is on them */
	uint64_t serves; /* cores that new connections of its frames may go to; itself among them */
	unsigned sends_on; /* the pair that its frames leave by; not its own if it has none */
};

struct queue_map {
	struct core_queues of[MAX_CORES];
	core_id_t owners[MAX_CORES]; /* by pair: who owns it, or did until another one takes over */
	uint64_t cores; /* that have connections: network_cores (sched/affinity.h) */
};

extern struct queue_map network_queues;

/* In the network, on the core concerned, called by the kernel: look at what this core owns now. Stop using the
 * pair: is it free? Use it. (net/interface.c) */
bool interface_leave_queue(unsigned queue);
void interface_take_queue(unsigned queue);
