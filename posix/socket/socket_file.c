/*
 * Internet sockets as files: read, write, readiness and the end, at home and on other cores. What
 * is a socket's alone is in posix/socket/internet_socket.c.
 */
#include "posix/socket/socket_file.h"

#include "posix/socket/interface_list.h"
#include "posix/socket/socket_kind.h"
#include "posix/socket/socket_port.h"
#include "posix/user_memory.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/object.h"
#include "net/listener.h"
#include "net/socket.h"
#include "net/socket_move.h"
#include "sched/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

static ssize_t socket_file_read(struct file *file, const struct iovec *iov, unsigned niov,
				int64_t offset)
{
	if (unlikely(offset != NO_OFFSET))
		return -ESPIPE;
	return socket_receive(socket_of(file), iov, niov, 0, NULL, NULL);
}

static ssize_t socket_file_write(struct file *file, const struct iovec *iov, unsigned niov,
				 int64_t offset)
{
	if (unlikely(offset != NO_OFFSET))
		return -ESPIPE;
	return socket_send(socket_of(file), iov, niov, 0, NULL, NULL);
}

static uint32_t socket_file_events(struct file *file)
{
	return socket_events(socket_of(file));
}

static long socket_file_ioctl(struct file *file, unsigned long request, void *argument)
{
	int waiting;

	if (request != FIONREAD)
		return interface_ioctl(request, argument);
	if (socket_file_port(file))
		waiting = (int)socket_port_readable_bytes(socket_file_port(file));
	else
		waiting = socket_readable_bytes(socket_of(file));
	return user_write(argument, &waiting, sizeof(waiting));
}

static int socket_file_stat(struct file *file, struct stat *st)
{
	st->st_mode = S_IFSOCK | 0777;
	st->st_blksize = PAGE_SIZE;
	return 0;
}

/* ---- SO_LINGER ---- */

#define LINGER_LOOK_NS (5 * NS_PER_MS)

void socket_file_set_linger(struct file *file, const struct linger *linger)
{
	struct socket_file *socket_file = container_of(file, struct socket_file, file);

	socket_file->linger_s = linger->l_onoff && linger->l_linger > 0 ? (uint32_t)linger->l_linger
									: 0;
}

void socket_file_inherit(const struct file *listening, struct file *accepted)
{
	container_of(accepted, struct socket_file, file)->linger_s =
	    container_of(listening, struct socket_file, file)->linger_s;
}

static long finish_attempt(struct file *file, void *argument)
{
	return socket_file_shutdown(file, SHUT_WR);
}

static long is_sending_attempt(struct file *file, void *argument)
{
	return socket_is_sending(socket_of(file));
}

/* As Linux: the last close() of a connection that lingers waits until the other side has it all. */
static void socket_file_descriptor_closes(struct file *file)
{
	uint32_t linger_s = container_of(file, struct socket_file, file)->linger_s;
	uint64_t deadline_ns;

	if (likely(!linger_s) || __atomic_load_n(&file->references, __ATOMIC_RELAXED) != 1 ||
	    !file_reference(file))
		return;
	deadline_ns = clock_ns() + linger_s * NS_PER_S;
	file_operate(file, finish_attempt, NULL, 0, true, FOREVER);
	while (clock_ns() < deadline_ns &&
	       file_operate(file, is_sending_attempt, NULL, 0, true, FOREVER) == 1) {
		thread_prepare_block();
		thread_block(min(clock_ns() + LINGER_LOOK_NS, deadline_ns));
	}
	file_unreference(file);
}

static void socket_file_release(struct file *file)
{
	struct socket_port *port = socket_file_port(file);

	if (port) {
		socket_port_close(port);
		return;
	}
	socket_close(socket_of(file));
	file_free(file);
}

/* ---- away from home ---- */

static const struct file_operations stream_operations, ported_operations;

static void socket_file_notify(void *owner, uint32_t events)
{
	file_notify(owner, events);
}

