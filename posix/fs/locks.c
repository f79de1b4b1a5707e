/*
 * The locks of an inode are two lists, made with the first lock and guarded by the lock of the queue
 * in which those wait that found another's lock in their way.
 */
#include "posix/fs/locks.h"

#include "posix/fs/open_file.h"

#include "mm/object.h"
#include "sched/thread.h"
#include "sched/wait_queue.h"

#include <errno.h>

struct file_lock {
	struct list link;
	const struct file *owner; /* NULL: the process */
	struct range range;
	enum lock_type type;
};

struct file_locks {
	struct wait_queue queue;
	struct list ranges; /* those of one owner do not overlap */
	struct list whole; /* one for each owner */
};

static struct file_locks *locks_of(struct inode *inode)
{
	/* Acquire: pairs with the release in make_locks(). */
	return __atomic_load_n(&inode->locks, __ATOMIC_ACQUIRE);
}

static struct file_locks *make_locks(struct inode *inode)
{
	struct file_locks *locks = locks_of(inode), *seen = NULL;

	if (locks)
		return locks;
	locks = object_alloc(sizeof(*locks));
	if (!locks)
		return NULL;
	wait_queue_init(&locks->queue);
	list_init(&locks->ranges);
	list_init(&locks->whole);
	if (__atomic_compare_exchange_n(&inode->locks, &seen, locks, false, __ATOMIC_RELEASE,
					__ATOMIC_ACQUIRE))
		return locks;
	object_free(locks);
	return seen;
}

static struct file_lock *make_lock(const struct file *owner, struct range range,
				   enum lock_type type)
{
	struct file_lock *lock = object_alloc(sizeof(*lock));

	if (lock) {
		list_init(&lock->link);
		lock->owner = owner;
		lock->range = range;
		lock->type = type;
	}
	return lock;
}

static void remove_lock(struct file_lock *lock)
{
	list_remove(&lock->link);
	object_free(lock);
}

static bool overlap(struct range a, struct range b)
{
	return a.start <= b.end && b.start <= a.end;
}

static const struct file_lock *find_conflict(const struct list *list, const struct file *owner,
					     struct range range, enum lock_type type)
{
	if (type == LOCK_NONE)
		return NULL;
	list_for_each(link, list) {
		const struct file_lock *lock = list_entry(link, struct file_lock, link);

		if (lock->owner != owner && overlap(lock->range, range) &&
		    (type == LOCK_EXCLUSIVE || lock->type == LOCK_EXCLUSIVE))
			return lock;
	}
	return NULL;
}

static void wake_all(struct file_locks *locks)
{
	wait_queue_wake_locked(&locks->queue, UINT32_MAX, NULL, NULL);
}

/* With the queue locked: until nothing of another owner is in the way. On an error it is unlocked. */
static int wait_for(struct file_locks *locks, const struct list *list, const struct file *owner,
		    struct range range, enum lock_type type, bool wait)
{
	while (find_conflict(list, owner, range, type)) {
		struct waiter waiter = { 0 };

		if (!wait) {
			wait_queue_unlock(&locks->queue);
			return -EAGAIN;
		}
		if (!wait_queue_wait_interruptible(&locks->queue, &waiter, UINT64_MAX))
			return -EINTR;
		wait_queue_lock(&locks->queue);
	}
	return 0;
}

/* ---- ranges ---- */

static bool touch(struct range a, struct range b)
{
	return overlap(a, b) || (a.end < INT64_MAX && a.end + 1 == b.start) ||
	       (b.end < INT64_MAX && b.end + 1 == a.start);
}

/* Make room for `range` among the owner's own: what has the same type and touches it is merged into
 * it, what overlaps is cut. `tail` is for the case that one is cut in two. */
static void make_way(struct file_locks *locks, const struct file *owner, struct range *range,
		     enum lock_type type, struct file_lock *tail)
{
	struct range wanted = *range;

	list_for_each_safe(link, &locks->ranges) {
		struct file_lock *lock = list_entry(link, struct file_lock, link);
		struct range *other = &lock->range;

		if (lock->owner != owner)
			continue;
		if (lock->type == type && touch(*other, wanted)) {
			range->start = min(range->start, other->start);
			range->end = max(range->end, other->end);
			remove_lock(lock);
		} else if (!overlap(*other, wanted)) {
			continue;
		} else if (other->start < wanted.start && other->end > wanted.end) {
			tail->range = (struct range){ wanted.end + 1, other->end };
			tail->type = lock->type;
			other->end = wanted.start - 1;
			list_push_back(&locks->ranges, &tail->link);
		} else if (other->start < wanted.start) {
			other->end = wanted.start - 1;
		} else if (other->end > wanted.end) {
			other->start = wanted.end + 1;
		} else {
			remove_lock(lock);
		}
	}
}

