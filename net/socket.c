/*
 * Sockets of both kinds: making, naming and ending them, and the way to the protocol's file.
 */
#include "net/socket.h"

#include "lavra/console.h"
#include "mm/object.h"
#include "net/config.h"
#include "net/flow.h"
#include "net/interface6.h"
#include "net/listener.h"
#include "net/look.h"
#include "net/lwip_address.h"
#include "net/ports.h"
#include "net/restart.h"
#include "net/socket_state.h"
#include "smp/core.h"
#include "smp/window.h"

#include "lwip/prot/ip.h"

#include <errno.h>
#include <string.h>

CORE_LOCAL int sockets_here; /* of this home core */

/* It belongs to a stack that was given up. */
static __attribute__((noinline)) void lost(struct socket *socket)
{
	socket->generation = stack_generations[this_core];
	sockets_here++;
	if (socket->type == SOCK_STREAM)
		tcp_socket_lost(socket);
	else
		udp_socket_lost(socket);
}

static inline void check(const struct socket *socket)
{
	assert(socket->magic == SOCKET_MAGIC);
	assert_on_core(socket->home);
	if (unlikely(socket->generation != stack_generations[this_core]))
		lost((struct socket *)socket);
	if (unlikely(network_exchange.ntaken | network_exchange.nsends))
		look_settle_now();
}

int error_of_lwip(int error)
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

struct socket *socket_allocate(int family, int type)
{
	struct socket *socket = object_alloc_zeroed(sizeof(*socket));

	if (!socket)
		return NULL;
	socket->magic = SOCKET_MAGIC;
	socket->type = (uint8_t)type;
	socket->family = (uint8_t)family;
	socket->home = this_core;
	socket->generation = stack_generations[this_core];
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
	if (family != AF_INET && family != AF_INET6)
		return NULL;
	*error = -ESOCKTNOSUPPORT;
	if (type != SOCK_STREAM && type != SOCK_DGRAM)
		return NULL;
	*error = -EPROTONOSUPPORT;
	if (protocol && protocol != (type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP))
		return NULL;
	*error = -ENOMEM;
	socket = socket_allocate(family, type);
	if (!socket)
		return NULL;
	if (family == AF_INET)
		socket->local_address = socket->peer_address = address_of_ip4(0);
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

void socket_set_notify(struct socket *socket, socket_notify *notify, void *owner)
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

/* ---- addresses ---- */

#define INTERFACE_LOOPBACK 1
#define INTERFACE_ETHERNET 2

/* RFC 2133 knew no scope; Linux takes what is as long as that. */
#define IN6_LEN_MIN 24

void socket_fill_address(const struct socket *socket, struct socket_address *out,
			 const struct address *address, uint16_t port)
{
	if (socket->family == AF_INET) {
		out->length = sizeof(out->in);
		out->in = (struct sockaddr_in){
			.sin_family = AF_INET,
			.sin_addr.s_addr = address_ip4(address),
			.sin_port = port,
		};
		return;
	}
	out->length = sizeof(out->in6);
	out->in6 = (struct sockaddr_in6){
		.sin6_family = AF_INET6,
		.sin6_port = port,
		.sin6_scope_id = address_is_link_local(address) ? INTERFACE_ETHERNET : 0,
	};
	memcpy(&out->in6.sin6_addr, address->bytes, 16);
}

/* The address and port in a form that the socket's family takes; `*scope`: the interface it names. */
static int read_address(const struct socket *socket, const struct socket_address *in,
			struct address *address, uint16_t *port, uint32_t *scope)
{
	*scope = 0;
	if (socket->family == AF_INET) {
		if (in->length < sizeof(in->in))
			return -EINVAL;
		if (in->any.sa_family != AF_INET)
			return -EAFNOSUPPORT;
	}
	if (in->any.sa_family == AF_INET && in->length >= sizeof(in->in)) {
		*address = address_of_ip4(in->in.sin_addr.s_addr);
		*port = in->in.sin_port;
		return 0;
	}
	if (in->length < IN6_LEN_MIN)
		return -EINVAL;
	if (in->any.sa_family != AF_INET6)
		return -EAFNOSUPPORT;
	memcpy(address->bytes, &in->in6.sin6_addr, 16);
	*port = in->in6.sin6_port;
	if (in->length >= sizeof(in->in6))
		*scope = in->in6.sin6_scope_id;
	return 0;
}

static struct address any_address(const struct socket *socket)
{
	return socket->family == AF_INET ? address_of_ip4(0) : (struct address){ .words = { 0 } };
}

struct ip_addr socket_any(const struct address *address, bool only_ip6)
{
	ip_addr_t ip = address_to_lwip(address);