struct accept_call {
	struct file *file;
	struct socket *accepted;
};

struct port_call {
	struct file *file;
	core_id_t user;
	const struct iovec *iov;
	unsigned niov;
	int flags;
	struct file_view *view;
};

static bool move_to_user(struct port_call *call);

/* At home: the connection moves to its user (NOT_HERE), or there is a port (0), or neither can be. */
static long open_port(void *argument)
{
	struct port_call *call = argument;
	struct socket_file *file = container_of(call->file, struct socket_file, file);
	struct socket_address peer;
	struct socket_port *port;

	if (file->port)
		return 0;
	if (move_to_user(call))
		return NOT_HERE;
	if (socket_peer_address(file->socket, &peer) != 0)
		return -ENOTCONN;
	port = socket_port_open(&file->file, file->socket);
	if (!port)
		return -ENOMEM;
	/* Release: pairs with the acquire in socket_file_port(). */
	__atomic_store_n(&file->port, port, __ATOMIC_RELEASE);
	file->file.operations = &ported_operations;
	return 0;
}

/* Back to direct use if only home has used the port for a while, and it can be. */
static bool close_port(struct file *file, struct socket_port *port)
{
	if (!socket_port_wants_home(port) || !socket_port_dissolve(port))
		return false;
	__atomic_store_n(&container_of(file, struct socket_file, file)->port, NULL,
			 __ATOMIC_RELEASE);
	file->operations = &stream_operations;
	socket_set_owner(socket_of(file), &socket_file_of(file)->owner, socket_file_notify, file);
	return true;
}

/* The port; makes it if there is none. NULL: the socket is used at home. Thread context; the caller
 * holds a reference. */
static struct socket_port *reach(struct file *file)
{
	for (;;) {
		struct port_call call = { .file = file, .user = this_core };
		struct socket_port *port = socket_file_port(file);
		long result;

		if (port)
			return close_port(file, port) ? NULL : port;
		if (file->home == this_core)
			return NULL;
		result = file_call(file, open_port, &call);
		if (result && result != NOT_HERE)
			return NULL;
		/* One that moves arrives soon. */
		while (file->home == HOME_ON_ITS_WAY)
			thread_yield();
	}
}

/* At home, for the user, who has found the rings empty or of no use. */
static long receive_at_home(void *argument)
{
	struct port_call *call = argument;
	struct socket_port *port = socket_file_port(call->file);

	if (!port)
		return NOT_HERE;
	if (!(call->flags & (MSG_OOB | MSG_ERRQUEUE)) && !socket_port_flush_received(port))
		return NOT_HERE;
	return socket_receive(socket_of(call->file), call->iov, call->niov, call->flags, NULL,
			      NULL);
}

static long send_at_home(void *argument)
{
	struct port_call *call = argument;
	struct socket_port *port = socket_file_port(call->file);

	if (!port)
		return NOT_HERE;
	if (!socket_port_flush_sent(port))
		return socket_port_is_shut(port) ? -EPIPE : -EAGAIN;
	return socket_send(socket_of(call->file), call->iov, call->niov, call->flags, NULL, NULL);
}

typedef ssize_t port_transfer(struct socket_port *port, const struct iovec *iov, unsigned niov,
			      int flags);

static ssize_t transfer_here(struct file *file, port_transfer *transfer, long (*at_home)(void *),
			     const struct iovec *iov, unsigned niov, int flags)
{
	struct socket_port *port;
	ssize_t result;

	while ((port = reach(file))) {
		struct port_call call = { file, this_core, iov, niov, flags };

		result = transfer(port, iov, niov, flags);
		if (result == NOT_TRIED)
			result = file_call(file, at_home, &call);
		if (result != NOT_HERE)
			return result;
	}
	return NOT_TRIED;
}

static ssize_t socket_file_read_here(struct file *file, const struct iovec *iov, unsigned niov)
{
	return transfer_here(file, socket_port_receive, receive_at_home, iov, niov, 0);
}

