/*
 * All threads: the table that finds one by its number, and the list of all.
 *
 * Looking up takes no lock: entries are set and cleared with single stores, and a thread that was
 * taken out is freed only after every core passed a safe point (smp/epoch.h). The table
 * grows by a leaf at a time and never shrinks: its leaves hold 512 threads each.
 */
#include "sched/run_queue.h"

#include "lavra/console.h"
#include "mm/object.h"
#include "smp/shootdown.h"

#include <ck_spinlock.h>
#include <errno.h>

#define LEAF_ENTRIES 512
#define LEAVES (THREAD_NUMBERS / LEAF_ENTRIES)

static struct thread **leaves[LEAVES];

/* Guards: adding and removing, next_tid, application_threads, all_threads. */
static ck_spinlock_t lock = CK_SPINLOCK_INITIALIZER;
static int next_tid = 1;
static unsigned application_threads;
static struct list all_threads = LIST_INIT(all_threads);

/* Also with interrupts off (posix/signal/signal_queue.c): whoever holds the lock may have met a page fault on
 * its stack, and that may wait for this core's answer to a shootdown. */
static void lock_table(void)
{
	while (!ck_spinlock_trylock(&lock)) {
		tlb_interrupt();
		arch_pause();
	}
}

static void unlock_table(void)
{
	ck_spinlock_unlock(&lock);
}

static struct thread **slot_of(int tid)
{
	struct thread **leaf;

	if (tid <= 0 || tid >= LEAVES * LEAF_ENTRIES)
		return NULL;
	/* Pairs with the release in slot_make(): a leaf is seen cleared. */
	leaf = __atomic_load_n(&leaves[tid / LEAF_ENTRIES], __ATOMIC_ACQUIRE);
	return leaf ? &leaf[tid % LEAF_ENTRIES] : NULL;
}

static struct thread **slot_make(int tid)
{
	struct thread **slot = slot_of(tid);
	struct thread **leaf;

	if (slot)
		return slot;
	leaf = object_alloc_zeroed(LEAF_ENTRIES * sizeof(*leaf));
	if (!leaf)
		return NULL;
	__atomic_store_n(&leaves[tid / LEAF_ENTRIES], leaf, __ATOMIC_RELEASE);
	return &leaf[tid % LEAF_ENTRIES];
}

int thread_table_add(struct thread *thread)
{
	int error = -EAGAIN;

	lock_table();
	/* Numbers are taken in turn, so that one is not used again soon after its thread's end. */
	for (int tries = 1; tries < LEAVES * LEAF_ENTRIES; tries++) {
		int tid = next_tid;
		struct thread **slot = slot_make(tid);

		next_tid = tid + 1 < LEAVES * LEAF_ENTRIES ? tid + 1 : 1;
		if (!slot)
			break;
		if (*slot)
			continue;
		thread->tid = tid;
		list_push_back(&all_threads, &thread->all_link);
		application_threads++;
		/* Pairs with the acquire in thread_find(): the thread is seen whole. */
		__atomic_store_n(slot, thread, __ATOMIC_RELEASE);
		error = 0;
		break;
	}
	unlock_table();
	return error;
}

void thread_table_add_kernel(struct thread *thread)
{
	lock_table();
	list_push_back(&all_threads, &thread->all_link);
	unlock_table();
}

unsigned thread_table_remove(struct thread *thread)
{
	unsigned left;

	lock_table();
	list_remove(&thread->all_link);
	if (thread->tid) {
		__atomic_store_n(slot_of(thread->tid), NULL, __ATOMIC_RELAXED);
		application_threads--;
	}
	left = application_threads;
	unlock_table();
	return left;
}

struct thread *thread_find(int tid)
{
	struct thread **slot = slot_of(tid);

	return slot ? __atomic_load_n(slot, __ATOMIC_ACQUIRE) : NULL;
}

unsigned thread_count(void)
{
	return __atomic_load_n(&application_threads, __ATOMIC_RELAXED);
}

void thread_for_each(void (*visit)(struct thread *, void *), void *argument)
{
	lock_table();
	list_for_each(link, &all_threads)
		visit(list_entry(link, struct thread, all_link), argument);
	unlock_table();
}
