/*
 * Changes of the tree of names: one at a time, under tree_lock, a spinlock held for a bounded time.
 * Lookups run beside them and see each name either before or after a change.
 *
 * Names are single components, not "." or "..". Directories were looked up by the caller and may
 * have been removed since: -ENOENT then. Thread context; nothing blocks.
 */
#pragma once

#include "posix/fs/inode.h"

#include <stddef.h>

/* linux/fs.h */
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2

struct name {
	struct inode *directory;
	const char *text;
	size_t length;
	bool slash; /* it was followed by a slash, so it must be a directory's */
};

/* Give a new inode (inode_create(), linked) its first name. 0, -EEXIST, -ENOENT, -ENOSPC, -ENOMEM; -EACCES
 * and the like where nothing can be made. On an error the inode's link is gone. */
int name_add(const struct name *name, struct inode *inode);
/* Another name for what exists: 0, or also -EPERM (a directory), -EXDEV, -EMLINK. */
int name_link(const struct name *name, struct inode *inode);
/* unlink(), or rmdir() if `directory`. */
int name_remove(const struct name *name, bool directory);
/* renameat2(), with RENAME_NOREPLACE or RENAME_EXCHANGE in `flags`. */
int name_rename(const struct name *from, const struct name *to, unsigned flags);

/* While the initial tree is made, names can be added in /proc and /sys. */
void tree_seal(void);

/* Write the path of `entry` (NULL: the root's) to the end of `buffer`: where it begins, or NULL if it does
 * not fit. What has no name any more gets " (deleted)" at its end. */
char *path_of(const struct entry *entry, char *buffer, size_t size);
