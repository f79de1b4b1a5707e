/*
 * System calls with paths. Without a file system there are the pseudo files, and the directories
 * that lead to them; all else does not exist.
 */
#include "posix/pseudo_file.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 256 /* longer than every path that exists */

/* Drop the last component of the canonical path of `length`. */
static size_t parent_of(const char *path, size_t length)
{
	while (length && path[length - 1] != '/')
		length--;
	return length ? length - 1 : 0;
}

/* Write the canonical form of `path` (from the root, which is also the working directory), without
 * a slash at its end; the root is "". */
static long canonical(const char *path, char out[PATH_BYTES])
{
	size_t length = 0;

	if (user_pointer_is_bad(path))
		return -EFAULT;
	if (!*path)
		return -ENOENT;
	if (strnlen(path, PATH_MAX) == PATH_MAX)
		return -ENAMETOOLONG;
	while (*path) {
		const char *end = strchr(path, '/');
		size_t part = end ? (size_t)(end - path) : strlen(path);

		if (part == 2 && path[0] == '.' && path[1] == '.') {
			length = parent_of(out, length);
		} else if (part && !(part == 1 && path[0] == '.')) {
			if (length + 1 + part >= PATH_BYTES)
				return -ENOENT;
			out[length++] = '/';
			memcpy(out + length, path, part);
			length += part;
		}
		path += part;
		while (*path == '/')
			path++;
	}
	out[length] = 0;
	return 0;
}

static const struct pseudo_file *find_in(const struct pseudo_file *files, unsigned n,
					 const char *path)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(files[i].path, path) == 0)
			return &files[i];
	return NULL;
}

static bool leads_into(const struct pseudo_file *files, unsigned n, const char *path)
{
	size_t length = strlen(path);

	for (unsigned i = 0; i < n; i++)
		if (strncmp(files[i].path, path, length) == 0 && files[i].path[length] == '/')
			return true;
	return false;
}

/* 0 and the file, or 0 and NULL for a directory, or -ENOENT, ... */
static long find(int directory, const char *path, const struct pseudo_file **found)
{
	char name[PATH_BYTES];
	long result = canonical(path, name);

	if (result)
		return result;
	/* No descriptor names a directory. */
	if (path[0] != '/' && directory != AT_FDCWD)
		return fd_lookup(directory) ? -ENOTDIR : -EBADF;
	*found = find_in(device_files, ndevice_files, name);
	if (!*found)
		*found = find_in(proc_files, nproc_files, name);
	if (*found || leads_into(device_files, ndevice_files, name) ||
	    leads_into(proc_files, nproc_files, name))
		return 0;
	return -ENOENT;
}

static struct file *open_pseudo(const struct pseudo_file *pseudo, int flags)
{
	struct text text = { 0 };
	struct file *file;

	if (pseudo->print) {
		pseudo->print(&text);
		return text_file_create(&text);
	}
	file = object_alloc(sizeof(*file));
	if (file)
		file_init(file, pseudo->operations, flags & (O_ACCMODE | O_NONBLOCK | O_APPEND),
			  NULL);
	return file;
}

SYSCALL(openat)(int directory, const char *path, int flags, unsigned mode)
{
	bool writing = (flags & O_ACCMODE) != O_RDONLY;
	const struct pseudo_file *pseudo;
	struct file *file;
	long result = find(directory, path, &pseudo);

	if (result == -ENOENT && (flags & O_CREAT))
		return -EROFS;
	if (result)
		return result;
	if (!pseudo)
		return writing ? -EISDIR : -EACCES;
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	if ((flags & O_CREAT) && (flags & O_EXCL))
		return -EEXIST;
	if (writing && pseudo->print)
		return -EACCES;
	if (fd_count() >= fd_limit())
		return -EMFILE;
	file = open_pseudo(pseudo, flags);
	if (!file)
		return -ENOMEM;
	result = fd_install(file, 0, flags & O_CLOEXEC);
	if (result < 0)
		file_unreference(file);
	return result;
}

