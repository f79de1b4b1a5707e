/*
 * Sockets of both kinds: making, naming and ending them, and the way to the protocol's file.
 */
#include "net/socket.h"

#include "lavra/console.h"
#include "mm/object.h"
#include "net/flow.h"
#include "net/interface.h"
#include "net/listener.h"
#include "net/ports.h"
#include "net/socket_state.h"
#include "smp/core.h"
#include "smp/window.h"

#include "lwip/prot/ip.h"

#include <errno.h>
#include <string.h>

static CORE_LOCAL int sockets_here; /* of this home core */

static inline void check(const struct socket *socket)
{
	assert(socket->magic == SOCKET_MAGIC);
	assert_on_core(socket->home);
}

int error_of_lwip(err_t error)
{
	switch (error) {
	case ERR_OK:
		return 0;
	case ERR_MEM:
	case ERR_BUF:
		return -ENOBUFS;
	case ERR_RTE:
		return -ENETUNREACH;
	case ERR_USE:
		return -EADDRINUSE;
	case ERR_ISCONN:
		return -EISCONN;
	case ERR_CONN:
		return -ENOTCONN;
	case ERR_ABRT:
		return -ECONNABORTED;
	case ERR_RST:
		return -ECONNRESET;
	case ERR_TIMEOUT:
		return -ETIMEDOUT;
	default:
		return -EINVAL;
	}
}

struct socket *socket_allocate(int type)
{
	struct socket *socket = object_alloc_zeroed(sizeof(*socket));

	if (!socket)
		return NULL;
	socket->magic = SOCKET_MAGIC;
	socket->type = (uint8_t)type;
	socket->home = this_core;
	sockets_here++;
	return socket;
}

void socket_deallocate(struct socket *socket)
{
	socket->magic = 0;
	sockets_here--;
	object_free(socket);
}

struct socket *socket_create(int family, int type, int protocol, int *error)
{
	struct socket *socket;

	*error = -EAFNOSUPPORT;
	if (family != AF_INET)
		return NULL;
	*error = -ESOCKTNOSUPPORT;
	if (type != SOCK_STREAM && type != SOCK_DGRAM)
		return NULL;
	*error = -EPROTONOSUPPORT;
	if (protocol && protocol != (type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP))
		return NULL;
	*error = -ENOMEM;
	socket = socket_allocate(type);
	if (!socket)
		return NULL;
	socket_options_init(&socket->options);
	if (type == SOCK_STREAM) {
		socket->tcp.last = &socket->tcp.first;
	} else if (udp_socket_open(socket) != 0) {
		socket_deallocate(socket);
		return NULL;
	}
	*error = 0;
	return socket;
}

void socket_set_owner(struct socket *socket, socket_notify *notify, void *owner)
{
	socket->owner = owner;
	/* Pairs with the load in socket_tell(): who calls it knows the owner. */
	__atomic_store_n(&socket->notify, notify, __ATOMIC_RELEASE);
}

core_id_t socket_home(const struct socket *socket)
{
	return socket->home;
}

void socket_close(struct socket *socket)
{
	check(socket);
	socket->notify = NULL;
	if (socket->type == SOCK_STREAM)
		tcp_socket_close(socket);
	else
		udp_socket_close(socket);
	if (socket->binding)
		ports_release(socket->binding);
	socket_deallocate(socket);
}

static int bind_to(struct socket *socket, uint32_t address, uint16_t port)
{
	int error = ports_bind(socket->type == SOCK_STREAM ? IP_PROTO_TCP : IP_PROTO_UDP, address,
			       port, socket->options.reuse_address, socket->options.reuse_port,
			       &socket->binding);

	if (error)
		return error;
	socket->local_address = address;
	socket->local_port = socket->binding->port;
	return socket->type == SOCK_DGRAM ? udp_socket_bound(socket) : 0;
}

int socket_bind_ephemeral(struct socket *socket)
{
	return socket->binding ? 0 : bind_to(socket, 0, 0);
}

int socket_bind(struct socket *socket, const struct sockaddr *address, socklen_t len)
{
	struct sockaddr_in in;

	check(socket);
	if (len < sizeof(in))
		return -EINVAL;
	memcpy(&in, address, sizeof(in));
	/* Linux also takes AF_UNSPEC for the any address. */
	if (in.sin_family != AF_INET && !(in.sin_family == AF_UNSPEC && in.sin_addr.s_addr == 0))
		return -EAFNOSUPPORT;
	if (socket->binding || (socket->type == SOCK_STREAM && socket->tcp.state != TCP_SOCKET_NEW))
		return -EINVAL;
	if (in.sin_addr.s_addr && !interface_is_local(in.sin_addr.s_addr) &&
	    in.sin_addr.s_addr != INADDR_BROADCAST)
		return -EADDRNOTAVAIL;
	return bind_to(socket, in.sin_addr.s_addr, in.sin_port);
}

