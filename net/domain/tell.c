/*
 * Telling the kernel of sockets: noted, and looked at when the call is over (net/calls/owners.c). More than there is
 * room for is one too many: then all owners are told.
 */
#include "net/exchange.h"

void network_tell(struct socket *socket, uint32_t events)
{
	unsigned n = network_exchange.nevents;

	if (likely(n < EXCHANGE_EVENTS_MAX))
		network_exchange.events[n] = (struct network_event){ socket, events };
	if (likely(n <= EXCHANGE_EVENTS_MAX))
		network_exchange.nevents = (uint16_t)(n + 1);
}
