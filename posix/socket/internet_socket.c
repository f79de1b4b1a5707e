/*
 * TCP and UDP sockets as a kind of socket: each call does its work at the socket's home, at once when
 * that is this core.
 */
#include "posix/file/iovec.h"
#include "posix/proc/metrics.h"
#include "posix/signal/signal.h"
#include "posix/socket/socket_file.h"
#include "posix/socket/socket_kind.h"

#include "sched/affinity.h"
#include "sched/thread.h"
#include "smp/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct create_call {
	int family, type, protocol, error;
	struct socket *socket;
};

static long create_here(void *argument)
{
	struct create_call *call = argument;

	call->socket = socket_create(call->family, call->type, call->protocol, &call->error);
	return 0;
}

/* On this core, unless others have the network. */
long internet_socket_create(int family, int type, int protocol, int status_flags,
			    struct file **file)
{
	struct create_call call = { family, type, protocol, 0, NULL };
	struct socket *socket;

	if (likely(network_cores >> this_core & 1))
		create_here(&call);
	else
		core_call(network_core(), create_here, &call);
	socket = call.socket;
	if (!socket)
		return call.error;
	*file = socket_file_create(socket, type == SOCK_STREAM, status_flags);
	return *file ? 0 : -ENOMEM;
}

/* ---- addresses ---- */

struct address_call {
	int (*get)(struct socket *, struct socket_address *);
	struct socket_address *address;
};

static long address_attempt(struct file *file, void *argument)
{
	struct address_call *call = argument;

	return call->get(socket_of(file), call->address);
}

static long internet_local_address(struct file *file, struct socket_address *address)
{
	struct address_call call = { socket_local_address, address };

	return file_operate(file, address_attempt, &call, 0, true, FOREVER);
}

static long internet_peer_address(struct file *file, struct socket_address *address)
{
	struct address_call call = { socket_peer_address, address };

	return file_operate(file, address_attempt, &call, 0, true, FOREVER);
}

static long bind_attempt(struct file *file, void *argument)
{
	/* Its listeners share the port with each other (SO_REUSEPORT), so the network would let this one, too. */
	if (!socket_is_datagram(socket_of(file)) && metrics_has_port(argument))
		return -EADDRINUSE;
	return socket_bind(socket_of(file), argument);
}

static long internet_bind(struct file *file, const struct socket_address *address)
{
	return file_operate(file, bind_attempt, (void *)address, 0, true, FOREVER);
}

/* ---- connecting ---- */

struct connect_call {
	const struct socket_address *address;
	bool started;
};

