/*
 * The console as a file: what is written goes to the console at once, and reading finds the end.
 */
#include "posix/fs/lookup.h"
#include "posix/fs/open_file.h"
#include "posix/fs/pseudo.h"
#include "posix/user_memory.h"

#include "lavra/console.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

/* What goes out in one, so that lines of different threads do not mix; stdio writes a line as two
 * pieces. The console takes the kernel's memory alone, which is there. */
#define PIECE_BYTES 1024u

static ssize_t console_file_write(struct file *file, const struct iovec *iov, unsigned niov,
				  int64_t offset)
{
	char piece[PIECE_BYTES];
	size_t filled = 0, total = 0;
	bool there = true;

	if (offset != NO_OFFSET)
		return -ESPIPE;
	for (unsigned i = 0; i < niov && there; i++) {
		for (size_t at = 0; at < iov[i].iov_len && there;) {
			size_t part = min(iov[i].iov_len - at, PIECE_BYTES - filled);
			size_t copied =
			    user_copy_some(piece + filled, (char *)iov[i].iov_base + at, part);

			there = copied == part;
			at += copied;
			filled += copied;
			total += copied;
			if (filled == PIECE_BYTES) {
				console_write(piece, filled);
				filled = 0;
			}
		}
	}
	if (filled)
		console_write(piece, filled);
	return total || there ? (ssize_t)total : -EFAULT;
}

static ssize_t console_file_read(struct file *file, const struct iovec *iov, unsigned niov,
				 int64_t offset)
{
	return 0;
}

static uint32_t console_file_events(struct file *file)
{
	return EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM;
}

/* Being asked for its size is how a terminal is recognised: stdio then writes line by line. */
static long console_file_ioctl(struct file *file, unsigned long request, void *argument)
{
	const struct winsize unknown = { 0 };

	return request == TIOCGWINSZ ? user_write(argument, &unknown, sizeof(unknown)) : -ENOTTY;
}

const struct file_operations console_operations = {
	.kind = "console",
	.anywhere = true,
	.read = console_file_read,
	.write = console_file_write,
	.events = console_file_events,
	.ioctl = console_file_ioctl,
	.stat = open_file_stat,
	.release = open_file_release,
};

void console_files_open(void)
{
	struct walk walk;
	struct file *file;
	int error = walk_path(AT_FDCWD, "/dev/console", WALK_FOLLOW, &walk);

	if (!error && !inode_reference(walk.inode))
		error = -ENOENT;
	if (!error)
		error = open_inode(walk.inode, NO_NUMBER, O_RDWR, &file);
	if (error)
		panic("/dev/console cannot be opened: error %d", -error);
	for (int fd = 0; fd <= 2; fd++) {
		if (fd > 0)
			file_reference(file);
		if (fd_install(file, fd, false) != fd)
			panic("descriptor %d is taken before the application started", fd);
	}
}
