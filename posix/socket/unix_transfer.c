/*
 * Sending to and receiving from local sockets, in thread context: the work at home, waiting, and what
 * only a thread can do with addresses and descriptors.
 */
#include "posix/socket/unix_socket.h"

#include "posix/file/file_move.h"
#include "posix/signal/signal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>

/* MSG_* that a local socket knows, or has no use for, as on Linux. */
static bool flags_are_bad(int flags)
{
	return flags & MSG_OOB;
}

static unsigned how(const struct unix_transfer *transfer)
{
	return transfer->nonblocking ? OPERATE_ONCE : 0;
}

/* ---- receiving ---- */

static inline ssize_t receive_once(struct unix_socket *socket, struct unix_transfer *transfer)
{
	if (socket->type == SOCK_STREAM)
		return unix_stream_receive(socket, transfer);
	return unix_datagram_receive(socket, transfer);
}

static long receive_attempt(struct file *file, void *argument)
{
	return receive_once(unix_of(file), argument);
}

static long receive_here(struct file *file, void *argument)
{
	return file_bring(file, this_core) ? receive_once(unix_of(file), argument) : NOT_TRIED;
}

static ssize_t receive_somewhere(struct file *file, struct unix_transfer *transfer)
{
	if (likely(file->home == this_core)) {
		ssize_t result = receive_once(unix_of(file), transfer);

		if (likely(result != -EAGAIN))
			return result;
		if (transfer->nonblocking) {
			file_spin_poll();
			return -EAGAIN;
		}
	}
	return file_operate_here(file, receive_here, receive_attempt, transfer,
				 EPOLLIN | EPOLLRDHUP, how(transfer), file->read_timeout_ns);
}

/* Where it came from; nothing if that is a socket without a name. */
static void tell_sender(struct unix_socket *sender, struct socket_address *address)
{
	address->length = 0;
	if (!sender)
		return;
	if (__atomic_load_n(&sender->name, __ATOMIC_ACQUIRE))
		unix_name_tell(sender, address);
	unix_drop(sender);
}

ssize_t unix_receive(struct file *file, struct socket_message *message)
{
	struct unix_transfer transfer = { .message = message,
					  .nonblocking = message_is_nonblocking(file, message) };
	/* The file is stale after it was used. */
	bool credentials = unix_of(file)->pass_credentials;
	ssize_t result;

	if (flags_are_bad(message->flags))
		return -EOPNOTSUPP;
	result = receive_somewhere(file, &transfer);
	if (unlikely(result < 0)) {
		if (transfer.sender)
			unix_drop(transfer.sender);
		return result;
	}
	if (message->address)
		tell_sender(transfer.sender, message->address);
	if (unlikely(message->control || transfer.rights))
		unix_rights_deliver(message->control, transfer.rights, credentials,
				    message->flags & MSG_CMSG_CLOEXEC);
	return result;
}

/* ---- sending ---- */

static inline ssize_t send_once(struct unix_socket *socket, struct unix_transfer *transfer)
{
	if (socket->type == SOCK_STREAM)
		return unix_stream_send(socket, transfer);
	return unix_datagram_send(socket, transfer);
}

static long send_attempt(struct file *file, void *argument)
{
	return send_once(unix_of(file), argument);
}

static long send_here(struct file *file, void *argument)
{
	return file_bring(file, this_core) ? send_once(unix_of(file), argument) : NOT_TRIED;
}

/* What most sends are: to the peer, bytes alone. Nothing is held meanwhile. */
static ssize_t send_plainly(struct file *file, struct unix_transfer *transfer)
{
	const struct socket_message *message = transfer->message;
	bool stream = unix_of(file)->type == SOCK_STREAM;
	ssize_t result = -EAGAIN;

	if (likely(file->home == this_core)) {
		result = send_once(unix_of(file), transfer);
		if (transfer->nonblocking || (result < 0 && result != -EAGAIN))
			return result;
		if (result >= 0 &&
		    (!stream || (message->niov == 1 && result == (ssize_t)message->iov->iov_len)))
			return result;
	}
	if (stream && !transfer->nonblocking && !(message->address && message->address->length))
		return file_write_rest(file, message->iov, message->niov, (size_t)max(result, 0l));
	return file_operate_here(file, send_here, send_attempt, transfer, UNIX_MAY_SEND,
				 how(transfer), file->write_timeout_ns);
}

/* With an address, descriptors or credentials: a reference to the file, the target and the descriptors
 * are held, so handlers of signals wait for the end. */
static ssize_t send_held(struct file *file, struct unix_transfer *transfer)
{
	const struct socket_message *message = transfer->message;
	ssize_t result = 0;

	if (message->control)
		result = unix_rights_parse(message->control, &transfer->rights);
	if (!result && unix_of(file)->pass_credentials)
		result = unix_autobind(file);
	if (!result && message->address && message->address->length &&
	    unix_of(file)->type == SOCK_DGRAM)
		result = unix_find(message->address, SOCK_DGRAM, &transfer->target);
	if (!result)
		result = file_operate_here(file, send_here, send_attempt, transfer, UNIX_MAY_SEND,
					   how(transfer), file->write_timeout_ns);
	/* A stream's first bytes took the descriptors along; the rest is as of write(). */
	if (result > 0 && unix_of(file)->type == SOCK_STREAM && !transfer->nonblocking)
		result = file_write_rest(file, message->iov, message->niov, (size_t)result);
	if (transfer->target)
		unix_drop(transfer->target);
	if (transfer->rights)
		unix_rights_drop(transfer->rights);
	transfer->target = NULL;
	transfer->rights = NULL;
	return result;
}

static __attribute__((noinline)) ssize_t send_with_more(struct file *file,
							struct unix_transfer *transfer)
{
	ssize_t result;

	do {
		/* The reference makes sure that it is the same file after a handler ran: it was
		 * found by its number, which may name another one now. */
		if (!file_reference(file))
			return -EBADF;
		signal_hold();
		result = send_held(file, transfer);
		file_unreference(file);
	} while (signal_release(result) && fd_names(file));
	return result;
}

ssize_t unix_send(struct file *file, struct socket_message *message)
{
	struct unix_transfer transfer = { .message = message,
					  .nonblocking = message_is_nonblocking(file, message) };

	if (flags_are_bad(message->flags))
		return -EOPNOTSUPP;
	if (unlikely(message->control || message->address || unix_of(file)->pass_credentials))
		return send_with_more(file, &transfer);
	return send_plainly(file, &transfer);
}

/* ---- read() and write() ---- */

ssize_t unix_file_read(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	struct socket_message message = { iov, niov, 0, NULL, NULL };
	struct unix_transfer transfer = { .message = &message,
					  .nonblocking = file->status_flags & O_NONBLOCK };
	ssize_t result;

	if (unlikely(offset != NO_OFFSET))
		return -ESPIPE;
	result = receive_once(unix_of(file), &transfer);
	/* Descriptors that nobody asks for are closed. */
	if (unlikely(transfer.rights))
		unix_rights_drop(transfer.rights);
	return result;
}

ssize_t unix_file_write(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	struct socket_message message = { iov, niov, 0, NULL, NULL };
	struct unix_transfer transfer = { .message = &message,
					  .nonblocking = file->status_flags & O_NONBLOCK };

	if (unlikely(offset != NO_OFFSET))
		return -ESPIPE;
	return send_once(unix_of(file), &transfer);
}
