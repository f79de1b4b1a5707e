/*
 * Local streams: bytes cut into messages as they were sent, at most CHUNK_BYTES each.
 */
#include "posix/socket/unix_socket.h"

#include "posix/file/iovec.h"

#include "arch/x86_64/user_access.h"

#include <errno.h>

/* A message fills an object of 16 KiB. */
#define CHUNK_BYTES ((16u << 10) - sizeof(struct unix_message))

/* A place in a vector of buffers. */
struct place {
	const struct iovec *iov;
	unsigned niov;
	size_t done; /* of the first */
};

/* False: some of the vector is not there. */
static bool copy(struct place *place, char *bytes, size_t length, bool to_vector)
{
	while (length) {
		size_t part = min(length, place->iov->iov_len - place->done);
		char *memory = (char *)place->iov->iov_base + place->done;

		if (unlikely(
			!user_copy(to_vector ? memory : bytes, to_vector ? bytes : memory, part)))
			return false;
		bytes += part;
		length -= part;
		place->done += part;
		if (place->done == place->iov->iov_len) {
			place->iov++;
			place->niov--;
			place->done = 0;
		}
	}
	return true;
}

static long check_sending(struct unix_socket *socket, const struct unix_transfer *transfer)
{
	const struct socket_message *message = transfer->message;
	bool connected = unix_state_of(socket) == UNIX_CONNECTED;

	if (message->address && message->address->length)
		return connected ? -EISCONN : -EOPNOTSUPP;
	if (!connected)
		return -ENOTCONN;
	return unix_shutdown_bits(socket) & SHUT_SEND ? -EPIPE : 0;
}

ssize_t unix_stream_send(struct unix_socket *socket, struct unix_transfer *transfer)
{
	const struct socket_message *message = transfer->message;
	struct place place = { message->iov, message->niov, 0 };
	size_t total = iov_total(message->iov, message->niov), sent = 0;
	/* As Linux, so that a small buffer still lets two messages overlap. */
	size_t chunk = min(CHUNK_BYTES, (size_t)max(socket->send_room / 2, 256u));
	struct unix_socket *peer = unix_peer(socket);
	long error = check_sending(socket, transfer);

	if (error)
		return error;
	while (sent < total) {
		size_t part = min(total - sent, chunk);
		struct unix_message *piece;

		error = -EAGAIN;
		if (!unix_has_room(socket))
			break;
		piece = unix_message_create(socket, part);
		error = -ENOBUFS;
		if (!piece)
			break;
		if (unlikely(!copy(&place, message_bytes(piece), part, false))) {
			error = -EFAULT;
			unix_message_drop(piece);
			break;
		}
		/* Descriptors go with the first byte. */
		piece->rights = transfer->rights;
		error = -EPIPE;
		if (!unix_deliver(peer, piece)) {
			piece->rights = NULL;
			unix_message_drop(piece);
			break;
		}
		transfer->rights = NULL;
		sent += part;
	}
	if (!sent)
		return total ? error : 0;
	unix_tell(peer, TELL_ARRIVED);
	return (ssize_t)sent;
}

/* The stream's first message; or, if there is none, NULL and what to return. */
static struct unix_message *first_or_end(struct unix_socket *socket, ssize_t *result)
{
	/* First the end, then the inbox: what was sent before the end is found. */
	uint32_t shutdown = unix_shutdown_bits(socket);
	struct unix_message *message = inbox_first(&socket->inbox);

	if (message)
		return message;
	*result = unix_take_error(socket);
	if (!*result && !(shutdown & SHUT_RECEIVE))
		*result = -EAGAIN;
	return NULL;
}

/* Without taking anything. Stops behind descriptors, of which it tells copies. */
static ssize_t peek(struct unix_message *message, struct unix_transfer *transfer,
		    struct place *place, size_t total)
{
	size_t done = 0;

	for (; message && done < total; message = message->next) {
		size_t part = min(total - done, (size_t)(message->length - message->taken));

		if (!copy(place, message_bytes(message) + message->taken, part, true))
			return done ? (ssize_t)done : -EFAULT;
		done += part;
		if (message->rights) {
			transfer->rights = unix_rights_copy(message->rights);
			break;
		}
	}
	return (ssize_t)done;
}

ssize_t unix_stream_receive(struct unix_socket *socket, struct unix_transfer *transfer)
{
	const struct socket_message *call = transfer->message;
	struct place place = { call->iov, call->niov, 0 };
	size_t total = iov_total(call->iov, call->niov), done = 0;
	struct unix_message *message;
	ssize_t result = 0;

	if (unix_state_of(socket) != UNIX_CONNECTED)
		return -EINVAL;
	message = first_or_end(socket, &result);
	if (!message)
		return result;
	if (transfer->message->address) {
		transfer->sender = unix_sender_of(message);
		unix_hold(transfer->sender);
	}
	if (call->flags & MSG_PEEK) {
		inbox_collect(&socket->inbox);
		return peek(message, transfer, &place, total);
	}
	while (message && done < total) {
		size_t part = min(total - done, (size_t)(message->length - message->taken));
		bool with_rights = message->rights != NULL;

		/* It stays as it was, as on Linux. */
		if (unlikely(!copy(&place, message_bytes(message) + message->taken, part, true))) {
			result = -EFAULT;
			break;
		}
		message->taken += (uint32_t)part;
		done += part;
		if (with_rights) {
			transfer->rights = message->rights;
			message->rights = NULL;
		}
		if (message->taken == message->length) {
			inbox_remove_first(&socket->inbox);
			unix_message_drop(message);
		}
		/* What follows may bring descriptors of its own. */
		if (with_rights)
			break;
		message = inbox_first(&socket->inbox);
	}
	return done ? (ssize_t)done : result;
}
