/*
 * What the kernel sees of a socket without entering the network, and leaves there for its next pass: reading and
 * sending usually take no gate. These functions are the network's code, called with the kernel's rights: they read, and
 * write to the socket and the exchange alone. A pointer that lies there they follow only into the network's memory.
 */
#pragma once

/* Nothing can be said: the network has to be called. */
#define LOOK_ASK -4096

#include "arch/arch.h"
#include "lavra/types.h"

struct socket;

/* Does all of this, at most a page, lie in the network's memory? */
static inline bool look_is_networks(const void *object, size_t size)
{
	const uint8_t *last = (const uint8_t *)object + size - 1;

	return likely(arch_is_known_networks(object)) &&
	       (likely(((uintptr_t)object ^ (uintptr_t)last) < PAGE_SIZE) ||
		arch_is_known_networks(last));
}

/* As socket_events(). */
long look_events(struct socket *socket);
/* All that was received, if it lies in one piece: its length, and where it is in network_exchange.iov. */
long look_received(struct socket *socket);
/* It has been read. */
void look_take(struct socket *socket);
/* How many bytes can be left with look_leave(). */
long look_room(const struct socket *socket);
/* To be sent: network_exchange.iov, which lies at network_sends + network_exchange.sends_length.
 * network_exchange.more: more follows at once. */
void look_leave(struct socket *socket);

/* ---- inside net/ ---- */

/* Do what was left. At the beginning of each call that comes from outside. */
void look_settle_now(void);
/* The socket ends: what it left is not sent. */
void look_forget(struct socket *socket);
