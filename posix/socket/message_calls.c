/*
 * The calls that send and receive messages: vectors, addresses and ancillary data are checked here,
 * what is done with them is the socket's kind's (posix/socket/socket_kind.h).
 */
#include "posix/file/iovec.h"
#include "posix/signal/signal.h"
#include "posix/socket/socket_calls.h"
#include "posix/socket/socket_kind.h"
#include "posix/syscall.h"
#include "posix/time/timeout.h"
#include "posix/user_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define IOV_LIMIT 1024 /* UIO_MAXIOV */
#define REST_ENTRIES 16

/* ---- receiving ---- */

/* A stream's blocking MSG_WAITALL: several receptions, until all is there, the stream ends, or
 * ancillary data came, which belongs to what was received up to it. */
static ssize_t receive_all_held(int fd, struct socket_message *message)
{
	size_t total = iov_total(message->iov, message->niov), done = 0;
	size_t control_room = message->control ? message->control->length : 0;

	while (done < total) {
		struct iovec rest[REST_ENTRIES];
		struct socket_message piece = *message;
		struct file *file;
		ssize_t result = socket_lookup(fd, &file);

		piece.iov = rest;
		piece.niov = iov_rest(message->iov, message->niov, done, rest, REST_ENTRIES);
		if (message->control)
			message->control->length = control_room;
		if (!result)
			result = socket_kind_of(file)->receive(file, &piece);
		if (result < 0)
			return done ? (ssize_t)done : result;
		if (result == 0)
			break;
		done += result;
		if (message->control && (message->control->length || message->control->truncated))
			break;
	}
	return done;
}

static __attribute__((noinline)) ssize_t receive_all(int fd, struct socket_message *message)
{
	ssize_t result;

	do {
		signal_hold();
		result = receive_all_held(fd, message);
	} while (signal_release(result));
	return result;
}

static inline ssize_t receive_one(int fd, struct file *file, struct socket_message *message)
{
	const struct socket_kind *kind = socket_kind_of(file);

	if (unlikely(message->flags & (MSG_WAITALL | MSG_ERRQUEUE))) {
		/* No socket has a queue of errors: it is always empty. */
		if (message->flags & MSG_ERRQUEUE)
			return -EAGAIN;
		if (kind->stream && !(message->flags & MSG_PEEK) &&
		    !message_is_nonblocking(file, message))
			return receive_all(fd, message);
	}
	return kind->receive(file, message);
}

SYSCALL(recvfrom)
(int fd, void *buffer, size_t length, int flags, struct sockaddr *address,
 socklen_t *address_length)
{
	struct iovec iov = { buffer, length };
	struct socket_message message = { &iov, 1, flags, NULL, NULL };
	struct socket_address from;
	struct file *file;
	long result = socket_lookup(fd, &file);

	if (unlikely(result))
		return result;
	if (unlikely(user_buffer_is_bad(buffer, length)))
		return -EFAULT;
	if (likely(!address))
		return receive_one(fd, file, &message);
	from.length = 0;
	message.address = &from;
	result = receive_one(fd, file, &message);
	if (result >= 0) {
		long bad = socket_address_put(&from, address, address_length);

		if (bad)
			return bad;
	}
	return result;
}

/* What sendmsg() and recvmsg() check of a message. */
static long check_message(const struct msghdr *message)
{
	if (user_pointer_is_bad(message))
		return -EFAULT;
	if ((int)message->msg_namelen < 0)
		return -EINVAL;
	if (message->msg_iovlen < 0 || message->msg_iovlen > IOV_LIMIT)
		return -EMSGSIZE;
	if (message->msg_iovlen && user_pointer_is_bad(message->msg_iov))
		return -EFAULT;
	for (int i = 0; i < message->msg_iovlen; i++)
		if (user_buffer_is_bad(message->msg_iov[i].iov_base, message->msg_iov[i].iov_len))
			return -EFAULT;
	if (message->msg_controllen > INT_MAX)
		return -ENOBUFS;
	return 0;
}

/* Ends what is common: addresses, ancillary data and flags go back to the application. */
static long give_back(struct msghdr *header, const struct socket_message *message)
{
	long bad = 0;

	header->msg_flags = message->flags & MSG_CMSG_CLOEXEC;
	if (message->control->truncated)
		header->msg_flags |= MSG_CTRUNC;
	if (header->msg_name)
		bad = socket_address_put(message->address, header->msg_name, &header->msg_namelen);
	header->msg_controllen = header->msg_control ? (socklen_t)message->control->length : 0;
	return bad;
}

