/*
 * Reading what an image tells of its cores (include/lavra/monitor.h, docs/monitor.md).
 *
 * The file belongs to a guest that may be anything: its header is looked at once and kept, every place in it is
 * checked against the file's size, and names are checked before they are shown. It is read, not mapped, so that a
 * file that becomes shorter is an error and no fault.
 */
#pragma once

#include "lavra/monitor.h"

#include <stdbool.h>
#include <stddef.h>

struct monitor_reader {
	int fd;
	unsigned pauses; /* of a millisecond, for a block that is being written */
	unsigned ncores, ncounters;
	uint64_t blocks_offset, blocks_stride;
	struct monitor_header header;
	char names[MONITOR_COUNTERS_MAX][MONITOR_NAME_SIZE];
};

struct core_sample {
	bool is_read; /* a whole block, which the core had published */
	uint64_t published_ns, halted_ns; /* the guest's time */
	uint64_t values[MONITOR_COUNTERS_MAX];
};

struct sample {
	uint64_t host_ns; /* CLOCK_MONOTONIC */
	struct core_sample cores[MONITOR_CORES_MAX];
};

/* What the file says now. NULL, or what is wrong with it: a sentence (static memory). The descriptor stays the
 * caller's. */
const char *monitor_open(struct monitor_reader *reader, int fd);
/* That of the above which is no error: the image has not got so far. Wait, and open again. */
extern const char monitor_not_begun[];

/* What all cores have published. NULL, or what is wrong; a core whose block changes again and again while it is
 * read is not an error, but not `is_read`. */
const char *monitor_read(const struct monitor_reader *reader, struct sample *sample);

/* `size` bytes of the file. NULL, or what is wrong: also that they are not all there. */
const char *monitor_read_at(int fd, uint64_t offset, void *to, size_t size);

/* The region of this kind, if its entries have `size` bytes and lie in the file; NULL: there is none. */
const struct monitor_region *monitor_region(const struct monitor_reader *reader, uint32_t kind,
					    uint64_t size);

/* The place of a counter among the values, or -1. */
int monitor_find(const struct monitor_reader *reader, const char *name);
