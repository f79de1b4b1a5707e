#include "net/look.h"

#include "net/flow.h"
#include "net/pressure.h"
#include "net/restart.h"
#include "net/socket_state.h"
#include "smp/core.h"

#include "lwip/priv/tcp_priv.h"

#include <errno.h>
#include <string.h>

/* Left at once; more than that takes its way through a call. */
#define ROOM_MAX (16u << 10)

/* The network may have given back what the kernel knows as a socket. */
static bool is_current(const struct socket *socket)
{
	return likely(!arch_network_is_down() && look_is_networks(socket, sizeof(*socket)) &&
		      socket->magic == SOCKET_MAGIC && socket->home == this_core &&
		      socket->generation == stack_generations[this_core]);
}

/* Read once: what is looked at is what is followed. */
static const struct tcp_pcb *pcb_of(const struct tcp_socket *tcp)
{
	return __atomic_load_n(&tcp->pcb, __ATOMIC_RELAXED);
}

static const struct pbuf *first_of(const struct tcp_socket *tcp)
{
	return __atomic_load_n(&tcp->first, __ATOMIC_RELAXED);
}

long look_events(struct socket *socket)
{
	const struct tcp_pcb *pcb;

	if (!is_current(socket))
		return LOOK_ASK;
	if (unlikely(socket->type != SOCK_STREAM))
		return udp_socket_events(socket);
	pcb = pcb_of(&socket->tcp);
	if (unlikely(socket->tcp.state != TCP_SOCKET_CONNECTED) ||
	    (pcb && !look_is_networks(pcb, sizeof(*pcb))))
		return LOOK_ASK;
	return tcp_connection_events(socket, pcb);
}

long look_received(struct socket *socket)
{
	const struct tcp_socket *tcp = &socket->tcp;
	const struct pbuf *pbuf;

	if (!is_current(socket) || socket->type != SOCK_STREAM ||
	    network_exchange.ntaken >= EXCHANGE_LEFT_MAX)
		return LOOK_ASK;
	if (!tcp->received_bytes && !tcp->got_fin && !tcp->peer_finished && !tcp->receive_shut &&
	    !socket->error && tcp->state == TCP_SOCKET_CONNECTED)
		return -EAGAIN;
	pbuf = first_of(tcp);
	if (!look_is_networks(pbuf, sizeof(*pbuf)) || pbuf->next ||
	    pbuf->len != tcp->received_bytes)
		return LOOK_ASK;
	network_exchange.iov = (struct iovec){ pbuf->payload, pbuf->len };
	return pbuf->len;
}

void look_take(struct socket *socket)
{
	struct tcp_socket *tcp = &socket->tcp;

	/* Limited here again: this runs with the kernel's rights, and another core may write there. */
	unsigned n =
	    min(__atomic_load_n(&network_exchange.ntaken, __ATOMIC_RELAXED), EXCHANGE_LEFT_MAX - 1);

	network_exchange.taken[n] = (struct network_taken){ socket, tcp->first };
	network_exchange.ntaken = (uint16_t)(n + 1);
	tcp->first = NULL;
	tcp->last = &tcp->first;
	tcp->collector = NULL;
	tcp->received_bytes = 0;
}

long look_room(const struct socket *socket)
{
	const struct tcp_socket *tcp = &socket->tcp;
	const struct tcp_pcb *pcb;
	uint32_t room;

	if (!is_current(socket))
		return LOOK_ASK;
	pcb = pcb_of(tcp);
	if (socket->type != SOCK_STREAM || tcp->state != TCP_SOCKET_CONNECTED || tcp->send_shut ||
	    socket->error || !look_is_networks(pcb, sizeof(*pcb)) ||
	    pcb->snd_queuelen >= TCP_SND_QUEUELEN / 2 ||
	    network_exchange.nsends >= EXCHANGE_LEFT_MAX)
		return LOOK_ASK;
	room = min(tcp_sndbuf(pcb), pressure_credit / 2);
	room = min(room, (uint32_t)EXCHANGE_DATA_MAX - network_exchange.sends_length);
	return room > tcp->left ? (long)min(room - tcp->left, ROOM_MAX) : LOOK_ASK;
}

void look_leave(struct socket *socket)
{
	uint32_t length = (uint32_t)network_exchange.iov.iov_len;
	unsigned n =
	    min(__atomic_load_n(&network_exchange.nsends, __ATOMIC_RELAXED), EXCHANGE_LEFT_MAX - 1);

	network_exchange.sends[n] = (struct network_send){ socket, network_exchange.sends_length,
							   length, network_exchange.more };
	network_exchange.nsends = (uint16_t)(n + 1);
	network_exchange.sends_length += length;
	pressure_credit -= min(pressure_credit, length);
	socket->tcp.left += length;
}

/* ---- in the network ---- */

static void settle_taken(void)
{
	for (unsigned i = 0; i < network_exchange.ntaken; i++) {
		struct network_taken *taken = &network_exchange.taken[i];
		uint32_t length = taken->pbuf->len;

		pbuf_free(taken->pbuf);
		if (taken->socket->tcp.pcb)
			tcp_socket_acknowledge(taken->socket->tcp.pcb, length);
	}
	network_exchange.ntaken = 0;
}

/* What finds no memory stays, and what comes behind it. */
static void settle_sends(void)
{
	unsigned n = network_exchange.nsends, done = 0;

	for (; done < n; done++) {
		struct network_send *send = &network_exchange.sends[done];
		uint32_t sent;

		if (!send->socket)
			continue;
		sent = tcp_socket_send_left(send->socket, network_sends + send->at, send->length,
					    send->more);
		send->socket->tcp.left -= sent;
		send->at += sent;
		send->length -= sent;
		if (send->length)
			break;
	}
	memmove(network_exchange.sends, network_exchange.sends + done,
		(n - done) * sizeof(network_exchange.sends[0]));
	network_exchange.nsends = (uint16_t)(n - done);
	if (done == n)
		network_exchange.sends_length = 0;
}

void look_settle_now(void)
{
	if (network_exchange.ntaken)
		settle_taken();
	if (network_exchange.nsends)
		settle_sends();
}

void look_forget(struct socket *socket)
{
	for (unsigned i = 0; i < network_exchange.nsends; i++)
		if (network_exchange.sends[i].socket == socket)
			network_exchange.sends[i].socket = NULL;
	socket->tcp.left = 0;
}
