/*
 * Tracing: what a core does, event by event, into a ring of its own that the host reads while it is written
 * (`lavra trace`; the ring lies in the monitor's file, docs/monitor.md).
 *
 * TRACE() is where an event happens. While tracing is off it is one instruction that does nothing
 * (arch/x86_64/static_branch.h).
 *
 * The first part is the host's, too.
 */
#pragma once

#include <stdint.h>

/* Numbers in the file: they stay. */
enum trace_event {
	TRACE_NAME =
	    1, /* not an event: a piece of a name. `part` from 0 on; a: of what, by its kind */
	TRACE_SWITCH = 2, /* a: the thread that runs from now on; 0: none */
	TRACE_WAKE = 3, /* a: the thread that becomes runnable */
	TRACE_HALT = 4, /* until TRACE_RUN */
	TRACE_RUN = 5,
	TRACE_INTERRUPT = 6, /* a: vector; until TRACE_INTERRUPT_END */
	TRACE_INTERRUPT_END = 7,
	TRACE_CALL = 8, /* a: which system call; until TRACE_CALL_END of the same thread */
	TRACE_CALL_END = 9, /* a: the result */
	TRACE_PACKETS = 10, /* a: frames received, b: frames sent by a pass of the network */
	TRACE_FAULT = 11, /* a: the address, b: the code's; a page was mapped */
};

/* What a name is for: in `thread` of TRACE_NAME. */
enum trace_named { TRACE_NAMED_THREAD = 1, TRACE_NAMED_CALL = 2 };

struct trace_record {
	uint64_t time_ns; /* since the guest's boot */
	uint16_t event;
	uint16_t part;
	uint32_t thread; /* that runs; 0: none */
	uint64_t a;
	uint64_t b; /* of TRACE_NAME: eight bytes of it, zeros behind its end */
};

#define TRACE_RING_RECORDS 4096u /* a power of two */

/* The record of number n lies at n % TRACE_RING_RECORDS. One that is `head` - TRACE_RING_RECORDS or earlier is, or is
 * being, overwritten. */
struct trace_ring {
	uint64_t head; /* records that were ever written */
	uint64_t reserved[7];
	struct trace_record records[TRACE_RING_RECORDS];
};

#if __STDC_HOSTED__ == 0 && !defined(LAVRA_HOST_TEST)
#include "arch/arch.h"

/* Owning core, any context of the kernel's. */
#define TRACE(event, a, b)                                                                         \
	do {                                                                                       \
		if (arch_static_branch())                                                          \
			trace_write(event, (uint64_t)(a), (uint64_t)(b));                          \
	} while (0)
void trace_write(enum trace_event event, uint64_t a, uint64_t b);
#else
#define TRACE(event, a, b) ((void)0)
#endif
