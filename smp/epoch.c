#include "smp/epoch.h"

#include "lavra/console.h"
#include "smp/core.h"

/*
 * A core's record is in one section from one safe point to the next, so a section costs nothing at
 * its ends: at a safe point it is only renewed if the global epoch has moved since, which happens
 * while something is pending anywhere. The line that holds the global epoch is read by all and
 * written only then.
 */
static ck_epoch_t epoch;
static ck_epoch_record_t records[MAX_CORES];

/* Moving the epoch on takes some lines from core to core, so many releases share it: a core tries when so many more
 * are deferred, or when so much time is over. */
#define ENOUGH 32u
#define WAIT_NS (20 * NS_PER_MS)

static CORE_LOCAL unsigned enough;
static CORE_LOCAL uint64_t due_ns;

int epoch_init(void)
{
	/* All here, while one core runs: these two functions of the distribution's libck use vector
	 * registers, which kernel code may touch only before applications exist. */
	ck_epoch_init(&epoch);
	for (core_id_t core = 0; core < ncores; core++)
		ck_epoch_register(&epoch, &records[core], NULL);
	return 0;
}

void epoch_online(void)
{
	ck_epoch_begin(&records[this_core], NULL);
}

static void release(ck_epoch_entry_t *entry)
{
	struct deferred *deferred = container_of(entry, struct deferred, entry);

	deferred->release(deferred);
}

void epoch_defer(struct deferred *deferred, void (*function)(struct deferred *))
{
	deferred->release = function;
	ck_epoch_call(&records[this_core], &deferred->entry, release);
}

void epoch_safe_point(uint64_t now_ns)
{
	ck_epoch_record_t *record = &records[this_core];
	unsigned pending = record->n_pending;

	if (unlikely(record->epoch != ck_pr_load_uint(&epoch.epoch))) {
		ck_epoch_end(record, NULL);
		ck_epoch_begin(record, NULL);
	}
	if (likely(!pending) || (pending < enough && now_ns < due_ns))
		return;
	ck_epoch_poll(record);
	enough = record->n_pending + ENOUGH;
	due_ns = now_ns + WAIT_NS;
}

uint64_t epoch_deadline_ns(void)
{
	return records[this_core].n_pending ? due_ns : UINT64_MAX;
}

bool epoch_hurry(void)
{
	due_ns = 0;
	return records[this_core].n_pending != 0;
}

void epoch_sleep(void)
{
	ck_epoch_end(&records[this_core], NULL);
}

void epoch_wake(void)
{
	ck_epoch_begin(&records[this_core], NULL);
}
