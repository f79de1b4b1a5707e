/*
 * System calls that change attributes and sizes.
 */
#include "posix/fs/calls.h"
#include "posix/fs/lookup.h"
#include "posix/fs/open_file.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/time.h>
#include <utime.h>

/* ---- what new files are not allowed ---- */

static unsigned mask = 022; /* atomic */

unsigned umask_now(void)
{
	return __atomic_load_n(&mask, __ATOMIC_RELAXED);
}

SYSCALL(umask)(unsigned new)
{
	return __atomic_exchange_n(&mask, new & 0777, __ATOMIC_RELAXED);
}

/* ---- the inode that a call is about ---- */

static int find(int at, const char *user_path, int flags, struct inode **inode)
{
	char path[PATH_MAX];
	struct walk walk;
	int error = path_read(path, user_path);

	if (!error)
		error = walk_path_or_file(at, path, flags, &walk);
	if (error)
		return error;
	*inode = walk.inode;
	return walk.file ? -EPERM : 0;
}

/* Of a descriptor that is open for more than its path. */
static int find_open(int fd, struct inode **inode)
{
	struct file *file = fd_lookup(fd);

	if (!file || (file->status_flags & O_PATH))
		return -EBADF;
	*inode = file_inode(file);
	return *inode ? 0 : -EINVAL;
}

/* ---- modes and owners: stored, and told ---- */

static long change_mode(struct inode *inode, unsigned mode)
{
	if (inode_is(inode, S_IFLNK))
		return -EOPNOTSUPP;
	if (inode->volume != VOLUME_RAM)
		return -EPERM;
	__atomic_store_n(&inode->mode, (inode->mode & S_IFMT) | (mode & 07777), __ATOMIC_RELAXED);
	inode_changed(inode);
	return 0;
}

SYSCALL(fchmodat)(int at, const char *path, unsigned mode)
{
	struct inode *inode;
	int error = find(at, path, 0, &inode);

	return error ? error : change_mode(inode, mode);
}

SYSCALL(chmod)(const char *path, unsigned mode)
{
	return sys_fchmodat(AT_FDCWD, path, mode);
}

SYSCALL(fchmod)(int fd, unsigned mode)
{
	struct inode *inode;
	int error = find_open(fd, &inode);

	return error ? error : change_mode(inode, mode);
}

static long change_owner(struct inode *inode, unsigned user, unsigned group)
{
	if (inode->volume != VOLUME_RAM)
		return -EPERM;
	if (user != -1u)
		__atomic_store_n(&inode->user, user, __ATOMIC_RELAXED);
	if (group != -1u)
		__atomic_store_n(&inode->group, group, __ATOMIC_RELAXED);
	inode_changed(inode);
	return 0;
}

SYSCALL(fchownat)(int at, const char *path, unsigned user, unsigned group, int flags)
{
	struct inode *inode;
	int error;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	error = find(at, path, flags, &inode);
	return error ? error : change_owner(inode, user, group);
}

SYSCALL(chown)(const char *path, unsigned user, unsigned group)
{
	return sys_fchownat(AT_FDCWD, path, user, group, 0);
}

SYSCALL(lchown)(const char *path, unsigned user, unsigned group)
{
	return sys_fchownat(AT_FDCWD, path, user, group, AT_SYMLINK_NOFOLLOW);
}

SYSCALL(fchown)(int fd, unsigned user, unsigned group)
{
	struct inode *inode;
	int error = find_open(fd, &inode);

	return error ? error : change_owner(inode, user, group);
}

/* ---- times ---- */

static bool time_is_bad(const struct timespec *time)
{
	return time->tv_nsec != UTIME_NOW && time->tv_nsec != UTIME_OMIT &&
	       (time->tv_nsec < 0 || time->tv_nsec >= (long)NS_PER_S);
}

static void set_time(uint64_t *to, const struct timespec *time, uint64_t now)
{
	uint64_t ns = now;

	if (time && time->tv_nsec == UTIME_OMIT)
		return;
	/* Before 1970, and after the year 2500, is not told apart. */
	if (time && time->tv_nsec != UTIME_NOW)
		ns = time->tv_sec < 0
			 ? 0
			 : min((uint64_t)time->tv_sec, INT64_MAX / NS_PER_S - 1) * NS_PER_S +
			       time->tv_nsec;
	__atomic_store_n(to, ns, __ATOMIC_RELAXED);
}