static ssize_t socket_file_write_here(struct file *file, const struct iovec *iov, unsigned niov)
{
	return transfer_here(file, socket_port_send, send_at_home, iov, niov, 0);
}

/* The port, if there is one that stays. */
static inline struct socket_port *open_port_of(struct file *file)
{
	struct socket_port *port = socket_file_port(file);

	return likely(port && !socket_port_wants_home(port)) ? port : NULL;
}

static ssize_t socket_file_read_remote(struct file *file, const struct iovec *iov, unsigned niov)
{
	struct socket_port *port = open_port_of(file);

	return port ? socket_port_receive(port, iov, niov, 0) : NOT_TRIED;
}

static ssize_t socket_file_write_remote(struct file *file, const struct iovec *iov, unsigned niov)
{
	struct socket_port *port = open_port_of(file);

	return port ? socket_port_send(port, iov, niov, 0) : NOT_TRIED;
}

static long receive_here(struct file *file, void *argument)
{
	struct socket_message *message = argument;

	return transfer_here(file, socket_port_receive, receive_at_home, message->iov,
			     message->niov, message->flags & ~MESSAGE_CALL_FLAGS);
}

static long send_here(struct file *file, void *argument)
{
	struct socket_message *message = argument;

	return transfer_here(file, socket_port_send, send_at_home, message->iov, message->niov,
			     message->flags & ~MESSAGE_CALL_FLAGS);
}

static long receive_directly(struct file *file, void *argument)
{
	struct socket_message *message = argument;

	if (socket_file_port(file))
		return NOT_HERE;
	return socket_receive(socket_of(file), message->iov, message->niov,
			      message->flags & ~MESSAGE_CALL_FLAGS, NULL, NULL);
}

static long send_directly(struct file *file, void *argument)
{
	struct socket_message *message = argument;

	if (socket_file_port(file))
		return NOT_HERE;
	return socket_send(socket_of(file), message->iov, message->niov,
			   message->flags & ~MESSAGE_CALL_FLAGS, NULL, NULL);
}

ssize_t socket_file_receive(struct file *file, struct socket_message *message)
{
	bool nonblocking = message_is_nonblocking(file, message);
	struct socket_port *port = open_port_of(file);
	ssize_t result = NOT_TRIED;

	if (message->address)
		message->address->length = 0;
	if (port)
		result = socket_port_receive(port, message->iov, message->niov,
					     message->flags & ~MESSAGE_CALL_FLAGS);
	if (likely(result != NOT_TRIED && result != -EAGAIN))
		return result;
	if (result == -EAGAIN && nonblocking) {
		file_spin_poll();
		return -EAGAIN;
	}
	return file_operate_here(file, receive_here, receive_directly, message,
				 EPOLLIN | EPOLLRDHUP, nonblocking ? OPERATE_ONCE : 0,
				 file->read_timeout_ns);
}

ssize_t socket_file_send(struct file *file, struct socket_message *message)
{
	struct socket_port *port = open_port_of(file);
	ssize_t result = NOT_TRIED;

	if (port)
		result = socket_port_send(port, message->iov, message->niov,
					  message->flags & ~MESSAGE_CALL_FLAGS);
	if (message_is_nonblocking(file, message)) {
		if (likely(result != NOT_TRIED))
			return result;
		return file_operate_here(file, send_here, send_directly, message, EPOLLOUT,
					 OPERATE_ONCE, FOREVER);
	}
	if (result < 0 && result != NOT_TRIED && result != -EAGAIN)
		return result;
	return file_write_rest(file, message->iov, message->niov, max(result, 0l));
}

int socket_file_shutdown(struct file *file, int how)
{
	struct socket_port *port = socket_file_port(file);

	return port ? socket_port_shutdown(port, how) : socket_shutdown(socket_of(file), how);
}

