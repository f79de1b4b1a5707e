/*
 * How much memory is left, looked at once in a while.
 */
#include "net/pressure.h"

#include "arch/arch.h"
#include "mm/frame.h"
#include "smp/core.h"

/* Left to the applications: one part in this many of all memory. With isolation the network's slabs and the
 * kernel's are apart, and each keeps some that are partly empty. */
#define RESERVED_SHARE 8
#define RESERVED_SHARE_ISOLATED 4
#define CREDIT_MAX (256u << 10)

CORE_LOCAL uint32_t pressure_credit;

bool pressure_look(uint32_t bytes)
{
	size_t share = arch_isolation() ? RESERVED_SHARE_ISOLATED : RESERVED_SHARE;
	size_t free = frame_free_count(), reserved = frame_total() / share;
	size_t spare = free > reserved ? (free - reserved) * PAGE_SIZE : 0;

	/* All cores may look at the same pages at the same time. */
	pressure_credit = (uint32_t)min(spare / ncores / 2, (size_t)CREDIT_MAX);
	if (pressure_credit < bytes)
		return false;
	pressure_credit -= bytes;
	return true;
}