SYSCALL(open)(const char *path, int flags, unsigned mode)
{
	return sys_openat(AT_FDCWD, path, flags, mode);
}

SYSCALL(creat)(const char *path, unsigned mode)
{
	return sys_openat(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* ---- what is there ---- */

long sys_fstat(int fd, struct stat *st);

SYSCALL(newfstatat)(int directory, const char *path, struct stat *st, int flags)
{
	const struct pseudo_file *pseudo;
	long result;

	if (user_pointer_is_bad(st) || user_pointer_is_bad(path))
		return -EFAULT;
	if (!*path && (flags & AT_EMPTY_PATH))
		return sys_fstat(directory, st);
	result = find(directory, path, &pseudo);
	if (result)
		return result;
	memset(st, 0, sizeof(*st));
	st->st_mode = pseudo ? pseudo->mode : S_IFDIR | 0555;
	st->st_nlink = 1;
	st->st_ino = (ino_t)pseudo >> 3;
	st->st_blksize = PAGE_SIZE;
	return 0;
}

SYSCALL(stat)(const char *path, struct stat *st)
{
	return sys_newfstatat(AT_FDCWD, path, st, 0);
}

SYSCALL(lstat)(const char *path, struct stat *st)
{
	return sys_newfstatat(AT_FDCWD, path, st, 0);
}

SYSCALL(faccessat)(int directory, const char *path, int mode)
{
	const struct pseudo_file *pseudo;
	long result = find(directory, path, &pseudo);

	if (result)
		return result;
	if (mode & ~(R_OK | W_OK | X_OK))
		return -EINVAL;
	if ((mode & W_OK) && (!pseudo || pseudo->print))
		return -EACCES;
	return (mode & X_OK) && pseudo ? -EACCES : 0;
}

SYSCALL(access)(const char *path, int mode)
{
	return sys_faccessat(AT_FDCWD, path, mode);
}

/* What exists is no link. */
SYSCALL(readlinkat)(int directory, const char *path, char *buffer, int size)
{
	const struct pseudo_file *pseudo;
	long result = find(directory, path, &pseudo);

	return result ? result : -EINVAL;
}

SYSCALL(readlink)(const char *path, char *buffer, int size)
{
	return sys_readlinkat(AT_FDCWD, path, buffer, size);
}

/* ---- the working directory: always the root ---- */

SYSCALL(getcwd)(char *buffer, size_t size)
{
	if (size < 2)
		return -ERANGE;
	if (user_pointer_is_bad(buffer))
		return -EFAULT;
	memcpy(buffer, "/", 2);
	return 2;
}

SYSCALL(chdir)(const char *path)
{
	char name[PATH_BYTES];
	const struct pseudo_file *pseudo;
	long result = find(AT_FDCWD, path, &pseudo);

	if (result)
		return result;
	if (pseudo)
		return -ENOTDIR;
	canonical(path, name);
	return *name ? -EACCES : 0;
}

/* ---- changes: there is nothing to change ---- */

static long refuse_change(const char *path)
{
	const struct pseudo_file *pseudo;
	long result = find(AT_FDCWD, path, &pseudo);

	return result ? result : -EROFS;
}

SYSCALL(unlink)(const char *path)
{
	return refuse_change(path);
}

SYSCALL(rmdir)(const char *path)
{
	return refuse_change(path);
}

SYSCALL(rename)(const char *from, const char *to)
{
	return refuse_change(from);
}

SYSCALL(mkdir)(const char *path, unsigned mode)
{
	const struct pseudo_file *pseudo;
	long result = find(AT_FDCWD, path, &pseudo);

	if (result == 0)
		return -EEXIST;
	return result == -ENOENT ? -EROFS : result;
}

SYSCALL(chmod)(const char *path, unsigned mode)
{
	return refuse_change(path);
}
