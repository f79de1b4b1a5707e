#include "smp/monitor.h"

#include "lavra/counters.h"
#include "lavra/monitor.h"
#include "smp/core.h"
#include "smp/trace.h"
#include "smp/window.h"

#include <errno.h>
#include <string.h>

CORE_LOCAL uint64_t monitor_due_ns = UINT64_MAX;

static CORE_LOCAL uint64_t published_ns;
static CORE_LOCAL uint64_t sequence;

static READ_MOSTLY uint8_t *blocks; /* NULL: nobody watches */

static const struct monitor_name names[] = {
#define X(name, help) { #name },
	COUNTERS(X)
#undef X
};
#define NCOUNTERS array_size(names)
_Static_assert(sizeof(struct counters) == NCOUNTERS * sizeof(uint64_t), "a field is a counter");
_Static_assert(NCOUNTERS <= MONITOR_COUNTERS_MAX, "lavra/monitor.h");

/* Header and names in a page each, then the blocks, what is asked and answered, and the traces. */
#define NAMES_OFFSET PAGE_SIZE
#define BLOCKS_OFFSET (2 * PAGE_SIZE)
#define STRIDE                                                                                     \
	align_up(sizeof(struct monitor_block) + NCOUNTERS * sizeof(uint64_t), (uint64_t)CACHE_LINE)
_Static_assert(sizeof(struct monitor_header) <= NAMES_OFFSET, "the header fits");
_Static_assert(sizeof(names) <= BLOCKS_OFFSET - NAMES_OFFSET, "the names fit");
#define COMMAND_OFFSET(cores) align_up(BLOCKS_OFFSET + (cores)*STRIDE, PAGE_SIZE)
#define THREADS_OFFSET(cores) (COMMAND_OFFSET(cores) + PAGE_SIZE)
#define QUEUES_OFFSET(cores)                                                                       \
	align_up(THREADS_OFFSET(cores) + sizeof(struct monitor_threads), PAGE_SIZE)
#define TRACE_OFFSET(cores) (QUEUES_OFFSET(cores) + PAGE_SIZE)
#define SIZE(cores) (TRACE_OFFSET(cores) + (cores) * sizeof(struct trace_ring))
_Static_assert(SIZE(MAX_CORES) <= MONITOR_FILE_SIZE, "the file is large enough");

struct monitor_command *monitor_command;
struct monitor_threads *monitor_threads;
struct monitor_queues *monitor_queues;

uint64_t monitor_size(void)
{
	return SIZE(ncores);
}

static void add_region(struct monitor_header *header, enum monitor_region_kind kind, uint32_t count,
		       uint64_t offset, uint64_t stride)
{
	header->regions[header->nregions++] =
	    (struct monitor_region){ kind, count, offset, stride };
}

int monitor_attach(void *memory, uint64_t size)
{
	struct monitor_header *header = memory;

	if (size < monitor_size())
		return -ENOSPC;
	memset(memory, 0,
	       TRACE_OFFSET(ncores)); /* the rings are not touched before they are used */
	memcpy((char *)memory + NAMES_OFFSET, names, sizeof(names));
	header->version = MONITOR_VERSION;
	header->size = monitor_size();
	add_region(header, MONITOR_REGION_NAMES, NCOUNTERS, NAMES_OFFSET,
		   sizeof(struct monitor_name));
	add_region(header, MONITOR_REGION_CORES, ncores, BLOCKS_OFFSET, STRIDE);
	add_region(header, MONITOR_REGION_COMMAND, 1, COMMAND_OFFSET(ncores),
		   sizeof(struct monitor_command));
	add_region(header, MONITOR_REGION_THREADS, 1, THREADS_OFFSET(ncores),
		   sizeof(struct monitor_threads));
	add_region(header, MONITOR_REGION_QUEUES, 1, QUEUES_OFFSET(ncores),
		   sizeof(struct monitor_queues));
	add_region(header, MONITOR_REGION_TRACE, ncores, TRACE_OFFSET(ncores),
		   sizeof(struct trace_ring));
	monitor_command = (void *)((char *)memory + COMMAND_OFFSET(ncores));
	monitor_threads = (void *)((char *)memory + THREADS_OFFSET(ncores));
	monitor_queues = (void *)((char *)memory + QUEUES_OFFSET(ncores));
	trace_init((void *)((char *)memory + TRACE_OFFSET(ncores)));
	/* Release: who sees it sees the rest, in the guest and outside. */
	__atomic_store_n(&header->magic, MONITOR_MAGIC, __ATOMIC_RELEASE);
	__atomic_store_n(&blocks, (uint8_t *)memory + BLOCKS_OFFSET, __ATOMIC_RELEASE);
	for (core_id_t core = 0; core < ncores; core++)
		__atomic_store_n(core_local_of(core, monitor_due_ns), 0, __ATOMIC_RELEASE);
	return 0;
}

static struct monitor_block *own_block(void)
{
	return (struct monitor_block *)(blocks + this_core * STRIDE);
}

/* The host's compiler and ours see a plain word: written once, whole. */
static void put(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

/* The reader takes the sequence before and after: both even and the same, or it looks again. */
static void publish(uint64_t now_ns, uint64_t halted_ns)
{
	struct counters counted = counters_of(this_core);
	const uint64_t *values = (const uint64_t *)&counted;
	struct monitor_block *block = own_block();

	put(&block->sequence, ++sequence);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	put(&block->published_ns, now_ns);
	put(&block->halted_ns, halted_ns);
	for (unsigned i = 0; i < NCOUNTERS; i++)
		put(&block->values[i], values[i]);
	__atomic_store_n(&block->sequence, ++sequence, __ATOMIC_RELEASE);
	published_ns = now_ns;
	monitor_due_ns = now_ns + MONITOR_BUSY_NS;
}

void monitor_publish(uint64_t now_ns)
{
	publish(now_ns, 0);
}

uint64_t monitor_halts(uint64_t now_ns)
{
	if (!blocks)
		return UINT64_MAX;
	if (now_ns - published_ns >= MONITOR_HALT_NS) {
		publish(now_ns, now_ns);
		return UINT64_MAX;
	}
	put(&own_block()->halted_ns, now_ns);
	return published_ns + MONITOR_HALT_NS;
}

void monitor_wakes(void)
{
	if (blocks)
		put(&own_block()->halted_ns, 0);
}
