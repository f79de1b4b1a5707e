/*
 * Options of local sockets, and their tables for the socket calls.
 */
#include "posix/socket/unix_socket.h"

#include <errno.h>
#include <string.h>

/* Options that are remembered and change nothing, as on Linux for a local socket. */
static const int remembered[] = {
	SO_REUSEADDR, SO_KEEPALIVE, SO_BROADCAST, SO_DONTROUTE, SO_OOBINLINE, SO_PRIORITY,
};

/* The bit of an option in `options`, or 0. */
static uint32_t bit_of(int name)
{
	for (unsigned i = 0; i < array_size(remembered); i++)
		if (remembered[i] == name)
			return 1u << i;
	return 0;
}

/* Linux doubles what it is asked for, within bounds. */
static uint32_t buffer_size(int asked, uint32_t least)
{
	uint32_t bytes = asked < 0 ? UNIX_BUFFER_BYTES : (uint32_t)asked;

	return max(min(bytes, UNIX_BUFFER_BYTES) * 2, least);
}

static long set_value(struct unix_socket *socket, int name, int value)
{
	uint32_t bit = bit_of(name);

	switch (name) {
	case SO_SNDBUF:
	case SO_SNDBUFFORCE:
		socket->send_room = buffer_size(value, 4608);
		return 0;
	case SO_RCVBUF:
	case SO_RCVBUFFORCE:
		socket->receive_room = buffer_size(value, 2304);
		return 0;
	case SO_PASSCRED:
		socket->pass_credentials = value != 0;
		return 0;
	}
	if (!bit)
		return -ENOPROTOOPT;
	socket->options = value ? socket->options | bit : socket->options & ~bit;
	return 0;
}

struct set_call {
	int name, value;
};

static long set_attempt(struct file *file, void *argument)
{
	struct set_call *call = argument;

	return set_value(unix_of(file), call->name, call->value);
}

long unix_set_option(struct file *file, int level, int name, const void *value, socklen_t length)
{
	struct set_call call = { .name = name };

	if (level != SOL_SOCKET)
		return -EOPNOTSUPP;
	/* Closing a local socket never waits: there is nothing to linger for. */
	if (name == SO_LINGER)
		return length < sizeof(struct linger) ? -EINVAL : 0;
	if (length < sizeof(call.value))
		return -EINVAL;
	memcpy(&call.value, value, sizeof(call.value));
	return file_operate(file, set_attempt, &call, 0, true, FOREVER);
}

static long get_value(struct unix_socket *socket, int name, int *value)
{
	uint32_t bit = bit_of(name);

	switch (name) {
	case SO_TYPE:
		*value = socket->type;
		return 0;
	case SO_DOMAIN:
		*value = AF_UNIX;
		return 0;
	case SO_PROTOCOL:
		*value = 0;
		return 0;
	case SO_ERROR:
		*value = (int)-unix_take_error(socket);
		return 0;
	case SO_ACCEPTCONN:
		*value = unix_state_of(socket) == UNIX_LISTENING;
		return 0;
	case SO_SNDBUF:
		*value = (int)socket->send_room;
		return 0;
	case SO_RCVBUF:
		*value = (int)socket->receive_room;
		return 0;
	case SO_RCVLOWAT:
	case SO_SNDLOWAT:
		*value = 1;
		return 0;
	case SO_PASSCRED:
		*value = socket->pass_credentials;
		return 0;
	}
	if (!bit)
		return -ENOPROTOOPT;
	*value = (socket->options & bit) != 0;
	return 0;
}

struct get_call {
	int name, value;
	struct ucred peer;
};

static long get_attempt(struct file *file, void *argument)
{
	struct unix_socket *socket = unix_of(file);
	struct get_call *call = argument;

	if (call->name != SO_PEERCRED)
		return get_value(socket, call->name, &call->value);
	if (socket->peer_known)
		unix_credentials(&call->peer);
	else
		call->peer = (struct ucred){ 0, (uid_t)-1, (gid_t)-1 };
	return 0;
}

static void put(void *to, socklen_t *room, const void *value, size_t length)
{
	*room = (socklen_t)min((size_t)*room, length);
	memcpy(to, value, *room);
}

long unix_get_option(struct file *file, int level, int name, void *value, socklen_t *length)
{
	static const struct linger no_linger;
	struct get_call call = { .name = name };
	long result;

	if (level != SOL_SOCKET)
		return -EOPNOTSUPP;
	if (name == SO_LINGER) {
		put(value, length, &no_linger, sizeof(no_linger));
		return 0;
	}
	result = file_operate(file, get_attempt, &call, 0, true, FOREVER);
	if (result)
		return result;
	if (name == SO_PEERCRED)
		put(value, length, &call.peer, sizeof(call.peer));
	else
		put(value, length, &call.value, sizeof(call.value));
	return 0;
}

/* ---- names and the end of a direction ---- */

static long local_address(struct file *file, struct socket_address *address)
{
	unix_name_tell(unix_of(file), address);
	return 0;
}

static long peer_address_attempt(struct file *file, void *argument)
{
	struct unix_socket *peer = unix_peer(unix_of(file));

	if (!peer)
		return -ENOTCONN;
	unix_name_tell(peer, argument);
	return 0;
}

static long peer_address(struct file *file, struct socket_address *address)
{
	return file_operate(file, peer_address_attempt, address, 0, true, FOREVER);
}

/* Linux's unix_shutdown(): what one end does not do any more the other cannot either. */
static long shutdown_attempt(struct file *file, void *argument)
{
	struct unix_socket *socket = unix_of(file), *peer = unix_peer(socket);
	uint32_t bits = (uint32_t) * (int *)argument + 1; /* SHUT_RD is 0, ... */
	uint32_t peer_bits = (bits & SHUT_RECEIVE ? SHUT_SEND : 0) |
			     (bits & SHUT_SEND ? SHUT_RECEIVE : 0);

	__atomic_fetch_or(&socket->shutdown, bits, __ATOMIC_RELEASE);
	unix_tell(socket, TELL_CHANGED);
	if (socket->type != SOCK_DGRAM && peer) {
		/* Release: pairs with unix_shutdown_bits(); what was sent is in the inbox. */
		__atomic_fetch_or(&peer->shutdown, peer_bits, __ATOMIC_RELEASE);
		unix_tell(peer, TELL_CHANGED);
	}
	return 0;
}

static long unix_shutdown(struct file *file, int how)
{
	return file_operate(file, shutdown_attempt, &how, 0, true, FOREVER);
}

const struct socket_kind unix_stream_kind = {
	.stream = true,
	.bind = unix_bind,
	.connect = unix_connect,
	.listen = unix_listen,
	.accept = unix_accept,
	.local_address = local_address,
	.peer_address = peer_address,
	.receive = unix_receive,
	.send = unix_send,
	.shutdown = unix_shutdown,
	.set_option = unix_set_option,
	.get_option = unix_get_option,
};

const struct socket_kind unix_packet_kind = {
	.bind = unix_bind,
	.connect = unix_connect,
	.listen = unix_listen,
	.accept = unix_accept,
	.local_address = local_address,
	.peer_address = peer_address,
	.receive = unix_receive,
	.send = unix_send,
	.shutdown = unix_shutdown,
	.set_option = unix_set_option,
	.get_option = unix_get_option,
};

const struct socket_kind unix_datagram_kind = {
	.bind = unix_bind,
	.connect = unix_connect_datagram,
	.local_address = local_address,
	.peer_address = peer_address,
	.receive = unix_receive,
	.send = unix_send,
	.shutdown = unix_shutdown,
	.set_option = unix_set_option,
	.get_option = unix_get_option,
};
