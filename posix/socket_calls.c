/*
 * The socket system calls. Each does its work at the socket's home: at once when that is this core.
 */
#include "posix/file.h"
#include "posix/signal.h"
#include "posix/socket_file.h"
#include "posix/syscall.h"
#include "posix/timeout.h"
#include "posix/user_memory.h"

#include "lavra/console.h"
#include "net/socket.h"
#include "sched/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#define IOV_LIMIT 1024

static long lookup_socket(int fd, struct file **file)
{
	*file = fd_lookup(fd);
	if (unlikely(!*file))
		return -EBADF;
	if (unlikely(!file_is_socket(*file)))
		return -ENOTSOCK;
	return 0;
}

SYSCALL(socket)(int family, int type, int protocol)
{
	int flags = type & (SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct socket *socket;
	struct file *file;
	int error, fd;

	type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd_count() >= fd_limit())
		return -EMFILE;
	socket = socket_create(family, type, protocol, &error);
	if (!socket)
		return error;
	file =
	    socket_file_create(socket, type == SOCK_STREAM, flags & SOCK_NONBLOCK ? O_NONBLOCK : 0);
	if (!file)
		return -ENOMEM;
	fd = fd_install(file, 0, flags & SOCK_CLOEXEC);
	if (fd < 0)
		file_unreference(file);
	return fd;
}

/* ---- addresses ---- */

/* What fits is copied; *length says how long the whole is, as Linux does. */
static long put_address(const struct sockaddr_in *from, struct sockaddr *to, socklen_t *length)
{
	if (!to)
		return 0;
	if (user_pointer_is_bad(to) || user_pointer_is_bad(length))
		return -EFAULT;
	if ((int)*length < 0)
		return -EINVAL;
	memcpy(to, from, min((size_t)*length, sizeof(*from)));
	*length = sizeof(*from);
	return 0;
}

struct address_call {
	struct file *file;
	int (*get)(struct socket *, struct sockaddr_in *);
	struct sockaddr_in address;
};

static long address_attempt(struct file *file, void *argument)
{
	struct address_call *call = argument;

	return call->get(socket_of(file), &call->address);
}

static long get_address(int fd, int (*get)(struct socket *, struct sockaddr_in *),
			struct sockaddr *address, socklen_t *length)
{
	struct address_call call = { .get = get };
	struct file *file;
	long result = lookup_socket(fd, &file);

	if (!result)
		result = file_operate(file, address_attempt, &call, 0, true, FOREVER);
	if (!result && !address)
		result = -EFAULT;
	return result ? result : put_address(&call.address, address, length);
}

SYSCALL(getsockname)(int fd, struct sockaddr *address, socklen_t *length)
{
	return get_address(fd, socket_local_address, address, length);
}

SYSCALL(getpeername)(int fd, struct sockaddr *address, socklen_t *length)
{
	return get_address(fd, socket_peer_address, address, length);
}

struct bind_call {
	const struct sockaddr *address;
	socklen_t length;
	bool started;
};

static long bind_attempt(struct file *file, void *argument)
{
	struct bind_call *call = argument;

	return socket_bind(socket_of(file), call->address, call->length);
}

SYSCALL(bind)(int fd, const struct sockaddr *address, socklen_t length)
{
	struct bind_call call = { address, length, false };
	struct file *file;
	long result = lookup_socket(fd, &file);

	if (result)
		return result;
	if (user_pointer_is_bad(address))
		return -EFAULT;
	return file_operate(file, bind_attempt, &call, 0, true, FOREVER);
}

