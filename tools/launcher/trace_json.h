/*
 * A trace of a running image (include/lavra/trace.h) as a file of the Trace Event Format, which Perfetto and
 * chrome://tracing open: a track for each core, one for its interrupts, one for each thread's system calls.
 */
#pragma once

#include "lavra/trace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct traced {
	struct trace_record record;
	unsigned core;
};

struct trace {
	struct traced *records; /* of each core in order */
	size_t count, room;
	unsigned ncores;
	uint64_t lost; /* records that were overwritten before they were read */
};

/* False: there is no memory. */
bool trace_add(struct trace *trace, unsigned core, const struct trace_record *record);
void trace_free(struct trace *trace);

/* Sorts it by time. Returns how many events were written. False in ferror(to) tells of errors. */
size_t trace_write_json(FILE *to, struct trace *trace);
