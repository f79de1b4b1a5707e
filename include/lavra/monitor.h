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

/* How large `lavra run` makes it: a power of two, as a BAR has to be. Most of it is room for the trace of 64
 * cores, of which a file takes no more than is written. */
#define MONITOR_FILE_SIZE (16u << 20)

enum monitor_region_kind {
	MONITOR_REGION_NAMES = 1, /* struct monitor_name, one for each counter */
	MONITOR_REGION_CORES = 2, /* struct monitor_block, one for each core */
	MONITOR_REGION_COMMAND = 3, /* one struct monitor_command */
	MONITOR_REGION_TRACE = 4, /* struct trace_ring (lavra/trace.h), one for each core */
	MONITOR_REGION_THREADS = 5, /* one struct monitor_threads */
	MONITOR_REGION_QUEUES = 6, /* one struct monitor_queues */
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

/*
 * What the host asks for. It writes the rest, then the next number into `asked`; the guest looks ten times a
 * second, does it, and writes the result, then that number into `answered`. One host program at a time: it
 * locks the region's bytes of the file (fcntl, F_OFD_SETLK).
 */
struct monitor_command {
	uint64_t asked;
	uint64_t answered;
	int64_t result; /* 0, or a negative errno of Linux's */
	uint32_t kind; /* enum monitor_command_kind */
	uint32_t reserved;
	uint64_t arguments[4];
};

enum monitor_command_kind {
	MONITOR_TRACE = 1, /* on (1) or off (0) */
	MONITOR_LIST_THREADS = 2, /* fill MONITOR_REGION_THREADS and MONITOR_REGION_QUEUES */
	MONITOR_SET_AFFINITY = 3, /* thread, mask of cores */
	MONITOR_SET_IDLE = 4, /* mask of cores, enum monitor_idle */
	MONITOR_MOVE_QUEUE = 5, /* queue pair, core */
};

/* What a core does that has no work. */
enum monitor_idle { MONITOR_IDLE_HALT = 0, MONITOR_IDLE_POLL = 1, MONITOR_IDLE_ADAPTIVE = 2 };

#define MONITOR_THREADS_MAX 512
#define MONITOR_THREAD_NAME_SIZE 16

struct monitor_thread {
	uint32_t tid;
	uint32_t core;
	uint64_t affinity; /* cores that it may run on */
	uint64_t cpu_ns; /* that it has run */
	char name[MONITOR_THREAD_NAME_SIZE]; /* any bytes, with the terminating 0 */
};

struct monitor_threads {
	uint32_t count; /* of the threads; as many as there is room for are listed */
	uint32_t reserved;
	uint8_t idle[MONITOR_CORES_MAX]; /* enum monitor_idle, of each core */
	struct monitor_thread threads[MONITOR_THREADS_MAX];
};

/* The queue pairs of the network device. */
struct monitor_queues {
	uint32_t count; /* 0: there is no network */
	uint32_t reserved;
	uint8_t cores[MONITOR_CORES_MAX]; /* whose each is */
};
