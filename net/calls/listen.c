/*
 * Listening concerns all cores, and the calling thread waits for them.
 */
#include "net/calls/entries.h"

#include "arch/arch.h"
#include "net/exchange.h"
#include "net/listener.h"
#include "net/socket.h"
#include "smp/core.h"
#include "smp/mailbox.h"

#include <errno.h>

static void open_part(void *listener)
{
	listener_open_part(listener);
}

static long end(void *listener)
{
	return listener_end(listener);
}

int socket_listen(struct socket *socket, int backlog)
{
	core_id_t home = this_core;
	struct listener *listener =
	    socket_begin_listening(socket, backlog, &network_exchange.error);

	if (!listener)
		return (int)network_answer(network_exchange.error);
	if (!arch_is_networks(listener))
		return -ENETDOWN;
	if (listener_is_everywhere(listener))
		core_call_all(open_part, listener);
	else
		open_part(listener);
	/* From here on this may be another core: the call blocked. */
	return (int)network_answer(core_call(home, end, listener));
}
