/*
 * UDP sockets: a bounded queue of datagrams over lwIP's raw interface.
 */
#include "net/socket_state.h"

#include "arch/x86_64/user_access.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "mm/object.h"
#include "net/interface.h"
#include "net/lwip_address.h"
#include "net/ports.h"

#include "lwip/ip.h"
#include "lwip/udp.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

/* 65535, the most that lwIP counts to, less the IP and UDP headers. */
#define DATAGRAM_MAX 65507
#define DATAGRAM_MAX6 65487
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
	datagram->source = address_of_lwip(address);
	datagram->destination = address_of_lwip(ip_current_dest_addr());
	datagram->port = lwip_htons(port);
	if (ip_current_is_v6()) {
		datagram->ttl = IP6H_HOPLIM(ip6_current_header());
		datagram->tos = (uint8_t)IP6H_TC(ip6_current_header());
	} else {
		datagram->ttl = IPH_TTL(ip4_current_header());
		datagram->tos = IPH_TOS(ip4_current_header());
	}
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
	struct udp_pcb *pcb =
	    udp_new_ip_type(socket->family == AF_INET ? IPADDR_TYPE_V4 : IPADDR_TYPE_ANY);

	if (!pcb)
		return -ENOMEM;
	/* Who may bind what is decided in net/ports.c. */
	ip_set_option(pcb, SOF_REUSEADDR);
	udp_recv(pcb, on_datagram, socket);
	socket->udp.pcb = pcb;
	socket->udp.last = &socket->udp.first;
	return 0;
}

void udp_socket_lost(struct socket *socket)
{
	ip_addr_t peer = address_to_lwip(&socket->peer_address);

	socket->udp.pcb = NULL;
	socket->udp.first = NULL;
	socket->udp.queued_bytes = 0;
	if (udp_socket_open(socket) != 0)
		panic("no memory for a datagram socket");
	if (socket->binding)
		udp_socket_bound(socket);
	if (socket->udp.connected)
		udp_connect(socket->udp.pcb, &peer, lwip_htons(socket->peer_port));
}

void udp_socket_close(struct socket *socket)
{
	udp_remove(socket->udp.pcb);
	while (socket->udp.first)
		drop_first(&socket->udp);
}

void udp_socket_set_families(struct socket *socket)
{
	struct address any = { .words = { 0 } };

	socket->udp.pcb->local_ip = socket_any(&any, socket->options.only_ip6);
}

int udp_socket_bound(struct socket *socket)
{
	ip_addr_t address = socket_any(&socket->local_address, socket->options.only_ip6);

	return error_of_lwip(udp_bind(socket->udp.pcb, &address, lwip_htons(socket->local_port)));
}

int udp_socket_connect(struct socket *socket, const struct address *address, uint16_t port)
{
	ip_addr_t remote = address_to_lwip(address);
	struct address local;
	int error = socket_source(socket, address, &local);

	if (!error)
		error = socket_bind_ephemeral(socket);
	if (!error)
		error = error_of_lwip(udp_connect(socket->udp.pcb, &remote, lwip_htons(port)));
	if (error)
		return error;
	socket->udp.connected = true;
	socket->local_address = local;
	socket->peer_address = *address;
	socket->peer_port = port;
	return 0;
}

