/*
 * The monitor: each core tells the host what it has done, in memory that both see (lavra/monitor.h).
 *
 * Nothing is told where there is no such memory. Otherwise a core publishes its counters in its own passes, at
 * most every MONITOR_BUSY_NS, and before it halts if it has not done so for MONITOR_HALT_NS; or it is woken
 * when that time is over, so that what it did last is seen. Nobody is stopped and nobody is asked.
 *
 * What the host asks for is done by a thread (posix/proc/host_commands.c).
 */
#pragma once

#include "lavra/types.h"

#define MONITOR_BUSY_NS (100 * NS_PER_MS)
#define MONITOR_HALT_NS (10 * NS_PER_MS)

/* When this core publishes next at the latest; UINT64_MAX: nobody watches. */
extern CORE_LOCAL uint64_t monitor_due_ns;

/* Memory that the host reads as well; the cores use it from now on. 0, or -ENOSPC if it is too small. Boot core,
 * after smp_start(), once. */
int monitor_attach(void *memory, uint64_t size);
/* How much of it is used. After smp_start(). */
uint64_t monitor_size(void);

/* What the host asks for, and where threads and queues are listed for it; NULL without such memory. Set by
 * monitor_attach(). */
extern struct monitor_command *monitor_command;
extern struct monitor_threads *monitor_threads;
extern struct monitor_queues *monitor_queues;

/* Publish this core's counters. Owning core, at a safe point. */
void monitor_publish(uint64_t now_ns);

/* This core makes a pass at `now_ns`. */
static inline void monitor_look(uint64_t now_ns)
{
	if (unlikely(now_ns >= monitor_due_ns))
		monitor_publish(now_ns);
}

/* It is about to halt: returns when it is to wake up for the monitor, UINT64_MAX: never. */
uint64_t monitor_halts(uint64_t now_ns);
/* It does not halt any more. */
void monitor_wakes(void);
