/*
 * Making, counting and ending inodes.
 *
 * Each core has a table of counts, indexed by the inode's number, that only it writes: references
 * taken there minus references dropped there. Only the sum over all cores means something, and it is
 * formed once, when the last link has gone. Until then `references` holds UNCOUNTED, more than
 * can ever be dropped, so that it does not reach 0; it also takes what a core cannot note
 * because there is no memory for its table.
 */
#include "posix/fs/inode.h"

#include "posix/fs/directory.h"
#include "posix/fs/fifo.h"
#include "posix/fs/locks.h"
#include "posix/fs/tree.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "sched/thread.h"
#include "smp/core.h"
#include "smp/window.h"

#include <ck_spinlock.h>
#include <string.h>

#define UNCOUNTED (1u << 30)

/* ---- memory for what stays ---- */

#define RESERVE_SHARE 16 /* of all memory */
#define RESERVE_PAGES_MAX (16384ul)

/* This core may take so many times before it asks again how much memory is left. */
#define TAKES 8

size_t fs_reserve_pages(void)
{
	return min(frame_total() / RESERVE_SHARE, RESERVE_PAGES_MAX);
}

bool fs_may_grow(void)
{
	static CORE_LOCAL unsigned takes;

	if (takes) {
		takes--;
		return true;
	}
	if (frame_free_count() <= fs_reserve_pages())
		return false;
	takes = TAKES;
	return true;
}

bool fs_wait_for_memory(void)
{
	for (unsigned i = 0; i < 100 && epoch_is_pending(); i++) {
		thread_yield();
		if (frame_free_count() > fs_reserve_pages())
			return true;
	}
	return false;
}

/* ---- numbers ---- */

#define CHUNK 1024u
#define CHUNKS (INODES_MAX / CHUNK)

/* Leaf: taken inside tree_lock, and by itself. Guards the next three. */
static ck_spinlock_t numbers_lock = CK_SPINLOCK_INITIALIZER;
static uint32_t *next_free[CHUNKS]; /* by number - 1: the number that is free after it */
static uint32_t first_free; /* 0: none */
static uint32_t numbers_made;
static uint32_t inodes; /* atomic */

static uint32_t take_number(void)
{
	uint32_t number = 0;

	ck_spinlock_lock(&numbers_lock);
	if (first_free) {
		number = first_free;
		first_free = next_free[(number - 1) / CHUNK][(number - 1) % CHUNK];
	} else if (numbers_made < INODES_MAX) {
		uint32_t **chunk = &next_free[numbers_made / CHUNK];

		if (!*chunk)
			*chunk = object_alloc(CHUNK * sizeof(**chunk));
		if (*chunk)
			number = ++numbers_made;
	}
	ck_spinlock_unlock(&numbers_lock);
	return number;
}

static void give_number(uint32_t number)
{
	ck_spinlock_lock(&numbers_lock);
	next_free[(number - 1) / CHUNK][(number - 1) % CHUNK] = first_free;
	first_free = number;
	ck_spinlock_unlock(&numbers_lock);
}

unsigned inode_count(void)
{
	return __atomic_load_n(&inodes, __ATOMIC_RELAXED);
}

/* ---- counts of each core ---- */

struct core_counts {
	int32_t *chunk[CHUNKS]; /* written by the owner, once each; read by others */
};

static CORE_LOCAL struct core_counts *core_counts;

/* This core's count for `number`, or NULL without memory. */
static int32_t *own_count(uint32_t number)
{
	struct core_counts *counts = core_counts;
	int32_t *chunk;

	if (unlikely(!counts)) {
		counts = object_alloc_zeroed(sizeof(*counts));
		if (!counts)
			return NULL;
		__atomic_store_n(&core_counts, counts, __ATOMIC_RELEASE);
	}
	chunk = counts->chunk[(number - 1) / CHUNK];
	if (unlikely(!chunk)) {
		chunk = object_alloc_zeroed(CHUNK * sizeof(*chunk));
		if (!chunk)
			return NULL;
		__atomic_store_n(&counts->chunk[(number - 1) / CHUNK], chunk, __ATOMIC_RELEASE);
	}
	return &chunk[(number - 1) % CHUNK];
}

/* Take out what all cores have counted for `number`. Nobody counts there any more. */
static int32_t collect_counts(uint32_t number)
{
	int32_t sum = 0;

	for (core_id_t core = 0; core < ncores; core++) {
		struct core_counts *counts;
		int32_t *chunk;

		if (core != this_core && !core_is_online(core))
			continue;
		counts = core == this_core
			     ? core_counts
			     : __atomic_load_n(core_local_of(core, core_counts), __ATOMIC_ACQUIRE);
		if (!counts)
			continue;
		chunk = __atomic_load_n(&counts->chunk[(number - 1) / CHUNK], __ATOMIC_ACQUIRE);
		if (!chunk)
			continue;
		sum += __atomic_exchange_n(&chunk[(number - 1) % CHUNK], 0, __ATOMIC_RELAXED);
	}
	return sum;
}

