/*
 * Steering: which core a received frame belongs to.
 *
 * In the steady state the device delivers a flow's frames to the core that owns it, and the
 * answer is found in the core's own table. For the rest: a connection begins on a core that listens
 * (this one if it may), is looked for where a table may have it, and what belongs to nobody in
 * particular stays or goes to core 0.
 */
#pragma once

#include "net/frame.h"

/* The core that should process the frame; this_core: do it here, with *flow the connection or NULL.
 * `tried` are the cores that had it before. */
core_id_t steer(const struct frame *frame, uint64_t tried, struct flow **flow);