	if (address_is_any6(address) && !only_ip6)
		IP_SET_TYPE_VAL(ip, IPADDR_TYPE_ANY);
	return ip;
}

int socket_source(const struct socket *socket, const struct address *destination,
		  struct address *source)
{
	if (socket->binding && !address_is_any(&socket->binding->address)) {
		*source = socket->binding->address;
		return address_is_ip4(source) == address_is_ip4(destination) ? 0 : -EINVAL;
	}
	if (!address_is_ip4(destination))
		return interface_source_address6(destination, source);
	*source = address_of_ip4(interface_source_address(address_ip4(destination)));
	return address_ip4(source) ? 0 : -ENETUNREACH;
}

struct port_options socket_port_options(const struct socket *socket)
{
	return (struct port_options){
		.reuse_address = socket->options.reuse_address,
		.reuse_port = socket->options.reuse_port,
		.only_ip6 = socket->options.only_ip6,
	};
}

static int bind_to(struct socket *socket, const struct address *address, uint16_t port)
{
	int error = ports_bind(socket->type == SOCK_STREAM ? IP_PROTO_TCP : IP_PROTO_UDP, address,
			       port, socket_port_options(socket), &socket->binding);

	if (error)
		return error;
	socket->local_address = *address;
	socket->local_port = socket->binding->port;
	return socket->type == SOCK_DGRAM ? udp_socket_bound(socket) : 0;
}

int socket_bind_ephemeral(struct socket *socket)
{
	struct address any = any_address(socket);

	return socket->binding ? 0 : bind_to(socket, &any, 0);
}

/* May the socket have this address? */
static int check_local(const struct socket *socket, const struct address *address, uint32_t scope)
{
	if (address_is_any(address))
		return 0;
	if (address_is_ip4(address))
		return interface_is_local(address_ip4(address)) ||
			       address_ip4(address) == INADDR_BROADCAST
			   ? 0
			   : -EADDRNOTAVAIL;
	if (address_is_multicast(address))
		return socket->type == SOCK_STREAM ? -EINVAL : 0;
	if (address_is_link_local(address)) {
		if (scope == 0)
			return -EINVAL;
		if (scope != INTERFACE_ETHERNET)
			return -ENODEV;
	}
	return interface_is_local6(address) ||
		       (!address_is_any6(&network_config.static_address6) &&
			address_equal(&network_config.static_address6, address))
		   ? 0
		   : -EADDRNOTAVAIL;
}

int socket_bind(struct socket *socket, const struct socket_address *address)
{
	struct address local;
	uint32_t scope;
	uint16_t port;
	int error;

	check(socket);
	if (socket->family == AF_INET && address->length >= sizeof(address->in) &&
	    address->any.sa_family == AF_UNSPEC && address->in.sin_addr.s_addr == 0) {
		/* Linux also takes AF_UNSPEC for the any address. */
		local = any_address(socket);
		port = address->in.sin_port;
		scope = 0;
	} else {
		if (socket->family == AF_INET6 && address->length >= IN6_LEN_MIN &&
		    address->any.sa_family != AF_INET6)
			return -EAFNOSUPPORT;
		if (socket->family == AF_INET6 && address->length < IN6_LEN_MIN)
			return -EINVAL;
		error = read_address(socket, address, &local, &port, &scope);
		if (error)
			return error;
	}
	if (socket->binding || (socket->type == SOCK_STREAM && socket->tcp.state != TCP_SOCKET_NEW))
		return -EINVAL;
	if (socket->options.only_ip6 && address_is_ip4(&local))
		return -EINVAL;
	error = check_local(socket, &local, scope);
	return error ? error : bind_to(socket, &local, port);
}

struct listener *socket_begin_listening(struct socket *socket, int backlog, int *error)
{
	check(socket);
	*error = 0;
	if (socket->type != SOCK_STREAM) {
		*error = -EOPNOTSUPP;
	} else if (socket->tcp.state == TCP_SOCKET_LISTENING) {
		listener_set_backlog(socket->tcp.listener, backlog);
	} else if (socket->tcp.state != TCP_SOCKET_NEW) {
		*error = -EINVAL;
	} else {
		*error = socket_bind_ephemeral(socket);
		if (!*error)
			return listener_begin(socket, backlog, error);
	}
	return NULL;
}

struct socket *socket_accept(struct socket *socket, int *error)
{
	struct listener *listener;
	struct socket *accepted;

