/*
 * System calls that make, remove and change names, and the working directory.
 */
#include "posix/fs/calls.h"
#include "posix/fs/lookup.h"
#include "posix/fs/make.h"
#include "posix/fs/open_file.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* ---- making ---- */

/* The place for a new name. What is no directory has no slash after its name. */
static int walk_new(int at, const char *path, bool directory, struct walk *walk)
{
	int error = walk_name(at, path, 0, -EEXIST, walk);

	if (error)
		return error;
	if (walk->inode)
		return -EEXIST;
	return walk->name.slash && !directory ? -ENOENT : 0;
}

SYSCALL(mkdirat)(int at, const char *user_path, unsigned mode)
{
	char path[PATH_MAX];
	struct walk walk;
	int error = path_read(path, user_path);

	if (!error)
		error = walk_new(at, path, true, &walk);
	return error ? error
		     : make_node(&walk.name, S_IFDIR | (mode & 01777 & ~umask_now()), VOLUME_RAM,
				 NULL);
}

SYSCALL(mkdir)(const char *path, unsigned mode)
{
	return sys_mkdirat(AT_FDCWD, path, mode);
}

SYSCALL(mknodat)(int at, const char *user_path, unsigned mode, unsigned device)
{
	char path[PATH_MAX];
	struct walk walk;
	int error;

	switch (mode & S_IFMT) {
	case 0:
		mode |= S_IFREG;
		break;
	case S_IFREG:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	case S_IFDIR:
		return -EPERM;
	default:
		return -EINVAL;
	}
	error = path_read(path, user_path);
	if (!error)
		error = walk_new(at, path, false, &walk);
	return error ? error
		     : make_special(&walk.name, (mode & S_IFMT) | (mode & 07777 & ~umask_now()),
				    device);
}

SYSCALL(mknod)(const char *path, unsigned mode, unsigned device)
{
	return sys_mknodat(AT_FDCWD, path, mode, device);
}

SYSCALL(symlinkat)(const char *target, int at, const char *path)
{
	struct two_paths *paths;
	struct walk walk;
	int error = two_paths_read(&paths, target, path);

	if (error)
		return error;
	error = *paths->first ? walk_new(at, paths->second, false, &walk) : -ENOENT;
	if (!error)
		error = make_symlink(&walk.name, paths->first);
	object_free(paths);
	return error;
}

SYSCALL(symlink)(const char *target, const char *path)
{
	return sys_symlinkat(target, AT_FDCWD, path);
}

static int link_paths(int from_at, const char *from, int to_at, const char *to, int flags)
{
	int from_flags = (flags & AT_EMPTY_PATH) |
			 (flags & AT_SYMLINK_FOLLOW ? 0 : AT_SYMLINK_NOFOLLOW);
	struct walk existing, walk;
	int error = walk_path_or_file(from_at, from, from_flags, &existing);

	if (!error)
		error = walk_new(to_at, to, false, &walk);
	if (error)
		return error;
	if (existing.file || existing.inode->pseudo)
		return -EXDEV;
	return name_link(&walk.name, existing.inode);
}

SYSCALL(linkat)(int from_at, const char *from, int to_at, const char *to, int flags)
{
	struct two_paths *paths;
	int error;

	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	error = two_paths_read(&paths, from, to);
	if (error)
		return error;
	error = link_paths(from_at, paths->first, to_at, paths->second, flags);
	object_free(paths);
	return error;
}

SYSCALL(link)(const char *from, const char *to)
{
	return sys_linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- removing ---- */

static long remove_directory(int at, const char *user_path)
{
	char path[PATH_MAX];
	struct walk walk;
	int error = path_read(path, user_path);

	if (error)
		return error;
	error = walk_name(at, path, 0, -EBUSY, &walk);
	if (error == -EBUSY && walk.last == LAST_DOT)
		return -EINVAL;
	if (error == -EBUSY && walk.last == LAST_DOTDOT)
		return -ENOTEMPTY;
	return error ? error : name_remove(&walk.name, true);
}

static long remove_file(int at, const char *user_path)
{
	char path[PATH_MAX];
	struct walk walk;
	int error = path_read(path, user_path);

	if (!error)
		error = walk_name(at, path, 0, -EISDIR, &walk);
	return error ? error : name_remove(&walk.name, false);
}

SYSCALL(unlinkat)(int at, const char *path, int flags)
{
	if (flags & ~AT_REMOVEDIR)
		return -EINVAL;
	return flags ? remove_directory(at, path) : remove_file(at, path);
}

SYSCALL(unlink)(const char *path)
{
	return remove_file(AT_FDCWD, path);
}

SYSCALL(rmdir)(const char *path)
{
	return remove_directory(AT_FDCWD, path);
}

/* ---- renaming ---- */

static int rename_paths(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
	struct walk source, target;
	int error = walk_name(from_at, from, 0, -EBUSY, &source);

	if (!error)
		error =
		    walk_name(to_at, to, 0, flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY, &target);
	return error ? error : name_rename(&source.name, &target.name, flags);
}

SYSCALL(renameat2)(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
	struct two_paths *paths;
	int error;

	if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if ((flags & RENAME_NOREPLACE) && (flags & RENAME_EXCHANGE))
		return -EINVAL;
	error = two_paths_read(&paths, from, to);
	if (error)
		return error;
	error = rename_paths(from_at, paths->first, to_at, paths->second, flags);
	object_free(paths);
	return error;
}

SYSCALL(renameat)(int from_at, const char *from, int to_at, const char *to)
{
	return sys_renameat2(from_at, from, to_at, to, 0);
}

SYSCALL(rename)(const char *from, const char *to)
{
	return sys_renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- the working directory ---- */

static long change_directory(const struct walk *walk)
{
	if (walk->file || !inode_is(walk->inode, S_IFDIR))
		return -ENOTDIR;
	if (!inode_reference(walk->inode))
		return -ENOENT;
	set_working_directory(walk->inode);
	return 0;
}

SYSCALL(chdir)(const char *user_path)
{
	char path[PATH_MAX];
	struct walk walk;
	int error = path_read(path, user_path);

	if (!error)
		error = walk_path(AT_FDCWD, path, WALK_FOLLOW, &walk);
	return error ? error : change_directory(&walk);
}

SYSCALL(fchdir)(int fd)
{
	struct walk walk;
	int error = walk_path_or_file(fd, "", AT_EMPTY_PATH, &walk);

	if (fd == AT_FDCWD)
		return -EBADF;
	return error ? error : change_directory(&walk);
}

SYSCALL(getcwd)(char *buffer, size_t size)
{
	struct entry *entry = __atomic_load_n(&working_directory()->entry, __ATOMIC_ACQUIRE);
	char path[PATH_MAX];
	const char *start = path_of(entry, path, sizeof(path) - 1);
	size_t length;

	if (!__atomic_load_n(&working_directory()->links, __ATOMIC_RELAXED))
		return -ENOENT;
	path[sizeof(path) - 1] = 0;
	if (!start)
		return -ENAMETOOLONG;
	length = path + sizeof(path) - start;
	if (length > size)
		return -ERANGE;
	return user_write(buffer, start, length) ? -EFAULT : (long)length;
}
