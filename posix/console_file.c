/*
 * The console as a file: what is written goes to the console at once, and reading finds the end.
 */
#include "posix/pseudo_file.h"

#include "lavra/console.h"
#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

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

static int console_file_stat(struct file *file, struct stat *st)
{
	st->st_mode = S_IFCHR | 0600;
	st->st_rdev = 5 << 8 | 1; /* Linux's number of /dev/console */
	return 0;
}

const struct file_operations console_operations = {
	.kind = "console",
	.anywhere = true,
	.read = console_file_read,
	.write = console_file_write,
	.events = console_file_events,
	.ioctl = console_file_ioctl,
	.stat = console_file_stat,
};

void console_files_open(void)
{
	struct file *file = object_alloc(sizeof(*file));

	if (!file)
		panic("no memory for the console's file");
	file_init(file, &console_operations, O_RDWR, NULL);
	for (int fd = 0; fd <= 2; fd++) {
		if (fd > 0)
			file_reference(file);
		if (fd_install(file, fd, false) != fd)
			panic("descriptor %d is taken before the application started", fd);
	}
}
