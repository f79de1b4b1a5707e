/*
 * System calls that tell what is there.
 */
#include "posix/fs/calls.h"
#include "posix/fs/lookup.h"
#include "posix/fs/open_file.h"
#include "posix/fs/pseudo.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "mm/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* ---- stat ---- */

/* Attributes of any file: of those that have no path, what they say of themselves. */
static long stat_attempt(struct file *file, void *argument)
{
	return file->operations->stat ? file->operations->stat(file, argument) : 0;
}

static long stat_file(struct file *file, struct stat *st)
{
	if (file->operations->stat == open_file_stat)
		return open_file_stat(file, st);
	memset(st, 0, sizeof(*st));
	st->st_nlink = 1;
	st->st_ino = (ino_t)file >> 4; /* a number of its own, as long as it is open */
	st->st_blksize = PAGE_SIZE;
	return file_operate(file, stat_attempt, st, 0, true, FOREVER);
}

static long stat_found(const struct walk *walk, struct stat *st)
{
	if (walk->file)
		return stat_file(walk->file, st);
	stat_inode(walk->inode, walk->number, st);
	return 0;
}

SYSCALL(fstat)(int fd, struct stat *user_st)
{
	struct file *file = fd_lookup(fd);
	struct stat st;
	long error;

	if (!file)
		return -EBADF;
	error = stat_file(file, &st);
	return error ? error : user_write(user_st, &st, sizeof(st));
}

#define STAT_FLAGS (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)

static long stat_path(int at, const char *user_path, struct stat *user_st, int flags)
{
	char path[PATH_MAX];
	struct walk walk;
	struct stat st;
	long error = path_read(path, user_path);

	if (!error)
		error = walk_path_or_file(at, path, flags, &walk);
	if (!error)
		error = stat_found(&walk, &st);
	return error ? error : user_write(user_st, &st, sizeof(st));
}

SYSCALL(newfstatat)(int at, const char *path, struct stat *st, int flags)
{
	if (flags & ~STAT_FLAGS)
		return -EINVAL;
	return stat_path(at, path, st, flags);
}

SYSCALL(stat)(const char *path, struct stat *st)
{
	return stat_path(AT_FDCWD, path, st, 0);
}

