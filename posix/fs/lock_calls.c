/*
 * flock(), and the part of fcntl() that is about locks.
 */
#include "posix/fs/lock_calls.h"

#include "posix/fs/locks.h"
#include "posix/fs/open_file.h"
#include "posix/signal/signal.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#define PROCESS 1

/* Where the lock's range lies in the file. */
static int range_of(struct file *file, const struct flock *lock, struct range *range)
{
	struct inode *inode = file_inode(file);
	int64_t from, start, end;

	switch (lock->l_whence) {
	case SEEK_SET:
		from = 0;
		break;
	case SEEK_CUR:
		from = file->operations->seek ? file->operations->seek(file, 0, SEEK_CUR) : 0;
		break;
	case SEEK_END:
		from = inode ? inode_size(inode) : 0;
		break;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(from, lock->l_start, &start))
		return -EOVERFLOW;
	if (start < 0)
		return -EINVAL;
	end = INT64_MAX;
	if (lock->l_len > 0 && __builtin_add_overflow(start, lock->l_len - 1, &end))
		return -EOVERFLOW;
	if (lock->l_len < 0) {
		end = start - 1;
		if (__builtin_add_overflow(start, lock->l_len, &start) || start < 0)
			return -EINVAL;
	}
	*range = (struct range){ start, end };
	return 0;
}

static int type_of(const struct flock *lock, enum lock_type *type)
{
	switch (lock->l_type) {
	case F_RDLCK:
		*type = LOCK_SHARED;
		return 0;
	case F_WRLCK:
		*type = LOCK_EXCLUSIVE;
		return 0;
	case F_UNLCK:
		*type = LOCK_NONE;
		return 0;
	}
	return -EINVAL;
}

static long get_lock(struct file *file, const struct file *owner, struct flock *lock,
		     struct range range, enum lock_type type)
{
	struct inode *inode = file_inode(file);
	struct lock_found found = { .type = LOCK_NONE };

	if (type == LOCK_NONE)
		return -EINVAL;
	if (inode)
		locks_find(inode, owner, range, type, &found);
	if (found.type == LOCK_NONE) {
		lock->l_type = F_UNLCK;
		return 0;
	}
	lock->l_type = found.type == LOCK_SHARED ? F_RDLCK : F_WRLCK;
	lock->l_whence = SEEK_SET;
	lock->l_start = found.range.start;
	lock->l_len = found.range.end == INT64_MAX ? 0 : found.range.end - found.range.start + 1;
	lock->l_pid = found.of_process ? PROCESS : -1;
	return 0;
}

static long set_lock(struct file *file, const struct file *owner, struct range range,
		     enum lock_type type, bool wait)
{
	int access = file->status_flags & O_ACCMODE;
	struct inode *inode = file_inode(file);
	long result;

	if ((type == LOCK_SHARED && access == O_WRONLY) ||
	    (type == LOCK_EXCLUSIVE && access == O_RDONLY))
		return -EBADF;
	/* Nobody else can lock what has no name. */
	if (!inode)
		return 0;
	if (!wait)
		return locks_set(inode, owner, range, type, false);
	if (!file_reference(file))
		return -EBADF;
	result = locks_set(inode, owner, range, type, true);
	file_unreference(file);
	return result;
}

static long lock_once(int fd, int command, struct flock *lock)
{
	struct file *file = fd_lookup(fd);
	const struct file *owner;
	enum lock_type type;
	struct range range;
	int error;

	if (!file || (file->status_flags & O_PATH))
		return -EBADF;
	error = type_of(lock, &type);
	if (!error)
		error = range_of(file, lock, &range);
	if (error)
		return error;
	owner = command == F_GETLK || command == F_SETLK || command == F_SETLKW ? NULL : file;
	if (owner && lock->l_pid)
		return -EINVAL;
	if (command == F_GETLK || command == F_OFD_GETLK)
		return get_lock(file, owner, lock, range, type);
	return set_lock(file, owner, range, type, command == F_SETLKW || command == F_OFD_SETLKW);
}

long fcntl_lock(int fd, int command, struct flock *user_lock)
{
	const struct file *file = fd_lookup(fd);
	struct flock lock;
	long result;

	if (!file || (file->status_flags & O_PATH))
		return -EBADF;
	if (user_read(&lock, user_lock, sizeof(lock)))
		return -EFAULT;
	do
		result = lock_once(fd, command, &lock);
	while (unlikely(result == -EINTR) && signal_restarts(true));
	if (!result && (command == F_GETLK || command == F_OFD_GETLK))
		result = user_write(user_lock, &lock, sizeof(lock));
	return result;
}

static long flock_once(int fd, int operation)
{
	struct file *file = fd_lookup(fd);
	bool wait = !(operation & LOCK_NB);
	enum lock_type type;
	struct inode *inode;
	long result;

	if (!file || (file->status_flags & O_PATH))
		return -EBADF;
	switch (operation & ~LOCK_NB) {
	case LOCK_SH:
		type = LOCK_SHARED;
		break;
	case LOCK_EX:
		type = LOCK_EXCLUSIVE;
		break;
	case LOCK_UN:
		type = LOCK_NONE;
		break;
	default:
		return -EINVAL;
	}
	inode = file_inode(file);
	if (!inode)
		return 0;
	if (!file_reference(file))
		return -EBADF;
	result = locks_set_whole(inode, file, type, wait);
	file_unreference(file);
	return result;
}

SYSCALL(flock)(int fd, int operation)
{
	long result;

	do
		result = flock_once(fd, operation);
	while (unlikely(result == -EINTR) && signal_restarts(true));
	return result;
}
