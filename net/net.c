/*
 * Bringing the network up, and what lwIP finds in place of a C library.
 */
#include "net/net.h"

#include "lavra/console.h"
#include "mm/object.h"
#include "net/exchange.h"
#include "net/flow.h"
#include "net/interface.h"
#include "net/isn.h"
#include "net/listener.h"
#include "net/neighbor.h"
#include "net/socket_state.h"

#include "lwip/init.h"

void lwip_assertion_failed(const char *message, const char *file, int line)
{
	panic("%s:%d: lwIP: %s", file, line, message);
}

/* lwIP multiplies small constants only. */
void *lwip_calloc(size_t count, size_t size)
{
	return object_alloc_zeroed(count * size);
}

void net_init(void)
{
	isn_init();
	flow_init();
}

void net_init_core(void)
{
	lwip_init();
	if (flow_init_core() != 0)
		panic("no memory for the flow table");
	if (exchange_init_core() != 0)
		panic("no memory for what is sent");
	listener_init_core();
	neighbor_init_core();
	interface_init_core();
}
