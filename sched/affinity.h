/*
 * Sets of cores, as words and as masks.
 */
#pragma once

#include "lavra/types.h"

/* Parse a list such as "0,2-3" (as taskset's). Returns NULL, or what is wrong with it (then
 * *mask is untouched). */
const char *affinity_parse(const char *text, uint64_t *mask);

/* What the boot options `app=` and `isolate=` leave to threads that do not say; all cores without them. */
extern uint64_t affinity_default;

/* The cores that have connections (net/queues.h): all, or those of the boot option `net=`; queues that move change
 * them. */
extern uint64_t network_cores;
/* The one of these where this core's sockets are: itself if it is one. */
core_id_t network_core(void);

/* The cores that are up. */
uint64_t online_cores_mask(void);
