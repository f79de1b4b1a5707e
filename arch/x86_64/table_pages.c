#include "arch/x86_64/page_tables.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/frame.h"
#include "smp/core.h"

#include <ck_spinlock.h>
#include <string.h>

/* Until mm/ has taken over the boot information, tables come from there. */
static struct boot_info *boot_memory;

/*
 * Retired tables, in two batches linked through their first entries (a link is page-aligned, so
 * bit 0 is clear: a processor that still walks there finds "not present"). The older batch is
 * given back when every online core has begun and ended a flush since it was closed.
 */
static paddr_t batch_open, batch_closed;
static uint64_t begun_at_close[MAX_CORES];
/* Guards the two batches. Innermost but for frame_free()'s (docs/locking.md). */
static ck_spinlock_fas_t batch_lock = CK_SPINLOCK_FAS_INITIALIZER;

/* The flushes of each core: written by that core, read under batch_lock. */
static struct {
	uint64_t begun, ended;
} CACHE_ALIGNED flushes[MAX_CORES];

void table_pages_init(struct boot_info *info)
{
	boot_memory = info;
}

/* The boot tables map no more than 4 GiB, and a page must be mapped to be cleared. */
static paddr_t boot_page(void)
{
	for (unsigned i = boot_memory->nranges; i-- > 0;) {
		struct memory_range *range = &boot_memory->ranges[i];

		if (range->end <= 1ul << 32 && range->end - range->start > PAGE_SIZE) {
			range->end -= PAGE_SIZE;
			return range->end;
		}
	}
	return 0;
}

paddr_t table_page_alloc(void)
{
	paddr_t page;

	if (frame_total() != 0)
		return frame_alloc_zeroed(0);
	page = boot_page();
	if (page != 0)
		memset(phys_to_virt(page), 0, PAGE_SIZE);
	return page;
}

static bool all_flushed_since_close(void)
{
	for (core_id_t core = 0; core < ncores; core++) {
		/* Pairs with the release in table_pages_flush_end(): that core's old entries are
		 * gone. */
		uint64_t ended = __atomic_load_n(&flushes[core].ended, __ATOMIC_ACQUIRE);

		if (core_is_online(core) && ended <= begun_at_close[core])
			return false;
	}
	return true;
}

static void close_batch(void)
{
	for (core_id_t core = 0; core < ncores; core++)
		begun_at_close[core] = __atomic_load_n(&flushes[core].begun, __ATOMIC_SEQ_CST);
	batch_closed = batch_open;
	batch_open = 0;
}

static void free_batch(paddr_t batch)
{
	while (batch != 0) {
		uint64_t *table = phys_to_virt(batch);
		paddr_t next = table[0];

		frame_free(batch, 0);
		batch = next;
	}
}

void table_page_retire(paddr_t page)
{
	uint64_t *table = phys_to_virt(page);
	paddr_t done = 0;

	ck_spinlock_fas_lock(&batch_lock);
	/* A flush that follows here makes a closed batch free: this table may join only an open
	 * one. */
	if (batch_closed != 0 && all_flushed_since_close()) {
		done = batch_closed;
		batch_closed = 0;
	}
	if (batch_closed == 0 && batch_open != 0)
		close_batch();
	table[0] = batch_open;
	batch_open = page;
	ck_spinlock_fas_unlock(&batch_lock);
	free_batch(done);
}

void table_pages_flush_begin(void)
{
	/* Visible before the flush: that one is serialising (SDM volume 3, 8.3). In one step, since the
	 * interrupts of two shootdowns may come in between: the count must not go back. */
	__atomic_fetch_add(&flushes[this_core].begun, 1, __ATOMIC_SEQ_CST);
}

void table_pages_flush_end(void)
{
	__atomic_store_n(&flushes[this_core].ended, flushes[this_core].begun, __ATOMIC_RELEASE);
}
