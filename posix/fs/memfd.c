/*
 * memfd_create(): files without a directory, and the seals that fix what can be done to them.
 */
#include "posix/fs/memfd.h"

#include "posix/fs/directory.h"
#include "posix/fs/lookup.h"
#include "posix/fs/open_file.h"
#include "posix/fs/pseudo.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define MEMFD_NAME_MAX 249u /* with "memfd:" it is a name */
#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)

/* As if it had been removed from the root: /proc tells "/memfd:NAME (deleted)". */
static bool give_name(struct inode *inode, const char *name, size_t length)
{
	char text[NAME_LENGTH_MAX + 1] = "memfd:";

	memcpy(text + 6, name, length);
	inode->entry = entry_create(root_directory(), inode, text, 6 + length);
	if (!inode->entry)
		return false;
	inode->entry->removed = true;
	return true;
}

SYSCALL(memfd_create)(const char *name, unsigned flags)
{
	struct open_file *open;
	char copy[MEMFD_NAME_MAX + 1];
	struct inode *inode;
	long length;
	int fd;

	if (flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING))
		return -EINVAL;
	length = user_read_string(copy, name, sizeof(copy));
	if (length < 0)
		return length == -ENAMETOOLONG ? -EINVAL : length;
	inode = inode_create(S_IFREG | 0777, VOLUME_RAM, false);
	if (!inode)
		return -ENOMEM;
	inode->source.operations = &regular_source;
	inode->seals = flags & MFD_ALLOW_SEALING ? 0 : F_SEAL_SEAL;
	open = give_name(inode, copy, (size_t)length)
		   ? open_file_create(inode, NO_NUMBER, &regular_operations, O_RDWR)
		   : NULL;
	if (!open) {
		inode_unreference(inode);
		return -ENOMEM;
	}
	fd = fd_install(&open->file, 0, flags & MFD_CLOEXEC);
	if (fd < 0)
		file_unreference(&open->file);
	return fd;
}

long seals_get(struct file *file)
{
	if (file->operations != &regular_operations)
		return -EINVAL;
	return __atomic_load_n(&file_inode(file)->seals, __ATOMIC_RELAXED);
}

/* With the inode's mutex, so that no write is under way. */
static long add_seals(struct inode *inode, unsigned seals)
{
	if (inode->seals & F_SEAL_SEAL)
		return -EPERM;
	/* Linux asks whether a mapping can be written to. */
	if ((seals & F_SEAL_WRITE) && !(inode->seals & F_SEAL_WRITE) && inode->mapped_writable &&
	    __atomic_load_n(&inode->source.nmappings, __ATOMIC_RELAXED))
		return -EBUSY;
	__atomic_store_n(&inode->seals, inode->seals | seals, __ATOMIC_RELAXED);
	return 0;
}

long seals_add(struct file *file, unsigned seals)
{
	struct inode *inode;
	bool kept;
	long result;

	if (file->operations != &regular_operations || (seals & ~ALL_SEALS))
		return -EINVAL;
	if ((file->status_flags & O_ACCMODE) == O_RDONLY)
		return -EPERM;
	inode = file_inode(file);
	result = open_file_lock(file, &inode->mutex, &kept);
	if (result)
		return result;
	result = add_seals(inode, seals);
	open_file_unlock(file, &inode->mutex, kept);
	return result;
}
