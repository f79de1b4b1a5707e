/*
 * The kernel's side of the network's queues (net/queues.h).
 */
#pragma once

#include "net/queues.h"

/* As the network was told it, but for what it may have written there since. `serves` and `cores` are only told. */
extern struct queue_map queue_map;

/* Find the device, and give its pairs to the cores of `net=`, in ascending order. Boot core, after smp_start() and
 * network_start(), before any core's network starts. */
void network_queues_init(void);

/*
 * Move a queue pair to another core, which has connections from now on; the former one keeps those that it has,
 * and gets no others if this was its last. Thread context, any core; blocks.
 *
 * Returns 0, -ENODEV (no such pair), -EINVAL (no such core), -ENOSPC (that core can have no more interrupts),
 * -ENOMEM, -EBUSY (for a second the device has not sent what is queued: nothing has changed).
 */
int network_queue_move(unsigned queue, core_id_t core);
