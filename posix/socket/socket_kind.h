/*
 * Kinds of sockets: what the socket calls (posix/socket/socket_calls.c, posix/socket/message_calls.c) need of each.
 *
 * A kind is a table of functions that its files' operations point to, so that neither the Internet
 * nor the local family is a special case in a call. All run in thread context on whatever core
 * the caller is, wait if the file and the flags say so, and find their own way home. `file` is what
 * fd_lookup() returned, and stale when the function returns.
 */
#pragma once

#include "net/socket.h"
#include "net/socket_address.h"
#include "posix/file/file.h"

/* One message of the send and receive calls. The vector and all else is the kernel's; the buffers that the
 * vector names may be the application's: they were checked, and only user_copy() touches them. */
struct socket_message {
	const struct iovec *iov;
	unsigned niov;
	int flags; /* the call's MSG_* */
	/* Sending: where to, or NULL. Receiving: where it came from goes there; a length of 0 says that
	 * there is no such address. NULL: nobody asks. */
	struct socket_address *address;
	struct socket_control *control; /* ancillary data, or NULL */
};

/* MSG_* that only the calls themselves look at: what is done once, at home, does not know them. */
#define MESSAGE_CALL_FLAGS                                                                         \
	(MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC | MSG_WAITFORONE)

struct socket_kind {
	/* Bytes without borders: a blocking send moves all of them, MSG_WAITALL means something, and
	 * EPIPE brings SIGPIPE. */
	bool stream;
	long (*bind)(struct file *file, const struct socket_address *address);
	long (*connect)(struct file *file, const struct socket_address *address);
	/* Both NULL: -EOPNOTSUPP. */
	long (*listen)(struct file *file, int backlog);
	/* 0 with a file and a reference on it in *accepted. `peer` may be NULL. */
	long (*accept)(struct file *file, int status_flags, struct socket_address *peer,
		       struct file **accepted);
	long (*local_address)(struct file *file, struct socket_address *address);
	long (*peer_address)(struct file *file, struct socket_address *address);
	/* Bytes moved. A datagram's whole length with MSG_TRUNC, also if there was less room. */
	ssize_t (*receive)(struct file *file, struct socket_message *message);
	ssize_t (*send)(struct file *file, struct socket_message *message);
	long (*shutdown)(struct file *file, int how);
	/* Values in kernel memory. */
	long (*set_option)(struct file *file, int level, int name, const void *value,
			   socklen_t length);
	long (*get_option)(struct file *file, int level, int name, void *value, socklen_t *length);
};

/* A new socket of a family, or both ends of a pair: 0 with a reference on each file, or -errno.
 * `type` is without flags. */
long internet_socket_create(int family, int type, int protocol, int status_flags,
			    struct file **file);
long unix_socket_create(int family, int type, int protocol, int status_flags, struct file **file);
long netlink_socket_create(int family, int type, int protocol, int status_flags,
			   struct file **file);
long unix_socket_create_pair(int family, int type, int protocol, int status_flags,
			     struct file *files[2]);

extern const struct socket_kind internet_stream_kind, internet_datagram_kind;
/* A stream that goes through the rings of a port (posix/socket/socket_port.h). */
extern const struct socket_kind ported_stream_kind;

/* The kind of a socket, NULL for other files. */
static inline const struct socket_kind *socket_kind_of(const struct file *file)
{
	return file->operations->socket;
}

static inline bool message_is_nonblocking(const struct file *file,
					  const struct socket_message *message)
{
	return (file->status_flags & O_NONBLOCK) || (message->flags & MSG_DONTWAIT);
}
