/*
 * Sockets as files: net/'s sockets behind descriptors.
 */
#pragma once

#include "net/socket_owner.h"
#include "posix/file/file.h"

struct socket;

struct socket_message;
struct socket_port;

struct socket_file {
	struct file file;
	struct socket *socket;
	uint32_t linger_s; /* close() waits for so long (SO_LINGER); any core, a single word */
	struct socket_port *port; /* NULL: used at home. Written at home; atomic */
	struct flow_marker *marker; /* while it moves to another core */
	struct parcel move_parcel;
	struct socket_owner owner;
};

/* A file for a socket that this core's net/ made or accepted (its home may be elsewhere; thread
 * context). Takes the socket over; NULL without memory: the socket is closed. */
struct file *socket_file_create(struct socket *socket, bool stream, int status_flags);

static inline struct socket_file *socket_file_of(struct file *file)
{
	return container_of(file, struct socket_file, file);
}

static inline struct socket *socket_of(struct file *file)
{
	return socket_file_of(file)->socket;
}

/* Any core; valid until the caller blocks or polls. */
static inline struct socket_port *socket_file_port(struct file *file)
{
	/* Pairs with the release where it is opened. */
	return __atomic_load_n(&container_of(file, struct socket_file, file)->port,
			       __ATOMIC_ACQUIRE);
}

/* Receive from and send to a stream socket, waiting if need be, other than directly at home: through
 * the rings of its port. Thread context. */
ssize_t socket_file_receive(struct file *file, struct socket_message *message);
ssize_t socket_file_send(struct file *file, struct socket_message *message);
/* At home. */
int socket_file_shutdown(struct file *file, int how);
/* SO_LINGER was set; an accepted connection has what its listener had. */
struct linger;
void socket_file_set_linger(struct file *file, const struct linger *linger);
void socket_file_inherit(const struct file *listening, struct file *accepted);
/* At home: it is a listening socket now. */
void socket_file_listens(struct file *file);
/* The next connection, wherever it waits: 0, or -EAGAIN (after waiting, unless O_NONBLOCK), ... The
 * thread stays where it is. Thread context. */
long socket_file_accept(struct file *file, struct socket **accepted);