/* Started once; then the result is awaited. */
static long connect_attempt(struct file *file, void *argument)
{
	struct bind_call *call = argument;
	struct socket *socket = socket_of(file);
	socklen_t length = sizeof(int);
	int error = 0;

	if (!call->started) {
		long result = socket_connect(socket, call->address, call->length);

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
	struct bind_call *call = argument;

	return socket_connect(socket_of(file), call->address, call->length);
}

SYSCALL(connect)(int fd, const struct sockaddr *address, socklen_t length)
{
	struct bind_call call = { address, length, false };
	struct file *file;
	long result = lookup_socket(fd, &file);

	if (result)
		return result;
	if (user_pointer_is_bad(address))
		return -EFAULT;
	if (file->status_flags & O_NONBLOCK)
		return file_operate(file, connect_once, &call, 0, true, FOREVER);
	result =
	    file_operate(file, connect_attempt, &call, EPOLLOUT, false, file->write_timeout_ns);
	return result == -EAGAIN ? -EINPROGRESS : result;
}

/* ---- listening ---- */

struct listen_call {
	struct file *file;
	int backlog;
	long result;
	struct thread *caller;
};

static void listen_thread(void *argument)
{
	struct listen_call *call = argument;

	call->result = socket_listen(socket_of(call->file), call->backlog);
	thread_wake(call->caller);
}

/* socket_listen() waits for the other cores, so a pinned thread elsewhere cannot have it done by a
 * message: a short-lived thread at home does it. */
static long listen_at_home(struct file *file, int backlog)
{
	struct listen_call call = { file, backlog, 0, current };

	if (file_go_home(file) == 0)
		return socket_listen(socket_of(file), backlog);
	thread_prepare_block();
	if (!thread_create("listen", file->home, listen_thread, &call))
		return -ENOMEM;
	thread_block(FOREVER);
	return call.result;
}

SYSCALL(listen)(int fd, int backlog)
{
	struct file *file;
	long result = lookup_socket(fd, &file);

	if (result)
		return result;
	if (!file_is_stream_socket(file))
		return -EOPNOTSUPP;
	if (!file_reference(file))
		return -EBADF;
	result = listen_at_home(file, backlog);
	file_unreference(file);
	return result;
}

struct accept_call {
	struct socket *accepted;
};

static long accept_attempt(struct file *file, void *argument)
{
	struct accept_call *call = argument;
	int error = -EAGAIN;

	call->accepted = socket_accept(socket_of(file), &error);
	return call->accepted ? 0 : error;
}

SYSCALL(accept4)(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	struct accept_call call = { NULL };
	struct file *file, *accepted;
	bool nonblocking;
	long result = lookup_socket(fd, &file);
	int status_flags = flags & SOCK_NONBLOCK ? O_NONBLOCK : 0;

	if (result)
		return result;
	if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	if (!file_is_stream_socket(file))
		return -EOPNOTSUPP;
	/* Looked at before a connection is taken, so that it stays in the queue. */
	if (fd_count() >= fd_limit())
		return -EMFILE;
	nonblocking = file->status_flags & O_NONBLOCK;
	result = -EAGAIN;
	if (likely(file->home == this_core))
		result = accept_attempt(file, &call);
	if (result == -EAGAIN && nonblocking && file->home == this_core) {
		file_spin_poll();
		return -EAGAIN;
	}
	if (result == -EAGAIN)
		result = file_operate(file, accept_attempt, &call, EPOLLIN, nonblocking,
				      file->read_timeout_ns);
	if (result)
		return result;
	accepted = socket_file_create(call.accepted, true, status_flags);
	if (!accepted)
		return -ENOMEM;
	if (address) {
		struct address_call peer = { .get = socket_peer_address };

		/* A connection that is reset already has no peer any more: still a connection. */
		memset(&peer.address, 0, sizeof(peer.address));
		peer.address.sin_family = AF_INET;
		file_operate(accepted, address_attempt, &peer, 0, true, FOREVER);
		result = put_address(&peer.address, address, length);
	}
	if (!result)
		result = fd_install(accepted, 0, flags & SOCK_CLOEXEC);
	if (result < 0)
		file_unreference(accepted);
	return result;
}

SYSCALL(accept)(int fd, struct sockaddr *address, socklen_t *length)
{
	return sys_accept4(fd, address, length, 0);
}

/* ---- data ---- */

struct message_call {
	const struct iovec *iov;
	unsigned niov;
	int flags;
	struct sockaddr_in *from;
	const struct sockaddr_in *to;
};

static long receive_attempt(struct file *file, void *argument)
{
	struct message_call *call = argument;

	return socket_receive(socket_of(file), call->iov, call->niov, call->flags, call->from);
}

static long send_attempt(struct file *file, void *argument)
{
	struct message_call *call = argument;

	return socket_send(socket_of(file), call->iov, call->niov, call->flags, call->to);
}

static ssize_t receive_message(struct file *file, const struct iovec *iov, unsigned niov, int flags,
			       struct sockaddr_in *from)
{
	bool nonblocking = (file->status_flags & O_NONBLOCK) || (flags & MSG_DONTWAIT);
	int once_flags = flags & ~(MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC);
	struct message_call call = { iov, niov, once_flags, from, NULL };

	if (likely(file->home == this_core)) {
		ssize_t result = socket_receive(socket_of(file), iov, niov, once_flags, from);

		if (likely(result != -EAGAIN))
			return result;
		if (nonblocking) {
			file_spin_poll();
			return -EAGAIN;
		}
	}
	return file_operate(file, receive_attempt, &call, EPOLLIN | EPOLLRDHUP, nonblocking,
			    file->read_timeout_ns);
}

/* MSG_WAITALL on one buffer of a stream. */
static ssize_t receive_all_held(int fd, char *buffer, size_t length, int flags)
{
	size_t done = 0;

	while (done < length) {
		struct iovec iov = { buffer + done, length - done };
		struct file *file = fd_lookup(fd);
		ssize_t result = file ? receive_message(file, &iov, 1, flags, NULL) : -EBADF;

		if (result < 0)
			return done ? (ssize_t)done : result;
		if (result == 0)
			break;
		done += result;
	}
	return done;
}

static __attribute__((noinline)) ssize_t receive_all(int fd, char *buffer, size_t length, int flags)
{
	ssize_t result;

	do {
		signal_hold();
		result = receive_all_held(fd, buffer, length, flags);
	} while (signal_release(result));
	return result;
}

SYSCALL(recvfrom)
(int fd, void *buffer, size_t length, int flags, struct sockaddr *address,
 socklen_t *address_length)
{
	struct iovec iov = { buffer, length };
	struct sockaddr_in from;
	struct file *file;
	long result = lookup_socket(fd, &file);

	if (unlikely(result))
		return result;
	if (unlikely(user_buffer_is_bad(buffer, length)))
		return -EFAULT;
	if (unlikely(flags & MSG_WAITALL) && file_is_stream_socket(file) &&
	    !(flags & (MSG_PEEK | MSG_DONTWAIT)) && !(file->status_flags & O_NONBLOCK))
		return receive_all(fd, buffer, length, flags);
	if (likely(!address))
		return receive_message(file, &iov, 1, flags, NULL);
	memset(&from, 0, sizeof(from));
	/* A stream has no source address to tell: Linux leaves the length 0. */
	if (file_is_stream_socket(file)) {
		if (user_pointer_is_bad(address_length))
			return -EFAULT;
		*address_length = 0;
		return receive_message(file, &iov, 1, flags, NULL);
	}
	result = receive_message(file, &iov, 1, flags, &from);
	if (result >= 0) {
		long bad = put_address(&from, address, address_length);

		if (bad)
			return bad;
	}
	return result;
}

static ssize_t send_message(struct file *file, const struct iovec *iov, unsigned niov, int flags,
			    const struct sockaddr_in *to)
{
	bool nonblocking = (file->status_flags & O_NONBLOCK) || (flags & MSG_DONTWAIT);
	int once_flags = flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL);
	struct message_call call = { iov, niov, once_flags, NULL, to };
	ssize_t result = -EAGAIN;

	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (likely(file->home == this_core)) {
		result = socket_send(socket_of(file), iov, niov, once_flags, to);
		if (nonblocking)
			return result;
	} else if (nonblocking || !file_is_stream_socket(file)) {
		return file_operate(file, send_attempt, &call, EPOLLOUT, nonblocking,
				    file->write_timeout_ns);
	}
	if (result < 0 && result != -EAGAIN)
		return result;
	if (!file_is_stream_socket(file))
		return result == -EAGAIN ? file_operate(file, send_attempt, &call, EPOLLOUT, false,
							file->write_timeout_ns)
					 : result;
	return file_write_rest(file, iov, niov, max(result, 0l));
}

