/*
 * The network's functions that the kernel does not call by their names, because it has one of the same name
 * around it: enter_NAME is the gate (tools/make-network-gates).
 */
#pragma once

#include "net/config.h"
#include "net/listener.h"
#include "net/socket.h"
#include "net/socket_move.h"

extern typeof(socket_accept) enter_socket_accept;
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
extern typeof(socket_receive) enter_socket_receive;
extern typeof(socket_send) enter_socket_send;
extern typeof(socket_set_option) enter_socket_set_option;
extern typeof(network_hosts) enter_network_hosts;
extern typeof(network_resolv_conf) enter_network_resolv_conf;

/* This core's network has begun: look where its areas are. False: not in its memory. (sockets.c) */
bool exchange_adopt(void);

/* The network has told of sockets: the gates call it when a call is over. */
void network_attend(void);
