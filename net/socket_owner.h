/*
 * Who is told of a socket: the file that has it (posix/socket).
 *
 * With isolation what the network says of a socket is not believed: of its word only the socket's address is
 * looked up, among those that have an owner on this core.
 */
#pragma once

#include "net/socket.h"

struct socket_owner { /* in the owner; zeroed at first */
	struct socket *socket; /* NULL: none */
	socket_notify *notify;
	void *owner;
	struct socket_owner *next;
};

/* From now on `notify(owner, events)` is called for the socket. Again with the same record: somebody else
 * is. Home core. */
void socket_set_owner(struct socket *socket, struct socket_owner *record, socket_notify *notify,
		      void *owner);
/* The socket has moved here: after socket_arrive(). Its new home. */
void socket_owner_arrived(struct socket_owner *record);
/* socket_close() and socket_leave() end it. */
