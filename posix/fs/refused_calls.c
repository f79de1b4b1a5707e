/*
 * System calls about file systems that are refused as Linux refuses them where there is no such thing,
 * or to whom may not: programs know these answers.
 */
#include "posix/fs/calls.h"
#include "posix/fs/lookup.h"
#include "posix/file/file.h"
#include "posix/syscall.h"

#include <errno.h>
#include <fcntl.h>

/* There is one tree. */
#define NOT_PERMITTED(name)                                                                        \
	SYSCALL(name)(void)                                                                        \
	{                                                                                          \
		return -EPERM;                                                                     \
	}

NOT_PERMITTED(mount)
NOT_PERMITTED(umount2)
NOT_PERMITTED(pivot_root)
NOT_PERMITTED(chroot)
NOT_PERMITTED(swapon)
NOT_PERMITTED(swapoff)
NOT_PERMITTED(acct)

static long not_supported(int at, const char *user_path, int flags)
{
	char path[PATH_MAX];
	struct walk walk;
	int error = path_read(path, user_path);

	if (!error)
		error = walk_path_or_file(at, path, flags, &walk);
	return error ? error : -EOPNOTSUPP;
}

/* Files have no attributes but those of stat(). */
#define NO_ATTRIBUTES(name)                                                                        \
	SYSCALL(name)(const char *path)                                                            \
	{                                                                                          \
		return not_supported(AT_FDCWD, path, 0);                                           \
	}                                                                                          \
	SYSCALL(l##name)(const char *path)                                                         \
	{                                                                                          \
		return not_supported(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);                         \
	}                                                                                          \
	SYSCALL(f##name)(int fd)                                                                   \
	{                                                                                          \
		return fd_lookup(fd) ? -EOPNOTSUPP : -EBADF;                                       \
	}

NO_ATTRIBUTES(getxattr)
NO_ATTRIBUTES(setxattr)
NO_ATTRIBUTES(listxattr)
NO_ATTRIBUTES(removexattr)

SYSCALL(name_to_handle_at)(int at, const char *path)
{
	return not_supported(at, path, AT_SYMLINK_NOFOLLOW);
}

SYSCALL(open_by_handle_at)(int at)
{
	return -EPERM;
}
