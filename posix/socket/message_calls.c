/*
 * The calls that send and receive messages: vectors, addresses and ancillary data are checked here,
 * what is done with them is the socket's kind's (posix/socket/socket_kind.h).
 */
#include "posix/file/iovec.h"
#include "posix/file/user_iovec.h"
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

#define REST_ENTRIES 16
#define CONTROL_FEW 256u /* bytes of ancillary data that are sent from the stack */
#define CONTROL_LIMIT 20480u /* net.core.optmem_max */
/* More than is ever received with a message: 253 descriptors and credentials. */
#define CONTROL_ROOM 1088u

/* Of a message that needs memory of its own: to be called again with handlers of signals held. */
#define MUST_HOLD (-ENOTRECOVERABLE)

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
	if (unlikely(user_range_is_bad(buffer, length)))
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

/* The head of a message, and its vector: copied, and what sendmsg() and recvmsg() both check of it. */
static long read_header(struct msghdr *header, struct user_iovec *vector, const struct msghdr *from,
			bool held)
{
	if (user_read(header, from, sizeof(*header)))
		return -EFAULT;
	if (header->msg_name && (int)header->msg_namelen < 0)
		return -EINVAL;
	if ((unsigned)header->msg_iovlen > IOV_LIMIT)
		return -EMSGSIZE;
	if (unlikely((unsigned)header->msg_iovlen > IOV_FEW && !held))
		return MUST_HOLD;
	if (header->msg_controllen > INT_MAX)
		return -ENOBUFS;
	return user_iovec_read(vector, header->msg_iov, (unsigned)header->msg_iovlen);
}

/* Ends what is common: addresses, ancillary data and flags go back to the application. `flags` are
 * those that are true beside. */
static long give_back(const struct msghdr *header, struct msghdr *to,
		      const struct socket_message *message, int flags)
{
	struct socket_control *control = message->control;
	socklen_t length = 0;

	flags |= message->flags & MSG_CMSG_CLOEXEC;
	if (header->msg_name) {
		long bad = socket_address_put(message->address, header->msg_name, &to->msg_namelen);

		if (bad)
			return bad;
	}
	if (control->length) {
		/* What the application does not take is lost, as on Linux. */
		if (user_copy(header->msg_control, control->data, control->length))
			length = (socklen_t)control->length;
		else
			control->truncated = true;
	}
	if (control->truncated)
		flags |= MSG_CTRUNC;
	return user_copy_4(&to->msg_controllen, &length) && user_copy_4(&to->msg_flags, &flags)
		   ? 0
		   : -EFAULT;
}

static long receive_into(int fd, struct file *file, const struct msghdr *header, struct msghdr *to,
			 const struct iovec *iov, int flags)
{
	uint64_t control_bytes[CONTROL_ROOM / sizeof(uint64_t)];
	struct socket_control control = { control_bytes, 0, false };
	struct socket_address from = { .length = 0 };
	struct socket_message message = { iov, (unsigned)header->msg_iovlen, flags, &from,
					  &control };
	bool stream = socket_kind_of(file)->stream;
	size_t room = iov_total(message.iov, message.niov);
	long result, bad;

	if (header->msg_control) {
		if (user_range_is_bad(header->msg_control, header->msg_controllen))
			return -EFAULT;
		control.length = min((size_t)header->msg_controllen, sizeof(control_bytes));
	}
	/* Makes a datagram's whole length known, so that msg_flags can tell. */
	if (!stream)
		message.flags |= MSG_TRUNC;
	result = receive_one(fd, file, &message);
	if (result < 0)
		return result;
	if (!stream && (size_t)result > room) {
		bad = give_back(header, to, &message, MSG_TRUNC);
		if (!(flags & MSG_TRUNC))
			result = (long)room;
	} else {
		bad = give_back(header, to, &message, 0);
	}
	return bad ? bad : result;
}

static long receive_message(int fd, struct msghdr *to, int flags, bool held)
{
	struct user_iovec vector;
	struct msghdr header;
	struct file *file;
	long result = socket_lookup(fd, &file);

	if (!result)
		result = read_header(&header, &vector, to, held);
	if (result)
		return result;
	result = receive_into(fd, file, &header, to, vector.iov, flags);
	user_iovec_free(&vector);
	return result;
}