static long change_times(struct inode *inode, const struct timespec times[2])
{
	uint64_t now = wall_clock_ns();

	if (times && (time_is_bad(&times[0]) || time_is_bad(&times[1])))
		return -EINVAL;
	if (inode->volume != VOLUME_RAM)
		return -EPERM;
	set_time(&inode->accessed_ns, times ? &times[0] : NULL, now);
	set_time(&inode->modified_ns, times ? &times[1] : NULL, now);
	inode_changed(inode);
	return 0;
}

SYSCALL(utimensat)(int at, const char *path, const struct timespec user_times[2], int flags)
{
	struct timespec times[2];
	struct inode *inode;
	int error;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (user_times && user_read(times, user_times, sizeof(times)))
		return -EFAULT;
	/* Without a path: futimens(). */
	error = path || at == AT_FDCWD ? find(at, path, flags, &inode) : find_open(at, &inode);
	return error ? error : change_times(inode, user_times ? times : NULL);
}

static long change_times_in_us(int at, const char *path, const struct timeval user_times[2])
{
	struct timeval times[2];
	struct timespec precise[2];
	struct inode *inode;
	int error;

	if (user_times && user_read(times, user_times, sizeof(times)))
		return -EFAULT;
	for (int i = 0; user_times && i < 2; i++) {
		if (times[i].tv_usec < 0 || times[i].tv_usec >= 1000000)
			return -EINVAL;
		precise[i] = (struct timespec){ times[i].tv_sec, times[i].tv_usec * 1000 };
	}
	error = path || at == AT_FDCWD ? find(at, path, 0, &inode) : find_open(at, &inode);
	return error ? error : change_times(inode, user_times ? precise : NULL);
}

SYSCALL(futimesat)(int at, const char *path, const struct timeval times[2])
{
	return change_times_in_us(at, path, times);
}

SYSCALL(utimes)(const char *path, const struct timeval times[2])
{
	return change_times_in_us(AT_FDCWD, path, times);
}

SYSCALL(utime)(const char *path, const struct utimbuf *user_times)
{
	struct timespec precise[2];
	struct utimbuf times;
	struct inode *inode;
	int error;

	if (user_times) {
		if (user_read(&times, user_times, sizeof(times)))
			return -EFAULT;
		precise[0] = (struct timespec){ times.actime, 0 };
		precise[1] = (struct timespec){ times.modtime, 0 };
	}
	error = find(AT_FDCWD, path, 0, &inode);
	return error ? error : change_times(inode, user_times ? precise : NULL);
}

/* ---- sizes ---- */

/* The caller holds a reference. */
static long resize(struct inode *inode, int64_t size)
{
	long error;

	mutex_lock(&inode->mutex);
	error = regular_resize(inode, size);
	mutex_unlock(&inode->mutex);
	return error;
}

SYSCALL(truncate)(const char *path, int64_t size)
{
	struct inode *inode;
	long error;

	if (size < 0)
		return -EINVAL;
	error = find(AT_FDCWD, path, 0, &inode);
	if (error)
		return error == -EPERM ? -EINVAL : error;
	if (inode_is(inode, S_IFDIR))
		return -EISDIR;
	if (!inode_is(inode, S_IFREG))
		return -EINVAL;
	if (inode->pseudo)
		return -EACCES;
	if (!inode_reference(inode))
		return -ENOENT;
	error = resize(inode, size);
	inode_unreference(inode);
	return error;
}

/* A descriptor's regular file that can be written, with a reference. */
static long find_writable(int fd, int not_regular, struct inode **inode)
{
	struct file *file = fd_lookup(fd);

	if (!file || (file->status_flags & O_PATH))
		return -EBADF;
	if (file->operations != &regular_operations)
		return not_regular;
	if ((file->status_flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	*inode = file_inode(file);
	return inode_reference(*inode) ? 0 : -EBADF;
}

SYSCALL(ftruncate)(int fd, int64_t size)
{
	struct inode *inode;
	long error;

	if (size < 0)
		return -EINVAL;
	error = find_writable(fd, -EINVAL, &inode);
	if (error)
		return error;
	error = resize(inode, size);
	inode_unreference(inode);
	return error;
}

static int not_allocatable(int fd)
{
	struct file *file = fd_lookup(fd);
	struct inode *inode = file ? file_inode(file) : NULL;

	if (inode && inode_is(inode, S_IFDIR))
		return -EISDIR;
	return inode && !inode_is(inode, S_IFIFO) ? -ENODEV : -ESPIPE;
}

SYSCALL(fallocate)(int fd, int mode, int64_t offset, int64_t length)
{
	struct inode *inode;
	long error = find_writable(fd, not_allocatable(fd), &inode);

	if (error)
		return error == -EINVAL ? -EBADF : error;
	error = regular_allocate(inode, mode, offset, length);
	inode_unreference(inode);
	return error;
}