static uint32_t ported_events(struct file *file)
{
	return socket_port_events(socket_file_port(file));
}

static uint32_t socket_file_events_remote(struct file *file)
{
	struct socket_port *port = socket_file_port(file);

	return port ? socket_port_events(port) : FILE_UNKNOWN;
}

/* ---- moving ---- */

/* On the new home. Whoever sent it has set all else before. */
static void moved(struct parcel *parcel)
{
	struct socket_file *file = container_of(parcel, struct socket_file, move_parcel);

	if (file->file.next_home != this_core || file->file.home != HOME_ON_ITS_WAY)
		panic("a socket came to core %u that was not sent there", this_core);
	socket_arrive(file->socket, file->marker);
	socket_owner_arrived(&file->owner);
	file_arrive(&file->file);
}

/* At home: the connection goes to the core of its user if that can be done now. */
static bool move_to_user(struct port_call *call)
{
	struct socket_file *file = container_of(call->file, struct socket_file, file);

	if (file->port || !list_is_empty(&file->file.watches) || call->user == this_core ||
	    !socket_may_move(file->socket, call->user))
		return false;
	file->marker = socket_leave(file->socket, call->user);
	if (!file->marker)
		return false;
	/* A message that comes to the new home before this one waits for it there (posix/file/file.c). */
	parcel_init(&file->move_parcel, moved);
	file_leave(&file->file, call->user);
	parcel_send(call->user, &file->move_parcel);
	return true;
}

/* ---- listening sockets ---- */

/* Whether a connection waits on any core can be seen from any core. */
struct listener_view {
	struct file_view view;
	struct listener *listener;
};

static uint32_t listener_view_events(struct file_view *view)
{
	const struct listener_view *listening = container_of(view, struct listener_view, view);

	return listener_has_waiting(listening->listener) ? EPOLLIN | EPOLLRDNORM : 0;
}

static void listener_view_release(struct file_view *view)
{
	struct listener_view *listening = container_of(view, struct listener_view, view);

	listener_release(listening->listener);
	object_free(listening);
}

static struct file_view *listener_view(struct listener *listener)
{
	struct listener_view *listening = object_alloc(sizeof(*listening));

	if (!listening)
		return NULL;
	/* Who watches elsewhere accepts elsewhere. */
	listener_spread(listener);
	listener_reference(listener);
	*listening =
	    (struct listener_view){ { listener_view_events, listener_view_release }, listener };
	return &listening->view;
}

/* Of exclusive waiters one on the core of the new connection is told, if there is one. */
static void listening_notify(void *owner, uint32_t events)
{
	struct file *file = owner;
	struct listener *listener = socket_listener(socket_of(file));

	file_notify_near(file, events, listener ? listener_news_from(listener) : this_core);
}

void socket_file_listens(struct file *file)
{
	socket_set_owner(socket_of(file), &socket_file_of(file)->owner, listening_notify, file);
}

static long accept_there(void *argument)
{
	struct accept_call *call = argument;
	int error = -EAGAIN;

	call->accepted = socket_accept(socket_of(call->file), &error);
	return call->accepted ? 0 : error;
}

/* This core's queue first, then others. */
static long accept_here(struct file *file, void *argument)
{
	struct accept_call *call = argument;

	/* Those that were seen may go to others each time; but not for ever. */
	for (unsigned tries = 0; tries <= ncores; tries++) {
		long result = accept_there(call);
		int core;

		if (result != -EAGAIN)
			return result;
		core = socket_accept_where(socket_of(file));
		if (core < 0)
			return -EAGAIN;
		if ((core_id_t)core != this_core) {
			result = core_call((core_id_t)core, accept_there, call);
			if (result != -EAGAIN)
				return result;
		}
	}
	return -EAGAIN;
}

