/*
 * Connecting local sockets: listen, connect and accept.
 *
 * connect() makes the server's end itself, joins the two, and puts that end into the inbox of the
 * listener: so the client may send before anybody has accepted, as on Linux.
 */
#include "posix/socket/unix_socket.h"

#include "posix/signal/signal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>

/* ---- listening ---- */

struct listen_call {
	int backlog;
};

static long listen_attempt(struct file *file, void *argument)
{
	struct unix_socket *socket = unix_of(file);
	struct listen_call *call = argument;

	/* It is known under its name: who has none could not be connected to. */
	if (!__atomic_load_n(&socket->name, __ATOMIC_RELAXED) ||
	    unix_state_of(socket) == UNIX_CONNECTED)
		return -EINVAL;
	__atomic_store_n(&socket->backlog, min((unsigned)call->backlog, UNIX_BACKLOG_MAX),
			 __ATOMIC_RELAXED);
	socket->peer_known = true;
	__atomic_store_n(&socket->state, UNIX_LISTENING, __ATOMIC_RELEASE);
	/* It may be more than before. */
	unix_room_made(socket, false);
	return 0;
}

long unix_listen(struct file *file, int backlog)
{
	struct listen_call call = { backlog };

	return file_operate(file, listen_attempt, &call, 0, true, FOREVER);
}

/* ---- connecting ---- */

struct connect_call {
	struct unix_socket *target; /* held */
	bool nonblocking;
};

static long check_connecting(const struct unix_socket *socket, const struct unix_socket *listener)
{
	switch (unix_state_of(socket)) {
	case UNIX_CONNECTED:
		return -EISCONN;
	case UNIX_LISTENING:
		return -EINVAL;
	case UNIX_FREE:
		break;
	}
	if (listener->type != socket->type)
		return -EPROTOTYPE;
	if (unix_state_of(listener) != UNIX_LISTENING ||
	    (unix_shutdown_bits(listener) & SHUT_RECEIVE))
		return -ECONNREFUSED;
	return 0;
}

/* At the home of the client. */
static long connect_attempt(struct file *file, void *argument)
{
	struct unix_socket *socket = unix_of(file), *end;
	struct connect_call *call = argument;
	struct unix_socket *listener = call->target;
	long error = check_connecting(socket, listener);

	if (error)
		return error;
	if (unix_is_full(listener) && (call->nonblocking || unix_wait_for_room(socket, listener)))
		return -EAGAIN;
	end = unix_create(socket->type, 0, listener->file.home);
	if (!end)
		return -ENOMEM;
	end->embryo = true;
	/* A listener's name never changes, and is kept by the hold. */
	end->name = unix_name_share(__atomic_load_n(&listener->name, __ATOMIC_ACQUIRE));
	/* Nobody else can see either end as connected before the listener has one of them. */
	unix_join(socket, end);
	__atomic_fetch_add(&listener->queued, 1, __ATOMIC_RELAXED);
	if (unix_deliver(listener, &end->connection)) {
		unix_tell(listener, TELL_ARRIVED);
		return 0;
	}
	__atomic_store_n(&socket->state, UNIX_FREE, __ATOMIC_RELEASE);
	__atomic_store_n(&socket->peer, NULL, __ATOMIC_RELAXED);
	socket->peer_known = false;
	unix_drop(end);
	/* Its end must not tell us that it ends. */
	__atomic_store_n(&end->peer, NULL, __ATOMIC_RELAXED);
	unix_drop(socket);
	file_unreference(&end->file);
	return -ECONNREFUSED;
}

static long find_target(struct file *file, const struct socket_address *address,
			struct unix_socket **target)
{
	if (unix_of(file)->pass_credentials) {
		long error = unix_autobind(file);

		if (error)
			return error;
	}
	return unix_find(address, unix_of(file)->type, target);
}

/* Handlers of signals wait for the end, since the target is held. */
long unix_connect(struct file *file, const struct socket_address *address)
{
	struct connect_call call;
	long result;

	do {
		if (!file_reference(file))
			return -EBADF;
		signal_hold();
		call.nonblocking = file->status_flags & O_NONBLOCK;
		result = find_target(file, address, &call.target);
		if (!result) {
			result = file_operate(file, connect_attempt, &call, UNIX_MAY_SEND,
					      call.nonblocking, file->write_timeout_ns);
			unix_drop(call.target);
		}
		file_unreference(file);
	} while (signal_release(result) && fd_names(file));
	return result;
}

