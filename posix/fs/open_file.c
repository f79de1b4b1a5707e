/*
 * Opening an inode, and what all open files have in common.
 */
#include "posix/fs/open_file.h"

#include "posix/fs/fifo.h"
#include "posix/fs/locks.h"
#include "posix/fs/pseudo.h"

#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* ---- attributes ---- */

static struct timespec time_of(const uint64_t *ns)
{
	uint64_t value = __atomic_load_n(ns, __ATOMIC_RELAXED);

	return (struct timespec){ value / NS_PER_S, value % NS_PER_S };
}

void stat_inode(const struct inode *inode, unsigned number, struct stat *st)
{
	bool paged = inode_is(inode, S_IFREG) && !inode->pseudo;

	memset(st, 0, sizeof(*st));
	st->st_dev = inode->volume;
	st->st_ino = inode->number;
	/* What a numbered node stands for are different files. */
	if (number != NO_NUMBER)
		st->st_ino |= (uint64_t)(number + 1) << 32;
	st->st_nlink = __atomic_load_n(&inode->links, __ATOMIC_RELAXED);
	st->st_mode = __atomic_load_n(&inode->mode, __ATOMIC_RELAXED);
	st->st_uid = __atomic_load_n(&inode->user, __ATOMIC_RELAXED);
	st->st_gid = __atomic_load_n(&inode->group, __ATOMIC_RELAXED);
	st->st_rdev = inode->device;
	st->st_size = inode_size(inode);
	st->st_blksize = PAGE_SIZE;
	if (paged)
		st->st_blocks =
		    __atomic_load_n(&inode->pages.count, __ATOMIC_RELAXED) * (PAGE_SIZE / 512);
	st->st_atim = time_of(&inode->accessed_ns);
	st->st_mtim = time_of(&inode->modified_ns);
	st->st_ctim = time_of(&inode->changed_ns);
}

int open_file_stat(struct file *file, struct stat *st)
{
	struct open_file *open = open_file_of(file);

	stat_inode(open->inode, open->number, st);
	return 0;
}

/* ---- life ---- */

struct open_file *open_file_create(struct inode *inode, unsigned number,
				   const struct file_operations *operations, int status_flags)
{
	struct open_file *open = object_alloc(sizeof(*open));

	if (!open)
		return NULL;
	file_init(&open->file, operations, status_flags, NULL);
	open->inode = inode;
	open->number = number;
	open->position_mutex.state = MUTEX_FREE;
	open->position = 0;
	open->text = NULL;
	open->end = NULL;
	return open;
}

void open_file_release(struct file *file)
{
	struct open_file *open = open_file_of(file);

	if (unlikely(__atomic_load_n(&open->inode->locks, __ATOMIC_ACQUIRE)))
		locks_file_ends(open->inode, file);
	if (unlikely(open->text))
		text_file_close(open);
	if (unlikely(open->end))
		fifo_close(open);
	inode_unreference(open->inode);
	file_free(file);
}

static const struct file_operations *operations_for(const struct inode *inode, int flags)
{
	if (flags & O_PATH)
		return &path_operations;
	switch (__atomic_load_n(&inode->mode, __ATOMIC_RELAXED) & S_IFMT) {
	case S_IFREG:
		return inode->pseudo ? &text_operations : &regular_operations;
	case S_IFDIR:
		return &directory_operations;
	case S_IFCHR:
		return inode->pseudo ? inode->pseudo->operations : NULL;
	case S_IFIFO:
		return &fifo_operations;
	}
	return NULL;
}

#define STATUS_FLAGS                                                                               \
	(O_ACCMODE | O_APPEND | O_NONBLOCK | O_DIRECTORY | O_NOFOLLOW | O_DSYNC | O_SYNC |         \
	 O_DIRECT | O_NOATIME | O_ASYNC)

int open_inode(struct inode *inode, unsigned number, int flags, struct file **file)
{
	const struct file_operations *operations = operations_for(inode, flags);
	struct open_file *open;
	int error = -ENXIO; /* a socket, or a device that nobody drives */

	if (operations) {
		open = open_file_create(inode, number, operations,
					flags & O_PATH ? flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW)
						       : flags & STATUS_FLAGS);
		error = -ENOMEM;
	}
	if (!operations || !open) {
		inode_unreference(inode);
		return error;
	}
	error = 0;
	if (operations == &text_operations)
		error = text_file_open(open);
	else if (operations == &fifo_operations)
		error = fifo_open(open);
	if (error) {
		file_unreference(&open->file);
		return error;
	}
	*file = &open->file;
	return 0;
}

/* ---- holding a mutex ---- */

int open_file_lock(struct file *file, struct mutex *mutex, bool *kept)
{
	*kept = false;
	if (likely(mutex_try_lock(mutex)))
		return 0;
	/* Others may close the file while this thread waits. */
	if (!file_reference(file))
		return -EBADF;
	*kept = true;
	mutex_lock(mutex);
	return 0;
}

void open_file_unlock(struct file *file, struct mutex *mutex, bool kept)
{
	mutex_unlock(mutex);
	if (unlikely(kept))
		file_unreference(file);
}

int64_t seek_position(int64_t position, int64_t size, int64_t offset, int whence)
{
	int64_t from;

	switch (whence) {
	case SEEK_SET:
		from = 0;
		break;
	case SEEK_CUR:
		from = position;
		break;
	case SEEK_END:
		from = size;
		break;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(from, offset, &from))
		return -EOVERFLOW;
	return from < 0 ? -EINVAL : from;
}

/* ---- O_PATH: names a file and nothing else ---- */

static ssize_t refuse_transfer(struct file *file, const struct iovec *iov, unsigned niov,
			       int64_t offset)
{
	return -EBADF;
}

static int64_t refuse_seek(struct file *file, int64_t offset, int whence)
{
	return -EBADF;
}

static long refuse_ioctl(struct file *file, unsigned long request, void *argument)
{
	return -EBADF;
}

static long refuse_map(struct file *file, vaddr_t address, size_t length, int prot, int flags,
		       int64_t offset)
{
	return -EBADF;
}

const struct file_operations path_operations = {
	.kind = "path",
	.anywhere = true,
	.read = refuse_transfer,
	.write = refuse_transfer,
	.seek = refuse_seek,
	.ioctl = refuse_ioctl,
	.map = refuse_map,
	.stat = open_file_stat,
	.release = open_file_release,
};