SYSCALL(lstat)(const char *path, struct stat *st)
{
	return stat_path(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

/* ---- statx ---- */

struct statx_time { /* linux/stat.h */
	int64_t seconds;
	uint32_t nanoseconds;
	int32_t reserved;
};

struct linux_statx {
	uint32_t mask, blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, spare0;
	uint64_t ino, size, blocks, attributes_mask;
	struct statx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t mnt_id, spare[13];
};

_Static_assert(sizeof(struct linux_statx) == 256, "Linux's struct statx");

#define BASIC_STATS 0x7ffu
#define BIRTH_TIME 0x800u
#define RESERVED_BIT 0x80000000u
#define SYNC_TYPE_BITS 0x6000

static struct statx_time statx_time(struct timespec time)
{
	return (struct statx_time){ time.tv_sec, time.tv_nsec, 0 };
}

SYSCALL(statx)
(int at, const char *user_path, int flags, unsigned mask, struct linux_statx *user_result)
{
	struct linux_statx result = { 0 };
	char path[PATH_MAX];
	struct walk walk;
	struct stat st;
	long error;

	if ((mask & RESERVED_BIT) || (flags & ~(STAT_FLAGS | SYNC_TYPE_BITS)) ||
	    (flags & SYNC_TYPE_BITS) == SYNC_TYPE_BITS)
		return -EINVAL;
	error = path_read(path, user_path);
	if (!error)
		error = walk_path_or_file(at, path, flags, &walk);
	if (!error)
		error = stat_found(&walk, &st);
	if (error)
		return error;
	result.mask = BASIC_STATS;
	result.blksize = st.st_blksize;
	result.nlink = st.st_nlink;
	result.uid = st.st_uid;
	result.gid = st.st_gid;
	result.mode = st.st_mode;
	result.ino = st.st_ino;
	result.size = st.st_size;
	result.blocks = st.st_blocks;
	result.atime = statx_time(st.st_atim);
	result.ctime = statx_time(st.st_ctim);
	result.mtime = statx_time(st.st_mtim);
	result.rdev_major = major(st.st_rdev);
	result.rdev_minor = minor(st.st_rdev);
	result.dev_minor = st.st_dev;
	if (!walk.file) {
		result.mask |= BIRTH_TIME;
		result.btime = (struct statx_time){ walk.inode->born_ns / NS_PER_S,
						    walk.inode->born_ns % NS_PER_S, 0 };
	}
	return user_write(user_result, &result, sizeof(result));
}

/* ---- access: everybody may do everything, but run what nobody may run ---- */

static long access_path(int at, const char *user_path, int mode, int flags)
{
	char path[PATH_MAX];
	struct walk walk;
	int error;

	if (mode & ~(R_OK | W_OK | X_OK))
		return -EINVAL;
	error = path_read(path, user_path);
	if (!error)
		error = walk_path_or_file(at, path, flags, &walk);
	if (error || walk.file)
		return error;
	if ((mode & W_OK) && walk.inode->volume != VOLUME_RAM &&
	    !(walk.inode->pseudo && walk.inode->pseudo->write))
		return -EACCES;
	if ((mode & X_OK) && !inode_is(walk.inode, S_IFDIR) &&
	    !(__atomic_load_n(&walk.inode->mode, __ATOMIC_RELAXED) & 0111))
		return -EACCES;
	return 0;
}

SYSCALL(faccessat2)(int at, const char *path, int mode, int flags)
{
	if (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return access_path(at, path, mode, flags & ~AT_EACCESS);
}

SYSCALL(faccessat)(int at, const char *path, int mode)
{
	return access_path(at, path, mode, 0);
}

SYSCALL(access)(const char *path, int mode)
{
	return access_path(AT_FDCWD, path, mode, 0);
}

/* ---- links ---- */

SYSCALL(readlinkat)(int at, const char *user_path, char *buffer, int size)
{
	char path[PATH_MAX];
	struct walk walk;
	int error;

	if (size <= 0)
		return -EINVAL;
	error = path_read(path, user_path);
	/* An empty path is the link that `at` names itself, opened with O_PATH and O_NOFOLLOW. */
	if (!error)
		error = walk_path_or_file(at, path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, &walk);
	if (!error && !*path && (at == AT_FDCWD || walk.file || !inode_is(walk.inode, S_IFLNK)))
		error = -ENOENT;
	if (error)
		return error;
	if (walk.file || !inode_is(walk.inode, S_IFLNK))
		return -EINVAL;
	if (user_range_is_bad(buffer, size))
		return -EFAULT;
	return read_link(walk.inode, walk.number, buffer, size);
}

SYSCALL(readlink)(const char *path, char *buffer, int size)
{
	return sys_readlinkat(AT_FDCWD, path, buffer, size);
}

/* ---- statfs ---- */

#define TMPFS_MAGIC 0x01021994 /* linux/magic.h */
#define PROC_SUPER_MAGIC 0x9fa0
#define SYSFS_MAGIC 0x62656572

static long stat_volume(unsigned volume, struct statfs *user_result)
{
	struct statfs result = { 0 };
	size_t free = frame_free_count(), reserve = fs_reserve_pages();

	result.f_type = volume == VOLUME_PROC  ? PROC_SUPER_MAGIC
			: volume == VOLUME_SYS ? SYSFS_MAGIC
					       : TMPFS_MAGIC;
	result.f_bsize = result.f_frsize = PAGE_SIZE;
	result.f_namelen = NAME_LENGTH_MAX;
	result.f_fsid.__val[0] = volume;
	if (volume == VOLUME_RAM) {
		result.f_blocks = frame_total();
		result.f_bfree = result.f_bavail = free > reserve ? free - reserve : 0;
		result.f_files = INODES_MAX;
		result.f_ffree = INODES_MAX - inode_count();
	}
	return user_write(user_result, &result, sizeof(result));
}

SYSCALL(statfs)(const char *user_path, struct statfs *result)
{
	char path[PATH_MAX];
	struct walk walk;
	int error = path_read(path, user_path);

	if (!error)
		error = walk_path(AT_FDCWD, path, WALK_FOLLOW, &walk);
	if (error)
		return error;
	return stat_volume(walk.file ? VOLUME_RAM : walk.inode->volume, result);
}

SYSCALL(fstatfs)(int fd, struct statfs *result)
{
	struct file *file = fd_lookup(fd);
	struct inode *inode = file ? file_inode(file) : NULL;

	if (!file)
		return -EBADF;
	return stat_volume(inode ? inode->volume : VOLUME_RAM, result);
}