/* Started once; then the result is awaited. */
static long connect_attempt(struct file *file, void *argument)
{
	struct connect_call *call = argument;
	struct socket *socket = socket_of(file);
	socklen_t length = sizeof(int);
	int error = 0;

	if (!call->started) {
		long result = socket_connect(socket, call->address);

		/* A second connect() on a blocking socket waits for the first one's end. */
		if (result != -EINPROGRESS && result != -EALREADY)
			return result;
		call->started = true;
		return -EAGAIN;
	}
	if (!(socket_events(socket) & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return -EAGAIN;
	socket_get_option(socket, SOL_SOCKET, SO_ERROR, &error, &length);
	return -error;
}

static long connect_once(struct file *file, void *argument)
{
	struct connect_call *call = argument;

	return socket_connect(socket_of(file), call->address);
}

static long internet_connect(struct file *file, const struct socket_address *address)
{
	struct connect_call call = { address, false };
	long result;

	if (file->status_flags & O_NONBLOCK)
		return file_operate(file, connect_once, &call, 0, true, FOREVER);
	result =
	    file_operate(file, connect_attempt, &call, EPOLLOUT, false, file->write_timeout_ns);
	return result == -EAGAIN ? -EINPROGRESS : result;
}

struct listen_call {
	struct file *file;
	int backlog;
	long result;
	struct thread *caller;
};

static long listen_here(struct file *file, int backlog)
{
	long result = socket_listen(socket_of(file), backlog);

	if (!result)
		socket_file_listens(file);
	return result;
}

static void listen_thread(void *argument)
{
	struct listen_call *call = argument;

	call->result = listen_here(call->file, call->backlog);
	thread_wake(call->caller);
}

/* socket_listen() waits for the other cores, so a pinned thread elsewhere cannot have it done by a
 * message: a short-lived thread at home does it. */
static long listen_at_home(struct file *file, int backlog)
{
	struct listen_call call = { file, backlog, 0, current };

	if (file_go_home(file) == 0)
		return listen_here(file, backlog);
	thread_prepare_block();
	if (!thread_create("listen", file->home, listen_thread, &call))
		return -ENOMEM;
	thread_block(FOREVER);
	return call.result;
}

static long internet_listen(struct file *file, int backlog)
{
	long result;

	if (!file_reference(file))
		return -EBADF;
	result = listen_at_home(file, backlog);
	file_unreference(file);
	return result;
}

static long internet_accept(struct file *file, int status_flags, struct socket_address *peer,
			    struct file **accepted)
{
	struct socket *connection;
	long result = socket_file_accept(file, &connection);

	if (result)
		return result;
	*accepted = socket_file_create(connection, true, status_flags);
	if (!*accepted)
		return -ENOMEM;
	socket_file_inherit(file, *accepted);
	if (peer)
		socket_accepted_address(socket_of(*accepted), peer);
	return 0;
}

/* ---- data ---- */

static ssize_t receive_once(struct file *file, const struct socket_message *message)
{
	return socket_receive(socket_of(file), message->iov, message->niov,
			      message->flags & ~MESSAGE_CALL_FLAGS, message->address,
			      message->control);
}

static long receive_attempt(struct file *file, void *argument)
{
	return receive_once(file, argument);
}

static ssize_t internet_receive_datagram(struct file *file, struct socket_message *message)
{
	bool nonblocking = message_is_nonblocking(file, message);

	if (likely(file->home == this_core)) {
		ssize_t result = receive_once(file, message);

		if (likely(result != -EAGAIN))
			return result;
		if (nonblocking) {
			file_spin_poll();
			return -EAGAIN;
		}
	}
	return file_operate(file, receive_attempt, message, EPOLLIN | EPOLLRDHUP, nonblocking,
			    file->read_timeout_ns);
}

static ssize_t internet_receive_stream(struct file *file, struct socket_message *message)
{
	if (likely(file->home == this_core)) {
		ssize_t result = receive_once(file, message);

		if (likely(result != -EAGAIN))
			return result;
		if (message_is_nonblocking(file, message)) {
			file_spin_poll();
			return -EAGAIN;
		}
	}
	return socket_file_receive(file, message);
}

static ssize_t send_once(struct file *file, const struct socket_message *message)
{
	return socket_send(socket_of(file), message->iov, message->niov,
			   message->flags & ~MESSAGE_CALL_FLAGS, message->address,
			   message->control);
}

static long send_attempt(struct file *file, void *argument)
{
	return send_once(file, argument);
}

static ssize_t internet_send_datagram(struct file *file, struct socket_message *message)
{
	bool nonblocking = message_is_nonblocking(file, message);

	if (message->flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (likely(file->home == this_core)) {
		ssize_t result = send_once(file, message);

		if (likely(result != -EAGAIN) || nonblocking)
			return result;
	}
	return file_operate(file, send_attempt, message, EPOLLOUT, nonblocking,
			    file->write_timeout_ns);
}

static ssize_t internet_send_stream(struct file *file, struct socket_message *message)
{
	bool nonblocking = message_is_nonblocking(file, message);
	ssize_t result = -EAGAIN;

	if (message->flags & MSG_OOB)
		return -EOPNOTSUPP;
	message->address = NULL; /* ignored on a connected stream, as on Linux */
	if (likely(file->home == this_core)) {
		result = send_once(file, message);
		if (nonblocking || (result < 0 && result != -EAGAIN))
			return result;
		if (likely(message->niov == 1 && result == (ssize_t)message->iov->iov_len))
			return result;
	} else {
		return socket_file_send(file, message);
	}
	return file_write_rest(file, message->iov, message->niov, max(result, 0l));
}

/* Of the rings' file nothing is done directly. */
static ssize_t ported_send(struct file *file, struct socket_message *message)
{
	if (message->flags & MSG_OOB)
		return -EOPNOTSUPP;
	message->address = NULL;
	return socket_file_send(file, message);
}

/* ---- options ---- */

static long shutdown_attempt(struct file *file, void *argument)
{
	return socket_file_shutdown(file, *(int *)argument);
}

static long internet_shutdown(struct file *file, int how)
{
	return file_operate(file, shutdown_attempt, &how, 0, true, FOREVER);
}

struct option_call {
	int level, name;
	void *value;
	socklen_t *length;
	socklen_t given;
};

static long set_attempt(struct file *file, void *argument)
{
	struct option_call *call = argument;

	return socket_set_option(socket_of(file), call->level, call->name, call->value,
				 call->given);
}

static long internet_set_option(struct file *file, int level, int name, const void *value,
				socklen_t length)
{
	struct option_call call = { level, name, (void *)value, NULL, length };
	long result = file_operate(file, set_attempt, &call, 0, true, FOREVER);

	if (!result && level == SOL_SOCKET && name == SO_LINGER)
		socket_file_set_linger(file, value);
	return result;
}

static long get_attempt(struct file *file, void *argument)
{
	struct option_call *call = argument;

	return socket_get_option(socket_of(file), call->level, call->name, call->value,
				 call->length);
}

static long internet_get_option(struct file *file, int level, int name, void *value,
				socklen_t *length)
{
	struct option_call call = { level, name, value, length, 0 };

	return file_operate(file, get_attempt, &call, 0, true, FOREVER);
}

const struct socket_kind internet_stream_kind = {
	.stream = true,
	.bind = internet_bind,
	.connect = internet_connect,
	.listen = internet_listen,
	.accept = internet_accept,
	.local_address = internet_local_address,
	.peer_address = internet_peer_address,
	.receive = internet_receive_stream,
	.send = internet_send_stream,
	.shutdown = internet_shutdown,
	.set_option = internet_set_option,
	.get_option = internet_get_option,
};

const struct socket_kind ported_stream_kind = {
	.stream = true,
	.bind = internet_bind,
	.connect = internet_connect,
	.listen = internet_listen,
	.accept = internet_accept,
	.local_address = internet_local_address,
	.peer_address = internet_peer_address,
	.receive = socket_file_receive,
	.send = ported_send,
	.shutdown = internet_shutdown,
	.set_option = internet_set_option,
	.get_option = internet_get_option,
};

const struct socket_kind internet_datagram_kind = {
	.bind = internet_bind,
	.connect = internet_connect,
	.local_address = internet_local_address,
	.peer_address = internet_peer_address,
	.receive = internet_receive_datagram,
	.send = internet_send_datagram,
	.shutdown = internet_shutdown,
	.set_option = internet_set_option,
	.get_option = internet_get_option,
};
