/*
 * Socket port: a connection that is used on another core than its home.
 *
 * Two byte rings: what was received travels from the home core to the core of the user, what is to
 * be sent travels back. At home the rings are pumped into and out of the socket; at the user's end
 * receiving, sending and readiness are a look into the rings. A parcel goes home when there is something to do and none is under way; events
 * go to the watches of the file as those of every file.
 *
 * Rules:
 * - A port is made at home and hangs on its file until the file ends, or until the home core
 *   alone has used the connection for a while and finds both rings empty.
 * - The user's end is whose who holds the port's lock, for as long as a copy takes. Programs may hand
 *   connections from thread to thread with each request and wait for it without a system call, so
 *   no other core must be asked: it would answer at its tick.
 * - In the rings are only bytes of a connection in order. What ends it (a FIN that was read up to,
 *   an error, shutdown) is looked up at home, by a call, when the rings are used up.
 */
#pragma once

#include "posix/file/file.h"
#include "smp/byte_ring.h"

struct socket;
struct socket_port;

/* At home, for an established connection: its bytes go through rings from now on. NULL without
 * memory. */
struct socket_port *socket_port_open(struct file *file, struct socket *socket);

/* Any core, kernel context; the port is valid until the caller blocks or polls. Bytes moved, -EAGAIN, or
 * -EXDEV: ask at home (the rings cannot tell, or the port has been dissolved). */
ssize_t socket_port_receive(struct socket_port *port, const struct iovec *iov, unsigned niov,
			    int flags);
ssize_t socket_port_send(struct socket_port *port, const struct iovec *iov, unsigned niov,
			 int flags);
/* What is true now. Any core. */
uint32_t socket_port_events(struct socket_port *port);
/* The same for who may keep it longer than the file: with a reference on the port. At home. */
struct file_view *socket_port_view(struct socket_port *port);

/* At home. Bytes received that nobody has read yet. */
unsigned socket_port_readable_bytes(struct socket_port *port);
/* Move what can be moved; true if nothing is left in the ring of received data, or of sent. */
bool socket_port_flush_received(struct socket_port *port);
bool socket_port_flush_sent(struct socket_port *port);
/* shutdown(): what was sent before leaves first. */
int socket_port_shutdown(struct socket_port *port, int how);
bool socket_port_is_shut(const struct socket_port *port);
/* Only the home core, which this is, has used it for a while. Any core. */
bool socket_port_wants_home(const struct socket_port *port);
/* At home: back to direct use if the rings are empty. True if it is so. */
bool socket_port_dissolve(struct socket_port *port);
/* The file ends: closes the socket, at once or when what was sent has left, and frees the file. */
void socket_port_close(struct socket_port *port);
