/*
 * Local sockets as files: their making, readiness and end. The model is in the header.
 */
#include "posix/socket/unix_socket.h"

#include "posix/file/file_move.h"
#include "posix/socket/interface_list.h"
#include "posix/user_memory.h"

#include "lavra/console.h"
#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define IN_EVENTS (EPOLLIN | EPOLLRDNORM)
#define OUT_EVENTS (EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND)

/* Written by the core that makes or ends one. */
static unsigned alive[MAX_CORES];

unsigned unix_socket_count(void)
{
	unsigned sum = 0;

	/* Each core's counter wraps around where others end its sockets; the sum does not. */
	for (unsigned i = 0; i < ncores; i++)
		sum += __atomic_load_n(&alive[i], __ATOMIC_RELAXED);
	return sum;
}

static void count(int change)
{
	__atomic_store_n(&alive[this_core], alive[this_core] + (unsigned)change, __ATOMIC_RELAXED);
}

/* ---- being told ---- */

/* At home. */
static void look_again(struct unix_socket *socket, uint32_t what)
{
	uint32_t events = 0;

	if (what & TELL_ARRIVED) {
		inbox_collect(&socket->inbox);
		events |= IN_EVENTS;
	}
	if (what & TELL_ROOM)
		socket->waits_for = NULL;
	if (what & (TELL_ROOM | TELL_WRITABLE))
		events |= OUT_EVENTS | UNIX_MAY_SEND;
	if (what & TELL_CHANGED)
		events |= unix_events(&socket->file) | OUT_EVENTS | UNIX_MAY_SEND;
	file_notify(&socket->file, events);
}

static void told_from_afar(struct parcel *parcel)
{
	struct unix_socket *socket = container_of(parcel, struct unix_socket, parcel);

	if (socket->file.home != this_core) {
		parcel_send(socket->file.home, parcel);
		return;
	}
	/* `told` stays above zero then, so that nobody sends the parcel again. */
	if (socket->released) {
		unix_drop(socket);
		return;
	}
	/* Pairs with the fetch-or in unix_tell(). */
	look_again(socket, __atomic_exchange_n(&socket->told, 0, __ATOMIC_ACQ_REL));
}

void unix_tell(struct unix_socket *socket, uint32_t what)
{
	if (socket->file.home == this_core) {
		if (!socket->released)
			look_again(socket, what);
		return;
	}
	if (__atomic_fetch_or(&socket->told, what, __ATOMIC_ACQ_REL) == 0)
		parcel_send(socket->file.home, &socket->parcel);
}

long unix_take_error(struct unix_socket *socket)
{
	if (likely(!__atomic_load_n(&socket->error, __ATOMIC_RELAXED)))
		return 0;
	return -__atomic_exchange_n(&socket->error, 0, __ATOMIC_ACQ_REL);
}

static ssize_t read_here(struct file *file, const struct iovec *iov, unsigned niov)
{
	return file_bring(file, this_core) ? unix_file_read(file, iov, niov, NO_OFFSET) : NOT_TRIED;
}

static ssize_t write_here(struct file *file, const struct iovec *iov, unsigned niov)
{
	return file_bring(file, this_core) ? unix_file_write(file, iov, niov, NO_OFFSET)
					   : NOT_TRIED;
}

/* ---- readiness ---- */

/* Of a datagram socket that sends to another one which does not send to it. */
static bool peer_is_full(struct unix_socket *socket)
{
	struct unix_socket *peer = unix_peer(socket);

	return socket->type == SOCK_DGRAM && peer && !unix_is_peer_of(peer, socket) &&
	       unix_is_full(peer) && unix_wait_for_room(socket, peer);
}

/* Linux's unix_poll(): writable at a quarter of the buffer. */
static uint32_t send_events(struct unix_socket *socket)
{
	uint64_t limit = socket->send_room;

	if (unix_state_of(socket) == UNIX_LISTENING)
		return 0;
	if (account_charged(&socket->account) * 4ull > limit) {
		__atomic_store_n(&socket->wants_room, 1, __ATOMIC_SEQ_CST);
		if (account_charged(&socket->account) * 4ull > limit)
			return 0;
	}
	if (peer_is_full(socket))
		return 0;
	return OUT_EVENTS | (socket->waits_for ? 0 : UNIX_MAY_SEND);
}

