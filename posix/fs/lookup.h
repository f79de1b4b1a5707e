/*
 * From a path to an inode: one walk for all files.
 *
 * Takes no lock, no reference and writes nothing. What is found may be used until the caller blocks or
 * polls, and the last name as long as the path. Paths are in kernel memory: those of the application were
 * copied (posix/fs/calls.h). Thread context.
 */
#pragma once

#include "posix/fs/inode.h"
#include "posix/fs/tree.h"

#define NAME_LENGTH_MAX 255u /* NAME_MAX */
#define LINKS_FOLLOWED_MAX 40u

enum walk_flags {
	WALK_FOLLOW = 1, /* a symbolic link at the path's end */
	WALK_MISSING = 2, /* the last name may be missing: `inode` is NULL then */
	WALK_NAME =
	    4, /* the last name is wanted, whatever stands there: links are not followed even
			* with a slash after them, and the slash is for the caller to judge */
	WALK_NO_LINKS = 8, /* -ELOOP for any symbolic link; also for links of /proc alone: */
	WALK_NO_MAGIC_LINKS = 16,
	WALK_BENEATH = 32, /* -EXDEV for what leads out of the directory where it starts */
};

enum last_part { LAST_NAME, LAST_DOT, LAST_DOTDOT, LAST_ROOT };

struct walk {
	struct inode *inode; /* what is there */
	unsigned number; /* for its pseudo_node */
	struct file *file; /* instead: a link of /proc to a file that is in no directory */
	enum last_part last;
	struct name name; /* the last part of the path, and where it is or would be */
	char text[256]; /* of a link that is made when it is read */
};

struct inode *root_directory(void);
struct inode *working_directory(void);
/* Takes over the caller's reference. */
void set_working_directory(struct inode *directory);
/* Boot thread, once. */
void set_root_directory(struct inode *root);

/* `path` from the directory that the descriptor `at` names (AT_FDCWD: the working directory). 0, or
 * -ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG, -EBADF. */
int walk_path(int at, const char *path, unsigned flags, struct walk *walk);
/* With AT_EMPTY_PATH in `at_flags` an empty path means what `at` names itself. AT_SYMLINK_NOFOLLOW
 * decides about the last link. */
int walk_path_or_file(int at, const char *path, int at_flags, struct walk *walk);
/* What names a file, to be linked, removed, renamed: -EBUSY, -EINVAL, -EEXIST or `dot` for paths that end
 * in "." or "..", or are the root's. */
int walk_name(int at, const char *path, unsigned flags, int dot_error, struct walk *walk);

/* The text of a symbolic link: its length (not terminated, cut at `size`), or -errno. `buffer` may be the
 * application's. */
long read_link(const struct inode *inode, unsigned number, char *buffer, size_t size);
/* The entry of `directory` that a name of one number stands for, see posix/fs/pseudo.h. */
bool numbered_name(const struct inode *directory, unsigned number, char *name, size_t size);
