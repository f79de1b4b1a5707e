/*
 * Listeners: listening sockets, and how connections get from the core where they arrive to the
 * core that accepts them.
 *
 * A listening socket without SO_REUSEPORT answers on every core. As long as only its home core
 * accepts, what is established elsewhere travels there as a message and waits there. When others
 * accept too, a connection waits on its own core, in a queue that only that core touches, and home
 * is told, where who waits for the socket is known. With SO_REUSEPORT a socket answers on its home
 * core alone, and several of them on one core take turns.
 *
 * The backlog bounds each core's queue.
 */
#pragma once

#include "lavra/list.h"
#include "lavra/types.h"

struct listener;
struct socket;

#define SOMAXCONN_LIMIT 4096

void listener_init_core(void); /* every core */
/* This core's stack begins anew: it answers for all listeners that there are. */
void listeners_restart(void);

/* Listening begins in three steps (net/calls/listen.c): at home; then on every core, or at home alone if it
 * is not everywhere; then at home again, where the result of all is known: 0, -EADDRINUSE, -ENOMEM. */
struct listener *listener_begin(struct socket *socket, int backlog, int *error);
bool listener_is_everywhere(const struct listener *listener);
void listener_open_part(struct listener *listener);
int listener_end(struct listener *listener);
/* The socket goes away: what waits is reset, the cores stop answering. Does not block. */
void listener_close(struct listener *listener);
void listener_set_backlog(struct listener *listener, int backlog);

/* The next connection of this core's queue, or NULL. Any core; the listener is not closed yet here. */
struct socket *listener_take(struct listener *listener);
/* Any core: a core whose queue has something, this one if it can be; or -1. */
int listener_find_waiting(const struct listener *listener);
static inline bool listener_has_waiting(const struct listener *listener)
{
	return listener_find_waiting(listener) >= 0;
}
/* Other cores than home accept: connections wait where they were established from now on. */
void listener_spread(struct listener *listener);
/* Home: where the connection was established of which the socket's owner is being told. */
core_id_t listener_news_from(const struct listener *listener);

/* Keep it (not open) longer than its socket. Home core; any core. */
void listener_reference(struct listener *listener);
void listener_release(struct listener *listener);

/* lwIP got a SYN; `point` is the callback argument of its control block. Does anybody listen there yet? */
bool listener_answers(void *point);
/* lwIP got a SYN; `point` is the callback argument of its control block. May it go on? */
bool listener_admits(void *point);
