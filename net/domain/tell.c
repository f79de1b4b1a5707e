/*
 * Telling the kernel of sockets: noted, and looked at when the call is over (net/calls/owners.c).
 */
#include "net/domain/services.h"
#include "net/exchange.h"

void network_tell(struct socket *socket, uint32_t events)
{
	unsigned n = network_exchange.nevents;

	if (unlikely(n >= EXCHANGE_EVENTS_MAX)) {
		attend();
		n = 0;
	}
	network_exchange.events[n].socket = socket;
	network_exchange.events[n].events = events;
	network_exchange.nevents = n + 1;
}