/* True if the change was noted on this core alone. */
static bool count_here(struct inode *inode, int change)
{
	int32_t *count;

	/* The flag is set before every core passes a safe point and the counts are collected after
	 * that, so what is counted after seeing it unset is collected. */
	if (unlikely(__atomic_load_n(&inode->counted_in_one, __ATOMIC_RELAXED)))
		return false;
	count = own_count(inode->number);
	if (unlikely(!count))
		return false;
	/* Nobody else writes it. */
	__atomic_store_n(count, *count + change, __ATOMIC_RELAXED);
	return true;
}

/* ---- the end ---- */

static void destroy(struct deferred *deferred)
{
	struct inode *inode = container_of(deferred, struct inode, deferred);

	switch (inode->mode & S_IFMT) {
	case S_IFREG:
		if (!inode->pseudo)
			pages_destroy(&inode->pages);
		break;
	case S_IFDIR:
		directory_destroy(&inode->directory);
		break;
	case S_IFLNK:
		object_free(inode->target);
		break;
	case S_IFIFO:
		fifo_destroy(inode->fifo);
		break;
	}
	locks_destroy(inode->locks);
	/* Only the inode led there. */
	if (inode->entry)
		entry_destroy(inode->entry);
	give_number(inode->number);
	__atomic_fetch_sub(&inodes, 1, __ATOMIC_RELAXED);
	object_free(inode);
}

/* A lookup may still be looking at it. */
static void end(struct inode *inode)
{
	epoch_defer(&inode->deferred, destroy);
}

static void bring_together(struct deferred *deferred)
{
	struct inode *inode = container_of(deferred, struct inode, deferred);
	uint32_t sum = (uint32_t)collect_counts(inode->number) - UNCOUNTED;

	/* Acquire and release: what others did with the inode comes before its end. */
	if (__atomic_add_fetch(&inode->references, sum, __ATOMIC_ACQ_REL) == 0)
		end(inode);
}

/* ---- references ---- */

bool inode_reference(struct inode *inode)
{
	uint32_t seen;

	if (likely(count_here(inode, 1)))
		return true;
	seen = __atomic_load_n(&inode->references, __ATOMIC_RELAXED);
	do {
		if (seen == 0)
			return false;
	} while (!__atomic_compare_exchange_n(&inode->references, &seen, seen + 1, true,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return true;
}

void inode_unreference(struct inode *inode)
{
	uint32_t before;

	if (likely(count_here(inode, -1)))
		return;
	before = __atomic_fetch_sub(&inode->references, 1, __ATOMIC_ACQ_REL);
	assert(before > 0);
	if (before == 1)
		end(inode);
}

/* In `references` the links of an inode that is counted there count as one. */
void inode_unlinked(struct inode *inode)
{
	if (inode->counted_in_one) {
		inode_unreference(inode);
		return;
	}
	__atomic_store_n(&inode->counted_in_one, true, __ATOMIC_RELEASE);
	epoch_defer(&inode->deferred, bring_together);
}

bool inode_relinked(struct inode *inode)
{
	return inode->counted_in_one && inode_reference(inode);
}

/* ---- the beginning ---- */

static READ_MOSTLY unsigned owner, owning_group;

void inode_set_owner(unsigned user, unsigned group)
{
	owner = user;
	owning_group = group;
}

struct inode *inode_create(unsigned mode, enum volume volume, bool linked)
{
	struct inode *inode = fs_may_grow() ? object_alloc_zeroed(sizeof(*inode)) : NULL;
	uint64_t now = wall_clock_ns();

	if (!inode)
		return NULL;
	inode->number = take_number();
	if (!inode->number) {
		object_free(inode);
		return NULL;
	}
	inode->mode = mode;
	inode->user = owner;
	inode->group = owning_group;
	inode->volume = volume;
	inode->links = linked;
	inode->counted_in_one = !linked;
	inode->references = linked ? UNCOUNTED : 1;
	inode->accessed_ns = inode->modified_ns = inode->changed_ns = inode->born_ns = now;
	__atomic_fetch_add(&inodes, 1, __ATOMIC_RELAXED);
	return inode;
}

/* ---- times ---- */

uint64_t wall_clock_ns(void)
{
	return clock_epoch_ns + clock_ns();
}

void inode_modified(struct inode *inode)
{
	uint64_t now = wall_clock_ns();

	__atomic_store_n(&inode->modified_ns, now, __ATOMIC_RELAXED);
	__atomic_store_n(&inode->changed_ns, now, __ATOMIC_RELAXED);
}

void inode_changed(struct inode *inode)
{
	__atomic_store_n(&inode->changed_ns, wall_clock_ns(), __ATOMIC_RELAXED);
}

void inode_accessed(struct inode *inode)
{
	uint64_t accessed = __atomic_load_n(&inode->accessed_ns, __ATOMIC_RELAXED);

	if (likely(accessed > __atomic_load_n(&inode->modified_ns, __ATOMIC_RELAXED) &&
		   accessed >= __atomic_load_n(&inode->changed_ns, __ATOMIC_RELAXED)))
		return;
	__atomic_store_n(&inode->accessed_ns, wall_clock_ns(), __ATOMIC_RELAXED);
}
