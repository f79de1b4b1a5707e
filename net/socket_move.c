/*
 * Connections that move; the model is in the header.
 */
#include "net/socket_move.h"

#include "lavra/console.h"
#include "lavra/counters.h"
#include "net/flow.h"
#include "net/look.h"
#include "net/packet_pbuf.h"
#include "net/queues.h"
#include "net/restart.h"
#include "net/socket_state.h"
#include "smp/core.h"
#include "smp/window.h"

#include "lwip/priv/tcp_priv.h"

/* A core takes connections up to this much above the mean, so that a program with one busy thread
 * does not gather the protocol work of all cores on its own. */
#define SHARE_SLACK 16u

static bool has_its_share(core_id_t core)
{
	unsigned total = 0, own = *core_local_of(core, flow_count), online = 0;

	for (core_id_t other = 0; other < ncores; other++)
		if (core_is_online(other)) {
			total += *core_local_of(other, flow_count);
			online++;
		}
	return own > total / online + total / online / 2 + SHARE_SLACK;
}

bool socket_may_move(struct socket *socket, core_id_t to)
{
	const struct tcp_socket *tcp = &socket->tcp;

	assert_on_core(socket->home);
	if (socket->generation != stack_generations[this_core])
		return false;
	look_settle_now();
	return socket->type == SOCK_STREAM && tcp->state == TCP_SOCKET_CONNECTED && tcp->incoming &&
	       !tcp->moved && !tcp->left && tcp->pcb && !tcp->peer_finished && !tcp->send_shut &&
	       !tcp->receive_shut && !socket->error && flow_may_move(tcp->pcb) &&
	       network_queues.cores >> to & 1 && !has_its_share(to);
}

/* Receive buffers are counted where they are held. */
static unsigned held_packets(const struct tcp_socket *tcp)
{
	unsigned held = 0;

	for (const struct pbuf *pbuf = tcp->first; pbuf; pbuf = pbuf->next)
		held += (pbuf->flags & PBUF_FLAG_IS_CUSTOM) != 0;
	return held;
}

struct flow_marker *socket_leave(struct socket *socket, core_id_t to)
{
	struct flow_marker *marker = flow_leave(socket->tcp.pcb, to);

	if (!marker)
		return NULL;
	packets_held -= held_packets(&socket->tcp);
	sockets_here--;
	socket->tcp.moved = true;
	socket->home = to;
	socket->generation = stack_generations[to];
	return marker;
}

void socket_arrive(struct socket *socket, struct flow_marker *marker)
{
	assert_on_core(socket->home);
	packets_held += held_packets(&socket->tcp);
	sockets_here++;
	counters.connections_moved++;
	flow_arrive(socket->tcp.pcb, marker);
}