/* MSG_NOSIGNAL and the file's end are the same for all ways to send. */
static ssize_t sent(ssize_t result, int flags)
{
	if (unlikely(result == -EPIPE) && !(flags & MSG_NOSIGNAL))
		signal_broken_pipe();
	return result;
}

static long check_destination(const struct file *file, const struct sockaddr *address,
			      socklen_t length)
{
	if (user_pointer_is_bad(address))
		return -EFAULT;
	if (file_is_stream_socket(file))
		return 0; /* ignored on a connected stream */
	if (length < sizeof(struct sockaddr_in))
		return -EINVAL;
	if (address->sa_family != AF_INET)
		return -EAFNOSUPPORT;
	return 0;
}

SYSCALL(sendto)
(int fd, const void *buffer, size_t length, int flags, const struct sockaddr *address,
 socklen_t address_length)
{
	struct iovec iov = { (void *)buffer, length };
	struct sockaddr_in to;
	struct file *file;
	long result = lookup_socket(fd, &file);

	if (unlikely(result))
		return result;
	if (unlikely(user_buffer_is_bad(buffer, length)))
		return -EFAULT;
	if (likely(!address) || file_is_stream_socket(file))
		return sent(send_message(file, &iov, 1, flags, NULL), flags);
	result = check_destination(file, address, address_length);
	if (result)
		return result;
	memcpy(&to, address, sizeof(to));
	return sent(send_message(file, &iov, 1, flags, &to), flags);
}

