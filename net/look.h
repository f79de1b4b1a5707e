/*
 * What the kernel sees of a socket without entering the network, and leaves there for its next pass: reading and
 * sending usually take no gate. These functions are the network's code, run with the kernel's rights
 * (network_look(), arch/arch.h): they read, and write to the socket and the exchange alone.
 */
#pragma once

/* Nothing can be said: the network has to be called. */
#define LOOK_ASK -4096

#ifndef __ASSEMBLER__

#include "lavra/types.h"

/* As socket_events(). */
long look_events(void *socket);
/* All that was received, if it lies in one piece: its length, and where it is in network_exchange.iov. */
long look_received(void *socket);
/* It has been read. */
long look_take(void *socket);
/* How many bytes can be left with look_leave(). */
long look_room(void *socket);
/* To be sent: network_exchange.iov, which lies at network_sends + network_exchange.sends_length.
 * network_exchange.more: more follows at once. */
long look_leave(void *socket);

/* ---- inside net/ ---- */

/* Do what was left. At the beginning of each call that comes from outside. */
void look_settle_now(void);
/* The socket ends: what it left is not sent. */
struct socket;
void look_forget(struct socket *socket);

#endif
