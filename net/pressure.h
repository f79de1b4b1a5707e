/*
 * Memory pressure: what others may make this machine keep for them, unread and unsent data, leaves
 * a part of memory to the applications. To them a page that is not there is the end.
 */
#pragma once

#include "lavra/types.h"

extern CORE_LOCAL uint32_t pressure_credit; /* bytes that may be taken before looking again */

bool pressure_look(uint32_t bytes);

/* May `bytes` of data be kept? */
static inline bool pressure_allows(uint32_t bytes)
{
	if (unlikely(pressure_credit < bytes))
		return pressure_look(bytes);
	pressure_credit -= bytes;
	return true;
}
