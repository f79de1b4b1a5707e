/*
 * open() and its kin.
 */
#include "posix/fs/calls.h"
#include "posix/fs/lookup.h"
#include "posix/fs/make.h"
#include "posix/fs/open_file.h"
#include "posix/fs/pseudo.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define KNOWN_FLAGS                                                                                \
	(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC |     \
	 O_SYNC | O_RSYNC | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_ASYNC | O_DIRECT |            \
	 O_LARGEFILE | O_NOATIME | O_PATH | O_TMPFILE | 0100000 /* O_LARGEFILE of other ABIs */)

static bool writes(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

static int install(struct file *file, int flags)
{
	int fd = fd_install(file, 0, flags & O_CLOEXEC);

	if (fd < 0)
		file_unreference(file);
	return fd;
}

/* A link of /proc to a file that no path leads to: what has no state can be opened once more. */
static int open_again(struct file *other, int flags)
{
	const struct file_operations *operations = other->operations;
	struct file *file;

	if (!operations->anywhere || operations->release)
		return -ENXIO;
	file = object_alloc(sizeof(*file));
	if (!file)
		return -ENOMEM;
	file_init(file, operations, flags & (O_ACCMODE | O_NONBLOCK | O_APPEND), NULL);
	return install(file, flags);
}

static int check_found(const struct walk *walk, int flags)
{
	const struct inode *inode = walk->inode;

	if (flags & O_CREAT) {
		if (flags & O_EXCL)
			return -EEXIST;
		if (walk->last == LAST_NAME && walk->name.slash)
			return -EISDIR;
	}
	if (inode_is(inode, S_IFLNK) && !(flags & O_PATH))
		return flags & O_DIRECTORY ? -ENOTDIR : -ELOOP;
	if ((flags & O_DIRECTORY) && !inode_is(inode, S_IFDIR))
		return -ENOTDIR;
	if (inode_is(inode, S_IFDIR) && !(flags & O_PATH) && (writes(flags) || (flags & O_CREAT)))
		return -EISDIR;
	return 0;
}

static int truncate_opened(struct inode *inode)
{
	int error;

	if (inode->pseudo || !inode_is(inode, S_IFREG))
		return 0;
	mutex_lock(&inode->mutex);
	error = regular_resize(inode, 0);
	mutex_unlock(&inode->mutex);
	return error;
}

/* The caller's reference to the inode is consumed. */
static int open_found(struct inode *inode, unsigned number, int flags)
{
	struct file *file;
	int error = open_inode(inode, number, flags, &file);

	if (error)
		return error;
	if (flags & O_TRUNC) {
		error = truncate_opened(inode);
		if (error) {
			file_unreference(file);
			return error;
		}
	}
	return install(file, flags);
}

/* O_TMPFILE: a file without a name. */
static int open_nameless(const struct walk *walk, int flags, unsigned mode)
{
	struct inode *inode;

	if (!inode_is(walk->inode, S_IFDIR))
		return -ENOTDIR;
	if (!writes(flags))
		return -EINVAL;
	if (walk->inode->volume != VOLUME_RAM)
		return -EOPNOTSUPP;
	inode = inode_create(S_IFREG | (mode & 07777 & ~umask_now()), VOLUME_RAM, false);
	if (!inode)
		return -ENOSPC;
	inode->source.operations = &regular_source;
	return open_found(inode, NO_NUMBER, flags & ~(O_TRUNC | O_DIRECTORY));
}

/* One try: -EAGAIN if the tree changed meanwhile, so that what was found is gone again, or what was
 * missing is there. */
static int try_open(int at, const char *path, int flags, unsigned mode, unsigned walk_flags)
{
	bool creates = flags & O_CREAT;
	struct walk walk;
	int error;

	if (!(flags & O_NOFOLLOW) && !(creates && (flags & O_EXCL)))
		walk_flags |= WALK_FOLLOW;
	if (creates)
		walk_flags |= WALK_MISSING;
	error = walk_path(at, path, walk_flags, &walk);
	if (error)
		return error;
	if (walk.file)
		return flags & O_DIRECTORY ? -ENOTDIR : open_again(walk.file, flags);
	if ((flags & O_TMPFILE) == O_TMPFILE)
		return open_nameless(&walk, flags, mode);
	if (!walk.inode) {
		struct inode *inode;

		if (walk.name.slash)
			return -EISDIR;
		error = make_node(&walk.name, S_IFREG | (mode & 07777 & ~umask_now()), VOLUME_RAM,
				  &inode);
		if (error)
			return error == -EEXIST ? -EAGAIN : error;
		return open_found(inode, NO_NUMBER, flags & ~O_TRUNC);
	}
	error = check_found(&walk, flags);
	if (error)
		return error;
	if (!inode_reference(walk.inode))
		return -EAGAIN;
	return open_found(walk.inode, walk.number, flags);
}

static long open_path(int at, const char *user_path, int flags, unsigned mode, unsigned walk_flags)
{
	char path[PATH_MAX];
	long result;

	if (flags & O_PATH)
		flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	if ((flags & O_CREAT) && (flags & O_DIRECTORY))
		return -EINVAL;
	result = path_read(path, user_path);
	if (result)
		return result;
	if (!fd_is_free())
		return -EMFILE;
	do
		result = try_open(at, path, flags, mode, walk_flags);
	while (result == -EAGAIN || (unlikely(result == -ENOSPC) && fs_wait_for_memory()));
	return result;
}

SYSCALL(openat)(int at, const char *path, int flags, unsigned mode)
{
	return open_path(at, path, flags, mode, 0);
}

SYSCALL(open)(const char *path, int flags, unsigned mode)
{
	return open_path(AT_FDCWD, path, flags, mode, 0);
}

SYSCALL(creat)(const char *path, unsigned mode)
{
	return open_path(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode, 0);
}

struct open_how { /* linux/openat2.h */
	uint64_t flags, mode, resolve;
};

#define RESOLVE_NO_XDEV 0x01
#define RESOLVE_NO_MAGICLINKS 0x02
#define RESOLVE_NO_SYMLINKS 0x04
#define RESOLVE_BENEATH 0x08

SYSCALL(openat2)(int at, const char *path, const struct open_how *user_how, size_t size)
{
	const uint64_t known = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
	unsigned walk_flags = 0;
	struct open_how how;

	if (size < sizeof(how))
		return -EINVAL;
	if (user_read(&how, user_how, sizeof(how)))
		return -EFAULT;
	if (size > sizeof(how))
		return -E2BIG;
	if ((how.flags & ~(uint64_t)(unsigned)KNOWN_FLAGS) || (how.resolve & ~known) ||
	    (how.mode & ~07777ull))
		return -EINVAL;
	if (how.mode && !(how.flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))))
		return -EINVAL;
	if (how.resolve & RESOLVE_NO_MAGICLINKS)
		walk_flags |= WALK_NO_MAGIC_LINKS;
	if (how.resolve & RESOLVE_NO_SYMLINKS)
		walk_flags |= WALK_NO_LINKS;
	if (how.resolve & RESOLVE_BENEATH)
		walk_flags |= WALK_BENEATH;
	return open_path(at, path, how.flags, how.mode, walk_flags);
}
