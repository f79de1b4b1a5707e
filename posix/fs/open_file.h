/*
 * Open files of the tree: a struct file with its inode.
 *
 * What an open file can do is said by the operations of its kind: regular_operations
 * (posix/fs/regular_file.c), directory_operations (directory_file.c), path_operations (O_PATH),
 * those of devices, text files and fifos. All of them have `release = open_file_release`, by which
 * file_inode() knows them.
 */
#pragma once

#include "posix/file/file.h"
#include "posix/fs/inode.h"

struct open_file {
	struct file file; /* first */
	struct inode *inode; /* a reference is held */
	unsigned number; /* for the inode's pseudo_node */
	struct mutex position_mutex; /* held over a read or write that moves the position */
	int64_t position; /* in bytes; of a directory: its next entry */
	struct text *text; /* of a text file */
	void *end; /* of a fifo */
};

#define AT_END (-2) /* write to a regular file's end, wherever that is, and let the position be */

void open_file_release(struct file *file);
int open_file_stat(struct file *file, struct stat *st);

static inline struct open_file *open_file_of(struct file *file)
{
	return container_of(file, struct open_file, file);
}

/* The inode of a file that was opened by its path, else NULL. */
static inline struct inode *file_inode(struct file *file)
{
	return file->operations->release == open_file_release ? open_file_of(file)->inode : NULL;
}

/* A struct file for `inode` with one reference, in no descriptor yet. Flags are those of open(). 0 or
 * -errno. May block (a fifo waits for its other end). Consumes a reference to the inode, also when it
 * fails. */
int open_inode(struct inode *inode, unsigned number, int flags, struct file **file);
/* The same without what opening means for the kind of inode. NULL without memory, and then the
 * reference stays the caller's. */
struct open_file *open_file_create(struct inode *inode, unsigned number,
				   const struct file_operations *operations, int status_flags);

/* Lock `mutex` for an operation on `file`, which is kept if that blocks: *kept says whether it must be
 * given back by open_file_unlock(). 0, or -EBADF if the file ends just now. */
int open_file_lock(struct file *file, struct mutex *mutex, bool *kept);
void open_file_unlock(struct file *file, struct mutex *mutex, bool kept);

/* Lseek's arithmetic for a file of `size` bytes: the new position or -errno. */
int64_t seek_position(int64_t position, int64_t size, int64_t offset, int whence);

extern const struct file_operations regular_operations, directory_operations, path_operations,
    text_operations, fifo_operations;

/* Regular files; thread context. All return 0 or -errno but the first two, which return bytes. */
ssize_t regular_read(struct inode *inode, const struct iovec *iov, unsigned niov, int64_t offset);
/* With the inode's mutex. */
ssize_t regular_write(struct inode *inode, const struct iovec *iov, unsigned niov, int64_t offset);
int regular_resize(struct inode *inode, int64_t size); /* with its mutex */
int regular_allocate(struct inode *inode, int mode, int64_t offset, int64_t length);
/* Up to `count` bytes at `offset` as pieces of the file's own frames, which may be read until the
 * caller blocks or polls. Returns the number of pieces, 0 at the end of the file. */
unsigned regular_pieces(struct inode *inode, int64_t offset, size_t count, struct iovec *iov,
			unsigned room);
extern const struct page_source_operations regular_source;

/* The text of a file that is printed when it is read (posix/file/text_file.c). */
int text_file_open(struct open_file *open);
void text_file_close(struct open_file *open);

void stat_inode(const struct inode *inode, unsigned number, struct stat *st);