long socket_file_accept(struct file *file, struct socket **accepted)
{
	struct accept_call call = { file, NULL };
	unsigned how = OPERATE_STAYS | OPERATE_EXCLUSIVE;
	long result = -EAGAIN;

	if (file->status_flags & O_NONBLOCK)
		how |= OPERATE_ONCE;
	if (likely(file->home == this_core)) {
		result = accept_there(&call);
		if (result == -EAGAIN && (how & OPERATE_ONCE) &&
		    socket_accept_where(socket_of(file)) < 0) {
			file_spin_poll();
			return -EAGAIN;
		}
	}
	if (result == -EAGAIN)
		result = file_operate_here(file, accept_here, NULL, &call, EPOLLIN, how,
					   file->read_timeout_ns);
	*accepted = call.accepted;
	return result;
}

/* ---- who comes near ---- */

static long view_at_home(void *argument)
{
	struct port_call *call = argument;
	struct listener *listener = socket_listener(socket_of(call->file));
	long result;

	if (listener) {
		call->view = listener_view(listener);
		return call->view ? 0 : -ENOMEM;
	}
	result = open_port(call);
	if (!result)
		call->view = socket_port_view(socket_file_port(call->file));
	return result;
}

static struct file_view *socket_file_approach(struct file *file, core_id_t core)
{
	struct port_call call = { .file = file, .user = core };

	return file_call(file, view_at_home, &call) == 0 ? call.view : NULL;
}

/* ---- the kinds of files ---- */

static const struct file_operations stream_operations = {
	.kind = "stream socket",
	.socket = &internet_stream_kind,
	.followed = true,
	.writes_all = true,
	.read = socket_file_read,
	.write = socket_file_write,
	.read_here = socket_file_read_here,
	.write_here = socket_file_write_here,
	.approach = socket_file_approach,
	.events = socket_file_events,
	.ioctl = socket_file_ioctl,
	.stat = socket_file_stat,
	.release = socket_file_release,
	.descriptor_closes = socket_file_descriptor_closes,
};

/* With a port. Without `read` and `write`: nothing is done directly, also at home. */
static const struct file_operations ported_operations = {
	.kind = "stream socket",
	.socket = &ported_stream_kind,
	.followed = true,
	.writes_all = true,
	.read_remote = socket_file_read_remote,
	.write_remote = socket_file_write_remote,
	.read_here = socket_file_read_here,
	.write_here = socket_file_write_here,
	.events_remote = socket_file_events_remote,
	.approach = socket_file_approach,
	.events = ported_events,
	.ioctl = socket_file_ioctl,
	.stat = socket_file_stat,
	.release = socket_file_release,
	.descriptor_closes = socket_file_descriptor_closes,
};

static const struct file_operations datagram_operations = {
	.kind = "datagram socket",
	.socket = &internet_datagram_kind,
	.followed = true,
	.read = socket_file_read,
	.write = socket_file_write,
	.events = socket_file_events,
	.ioctl = socket_file_ioctl,
	.stat = socket_file_stat,
	.release = socket_file_release,
};

static long set_owner(void *argument)
{
	struct file *file = argument;

	socket_set_owner(socket_of(file), &socket_file_of(file)->owner, socket_file_notify, file);
	return 0;
}

static long close_socket(void *argument)
{
	socket_close(argument);
	return 0;
}

struct file *socket_file_create(struct socket *socket, bool stream, int status_flags)
{
	struct socket_file *created = object_alloc(sizeof(*created));

	if (!created) {
		core_call(socket_home(socket), close_socket, socket);
		return NULL;
	}
	file_init(&created->file, stream ? &stream_operations : &datagram_operations,
		  (status_flags & O_NONBLOCK) | O_RDWR, NULL);
	created->file.home = created->file.next_home = socket_home(socket);
	created->socket = socket;
	created->linger_s = 0;
	created->port = NULL;
	created->marker = NULL;
	created->owner = (struct socket_owner){ .socket = NULL };
	/* What became true before the owner was set is found by asking for the events. */
	file_call(&created->file, set_owner, &created->file);
	return &created->file;
}
