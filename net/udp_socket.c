/*
 * UDP sockets: a bounded queue of datagrams over lwIP's raw interface.
 */
#include "net/socket_state.h"

#include "lavra/console.h"
#include "lavra/counters.h"
#include "mm/object.h"
#include "net/interface.h"
#include "net/ports.h"

#include "lwip/udp.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#define DATAGRAM_MAX 65507 /* 65535 less the IP and UDP headers */
/* What a queued datagram costs beyond its bytes; counted against SO_RCVBUF. */
#define DATAGRAM_OVERHEAD 256

static void on_datagram(void *argument, struct udp_pcb *pcb, struct pbuf *pbuf,
			const ip_addr_t *address, u16_t port)
{
	struct socket *socket = argument;
	struct udp_socket *udp = &socket->udp;
	uint32_t cost = pbuf->tot_len + DATAGRAM_OVERHEAD;
	struct datagram *datagram = NULL;

	if (!udp->receive_shut && udp->queued_bytes + cost <= socket->options.receive_buffer)
		datagram = object_alloc(sizeof(*datagram));
	if (!datagram) {
		counters.rx_drops++;
		pbuf_free(pbuf);
		return;
	}
	datagram->next = NULL;
	datagram->pbuf = pbuf;
	datagram->address = ip4_addr_get_u32(address);
	datagram->port = lwip_htons(port);
	*udp->last = datagram;
	udp->last = &datagram->next;
	udp->queued_bytes += cost;
	socket_tell(socket, EPOLLIN);
}

static void drop_first(struct udp_socket *udp)
{
	struct datagram *datagram = udp->first;

	udp->first = datagram->next;
	if (!udp->first)
		udp->last = &udp->first;
	udp->queued_bytes -= datagram->pbuf->tot_len + DATAGRAM_OVERHEAD;
	pbuf_free(datagram->pbuf);
	object_free(datagram);
}

int udp_socket_open(struct socket *socket)
{
	struct udp_pcb *pcb = udp_new();

	if (!pcb)
		return -ENOMEM;
	/* Who may bind what is decided in net/ports.c. */
	ip_set_option(pcb, SOF_REUSEADDR);
	udp_recv(pcb, on_datagram, socket);
	socket->udp.pcb = pcb;
	socket->udp.last = &socket->udp.first;
	return 0;
}

void udp_socket_close(struct socket *socket)
{
	udp_remove(socket->udp.pcb);
	while (socket->udp.first)
		drop_first(&socket->udp);
}

int udp_socket_bound(struct socket *socket)
{
	ip_addr_t address = { socket->local_address };

	return error_of_lwip(udp_bind(socket->udp.pcb, &address, lwip_htons(socket->local_port)));
}

int udp_socket_connect(struct socket *socket, uint32_t address, uint16_t port)
{
	uint32_t local = socket->binding && socket->binding->address
			     ? socket->binding->address
			     : interface_source_address(address);
	ip_addr_t remote = { address };
	int error;

	if (!local)
		return -ENETUNREACH;
	error = socket_bind_ephemeral(socket);
	if (!error)
		error = error_of_lwip(udp_connect(socket->udp.pcb, &remote, lwip_htons(port)));
	if (error)
		return error;
	socket->udp.connected = true;
	socket->local_address = local;
	socket->peer_address = address;
	socket->peer_port = port;
	return 0;
}

int udp_socket_disconnect(struct socket *socket)
{
	udp_disconnect(socket->udp.pcb);
	socket->udp.connected = false;
	socket->local_address = socket->binding ? socket->binding->address : 0;
	return 0;
}

int udp_socket_shutdown(struct socket *socket, int how)
{
	if (!socket->udp.connected)
		return -ENOTCONN;
	if (how != SHUT_WR)
		socket->udp.receive_shut = true;
	if (how != SHUT_RD)
		socket->udp.send_shut = true;
	socket_tell(socket, udp_socket_events(socket));
	return 0;
}

ssize_t udp_socket_receive(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
			   struct sockaddr_in *from)
{
	struct datagram *datagram = socket->udp.first;
	uint32_t copied = 0, len;

	if (flags & (MSG_OOB | MSG_ERRQUEUE))
		return flags & MSG_OOB ? -EOPNOTSUPP : -EAGAIN;
	if (!datagram)
		return socket->udp.receive_shut ? 0 : -EAGAIN;
	len = datagram->pbuf->tot_len;
	for (unsigned i = 0; i < niov && copied < len; i++)
		copied += pbuf_copy_partial(datagram->pbuf, iov[i].iov_base,
					    (u16_t)min(iov[i].iov_len, (size_t)(len - copied)),
					    (u16_t)copied);
	if (from) {
		memset(from, 0, sizeof(*from));
		from->sin_family = AF_INET;
		from->sin_addr.s_addr = datagram->address;
		from->sin_port = datagram->port;
	}
	if (!(flags & MSG_PEEK))
		drop_first(&socket->udp);
	return flags & MSG_TRUNC ? len : copied;
}

static void gather(struct pbuf *pbuf, const struct iovec *iov, unsigned niov)
{
	uint8_t *to = pbuf->payload;

	for (unsigned i = 0; i < niov; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
}

ssize_t udp_socket_send(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
			const struct sockaddr_in *to)
{
	uint32_t address = to ? to->sin_addr.s_addr : socket->peer_address;
	ip_addr_t remote = { address };
	struct pbuf *pbuf;
	size_t len = 0;
	err_t sent;
	int error;

	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (socket->udp.send_shut)
		return -EPIPE;
	if (!to && !socket->udp.connected)
		return -EDESTADDRREQ;
	if (to && to->sin_family != AF_INET)
		return to->sin_family == AF_UNSPEC ? -EINVAL : -EAFNOSUPPORT;
	if (address == INADDR_BROADCAST && !socket->options.broadcast)
		return -EACCES;
	for (unsigned i = 0; i < niov; i++) {
		if (iov[i].iov_len > DATAGRAM_MAX - len)
			return -EMSGSIZE;
		len += iov[i].iov_len;
	}
	error = socket_bind_ephemeral(socket);
	if (error)
		return error;
	pbuf = pbuf_alloc(PBUF_TRANSPORT, (u16_t)len, PBUF_RAM);
	if (!pbuf)
		return -ENOBUFS;
	gather(pbuf, iov, niov);
	socket->udp.pcb->tos = socket->options.type_of_service;
	if (socket->options.time_to_live)
		socket->udp.pcb->ttl = socket->options.time_to_live;
	sent = udp_sendto(socket->udp.pcb, pbuf, &remote,
			  to ? lwip_htons(to->sin_port) : lwip_htons(socket->peer_port));
	pbuf_free(pbuf);
	return sent == ERR_OK ? (ssize_t)len : error_of_lwip(sent);
}

uint32_t udp_socket_events(struct socket *socket)
{
	uint32_t events = EPOLLOUT | EPOLLWRNORM;

	if (socket->udp.first)
		events |= EPOLLIN | EPOLLRDNORM;
	if (socket->udp.receive_shut)
		events |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
	if (socket->udp.receive_shut && socket->udp.send_shut)
		events |= EPOLLHUP;
	if (socket->error)
		events |= EPOLLERR;
	return events;
}

int udp_socket_readable_bytes(struct socket *socket)
{
	return socket->udp.first ? socket->udp.first->pbuf->tot_len : 0;
}