SYSCALL(recvmsg)(int fd, struct msghdr *header, int flags)
{
	long result = receive_message(fd, header, flags, false);

	if (likely(result != MUST_HOLD))
		return result;
	do {
		signal_hold();
		result = receive_message(fd, header, flags, true);
	} while (signal_release(result));
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
	if (unlikely(user_range_is_bad(buffer, length)))
		return -EFAULT;
	if (address) {
		result = socket_address_get(address, address_length, &to);
		if (result)
			return result;
		message.address = &to;
	}
	return send_one(file, &message);
}

static long send_from(struct file *file, const struct msghdr *header, const struct iovec *iov,
		      void *control_bytes, int flags)
{
	struct socket_message message = { iov, (unsigned)header->msg_iovlen, flags, NULL, NULL };
	struct socket_control control = { control_bytes, header->msg_controllen, false };
	struct socket_address to;
	long result;

	if (header->msg_name && header->msg_namelen) {
		result = socket_address_get(header->msg_name,
					    min(header->msg_namelen, sizeof(to.storage)), &to);
		if (result)
			return result;
		message.address = &to;
	}
	if (control.length) {
		if (user_read(control.data, header->msg_control, control.length))
			return -EFAULT;
		message.control = &control;
	}
	return send_one(file, &message);
}

static long send_message(int fd, const struct msghdr *from, int flags, bool held)
{
	uint64_t few[CONTROL_FEW / sizeof(uint64_t)];
	struct user_iovec vector;
	struct msghdr header;
	void *control = few;
	struct file *file;
	long result = socket_lookup(fd, &file);

	if (!result)
		result = read_header(&header, &vector, from, held);
	if (result)
		return result;
	if (likely(header.msg_controllen <= sizeof(few))) {
		result = send_from(file, &header, vector.iov, control, flags);
	} else if (header.msg_controllen > CONTROL_LIMIT) {
		result = -ENOBUFS;
	} else if (!held) {
		result = MUST_HOLD;
	} else {
		control = object_alloc(header.msg_controllen);
		result = control ? send_from(file, &header, vector.iov, control, flags) : -ENOBUFS;
		object_free(control);
	}
	user_iovec_free(&vector);
	return result;
}

SYSCALL(sendmsg)(int fd, const struct msghdr *header, int flags)
{
	long result = send_message(fd, header, flags, false);

	if (likely(result != MUST_HOLD))
		return result;
	do {
		signal_hold();
		result = send_message(fd, header, flags, true);
	} while (signal_release(result));
	return result;
}

/* ---- many at once ---- */

/* How many were done, or -errno if that is none. */
static long told(unsigned done, long error)
{
	return done ? (long)done : error;
}

static long tell_length(struct mmsghdr *message, long length)
{
	unsigned moved = (unsigned)length;

	return user_write(&message->msg_len, &moved, sizeof(moved));
}

static long send_messages(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	count = min(count, IOV_LIMIT);
	for (unsigned i = 0; i < count; i++) {
		long result = send_message(fd, &messages[i].msg_hdr, flags, true);

		if (result >= 0)
			result = tell_length(&messages[i], result);
		if (result < 0)
			return told(i, result);
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
		long result =
		    receive_message(fd, &messages[i].msg_hdr, flags & ~MSG_WAITFORONE, true);

		if (result >= 0)
			result = tell_length(&messages[i], result);
		if (result < 0)
			return told(i, result);
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
	struct timespec time;
	long result;

	if (timeout) {
		if (user_read(&time, timeout, sizeof(time)))
			return -EFAULT;
		if (timespec_is_bad(&time))
			return -EINVAL;
		deadline_ns = deadline_of(&time);
	}
	do {
		signal_hold();
		result = receive_messages(fd, messages, count, flags, deadline_ns);
	} while (signal_release(result));
	/* Linux tells how much of the time is left, if anything came. */
	if (timeout && result > 0 && deadline_ns != FOREVER) {
		uint64_t now = clock_ns(), left = deadline_ns > now ? deadline_ns - now : 0;

		time.tv_sec = (time_t)(left / NS_PER_S);
		time.tv_nsec = (long)(left % NS_PER_S);
		if (user_write(timeout, &time, sizeof(time)))
			result = -EFAULT;
	}
	return result;
}
