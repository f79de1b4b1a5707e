/*
 * The console as a file: what is written goes to the console at once, and reading finds the end.
 */
#include "posix/fs/lookup.h"
#include "posix/fs/open_file.h"
#include "posix/fs/pseudo.h"

#include "lavra/console.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

/* stdio writes a line as two pieces: what is short goes out in one, so that lines of different
 * threads do not mix. */
#define JOINED_BYTES 512

static ssize_t console_file_write(struct file *file, const struct iovec *iov, unsigned niov,
				  int64_t offset)
{
	char joined[JOINED_BYTES];
	size_t total = 0, at = 0;

	if (offset != NO_OFFSET)
		return -ESPIPE;
	for (unsigned i = 0; i < niov; i++)
		total += iov[i].iov_len;
	if (niov > 1 && total <= sizeof(joined)) {
		for (unsigned i = 0; i < niov; i++) {
			memcpy(joined + at, iov[i].iov_base, iov[i].iov_len);
			at += iov[i].iov_len;
		}
		console_write(joined, total);
		return total;
	}
	for (unsigned i = 0; i < niov; i++)
		console_write(iov[i].iov_base, iov[i].iov_len);
	return total;
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
	if (request != TIOCGWINSZ)
		return -ENOTTY;
	memset(argument, 0, sizeof(struct winsize));
	return 0;
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
	int error = walk_path(AT_FDCWD, "/dev/console", WALK_FOLLOW | WALK_KERNEL, &walk);

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
