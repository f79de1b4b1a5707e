/*
 * Ports: which socket of the whole machine has which local port, and which cores answer there.
 *
 * One table for all cores. It changes under a lock when a socket binds, listens or closes; it is
 * read without one for every frame that opens a connection. Ports are in network order. Ephemeral ports are dealt out to the cores, so that a reply tells its core.
 */
#pragma once

#include "lavra/types.h"

#include "net/address.h"
#include "smp/epoch.h"

struct port_binding {
	struct port_binding *next;
	struct deferred deferred;
	uint64_t cores; /* that answer (listen, or receive datagrams); read without the lock */
	struct address address;
	uint16_t port;
	uint8_t protocol; /* IP_PROTO_TCP or IP_PROTO_UDP */
	bool reuse_address; /* SO_REUSEADDR */
	bool reuse_port; /* SO_REUSEPORT */
	bool listening; /* TCP */
	bool only_ip6; /* :: is not IPv4's any, too */
};

struct port_options {
	bool reuse_address, reuse_port, only_ip6;
};

/* Take a port; port 0: a free one of this core. Returns 0 and the binding, -EADDRINUSE, -ENOMEM. */
int ports_bind(uint8_t protocol, const struct address *address, uint16_t port,
	       struct port_options options, struct port_binding **binding);
/* Cores answer from now on. -EADDRINUSE if somebody else listens there. */
int ports_listen(struct port_binding *binding, uint64_t cores);
void ports_release(struct port_binding *binding);
/* This core's stack begins anew: it is in the middle of nothing here. */
void ports_restart(void);

/* The cores that answer at an address and port. Any core, no lock; valid until the next safe point. */
uint64_t ports_listeners(uint8_t protocol, const struct address *address, uint16_t port);
bool ports_in_use(uint8_t protocol, uint16_t port);

/* The core whose ephemeral ports include `port` (host order); this core for other ports. */
core_id_t ports_ephemeral_core(uint16_t port);
/* The next of this core's ephemeral ports in turn, network order. */
uint16_t ports_next_ephemeral(void);
/* How many ephemeral ports this core has. */
unsigned ports_ephemeral_count(void);
