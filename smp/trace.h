/*
 * Tracing (lavra/trace.h), its beginning and end.
 */
#pragma once

#include "lavra/trace.h"
#include "lavra/types.h"

/* Where the rings are: one for each core, in memory that all cores have at this address and that is zeroed.
 * Boot core, once. */
void trace_init(struct trace_ring *rings);

/* A core's. After trace_init(). Any core. */
const struct trace_ring *trace_ring_of(core_id_t core);

/* From now on, or no more. The names of the threads come first. Thread context. 0; -ENODEV: there are no
 * rings. */
int trace_switch(bool on);

/* Before it is switched on: TRACE_CALL says `call` for this system call. Any core, thread context. */
void trace_call_name(uint64_t call, const char *name);

/* A thread has this name from now on. Any core, thread context. */
void trace_thread_name(int tid, const char *name);