	assert(socket->magic == SOCKET_MAGIC);
	if (socket->type != SOCK_STREAM) {
		*error = -EOPNOTSUPP;
		return NULL;
	}
	/* Pairs with the store in listener_close(): this core's part of it is not closed yet. */
	listener = __atomic_load_n(&socket->tcp.listener, __ATOMIC_RELAXED);
	if (!listener) {
		*error = -EINVAL;
		return NULL;
	}
	if (unlikely(socket->home != this_core))
		listener_spread(listener);
	accepted = listener_take(listener);
	*error = accepted ? 0 : -EAGAIN;
	return accepted;
}

int socket_accept_where(struct socket *socket)
{
	struct listener *listener = __atomic_load_n(&socket->tcp.listener, __ATOMIC_RELAXED);

	assert(socket->magic == SOCKET_MAGIC);
	return listener ? listener_find_waiting(listener) : -1;
}

struct listener *socket_listener(struct socket *socket)
{
	check(socket);
	return socket->type == SOCK_STREAM ? socket->tcp.listener : NULL;
}

int socket_destination(const struct socket *socket, const struct socket_address *to,
		       struct address *address, uint16_t *port)
{
	uint32_t scope;
	int error = read_address(socket, to, address, port, &scope);

	if (error)
		return error;
	if (scope && scope != INTERFACE_ETHERNET && address_is_link_local(address))
		return -ENETUNREACH;
	if (socket->options.only_ip6 && address_is_ip4(address))
		return -ENETUNREACH;
	/* As on Linux "any" is this machine. */
	if (address_is_any(address)) {
		if (address_is_ip4(address) || address_is_ip4(&socket->local_address))
			*address = address_of_ip4(lwip_htonl(INADDR_LOOPBACK));
		else
			address->bytes[15] = 1;
	}
	return 0;
}

int socket_connect(struct socket *socket, const struct socket_address *address)
{
	struct address peer;
	uint16_t port;
	int error;

	check(socket);
	if (address->length < sizeof(address->any.sa_family))
		return -EINVAL;
	if (address->any.sa_family == AF_UNSPEC && socket->type == SOCK_DGRAM)
		return udp_socket_disconnect(socket);
	if (socket->type == SOCK_STREAM && address->length >= IN6_LEN_MIN &&
	    socket->family == AF_INET6 && address->any.sa_family != AF_INET6)
		return -EAFNOSUPPORT;
	error = socket_destination(socket, address, &peer, &port);
	if (error)
		return error;
	if (address_is_link_local(&peer) &&
	    (address->length < sizeof(address->in6) || !address->in6.sin6_scope_id))
		return -EINVAL;
	if (socket->type == SOCK_DGRAM)
		return udp_socket_connect(socket, &peer, port);
	if (address_is_multicast(&peer) ||
	    (address_is_ip4(&peer) && address_ip4(&peer) == INADDR_BROADCAST))
		return -ENETUNREACH;
	if (port == 0)
		return -ECONNREFUSED;
	return tcp_socket_connect(socket, &peer, port);
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
		       struct socket_address *from, struct socket_control *control)
{
	check(socket);
	if (socket->type == SOCK_DGRAM)
		return udp_socket_receive(socket, iov, niov, flags, from, control);
	if (from)
		from->length = 0;
	if (control)
		control->length = 0;
	return tcp_socket_receive(socket, iov, niov, flags);
}

ssize_t socket_send(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
		    const struct socket_address *to, const struct socket_control *control)
{
	check(socket);
	if (socket->type == SOCK_DGRAM)
		return udp_socket_send(socket, iov, niov, flags, to, control);
	return tcp_socket_send(socket, iov, niov, flags);
}

bool socket_is_datagram(const struct socket *socket)
{
	return socket->type == SOCK_DGRAM;
}

void socket_unread(struct socket *socket, const uint8_t *data, size_t length)
{
	check(socket);
	if (socket->type == SOCK_STREAM)
		tcp_socket_unread(socket, data, length);
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

int socket_local_address(struct socket *socket, struct socket_address *address)
{
	check(socket);
	socket_fill_address(socket, address, &socket->local_address, socket->local_port);
	return 0;
}

int socket_peer_address(struct socket *socket, struct socket_address *address)
{
	check(socket);
	if (socket->type == SOCK_STREAM ? socket->tcp.state != TCP_SOCKET_CONNECTED ||
					      (!socket->tcp.pcb && socket->tcp.peer_finished)
					: !socket->udp.connected)
		return -ENOTCONN;
	socket_fill_address(socket, address, &socket->peer_address, socket->peer_port);
	return 0;
}

void socket_accepted_address(const struct socket *socket, struct socket_address *address)
{
	socket_fill_address(socket, address, &socket->peer_address, socket->peer_port);
}

bool socket_is_sending(const struct socket *socket)
{
	check(socket);
	return socket->type == SOCK_STREAM && tcp_socket_is_sending(socket);
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
