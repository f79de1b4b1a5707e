/*
 * Local messages with borders: datagrams, and packets over a connection.
 */
#include "posix/socket/unix_socket.h"

#include "posix/file/iovec.h"

#include "arch/x86_64/user_access.h"
#include "mm/object.h"

#include <errno.h>
#include <string.h>

/* What a message may hold: one object of the kernel's (docs/posix.md). */
#define DATAGRAM_MAX (OBJECT_MAX - sizeof(struct unix_message))
#define SEND_MARGIN 32 /* of SO_SNDBUF, as Linux */

/* The peer is gone; a datagram socket may find another one. */
static long refused(struct unix_socket *socket, struct unix_socket *target)
{
	if (socket->type == SOCK_SEQPACKET)
		return -EPIPE;
	if (unix_peer(socket) == target) {
		__atomic_store_n(&socket->peer, NULL, __ATOMIC_RELAXED);
		__atomic_store_n(&socket->state, UNIX_FREE, __ATOMIC_RELEASE);
		unix_drop(target);
	}
	return -ECONNREFUSED;
}

static long check_target(struct unix_socket *socket, struct unix_socket *target, bool named)
{
	const struct unix_socket *its_peer = __atomic_load_n(&target->peer, __ATOMIC_RELAXED);

	if (named && target->type != socket->type)
		return -EPROTOTYPE;
	if (socket->type == SOCK_DGRAM && its_peer && its_peer != socket)
		return -EPERM;
	return unix_shutdown_bits(target) & SHUT_RECEIVE ? -EPIPE : 0;
}

/* Does `target` take one more? If not, a socket that waits will be told. */
static bool has_place(struct unix_socket *socket, struct unix_socket *target, bool nonblocking)
{
	if (target == socket || unix_is_peer_of(target, socket) || !unix_is_full(target))
		return true;
	return !nonblocking && !unix_wait_for_room(socket, target);
}

static bool copy_in(char *to, const struct socket_message *message)
{
	for (unsigned i = 0; i < message->niov; i++) {
		if (!user_copy(to, message->iov[i].iov_base, message->iov[i].iov_len))
			return false;
		to += message->iov[i].iov_len;
	}
	return true;
}

ssize_t unix_datagram_send(struct unix_socket *socket, struct unix_transfer *transfer)
{
	const struct socket_message *message = transfer->message;
	size_t total = iov_total(message->iov, message->niov);
	struct unix_socket *target = transfer->target;
	struct unix_message *datagram;
	long error = unix_take_error(socket);

	if (error)
		return error;
	if (socket->type == SOCK_SEQPACKET && unix_state_of(socket) != UNIX_CONNECTED)
		return -ENOTCONN;
	if (!target)
		target = unix_peer(socket);
	if (!target)
		return -ENOTCONN;
	if (total > DATAGRAM_MAX || total + SEND_MARGIN > socket->send_room)
		return -EMSGSIZE;
	if (unix_shutdown_bits(socket) & SHUT_SEND)
		return -EPIPE;
	if (!unix_has_room(socket))
		return -EAGAIN;
	error = check_target(socket, target, transfer->target != NULL);
	if (error)
		return error;
	if (!has_place(socket, target, transfer->nonblocking))
		return -EAGAIN;
	datagram = unix_message_create(socket, total);
	if (!datagram)
		return -ENOBUFS;
	if (!copy_in(message_bytes(datagram), message)) {
		unix_message_drop(datagram);
		return -EFAULT;
	}
	datagram->rights = transfer->rights;
	__atomic_fetch_add(&target->queued, 1, __ATOMIC_RELAXED);
	if (!unix_deliver(target, datagram)) {
		datagram->rights = NULL;
		unix_message_drop(datagram);
		return refused(socket, target);
	}
	transfer->rights = NULL;
	unix_tell(target, TELL_ARRIVED);
	return (ssize_t)total;
}

static bool copy_out(const struct socket_message *call, const char *bytes, size_t length)
{
	for (unsigned i = 0; i < call->niov && length; i++) {
		size_t part = min(length, call->iov[i].iov_len);

		if (!user_copy(call->iov[i].iov_base, bytes, part))
			return false;
		bytes += part;
		length -= part;
	}
	return true;
}

static ssize_t nothing_there(const struct unix_socket *socket, const struct unix_transfer *transfer,
			     uint32_t shutdown)
{
	/* Linux lets the end of a datagram socket be seen by those who wait only. */
	if ((shutdown & SHUT_RECEIVE) && (socket->type == SOCK_SEQPACKET || !transfer->nonblocking))
		return 0;
	return -EAGAIN;
}

ssize_t unix_datagram_receive(struct unix_socket *socket, struct unix_transfer *transfer)
{
	const struct socket_message *call = transfer->message;
	size_t room = iov_total(call->iov, call->niov), length;
	/* First the end, then the inbox: what was sent before the end is found. */
	uint32_t shutdown = unix_shutdown_bits(socket);
	struct unix_message *message;
	bool there;
	long error;

	if (socket->type == SOCK_SEQPACKET && unix_state_of(socket) != UNIX_CONNECTED)
		return -ENOTCONN;
	error = unix_take_error(socket);
	if (error)
		return error;
	message = inbox_first(&socket->inbox);
	if (!message)
		return nothing_there(socket, transfer, shutdown);
	length = message->length;
	there = copy_out(call, message_bytes(message), length);
	if (call->address && there) {
		transfer->sender = unix_sender_of(message);
		unix_hold(transfer->sender);
	}
	if (call->flags & MSG_PEEK) {
		if (message->rights && there)
			transfer->rights = unix_rights_copy(message->rights);
	} else {
		/* One that could not be copied is lost, as on Linux. */
		if (likely(there)) {
			transfer->rights = message->rights;
			message->rights = NULL;
		}
		inbox_remove_first(&socket->inbox);
		/* Pairs with unix_wait_for_room(). */
		__atomic_fetch_sub(&socket->queued, 1, __ATOMIC_SEQ_CST);
		unix_message_drop(message);
		unix_room_made(socket, false);
	}
	if (unlikely(!there))
		return -EFAULT;
	return (ssize_t)(call->flags & MSG_TRUNC ? length : min(length, room));
}