int udp_socket_disconnect(struct socket *socket)
{
	udp_disconnect(socket->udp.pcb);
	socket->udp.connected = false;
	if (socket->binding)
		socket->local_address = socket->binding->address;
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

/* Copy what fits: how many bytes, or -EFAULT. */
static ssize_t scatter(const struct pbuf *pbuf, const struct iovec *iov, unsigned niov)
{
	size_t copied = 0, filled = 0; /* of iov[0] */

	for (; pbuf; pbuf = pbuf->next) {
		size_t at = 0;

		while (at < pbuf->len && niov) {
			size_t here = min(pbuf->len - at, iov->iov_len - filled);

			if (unlikely(!user_copy((uint8_t *)iov->iov_base + filled,
						(uint8_t *)pbuf->payload + at, here)))
				return -EFAULT;
			at += here;
			filled += here;
			copied += here;
			if (filled == iov->iov_len) {
				iov++;
				niov--;
				filled = 0;
			}
		}
	}
	return (ssize_t)copied;
}

/* A datagram that could not be copied is lost, as on Linux. */
ssize_t udp_socket_receive(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
			   struct socket_address *from, struct socket_control *control)
{
	struct datagram *datagram = socket->udp.first;
	uint32_t len;
	ssize_t copied;

	if (flags & (MSG_OOB | MSG_ERRQUEUE))
		return flags & MSG_OOB ? -EOPNOTSUPP : -EAGAIN;
	if (!datagram)
		return socket->udp.receive_shut ? 0 : -EAGAIN;
	len = datagram->pbuf->tot_len;
	copied = scatter(datagram->pbuf, iov, niov);
	if (from)
		socket_fill_address(socket, from, &datagram->source, datagram->port);
	if (control)
		socket_control_give(socket, datagram, control);
	if (!(flags & MSG_PEEK))
		drop_first(&socket->udp);
	return flags & MSG_TRUNC && copied >= 0 ? (ssize_t)len : copied;
}

/* False: some of the application's memory is not there. */
static bool gather(struct pbuf *pbuf, const struct iovec *iov, unsigned niov)
{
	uint8_t *to = pbuf->payload;

	for (unsigned i = 0; i < niov; i++) {
		if (unlikely(!user_copy(to, iov[i].iov_base, iov[i].iov_len)))
			return false;
		to += iov[i].iov_len;
	}
	return true;
}

/* Where to, from where, and with which numbers. */
struct way {
	struct address source, destination;
	uint16_t port;
	int ttl, tos;
};

static int find_way(const struct socket *socket, const struct socket_address *to,
		    const struct socket_control *control, struct way *way)
{
	const struct socket_options *options = &socket->options;
	bool broadcast, ip4;
	int error;

	way->destination = socket->peer_address;
	way->port = socket->peer_port;
	if (to) {
		error = socket_destination(socket, to, &way->destination, &way->port);
		if (error)
			return to->any.sa_family == AF_UNSPEC ? -EINVAL : error;
		if (way->port == 0)
			return -EINVAL;
	}
	ip4 = address_is_ip4(&way->destination);
	broadcast = ip4 && address_ip4(&way->destination) == INADDR_BROADCAST;
	if (broadcast && !options->broadcast)
		return -EACCES;
	way->ttl = ip4 ? options->time_to_live : options->hop_limit;
	way->tos = ip4 ? options->type_of_service : options->traffic_class;
	error = socket_source(socket, &way->destination, &way->source);
	/* Who has no address yet may still ask everybody. */
	if (error == -ENETUNREACH && broadcast && virtio_net_queue_pairs()) {
		way->source = address_of_ip4(0);
		error = 0;
	}
	if (control && (!error || error == -ENETUNREACH)) {
		int refused =
		    socket_control_take(socket, control, &way->source, &way->ttl, &way->tos);

		if (refused)
			return refused;
	}
	return error;
}

static err_t send_datagram(struct socket *socket, struct pbuf *pbuf, const struct way *way)
{
	struct udp_pcb *pcb = socket->udp.pcb;
	ip_addr_t source = address_to_lwip(&way->source);
	ip_addr_t destination = address_to_lwip(&way->destination);
	struct netif *netif = address_is_loopback(&way->destination) ? &loopback_interface
								     : &ethernet_interface;
	bool in_pieces = pbuf->tot_len + IP_HLEN + UDP_HLEN > netif->mtu;
	uint16_t flags = netif->chksum_flags;
	err_t sent;

	if (netif == &ethernet_interface && !virtio_net_queue_pairs())
		return ERR_RTE;
	pcb->tos = (uint8_t)way->tos;
	pcb->ttl = way->ttl ? (uint8_t)way->ttl : UDP_TTL;
	/* The device cannot add a checksum to pieces. */
	if (in_pieces && IP_IS_V4_VAL(destination))
		netif->chksum_flags |= NETIF_CHECKSUM_GEN_UDP;
	sent = udp_sendto_if_src(pcb, pbuf, &destination, lwip_htons(way->port), netif, &source);
	netif->chksum_flags = flags;
	return sent;
}

ssize_t udp_socket_send(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
			const struct socket_address *to, const struct socket_control *control)
{
	struct pbuf *pbuf;
	struct way way;
	size_t len = 0, most;
	err_t sent;
	int error;

	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (socket->udp.send_shut)
		return -EPIPE;
	if (!to && !socket->udp.connected)
		return -EDESTADDRREQ;
	error = find_way(socket, to, control, &way);
	if (error)
		return error;
	most = address_is_ip4(&way.destination) ? DATAGRAM_MAX : DATAGRAM_MAX6;
	for (unsigned i = 0; i < niov; i++) {
		if (iov[i].iov_len > most - len)
			return -EMSGSIZE;
		len += iov[i].iov_len;
	}
	error = socket_bind_ephemeral(socket);
	if (error)
		return error;
	pbuf = pbuf_alloc(PBUF_TRANSPORT, (u16_t)len, PBUF_RAM);
	if (!pbuf)
		return -ENOBUFS;
	if (unlikely(!gather(pbuf, iov, niov))) {
		pbuf_free(pbuf);
		return -EFAULT;
	}
	sent = send_datagram(socket, pbuf, &way);
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