uint32_t unix_events(struct file *file)
{
	struct unix_socket *socket = unix_of(file);
	uint32_t shutdown = unix_shutdown_bits(socket), events = send_events(socket);

	if (__atomic_load_n(&socket->error, __ATOMIC_RELAXED))
		events |= EPOLLERR;
	if (shutdown == SHUT_BOTH)
		events |= EPOLLHUP;
	if (shutdown & SHUT_RECEIVE)
		events |= EPOLLRDHUP | IN_EVENTS;
	if (inbox_first(&socket->inbox))
		events |= IN_EVENTS;
	/* Not of one that waits in connect(): it would not wait. */
	if (socket->type != SOCK_DGRAM && unix_state_of(socket) == UNIX_FREE && !socket->waits_for)
		events |= EPOLLHUP;
	return events;
}

/* What is still to be read: of a stream all, of others the first message, as Linux says. */
static int readable_bytes(struct unix_socket *socket)
{
	struct unix_message *message = inbox_first(&socket->inbox);
	int sum = 0;

	if (socket->type == SOCK_DGRAM)
		return message ? (int)message->length : 0;
	inbox_collect(&socket->inbox);
	for (; message; message = message->next)
		sum += (int)(message->length - message->taken);
	return sum;
}

static long unix_ioctl(struct file *file, unsigned long request, void *argument)
{
	struct unix_socket *socket = unix_of(file);
	int bytes;

	switch (request) {
	case FIONREAD:
		if (unix_state_of(socket) == UNIX_LISTENING)
			return -EINVAL;
		bytes = readable_bytes(socket);
		return user_write(argument, &bytes, sizeof(bytes));
	case TIOCOUTQ: /* SIOCOUTQ */
		bytes = (int)account_charged(&socket->account);
		return user_write(argument, &bytes, sizeof(bytes));
	}
	return interface_ioctl(request, argument);
}

static int unix_stat(struct file *file, struct stat *st)
{
	st->st_mode = S_IFSOCK | 0777;
	st->st_blksize = PAGE_SIZE;
	return 0;
}

/* ---- the end ---- */

/* The accept queue of a listener: connections that nobody will take. */
static void refuse_all(struct unix_message *list)
{
	while (list) {
		struct unix_message *next = list->next;

		file_unreference(&container_of(list, struct unix_socket, connection)->file);
		list = next;
	}
}

/* Linux's unix_release_sock(): the other end hears that data was lost. */
static void leave_peer(struct unix_socket *socket, bool unread)
{
	struct unix_socket *peer = unix_peer(socket);

	if (!peer)
		return;
	if (socket->type != SOCK_DGRAM) {
		if (unread || socket->embryo)
			__atomic_store_n(&peer->error, ECONNRESET, __ATOMIC_RELAXED);
		/* Release: pairs with unix_shutdown_bits(); what was sent is in the inbox. */
		__atomic_fetch_or(&peer->shutdown, SHUT_BOTH, __ATOMIC_RELEASE);
		unix_tell(peer, TELL_CHANGED);
	}
	__atomic_store_n(&socket->peer, NULL, __ATOMIC_RELAXED);
	unix_drop(peer);
}

static void unix_release(struct file *file)
{
	struct unix_socket *socket = unix_of(file);
	struct unix_message *left;

	socket->released = true;
	unix_name_withdraw(socket);
	left = inbox_close(&socket->inbox);
	/* It is not full any more: who sends is to hear that it has ended. */
	__atomic_store_n(&socket->backlog, UINT32_MAX, __ATOMIC_RELAXED);
	leave_peer(socket, left != NULL);
	if (unix_state_of(socket) == UNIX_LISTENING)
		refuse_all(left);
	else
		unix_messages_drop(left);
	unix_room_made(socket, true);
	/* A parcel that is under way drops the file's hold; else nobody sends one any more. */
	if (__atomic_fetch_or(&socket->told, TELL_RELEASED, __ATOMIC_ACQ_REL) == 0)
		unix_drop(socket);
}

