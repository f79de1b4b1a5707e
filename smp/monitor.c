#include "smp/monitor.h"

#include "lavra/counters.h"
#include "lavra/monitor.h"
#include "smp/core.h"
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

/* Header and names in a page each, then the blocks. */
#define NAMES_OFFSET PAGE_SIZE
#define BLOCKS_OFFSET (2 * PAGE_SIZE)
#define STRIDE                                                                                     \
	align_up(sizeof(struct monitor_block) + NCOUNTERS * sizeof(uint64_t), (uint64_t)CACHE_LINE)
_Static_assert(sizeof(struct monitor_header) <= NAMES_OFFSET, "the header fits");
_Static_assert(sizeof(names) <= BLOCKS_OFFSET - NAMES_OFFSET, "the names fit");
_Static_assert(BLOCKS_OFFSET + MAX_CORES * STRIDE <= MONITOR_FILE_SIZE, "the file is large enough");

uint64_t monitor_size(void)
{
	return BLOCKS_OFFSET + ncores * STRIDE;
}

int monitor_attach(void *memory, uint64_t size)
{
	struct monitor_header *header = memory;

	if (size < monitor_size())
		return -ENOSPC;
	memset(memory, 0, monitor_size());
	memcpy((char *)memory + NAMES_OFFSET, names, sizeof(names));
	header->version = MONITOR_VERSION;
	header->size = monitor_size();
	header->nregions = 2;
	header->regions[0] = (struct monitor_region){
		.kind = MONITOR_REGION_NAMES,
		.count = NCOUNTERS,
		.offset = NAMES_OFFSET,
		.stride = sizeof(struct monitor_name),
	};
	header->regions[1] = (struct monitor_region){
		.kind = MONITOR_REGION_CORES,
		.count = ncores,
		.offset = BLOCKS_OFFSET,
		.stride = STRIDE,
	};
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
