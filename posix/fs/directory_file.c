/*
 * Directories as open files: getdents().
 *
 * A position is 0 for ".", 1 for "..", and then that of a name in the directory, which the name keeps.
 * So a directory can be read in pieces while names come and go: what is there all the time is read
 * exactly once. Names that stand for numbers come after all others.
 */
#include "posix/fs/directory.h"
#include "posix/fs/lookup.h"
#include "posix/fs/open_file.h"
#include "posix/fs/pseudo.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FIRST_NAME 2
#define FIRST_NUMBER (1ll << 32)

/* ---- one directory entry after the other ---- */

struct listed {
	const char *name;
	uint64_t inode;
	unsigned mode;
	int64_t next; /* the position after it */
};

struct listing {
	const struct inode *directory;
	int64_t position;
	char number_name[32];
};

static bool list_dots(struct listing *listing, struct listed *listed)
{
	const struct inode *inode = listing->directory;
	bool own = listing->position == 0;
	const struct entry *entry = __atomic_load_n(&inode->entry, __ATOMIC_ACQUIRE);

	if (!own && entry)
		inode = entry->directory;
	*listed =
	    (struct listed){ own ? "." : "..", inode->number, S_IFDIR, listing->position + 1 };
	return true;
}

static bool list_number(struct listing *listing, struct listed *listed)
{
	const struct entry *numbered = listing->directory->directory.numbered;
	unsigned number;

	if (!numbered)
		return false;
	number = numbered->inode->pseudo->next(listing->position - FIRST_NUMBER);
	if (number == NO_NUMBER)
		return false;
	numbered_name(listing->directory, number, listing->number_name,
		      sizeof(listing->number_name));
	*listed = (struct listed){ listing->number_name,
				   (uint64_t)(number + 1) << 32 | numbered->inode->number,
				   numbered->inode->mode, FIRST_NUMBER + number + 1 };
	return true;
}

/* What stands at the position or after it. False at the end. */
static bool list_next(struct listing *listing, struct listed *listed)
{
	const struct directory *directory = &listing->directory->directory;

	if (listing->position < FIRST_NAME)
		return list_dots(listing, listed);
	while (listing->position < FIRST_NUMBER) {
		uint32_t at = listing->position - FIRST_NAME;
		const struct entry *entry = directory_next(directory, &at);

		if (!entry) {
			listing->position = FIRST_NUMBER;
			break;
		}
		if (entry == directory->numbered) {
			listing->position = (int64_t)at + FIRST_NAME + 1;
			continue;
		}
		*listed = (struct listed){ entry->name, entry->inode->number,
					   __atomic_load_n(&entry->inode->mode, __ATOMIC_RELAXED),
					   (int64_t)at + FIRST_NAME + 1 };
		return true;
	}
	return list_number(listing, listed);
}

/* ---- as Linux writes them ---- */

struct linux_dirent64 {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

struct linux_dirent { /* and, in its last byte, the type */
	unsigned long ino;
	unsigned long off;
	uint16_t reclen;
	char name[];
};

/* The longest: a header, a name, its zero byte and its type. */
#define ENTRY_BYTES align_up(offsetof(struct linux_dirent64, name) + NAME_LENGTH_MAX + 2, 8ul)

/* Make an entry of ENTRY_BYTES at most: its size. */
static size_t put_new(char *at, const struct listed *listed)
{
	struct linux_dirent64 *entry = (void *)at;
	size_t length = strlen(listed->name);
	size_t size = align_up(offsetof(struct linux_dirent64, name) + length + 1, 8);

	memset(at + size - 8, 0, 8);
	entry->ino = listed->inode;
	entry->off = listed->next;
	entry->reclen = size;
	entry->type = (listed->mode & S_IFMT) >> 12; /* DT_* */
	memcpy(entry->name, listed->name, length + 1);
	return size;
}

static size_t put_old(char *at, const struct listed *listed)
{
	struct linux_dirent *entry = (void *)at;
	size_t length = strlen(listed->name);
	size_t size = align_up(offsetof(struct linux_dirent, name) + length + 2, 8);

	memset(at + size - 8, 0, 8);
	entry->ino = listed->inode;
	entry->off = listed->next;
	entry->reclen = size;
	memcpy(entry->name, listed->name, length + 1);
	at[size - 1] = (listed->mode & S_IFMT) >> 12;
	return size;
}

typedef size_t put_function(char *at, const struct listed *listed);

static long list_into(struct open_file *open, char *buffer, size_t room, put_function *put)
{
	struct listing listing = { open->inode, open->position, "" };
	char entry[ENTRY_BYTES] __attribute__((aligned(8)));
	struct listed listed;
	size_t done = 0, size;

	if (!__atomic_load_n(&open->inode->links, __ATOMIC_RELAXED))
		return -ENOENT;
	while (list_next(&listing, &listed)) {
		size = put(entry, &listed);
		if (size > room - done)
			return done ? (long)done : -EINVAL;
		if (!user_copy(buffer + done, entry, size))
			return done ? (long)done : -EFAULT;
		done += size;
		listing.position = open->position = listed.next;
	}
	inode_accessed(open->inode);
	return done;
}

static long list_directory(int fd, char *buffer, size_t room, put_function *put)
{
	struct file *file = fd_lookup(fd);
	bool kept;
	long result;

	if (!file)
		return -EBADF;
	if (file->operations != &directory_operations)
		return file->operations == &path_operations ? -EBADF : -ENOTDIR;
	if (user_range_is_bad(buffer, room))
		return -EFAULT;
	result = open_file_lock(file, &open_file_of(file)->position_mutex, &kept);
	if (result)
		return result;
	result = list_into(open_file_of(file), buffer, room, put);
	open_file_unlock(file, &open_file_of(file)->position_mutex, kept);
	return result;
}

SYSCALL(getdents64)(int fd, void *buffer, unsigned room)
{
	return list_directory(fd, buffer, room, put_new);
}

SYSCALL(getdents)(int fd, void *buffer, unsigned room)
{
	return list_directory(fd, buffer, room, put_old);
}

/* ---- the rest ---- */

static ssize_t read_directory(struct file *file, const struct iovec *iov, unsigned niov,
			      int64_t offset)
{
	return -EISDIR;
}

static int64_t seek_directory(struct file *file, int64_t offset, int whence)
{
	struct open_file *open = open_file_of(file);
	bool kept;
	int64_t to;
	int error = open_file_lock(file, &open->position_mutex, &kept);

	if (error)
		return error;
	to = whence == SEEK_END ? -EINVAL : seek_position(open->position, 0, offset, whence);
	if (to >= 0)
		open->position = to;
	open_file_unlock(file, &open->position_mutex, kept);
	return to;
}

const struct file_operations directory_operations = {
	.kind = "directory",
	.anywhere = true,
	.read = read_directory,
	.seek = seek_directory,
	.stat = open_file_stat,
	.release = open_file_release,
};
