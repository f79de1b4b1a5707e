/*
 * System calls about file systems that are refused as Linux refuses them where there is no such thing,
 * or to whom may not: programs know these answers.
 */
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

/* Files have no attributes but those of stat(). */
static long no_attributes(const char *path, int flags)
{
	struct walk walk;
	int error = walk_path_or_file(AT_FDCWD, path, flags, &walk);

	return error ? error : -EOPNOTSUPP;
}

#define NO_ATTRIBUTES(name)                                                                        \
	SYSCALL(name)(const char *path)                                                            \
	{                                                                                          \
		return no_attributes(path, 0);                                                     \
	}                                                                                          \
	SYSCALL(l##name)(const char *path)                                                         \
	{                                                                                          \
		return no_attributes(path, AT_SYMLINK_NOFOLLOW);                                   \
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
	struct walk walk;
	int error = walk_path_or_file(at, path, AT_SYMLINK_NOFOLLOW, &walk);

	return error ? error : -EOPNOTSUPP;
}

SYSCALL(open_by_handle_at)(int at)
{
	return -EPERM;
}
