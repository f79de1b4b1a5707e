/*
 * The monitor's file: memory that a guest and its host share, in which each core says what it has done.
 *
 * Described in docs/monitor.md; read by `lavra top`. It begins with a header, which has a table of regions. A
 * reader passes over kinds of regions that it does not know, and learns the counters' names from the file, so
 * what is added later needs no new version. Integers are little-endian.
 *
 * The guest writes (smp/monitor.c), the host reads. Each core writes only its own block, which lies on cache
 * lines of its own and has a sequence count: odd while it is written. The reader believes nothing.
 */
#pragma once

#include <stdint.h>

#define MONITOR_MAGIC 0x726f74696e6f6d4cull /* "Lmonitor"; written last */
#define MONITOR_VERSION 1

/* How large `lavra run` makes it: a power of two, as a BAR has to be. */
#define MONITOR_FILE_SIZE (256u << 10)

enum monitor_region_kind {
	MONITOR_REGION_NAMES = 1, /* struct monitor_name, one for each counter */
	MONITOR_REGION_CORES = 2, /* struct monitor_block, one for each core */
	/* Kept for what the host asks of the guest, and for the cores' trace rings. */
	MONITOR_REGION_COMMANDS = 3,
	MONITOR_REGION_TRACE = 4,
};

struct monitor_region {
	uint32_t kind;
	uint32_t count; /* of entries */
	uint64_t offset; /* of the first, from the file's start; a multiple of 64 */
	uint64_t stride; /* bytes from one to the next */
};

#define MONITOR_REGIONS_MAX 16

struct monitor_header {
	uint64_t magic; /* 0: the guest has not begun */
	uint32_t version;
	uint32_t nregions; /* at most MONITOR_REGIONS_MAX */
	uint64_t size; /* that is in use, from the file's start */
	uint64_t reserved;
	struct monitor_region regions[MONITOR_REGIONS_MAX];
};

#define MONITOR_NAME_SIZE 32 /* with the terminating 0; a-z, 0-9 and _ */
#define MONITOR_COUNTERS_MAX 128
#define MONITOR_CORES_MAX 64

struct monitor_name {
	char name[MONITOR_NAME_SIZE];
};

/* What a core has done up to `published_ns`, in its own time: nanoseconds since the guest's boot. */
struct monitor_block {
	uint64_t sequence;
	uint64_t published_ns; /* 0: nothing yet */
	uint64_t
	    halted_ns; /* since when it halts; 0: it does not. Also changed between publications */
	uint64_t reserved[5];
	uint64_t values[]; /* as many as there are names */
};