int socket_listen(struct socket *socket, int backlog)
{
	int error;

	check(socket);
	if (socket->type != SOCK_STREAM)
		return -EOPNOTSUPP;
	if (socket->tcp.state == TCP_SOCKET_LISTENING) {
		listener_set_backlog(socket->tcp.listener, backlog);
		return 0;
	}
	if (socket->tcp.state != TCP_SOCKET_NEW)
		return -EINVAL;
	error = socket_bind_ephemeral(socket);
	return error ? error : listener_open(socket, backlog);
}

struct socket *socket_accept(struct socket *socket, int *error)
{
	struct socket *accepted;

	check(socket);
	if (socket->type != SOCK_STREAM) {
		*error = -EOPNOTSUPP;
		return NULL;
	}
	if (socket->tcp.state != TCP_SOCKET_LISTENING) {
		*error = -EINVAL;
		return NULL;
	}
	accepted = listener_take(socket->tcp.listener);
	*error = accepted ? 0 : -EAGAIN;
	return accepted;
}

int socket_connect(struct socket *socket, const struct sockaddr *address, socklen_t len)
{
	struct sockaddr_in in;

	check(socket);
	if (len < sizeof(in.sin_family))
		return -EINVAL;
	memset(&in, 0, sizeof(in));
	memcpy(&in, address, min((size_t)len, sizeof(in)));
	if (in.sin_family == AF_UNSPEC && socket->type == SOCK_DGRAM)
		return udp_socket_disconnect(socket);
	if (len < sizeof(in))
		return -EINVAL;
	if (in.sin_family != AF_INET)
		return -EAFNOSUPPORT;
	/* As on Linux "any" is this machine. */
	if (in.sin_addr.s_addr == 0)
		in.sin_addr.s_addr = lwip_htonl(INADDR_LOOPBACK);
	if (socket->type == SOCK_DGRAM)
		return udp_socket_connect(socket, in.sin_addr.s_addr, in.sin_port);
	if (in.sin_addr.s_addr == INADDR_BROADCAST || IN_MULTICAST(lwip_htonl(in.sin_addr.s_addr)))
		return -ENETUNREACH;
	if (in.sin_port == 0)
		return -ECONNREFUSED;
	return tcp_socket_connect(socket, in.sin_addr.s_addr, in.sin_port);
}

int socket_shutdown(struct socket *socket, int how)
{
	check(socket);
	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return -EINVAL;
	return socket->type == SOCK_STREAM ? tcp_socket_shutdown(socket, how)
					   : udp_socket_shutdown(socket, how);
}

ssize_t socket_receive(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
		       struct sockaddr_in *from)
{
	check(socket);
	if (socket->type == SOCK_DGRAM)
		return udp_socket_receive(socket, iov, niov, flags, from);
	if (from)
		*from = (struct sockaddr_in){ .sin_family = AF_UNSPEC };
	return tcp_socket_receive(socket, iov, niov, flags);
}

ssize_t socket_send(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
		    const struct sockaddr_in *to)
{
	check(socket);
	if (socket->type == SOCK_DGRAM)
		return udp_socket_send(socket, iov, niov, flags, to);
	return tcp_socket_send(socket, iov, niov, flags);
}

uint32_t socket_events(struct socket *socket)
{
	check(socket);
	return socket->type == SOCK_STREAM ? tcp_socket_events(socket) : udp_socket_events(socket);
}

int socket_readable_bytes(struct socket *socket)
{
	check(socket);
	if (socket->type == SOCK_DGRAM)
		return udp_socket_readable_bytes(socket);
	return socket->tcp.state == TCP_SOCKET_LISTENING ? -EINVAL
							 : (int)socket->tcp.received_bytes;
}

static void fill_address(struct sockaddr_in *out, uint32_t address, uint16_t port)
{
	memset(out, 0, sizeof(*out));
	out->sin_family = AF_INET;
	out->sin_addr.s_addr = address;
	out->sin_port = port;
}

int socket_local_address(struct socket *socket, struct sockaddr_in *address)
{
	check(socket);
	fill_address(address, socket->local_address, socket->local_port);
	return 0;
}

int socket_peer_address(struct socket *socket, struct sockaddr_in *address)
{
	check(socket);
	if (socket->type == SOCK_STREAM ? socket->tcp.state != TCP_SOCKET_CONNECTED ||
					      (!socket->tcp.pcb && socket->tcp.peer_finished)
					: !socket->udp.connected)
		return -ENOTCONN;
	fill_address(address, socket->peer_address, socket->peer_port);
	return 0;
}

/* ---- counts ---- */

unsigned socket_count(void)
{
	int count = 0;

	for (core_id_t core = 0; core < ncores; core++)
		if (core_is_online(core))
			count += *core_local_of(core, sockets_here);
	return (unsigned)count;
}

unsigned tcp_control_block_count(void)
{
	unsigned count = 0;

	for (core_id_t core = 0; core < ncores; core++)
		if (core_is_online(core))
			count += *core_local_of(core, flow_count) -
				 *core_local_of(core, flow_time_wait_count);
	return count;
}

unsigned tcp_time_wait_count(void)
{
	unsigned count = 0;

	for (core_id_t core = 0; core < ncores; core++)
		if (core_is_online(core))
			count += *core_local_of(core, flow_time_wait_count);
	return count;
}
