/*
 * Moving an established connection to another core.
 *
 * Whoever serves a connection on another core than the one where it arrived pays for each request
 * with messages and lines that cross. So the connection moves, once, at a quiet moment: its
 * control block is handed from one lwIP to the other, which works because lwIP's lists hold none
 * of them between calls (net/flow.h). A marker in the flow table of the old core shows segments on
 * their way the new one until that has it; from the first segment that the new core sends, a tap
 * delivers to its queue.
 *
 * Only what the other side opened moves: a connection that was opened here has its local port from
 * its core's share, which is how that core knows which ports are free.
 */
#pragma once

#include "lavra/types.h"

struct flow_marker;
struct socket;

/* Home: may it move to `to`, now? Nothing is on its way, and `to` has no more than its share of
 * connections. */
bool socket_may_move(struct socket *socket, core_id_t to);
/* Home: it leaves this core; nothing but socket_arrive() may be called from now on. NULL: memory is
 * out, and nothing happened. */
struct flow_marker *socket_leave(struct socket *socket, core_id_t to);
/* On `to`, after a message from the old home: this core is home. */
void socket_arrive(struct socket *socket, struct flow_marker *marker);
