/*
 * Cores that one thread plays: parcels lie in queues until the test delivers them, so every order of
 * events between cores can happen. Stands for smp/mailbox.c, smp/call.c and smp/epoch.c.
 */
#pragma once

#include "smp/core.h"

#define CORES 3

/* The oldest parcel for `core` arrives there, if there is one; this core is `core` then. */
bool deliver_one(core_id_t core);
/* All of them arrive, and what was deferred until then is released. */
void safe_point(core_id_t core);
/* Safe points of all cores until nothing is under way; fails the test if something still is. */
void settle(void);