static long check_message(const struct msghdr *message)
{
	if (user_pointer_is_bad(message))
		return -EFAULT;
	if (message->msg_iovlen < 0 || message->msg_iovlen > IOV_LIMIT)
		return -EMSGSIZE;
	if (message->msg_iovlen && user_pointer_is_bad(message->msg_iov))
		return -EFAULT;
	for (int i = 0; i < message->msg_iovlen; i++)
		if (user_buffer_is_bad(message->msg_iov[i].iov_base, message->msg_iov[i].iov_len))
			return -EFAULT;
	return 0;
}

SYSCALL(sendmsg)(int fd, const struct msghdr *message, int flags)
{
	struct sockaddr_in to;
	struct file *file;
	long result = lookup_socket(fd, &file);

	if (!result)
		result = check_message(message);
	if (result)
		return result;
	/* No ancillary data can be sent (docs/posix.md): refusing is better than losing it. */
	if (message->msg_controllen)
		return -EINVAL;
	if (!message->msg_name || file_is_stream_socket(file))
		return sent(send_message(file, message->msg_iov, message->msg_iovlen, flags, NULL),
			    flags);
	result = check_destination(file, message->msg_name, message->msg_namelen);
	if (result)
		return result;
	memcpy(&to, message->msg_name, sizeof(to));
	return sent(send_message(file, message->msg_iov, message->msg_iovlen, flags, &to), flags);
}

SYSCALL(recvmsg)(int fd, struct msghdr *message, int flags)
{
	struct sockaddr_in from;
	struct file *file;
	size_t room = 0;
	bool datagram;
	long result = lookup_socket(fd, &file);

	if (!result)
		result = check_message(message);
	if (result)
		return result;
	datagram = !file_is_stream_socket(file);
	for (int i = 0; i < message->msg_iovlen; i++)
		room += message->msg_iov[i].iov_len;
	memset(&from, 0, sizeof(from));
	/* MSG_TRUNC makes a datagram's whole length known, so that msg_flags can tell. */
	result = receive_message(file, message->msg_iov, message->msg_iovlen,
				 datagram ? flags | MSG_TRUNC : flags, datagram ? &from : NULL);
	if (result < 0)
		return result;
	message->msg_flags = 0;
	message->msg_controllen = 0;
	if (!datagram) {
		message->msg_namelen = 0;
		return result;
	}
	if (message->msg_name) {
		long bad = put_address(&from, message->msg_name, &message->msg_namelen);

		if (bad)
			return bad;
	}
	if ((size_t)result > room) {
		message->msg_flags |= MSG_TRUNC;
		if (!(flags & MSG_TRUNC))
			result = room;
	}
	return result;
}

static long send_messages(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	for (unsigned i = 0; i < min(count, (unsigned)IOV_LIMIT); i++) {
		long result;

		if (user_pointer_is_bad(&messages[i]))
			return i ? (long)i : -EFAULT;
		result = sys_sendmsg(fd, &messages[i].msg_hdr, flags);
		if (result < 0)
			return i ? (long)i : result;
		messages[i].msg_len = result;
	}
	return min(count, (unsigned)IOV_LIMIT);
}

SYSCALL(sendmmsg)(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	long result;

	do {
		signal_hold();
		result = send_messages(fd, messages, count, flags);
	} while (signal_release(result));
	return result;
}

/* As Linux: the deadline is looked at only after each message. */
static long receive_messages(int fd, struct mmsghdr *messages, unsigned count, int flags,
			     uint64_t deadline_ns)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		long result;

		if (user_pointer_is_bad(&messages[i]))
			return i ? (long)i : -EFAULT;
		result = sys_recvmsg(fd, &messages[i].msg_hdr, flags & ~MSG_WAITFORONE);
		if (result < 0)
			return i ? (long)i : result;
		messages[i].msg_len = result;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		if (clock_ns() >= deadline_ns)
			return i + 1;
	}
	return i;
}