/* Is one of the owner's locks cut in two? */
static bool splits(const struct file_locks *locks, const struct file *owner, struct range range,
		   enum lock_type type)
{
	list_for_each(link, &locks->ranges) {
		const struct file_lock *lock = list_entry(link, struct file_lock, link);

		if (lock->owner == owner && lock->type != type && lock->range.start < range.start &&
		    lock->range.end > range.end)
			return true;
	}
	return false;
}

int locks_set(struct inode *inode, const struct file *owner, struct range range,
	      enum lock_type type, bool wait)
{
	struct file_locks *locks = type == LOCK_NONE ? locks_of(inode) : make_locks(inode);
	struct file_lock *lock = NULL, *tail = NULL;
	bool cuts;
	int error;

	if (!locks)
		return type == LOCK_NONE ? 0 : -ENOLCK;
	wait_queue_lock(&locks->queue);
	error = wait_for(locks, &locks->ranges, owner, range, type, wait);
	if (error)
		return error;
	cuts = splits(locks, owner, range, type);
	if (type != LOCK_NONE)
		lock = make_lock(owner, range, type);
	if (cuts)
		tail = make_lock(owner, range, type);
	if ((type != LOCK_NONE && !lock) || (cuts && !tail)) {
		object_free(lock);
		object_free(tail);
		error = -ENOLCK;
	} else {
		make_way(locks, owner, &range, type, tail);
		if (lock) {
			lock->range = range;
			list_push_back(&locks->ranges, &lock->link);
		}
		/* Something may have become free, or less exclusive. */
		wake_all(locks);
	}
	wait_queue_unlock(&locks->queue);
	return error;
}

void locks_find(struct inode *inode, const struct file *owner, struct range range,
		enum lock_type type, struct lock_found *found)
{
	struct file_locks *locks = locks_of(inode);
	const struct file_lock *lock;

	*found = (struct lock_found){ .type = LOCK_NONE };
	if (!locks)
		return;
	wait_queue_lock(&locks->queue);
	lock = find_conflict(&locks->ranges, owner, range, type);
	if (lock)
		*found = (struct lock_found){ lock->type, lock->range, !lock->owner };
	wait_queue_unlock(&locks->queue);
}

/* ---- whole files ---- */

static const struct range everything = { 0, INT64_MAX };

static struct file_lock *find_whole(struct file_locks *locks, const struct file *owner)
{
	list_for_each(link, &locks->whole) {
		struct file_lock *lock = list_entry(link, struct file_lock, link);

		if (lock->owner == owner)
			return lock;
	}
	return NULL;
}

int locks_set_whole(struct inode *inode, const struct file *owner, enum lock_type type, bool wait)
{
	struct file_locks *locks = type == LOCK_NONE ? locks_of(inode) : make_locks(inode);
	struct file_lock *lock;
	int error = 0;

	if (!locks)
		return type == LOCK_NONE ? 0 : -ENOLCK;
	wait_queue_lock(&locks->queue);
	lock = find_whole(locks, owner);
	if (lock && lock->type == type) {
		wait_queue_unlock(&locks->queue);
		return 0;
	}
	/* A lock that changes is given up first, as on Linux. */
	if (lock) {
		remove_lock(lock);
		wake_all(locks);
	}
	if (type != LOCK_NONE) {
		error = wait_for(locks, &locks->whole, owner, everything, type, wait);
		if (error)
			return error;
		/* While this thread waited another one may have been given it for the same file. */
		lock = find_whole(locks, owner);
		if (lock) {
			lock->type = type;
			wake_all(locks);
		} else {
			lock = make_lock(owner, everything, type);
			if (lock)
				list_push_back(&locks->whole, &lock->link);
			else
				error = -ENOLCK;
		}
	}
	wait_queue_unlock(&locks->queue);
	return error;
}

/* ---- ends ---- */

static void remove_all(struct list *list, const struct file *owner)
{
	list_for_each_safe(link, list) {
		struct file_lock *lock = list_entry(link, struct file_lock, link);

		if (lock->owner == owner)
			remove_lock(lock);
	}
}

void locks_descriptor_closes(struct file *file)
{
	struct inode *inode = file_inode(file);
	struct file_locks *locks = inode ? locks_of(inode) : NULL;

	if (likely(!locks))
		return;
	wait_queue_lock(&locks->queue);
	remove_all(&locks->ranges, NULL);
	wake_all(locks);
	wait_queue_unlock(&locks->queue);
}

void locks_file_ends(struct inode *inode, const struct file *file)
{
	struct file_locks *locks = locks_of(inode);

	wait_queue_lock(&locks->queue);
	remove_all(&locks->ranges, file);
	remove_all(&locks->whole, file);
	wake_all(locks);
	wait_queue_unlock(&locks->queue);
}

/* No file of the inode is open, so no lock is left. */
void locks_destroy(struct file_locks *locks)
{
	object_free(locks);
}