void unix_end(struct unix_socket *socket)
{
	unix_name_drop(socket->name);
	count(-1);
	file_free(&socket->file);
}

/* ---- making ---- */

static const struct file_operations stream_operations = {
	.kind = "local stream socket",
	.socket = &unix_stream_kind,
	.writes_all = true,
	.read = unix_file_read,
	.write = unix_file_write,
	.read_here = read_here,
	.write_here = write_here,
	.approach = file_approach_by_moving,
	.events = unix_events,
	.ioctl = unix_ioctl,
	.stat = unix_stat,
	.release = unix_release,
};

static const struct file_operations packet_operations = {
	.kind = "local packet socket",
	.socket = &unix_packet_kind,
	.read = unix_file_read,
	.write = unix_file_write,
	.read_here = read_here,
	.write_here = write_here,
	.approach = file_approach_by_moving,
	.events = unix_events,
	.ioctl = unix_ioctl,
	.stat = unix_stat,
	.release = unix_release,
};

static const struct file_operations datagram_operations = {
	.kind = "local datagram socket",
	.socket = &unix_datagram_kind,
	.read = unix_file_read,
	.write = unix_file_write,
	.read_here = read_here,
	.write_here = write_here,
	.approach = file_approach_by_moving,
	.events = unix_events,
	.ioctl = unix_ioctl,
	.stat = unix_stat,
	.release = unix_release,
};

static const struct file_operations *operations_of(int type)
{
	switch (type) {
	case SOCK_STREAM:
		return &stream_operations;
	case SOCK_SEQPACKET:
		return &packet_operations;
	}
	return &datagram_operations;
}

struct unix_socket *unix_create(int type, int status_flags, core_id_t home)
{
	struct unix_socket *socket = object_alloc_zeroed(sizeof(*socket));

	if (!socket)
		return NULL;
	file_init(&socket->file, operations_of(type), (status_flags & O_NONBLOCK) | O_RDWR, NULL);
	socket->file.home = home;
	socket->type = type;
	socket->backlog = UNIX_QUEUE_MAX;
	socket->send_room = UNIX_BUFFER_BYTES;
	socket->receive_room = UNIX_BUFFER_BYTES;
	account_init(&socket->account);
	inbox_init(&socket->inbox);
	parcel_init(&socket->parcel, told_from_afar);
	count(1);
	return socket;
}

void unix_join(struct unix_socket *a, struct unix_socket *b)
{
	unix_hold(a);
	unix_hold(b);
	a->peer = b;
	b->peer = a;
	a->peer_known = b->peer_known = true;
	/* Release: who sees the state sees the peer. */
	__atomic_store_n(&a->state, UNIX_CONNECTED, __ATOMIC_RELEASE);
	__atomic_store_n(&b->state, UNIX_CONNECTED, __ATOMIC_RELEASE);
}

static long check_type(int *type, int protocol)
{
	if (protocol && protocol != AF_UNIX)
		return -EPROTONOSUPPORT;
	/* Linux takes raw local sockets for datagram sockets. */
	if (*type == SOCK_RAW)
		*type = SOCK_DGRAM;
	if (*type != SOCK_STREAM && *type != SOCK_DGRAM && *type != SOCK_SEQPACKET)
		return -ESOCKTNOSUPPORT;
	return 0;
}

long unix_socket_create(int family, int type, int protocol, int status_flags, struct file **file)
{
	long result = check_type(&type, protocol);
	struct unix_socket *socket;

	if (result)
		return result;
	socket = unix_create(type, status_flags, this_core);
	if (!socket)
		return -ENOMEM;
	*file = &socket->file;
	return 0;
}

long unix_socket_create_pair(int family, int type, int protocol, int status_flags,
			     struct file *files[2])
{
	long result = check_type(&type, protocol);
	struct unix_socket *a, *b;

	if (result)
		return result;
	a = unix_create(type, status_flags, this_core);
	b = unix_create(type, status_flags, this_core);
	if (!a || !b) {
		if (a)
			file_unreference(&a->file);
		if (b)
			file_unreference(&b->file);
		return -ENOMEM;
	}
	unix_join(a, b);
	files[0] = &a->file;
	files[1] = &b->file;
	return 0;
}
