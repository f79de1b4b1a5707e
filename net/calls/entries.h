/*
 * The network's functions that the kernel does not call by their names, because it has one of the same name
 * around it: enter_NAME is the gate (tools/make-network-gates).
 */
#pragma once

#include "net/config.h"
#include "net/listener.h"
#include "net/socket.h"
#include "net/socket_move.h"

#include <errno.h>

extern typeof(socket_accept) enter_socket_accept;
extern typeof(socket_accept_where) enter_socket_accept_where;
extern typeof(socket_accepted_address) enter_socket_accepted_address;
extern typeof(socket_bind) enter_socket_bind;
extern typeof(socket_close) enter_socket_close;
extern typeof(socket_connect) enter_socket_connect;
extern typeof(socket_create) enter_socket_create;
extern typeof(socket_events) enter_socket_events;
extern typeof(socket_get_option) enter_socket_get_option;
extern typeof(socket_home) enter_socket_home;
extern typeof(socket_leave) enter_socket_leave;
extern typeof(socket_local_address) enter_socket_local_address;
extern typeof(socket_peer_address) enter_socket_peer_address;
extern typeof(socket_readable_bytes) enter_socket_readable_bytes;
extern typeof(socket_receive) enter_socket_receive;
extern typeof(socket_send) enter_socket_send;
extern typeof(socket_set_option) enter_socket_set_option;
extern typeof(socket_shutdown) enter_socket_shutdown;
extern typeof(network_hosts) enter_network_hosts;
extern typeof(network_resolv_conf) enter_network_resolv_conf;

/* This core's network has begun: look where its areas are. False: not in its memory. (sockets.c) */
bool exchange_adopt(void);

#define ERRNO_MAX 4095

/* What the network answered, a result or an error: one that a socket can have, and not one that means something between
 * parts of the kernel (posix/file/file.h: NOT_HERE, NOT_TRIED; a signal that waits). */
static inline long network_answer(long result)
{
	if (likely(result >= 0))
		return result;
	if (result < -ERRNO_MAX || result == -ESTALE || result == -EXDEV || result == -EINTR)
		return -ENETDOWN;
	return result;
}

/* The network has told of sockets: the gates call it when a call is over. */
void network_attend(void);