/* ---- datagram sockets: where to send, and from whom to receive ---- */

/* Linux's unix_dgram_disconnected(): what the old peer sent is not for us any more. */
static void forget_peer(struct unix_socket *socket, struct unix_socket *old)
{
	struct unix_message *left = inbox_empty(&socket->inbox);
	uint32_t count = 0;

	for (struct unix_message *message = left; message; message = message->next)
		count++;
	if (left) {
		__atomic_fetch_sub(&socket->queued, count, __ATOMIC_SEQ_CST);
		unix_messages_drop(left);
		unix_room_made(socket, false);
		if (unix_is_peer_of(old, socket)) {
			__atomic_store_n(&old->error, ECONNRESET, __ATOMIC_RELAXED);
			unix_tell(old, TELL_CHANGED);
		}
	}
	unix_drop(old);
}

static long connect_datagram_attempt(struct file *file, void *argument)
{
	struct unix_socket *socket = unix_of(file), *old = unix_peer(socket);
	struct connect_call *call = argument;
	struct unix_socket *target = call->target;

	if (target) {
		const struct unix_socket *its_peer =
		    __atomic_load_n(&target->peer, __ATOMIC_RELAXED);

		if (target->type != socket->type)
			return -EPROTOTYPE;
		if (its_peer && its_peer != socket)
			return -EPERM;
		if (target != old)
			unix_hold(target);
		socket->peer_known = true;
	}
	__atomic_store_n(&socket->peer, target, __ATOMIC_RELAXED);
	__atomic_store_n(&socket->state, target ? UNIX_CONNECTED : UNIX_FREE, __ATOMIC_RELEASE);
	if (old && old != target)
		forget_peer(socket, old);
	return 0;
}

long unix_connect_datagram(struct file *file, const struct socket_address *address)
{
	struct connect_call call = { NULL, false };
	long result;

	if (address->length < sizeof(address->any.sa_family))
		return -EINVAL;
	if (address->any.sa_family == AF_UNSPEC)
		return file_operate(file, connect_datagram_attempt, &call, 0, true, FOREVER);
	if (!file_reference(file))
		return -EBADF;
	result = find_target(file, address, &call.target);
	if (!result) {
		result = file_operate(file, connect_datagram_attempt, &call, 0, true, FOREVER);
		unix_drop(call.target);
	}
	file_unreference(file);
	return result;
}

/* ---- accepting ---- */

struct accept_call {
	struct unix_socket *end;
};

static long accept_attempt(struct file *file, void *argument)
{
	struct unix_socket *socket = unix_of(file);
	struct accept_call *call = argument;
	struct unix_message *connection;

	if (unix_state_of(socket) != UNIX_LISTENING)
		return -EINVAL;
	connection = inbox_first(&socket->inbox);
	if (!connection)
		return unix_shutdown_bits(socket) & SHUT_RECEIVE ? -EINVAL : -EAGAIN;
	inbox_remove_first(&socket->inbox);
	__atomic_fetch_sub(&socket->queued, 1, __ATOMIC_SEQ_CST);
	unix_room_made(socket, false);
	call->end = container_of(connection, struct unix_socket, connection);
	call->end->embryo = false;
	return 0;
}

static long peer_name_attempt(struct file *file, void *argument)
{
	unix_name_tell(unix_peer(unix_of(file)), argument);
	return 0;
}

long unix_accept(struct file *file, int status_flags, struct socket_address *peer,
		 struct file **accepted)
{
	bool nonblocking = file->status_flags & O_NONBLOCK;
	struct accept_call call;
	long result = -EAGAIN;

	if (likely(file->home == this_core)) {
		result = accept_attempt(file, &call);
		if (result == -EAGAIN && nonblocking) {
			file_spin_poll();
			return -EAGAIN;
		}
	}
	if (result == -EAGAIN)
		result = file_operate(file, accept_attempt, &call, EPOLLIN, nonblocking,
				      file->read_timeout_ns);
	if (result)
		return result;
	*accepted = &call.end->file;
	call.end->file.status_flags |= (uint32_t)status_flags & O_NONBLOCK;
	if (peer)
		file_operate(*accepted, peer_name_attempt, peer, 0, true, FOREVER);
	return 0;
}
