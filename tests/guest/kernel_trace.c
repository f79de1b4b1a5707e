/* The kernel's side of posix_trace.c. */
#include "tests/guest/test.h"

#include "posix/syscall.h"
#include "smp/core.h"
#include "smp/trace.h"

SYSCALL(trace_switch)(int on)
{
	return trace_switch(on);
}

/* How many events of this kind the rings hold; 0: how many of any kind were ever written. */
SYSCALL(trace_count)(unsigned event)
{
	long count = 0;

	for (core_id_t core = 0; core < ncores; core++) {
		const struct trace_ring *ring = trace_ring_of(core);

		if (!event)
			count += (long)ring->head;
		for (uint64_t i = 0; event && i < min(ring->head, (uint64_t)TRACE_RING_RECORDS);
		     i++)
			count += ring->records[i].event == event;
	}
	return count;
}
