/*
 * How much memory is left, looked at once in a while.
 */
#include "net/pressure.h"

#include "mm/frame.h"
#include "smp/core.h"

/* Left to the applications: one part in this many of all memory. */
#define RESERVED_SHARE 8
#define CREDIT_MAX (256u << 10)

CORE_LOCAL uint32_t pressure_credit;

bool pressure_look(uint32_t bytes)
{
	size_t free = frame_free_count(), reserved = frame_total() / RESERVED_SHARE;
	size_t spare = free > reserved ? (free - reserved) * PAGE_SIZE : 0;

	/* All cores may look at the same pages at the same time. */
	pressure_credit = (uint32_t)min(spare / ncores / 2, (size_t)CREDIT_MAX);
	if (pressure_credit < bytes)
		return false;
	pressure_credit -= bytes;
	return true;
}