SYSCALL(recvmmsg)
(int fd, struct mmsghdr *messages, unsigned count, int flags, const struct timespec *timeout)
{
	uint64_t deadline_ns = FOREVER;
	long result;

	if (timeout) {
		if (user_pointer_is_bad(timeout))
			return -EFAULT;
		if (timespec_is_bad(timeout))
			return -EINVAL;
		deadline_ns = deadline_of(timeout);
	}
	do {
		signal_hold();
		result = receive_messages(fd, messages, count, flags, deadline_ns);
	} while (signal_release(result));
	return result;
}

/* ---- options ---- */

struct option_call {
	int level, name;
	void *value;
	socklen_t *length;
	socklen_t given;
};

static long shutdown_attempt(struct file *file, void *argument)
{
	struct option_call *call = argument;

	return socket_shutdown(socket_of(file), call->name);
}

SYSCALL(shutdown)(int fd, int how)
{
	struct option_call call = { .name = how };
	struct file *file;
	long result = lookup_socket(fd, &file);

	if (result)
		return result;
	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return -EINVAL;
	return file_operate(file, shutdown_attempt, &call, 0, true, FOREVER);
}

static uint64_t *timeout_of(struct file *file, int level, int name)
{
	if (level != SOL_SOCKET)
		return NULL;
	if (name == SO_RCVTIMEO)
		return &file->read_timeout_ns;
	return name == SO_SNDTIMEO ? &file->write_timeout_ns : NULL;
}

static long set_attempt(struct file *file, void *argument)
{
	struct option_call *call = argument;

	return socket_set_option(socket_of(file), call->level, call->name, call->value,
				 call->given);
}

static long get_attempt(struct file *file, void *argument)
{
	struct option_call *call = argument;

	return socket_get_option(socket_of(file), call->level, call->name, call->value,
				 call->length);
}

SYSCALL(setsockopt)(int fd, int level, int name, const void *value, socklen_t length)
{
	struct option_call call = { level, name, (void *)value, NULL, length };
	struct file *file;
	uint64_t *timeout_ns;
	long result = lookup_socket(fd, &file);

	if (result)
		return result;
	if (user_buffer_is_bad(value, length))
		return -EFAULT;
	timeout_ns = timeout_of(file, level, name);
	if (timeout_ns) {
		const struct timeval *tv = value;

		if (length < sizeof(*tv))
			return -EINVAL;
		if (tv->tv_usec < 0 || tv->tv_usec >= 1000000)
			return -EDOM;
		/* 0 is "no timeout"; a negative time is none either: it has passed. */
		if (tv->tv_sec < 0)
			*timeout_ns = 0;
		else if (tv->tv_sec == 0 && tv->tv_usec == 0)
			*timeout_ns = FOREVER;
		else if ((uint64_t)tv->tv_sec > FOREVER / NS_PER_S - 1)
			*timeout_ns = FOREVER;
		else
			*timeout_ns = tv->tv_sec * NS_PER_S + tv->tv_usec * NS_PER_US;
		return 0;
	}
	return file_operate(file, set_attempt, &call, 0, true, FOREVER);
}

SYSCALL(getsockopt)(int fd, int level, int name, void *value, socklen_t *length)
{
	struct option_call call = { level, name, value, length, 0 };
	struct file *file;
	uint64_t *timeout_ns;
	long result = lookup_socket(fd, &file);

	if (result)
		return result;
	if (user_pointer_is_bad(length) || user_buffer_is_bad(value, *length))
		return -EFAULT;
	timeout_ns = timeout_of(file, level, name);
	if (timeout_ns) {
		struct timeval tv = { 0 };

		if (*timeout_ns != FOREVER) {
			tv.tv_sec = *timeout_ns / NS_PER_S;
			tv.tv_usec = *timeout_ns % NS_PER_S / NS_PER_US;
		}
		*length = min((size_t)*length, sizeof(tv));
		memcpy(value, &tv, *length);
		return 0;
	}
	return file_operate(file, get_attempt, &call, 0, true, FOREVER);
}

/* Local sockets do not exist: what has just one address space has pipes and eventfds. */
SYSCALL(socketpair)(int family, int type, int protocol, int fds[2])
{
	return family == AF_INET || family == AF_INET6 ? -EOPNOTSUPP : -EAFNOSUPPORT;
}
