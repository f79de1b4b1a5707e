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

bool epoch_is_pending(void)
{
	return ck_pr_load_uint(&records[this_core].n_pending) != 0;
}

void epoch_safe_point(void)
{
	ck_epoch_record_t *record = &records[this_core];

	if (unlikely(record->epoch != ck_pr_load_uint(&epoch.epoch))) {
		ck_epoch_end(record, NULL);
		ck_epoch_begin(record, NULL);
	}
	if (unlikely(record->n_pending))
		ck_epoch_poll(record);
}

void epoch_sleep(void)
{
	ck_epoch_end(&records[this_core], NULL);
}

void epoch_wake(void)
{
	ck_epoch_begin(&records[this_core], NULL);
}
