/*
 * A core's network begins anew.
 */
#pragma once

#include "lavra/types.h"

/* It is down (arch_network_is_down()). At a safe point. */
void network_begin_anew(void);
/* How often it did in the last 10 s; at more than 30 it is given up. */
extern CORE_LOCAL unsigned network_recent_restarts;

/* Tell the owners of all sockets of this core that anything may have become true. (owners.c) */
void owners_tell_all(void);
