/*
 * Sockets: TCP and UDP over this core's lwIP, never blocking.
 *
 * A socket has a home core, the one whose lwIP holds its control block; only code on
 * the home core calls these functions (asserted). Blocking, descriptors and crossing
 * cores are posix/'s business: it learns from `notify` when something may be done.
 */
#pragma once

#include "lavra/types.h"
#include "net/socket_address.h"

#include <sys/uio.h>

struct listener;
struct socket;

/* Ancillary data of one message (cmsg(3)), laid out as in msg_control. To receive, `length` is the
 * room, and then what was filled in. */
struct socket_control {
	void *data;
	size_t length;
	bool truncated; /* receiving: there was more (MSG_CTRUNC) */
};

/* Called on the home core, at a safe point or inside a socket call, when `events` (EPOLLIN,
 * EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR) became true. It must not call a socket function.
 * `owner` is what socket_set_owner() was given (net/socket_owner.h). */
typedef void socket_notify(void *owner, uint32_t events);

/* A socket on this core. type: SOCK_STREAM or SOCK_DGRAM (without flags). Returns NULL and sets
 * *error (-EAFNOSUPPORT, -EPROTONOSUPPORT, -ESOCKTNOSUPPORT, -ENOMEM). */
struct socket *socket_create(int family, int type, int protocol, int *error);
/* Inside net/: whom to tell; see net/socket_owner.h. Any core. */
void socket_set_notify(struct socket *socket, socket_notify *notify, void *owner);
core_id_t socket_home(const struct socket *socket); /* any core */

/* The socket is gone for the caller; what is unsent is still sent, for as long as the peer makes
 * progress. A reset instead if received data was not read, or with SO_LINGER and a time of 0. This
 * never waits: posix/ does, for a longer time. */
void socket_close(struct socket *socket);

int socket_bind(struct socket *socket, const struct socket_address *address);
/* Listen on every core (or, with SO_REUSEPORT, for this core's own connections). Blocks the
 * calling thread while the other cores are told. */
int socket_listen(struct socket *socket, int backlog);
/* The first step of that: NULL with *error = 0 if it listens already, else a listener (net/listener.h). */
struct listener *socket_begin_listening(struct socket *socket, int backlog, int *error);
/* Returns an established connection that waits on this core, or NULL and -EAGAIN, ... Any core. It
 * may be homed on another one. */
struct socket *socket_accept(struct socket *socket, int *error);
/* A core where connections wait, or -1. Any core. */
int socket_accept_where(struct socket *socket);
/* What it listens with (net/listener.h), or NULL. */
struct listener *socket_listener(struct socket *socket);
/* 0 (UDP), -EINPROGRESS (EPOLLOUT tells the end; SO_ERROR the result), or another error. */
int socket_connect(struct socket *socket, const struct socket_address *address);
int socket_shutdown(struct socket *socket, int how);

/* The buffers that `iov` names may be the application's memory, which may not be there: -EFAULT, or what was
 * moved before.
 * Non-blocking: bytes moved (0 at the end of the stream), -EAGAIN, -ECONNRESET, -EPIPE, ... flags:
 * MSG_PEEK, MSG_TRUNC, MSG_NOSIGNAL, MSG_DONTWAIT, MSG_MORE; others -EINVAL or ignored as Linux
 * does. Addresses and control information may be NULL. A connection queues up to 128 KiB each way,
 * a UDP socket what SO_RCVBUF says. A connection's `from` gets the length 0. */
ssize_t socket_receive(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
		       struct socket_address *from, struct socket_control *control);
ssize_t socket_send(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
		    const struct socket_address *to, const struct socket_control *control);

/* Is it of the kind SOCK_DGRAM? Any core. */
bool socket_is_datagram(const struct socket *socket);
/* Put back the last bytes that were received, in front of what waits. They are lost if memory is out. */
void socket_unread(struct socket *socket, const uint8_t *data, size_t length);

/* What is true now, of these; 0 while the core's network begins anew. */
uint32_t socket_events(struct socket *socket);
#define SOCKET_EVENTS                                                                              \
	(EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDNORM | EPOLLRDBAND |         \
	 EPOLLWRNORM | EPOLLWRBAND | EPOLLRDHUP)

int socket_set_option(struct socket *socket, int level, int name, const void *value, socklen_t len);
int socket_get_option(struct socket *socket, int level, int name, void *value, socklen_t *len);
int socket_local_address(struct socket *socket, struct socket_address *address);
int socket_peer_address(struct socket *socket, struct socket_address *address);
/* Who is at the other end of an accepted connection, also when it has ended since. Any core. */
void socket_accepted_address(const struct socket *socket, struct socket_address *address);
/* Is something that was sent, or the end of the stream, not acknowledged yet? */
bool socket_is_sending(const struct socket *socket);
/* FIONREAD. */
int socket_readable_bytes(struct socket *socket);

/* Sockets alive over all cores, and TCP control blocks (TIME_WAIT apart); snapshots, any core. */
unsigned socket_count(void);
unsigned tcp_control_block_count(void);
unsigned tcp_time_wait_count(void);
