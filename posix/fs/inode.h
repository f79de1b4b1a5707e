/*
 * Inodes: what names in directories stand for.
 *
 * References. An inode lives while it has a link or a reference (an open file, a mapping, the working
 * directory, a name in it if it is a directory). While it has a link, references are counted on
 * each core by itself, so that cores which open and close the same file share no line that is
 * written. When the last link goes the counts are brought together once every core has passed a
 * safe point, and are kept in one place from then on (inode_unlinked()). What was found by a lookup
 * may be used until the caller blocks or polls, with no reference (smp/epoch.h).
 *
 * Attributes are single words, written and read with relaxed atomics: they order nothing.
 */
#pragma once

#include "lavra/types.h"
#include "mm/page_source.h"
#include "posix/fs/pages.h"
#include "sched/mutex.h"
#include "smp/epoch.h"

#include <sys/stat.h>

struct entry;
struct file_locks;
struct name_order;
struct name_table;
struct pseudo_node;
struct fifo;

#define INODES_MAX (1024u * 1024)
#define FILE_SIZE_MAX INT64_MAX

/* Which tree it is in: st_dev. Links and renames stay within one. */
enum volume { VOLUME_RAM = 1, VOLUME_PROC, VOLUME_SYS };

struct directory { /* changed under tree_lock; read without a lock */
	struct name_table *table; /* by name */
	struct name_order *order; /* by position, for getdents() */
	uint32_t count; /* of names */
	struct entry *numbered; /* stands for names that end in numbers (posix/fs/pseudo.h) */
};

struct inode {
	struct page_source source; /* regular files */
	uint32_t mode; /* type, which never changes, and permissions */
	uint32_t user, group;
	uint32_t links; /* written under tree_lock */
	uint32_t number; /* 1..INODES_MAX: st_ino */
	uint8_t volume; /* enum volume */
	bool counted_in_one; /* references are all in `references`; atomic */
	uint16_t seals; /* F_SEAL_* of a memfd; atomic */
	bool mapped_writable; /* at some time, shared; with the mutex */
	struct mutex mutex; /* of who changes the contents */
	uint32_t references; /* atomic */
	int64_t size; /* atomic; written by the mutex's holder */
	uint64_t accessed_ns, modified_ns, changed_ns, born_ns; /* since 1970; atomic */
	uint64_t device; /* st_rdev */
	struct entry *entry; /* a name it has, or the last it had; NULL: never any. tree_lock */
	struct file_locks *locks; /* made when first needed; atomic */
	const struct pseudo_node *pseudo; /* contents that are made when they are read */
	struct deferred deferred;
	union {
		struct pages pages; /* regular file */
		struct directory directory;
		char *target; /* symbolic link */
		struct fifo *fifo; /* made at the first open; atomic */
		void *socket; /* of the socket's name; atomic */
	};
};

static inline bool inode_is(const struct inode *inode, unsigned type)
{
	return (__atomic_load_n(&inode->mode, __ATOMIC_RELAXED) & S_IFMT) == type;
}

static inline int64_t inode_size(const struct inode *inode)
{
	/* Acquire: the pages were there before the size said so. */
	return __atomic_load_n(&inode->size, __ATOMIC_ACQUIRE);
}

/*
 * A new inode with one link (which the caller will make) and no reference, or, `linked` false, with
 * no link and one reference. NULL: no memory, or the reserve is reached, or there are INODES_MAX.
 */
struct inode *inode_create(unsigned mode, enum volume volume, bool linked);
/* Who owns new ones from now on; root until then. Boot thread. */
void inode_set_owner(unsigned user, unsigned group);

/* Keep it. False if it has neither links nor references any more. Any core. */
bool inode_reference(struct inode *inode);
void inode_unreference(struct inode *inode);
/* The number of links became 0 under tree_lock: it ends with its last reference. */
void inode_unlinked(struct inode *inode);
/* The number of links becomes 1 again (of what was made without one), under tree_lock. False if
 * it is ending. */
bool inode_relinked(struct inode *inode);

uint64_t wall_clock_ns(void);
/* Times that change with the contents, and with the attributes alone. */
void inode_modified(struct inode *inode);
void inode_changed(struct inode *inode);
/* Only the first access after a change is noted, as Linux's "relatime" does in the course of a day, so
 * that reading cores do not write the same line. */
void inode_accessed(struct inode *inode);

/* Is there memory for something new that stays, beyond the reserve? */
bool fs_may_grow(void);
size_t fs_reserve_pages(void);
/* Something did not fit. True if it may fit now, since memory that was waiting for an epoch has come
 * back. Blocks. Thread context. */
bool fs_wait_for_memory(void);
unsigned inode_count(void);
