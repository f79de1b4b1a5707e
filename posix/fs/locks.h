/*
 * Locks on files: those of fcntl() on ranges of bytes, and flock()'s on whole files.
 *
 * The owner of a range is the process (F_SETLK) or an open file (F_OFD_SETLK). There is one process, so
 * its locks meet only those of open files. flock()'s are the open file's, and independent of both.
 */
#pragma once

#include "posix/file/file.h"
#include "posix/fs/inode.h"

struct range {
	int64_t start, end; /* both included */
};

enum lock_type { LOCK_NONE, LOCK_SHARED, LOCK_EXCLUSIVE };

/* Set (LOCK_NONE: remove) `owner`'s lock on a range; `owner` NULL is the process. With `wait` until no
 * other lock is in the way: then the caller holds a reference to a file of the inode. 0, -EAGAIN,
 * -ENOLCK (no memory), -EINTR (a signal waits). */
int locks_set(struct inode *inode, const struct file *owner, struct range range,
	      enum lock_type type, bool wait);

struct lock_found {
	enum lock_type type; /* LOCK_NONE: nothing is in the way */
	struct range range;
	bool of_process;
};
/* What keeps `owner` from having such a lock. */
void locks_find(struct inode *inode, const struct file *owner, struct range range,
		enum lock_type type, struct lock_found *found);

/* flock(); as locks_set(). */
int locks_set_whole(struct inode *inode, const struct file *owner, enum lock_type type, bool wait);

/* The process closes a descriptor of `file`: all its ranges in that inode go, as POSIX wants. */
void locks_descriptor_closes(struct file *file);
/* The open file ends, and its locks with it. */
void locks_file_ends(struct inode *inode, const struct file *file);
void locks_destroy(struct file_locks *locks);
