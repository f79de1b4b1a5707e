/*
 * Listeners: listening sockets, and how connections get from the core where they arrive to the
 * core that accepts them.
 *
 * A listening socket without SO_REUSEPORT answers on every core; what is established elsewhere
 * travels to the socket's home core as a message and waits there. With SO_REUSEPORT it answers
 * on its home core alone, and several of them on one core take turns.
 */
#pragma once

#include "lavra/list.h"
#include "lavra/types.h"

struct listener;
struct socket;

#define SOMAXCONN_LIMIT 4096

void listener_init_core(void); /* every core */

/* Begin to listen for `socket`, bound, on the cores of its kind; blocks the calling thread.
 * 0, -EADDRINUSE, -ENOMEM. */
int listener_open(struct socket *socket, int backlog);
/* The socket goes away: what waits is reset, the cores stop answering. Does not block. */
void listener_close(struct listener *listener);
void listener_set_backlog(struct listener *listener, int backlog);

/* The next established connection, or NULL. Home core. */
struct socket *listener_take(struct listener *listener);
bool listener_has_waiting(const struct listener *listener);

/* lwIP got a SYN; `point` is the callback argument of its control block. May it go on? */
bool listener_admits(void *point);