SYSCALL(recvmsg)(int fd, struct msghdr *header, int flags)
{
	struct socket_control control;
	struct socket_address from;
	struct socket_message message;
	struct file *file;
	bool stream;
	size_t room;
	long result = socket_lookup(fd, &file), bad;

	if (!result)
		result = check_message(header);
	if (result)
		return result;
	control.data = header->msg_control;
	control.length = control.data ? header->msg_controllen : 0;
	control.truncated = false;
	if (user_buffer_is_bad(control.data, control.length))
		return -EFAULT;
	from.length = 0;
	message = (struct socket_message){ header->msg_iov, (unsigned)header->msg_iovlen, flags,
					   &from, &control };
	stream = socket_kind_of(file)->stream;
	room = iov_total(message.iov, message.niov);
	/* Makes a datagram's whole length known, so that msg_flags can tell. */
	if (!stream)
		message.flags |= MSG_TRUNC;
	result = receive_one(fd, file, &message);
	if (result < 0)
		return result;
	bad = give_back(header, &message);
	if (bad)
		return bad;
	if (!stream && (size_t)result > room) {
		header->msg_flags |= MSG_TRUNC;
		if (!(flags & MSG_TRUNC))
			result = (long)room;
	}
	return result;
}

/* ---- sending ---- */

static inline ssize_t send_one(struct file *file, struct socket_message *message)
{
	/* The file is stale after it was used. */
	bool stream = socket_kind_of(file)->stream;
	ssize_t result = socket_kind_of(file)->send(file, message);

	if (unlikely(result == -EPIPE) && stream && !(message->flags & MSG_NOSIGNAL))
		signal_broken_pipe();
	return result;
}

SYSCALL(sendto)
(int fd, const void *buffer, size_t length, int flags, const struct sockaddr *address,
 socklen_t address_length)
{
	struct iovec iov = { (void *)buffer, length };
	struct socket_message message = { &iov, 1, flags, NULL, NULL };
	struct socket_address to;
	struct file *file;
	long result = socket_lookup(fd, &file);

	if (unlikely(result))
		return result;
	if (unlikely(user_buffer_is_bad(buffer, length)))
		return -EFAULT;
	if (address) {
		result = socket_address_get(address, address_length, &to);
		if (result)
			return result;
		message.address = &to;
	}
	return send_one(file, &message);
}

SYSCALL(sendmsg)(int fd, const struct msghdr *header, int flags)
{
	struct socket_message message = { .flags = flags };
	struct socket_control control;
	struct socket_address to;
	struct file *file;
	long result = socket_lookup(fd, &file);

	if (!result)
		result = check_message(header);
	if (result)
		return result;
	message.iov = header->msg_iov;
	message.niov = (unsigned)header->msg_iovlen;
	if (header->msg_name && header->msg_namelen) {
		result = socket_address_get(header->msg_name,
					    min(header->msg_namelen, sizeof(to.storage)), &to);
		if (result)
			return result;
		message.address = &to;
	}
	if (header->msg_controllen) {
		if (user_buffer_is_bad(header->msg_control, header->msg_controllen))
			return -EFAULT;
		control =
		    (struct socket_control){ header->msg_control, header->msg_controllen, false };
		message.control = &control;
	}
	return send_one(file, &message);
}

/* ---- many at once ---- */

static long send_messages(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	count = min(count, (unsigned)IOV_LIMIT);
	for (unsigned i = 0; i < count; i++) {
		long result;

		if (user_pointer_is_bad(&messages[i]))
			return i ? (long)i : -EFAULT;
		result = sys_sendmsg(fd, &messages[i].msg_hdr, flags);
		if (result < 0)
			return i ? (long)i : result;
		messages[i].msg_len = (unsigned)result;
	}
	return count;
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
		messages[i].msg_len = (unsigned)result;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		if (deadline_ns != FOREVER && clock_ns() >= deadline_ns)
			return i + 1;
	}
	return i;
}

SYSCALL(recvmmsg)
(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
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
	/* Linux tells how much of the time is left, if anything came. */
	if (timeout && result > 0 && deadline_ns != FOREVER) {
		uint64_t now = clock_ns(), left = deadline_ns > now ? deadline_ns - now : 0;

		timeout->tv_sec = (time_t)(left / NS_PER_S);
		timeout->tv_nsec = (long)(left % NS_PER_S);
	}
	return result;
}
