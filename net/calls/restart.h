/*
 * A core's network begins anew.
 */
#pragma once

#include "lavra/types.h"

/* It is down (arch_network_is_down()). At a safe point. */
void network_begin_anew(void);

/* Tell the owners of all sockets of this core that anything may have become true. (owners.c) */
void owners_tell_all(void);
