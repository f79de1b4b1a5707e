/*
 * Pipes: a ring of bytes with two ends, each a file of its own.
 *
 * Both ends have the pipe's home core, the creator's. The ring lives until both ends are gone.
 */
#include "posix/file.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define RING_BYTES (64u << 10) /* as Linux; a power of two */

struct pipe;

struct pipe_end {
	struct file file; /* first */
	struct pipe *pipe;
};

struct pipe {
	struct pipe_end *reader, *writer; /* NULL once closed */
	uint32_t in, out; /* bytes ever written and read, modulo 2^32 */
	char ring[RING_BYTES];
};

static struct pipe *pipe_of(struct file *file)
{
	return container_of(file, struct pipe_end, file)->pipe;
}

static uint32_t filled(const struct pipe *pipe)
{
	return pipe->in - pipe->out;
}

/* Copy between the ring from `position` on and linear memory. */
static void ring_copy(struct pipe *pipe, uint32_t position, char *memory, uint32_t length,
		      bool into_ring)
{
	while (length) {
		uint32_t at = position % RING_BYTES;
		uint32_t part = min(length, RING_BYTES - at);

		if (into_ring)
			memcpy(pipe->ring + at, memory, part);
		else
			memcpy(memory, pipe->ring + at, part);
		position += part;
		memory += part;
		length -= part;
	}
}

static ssize_t pipe_read(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	struct pipe *pipe = pipe_of(file);
	size_t done = 0;
	bool asked = false;

	if (offset != NO_OFFSET)
		return -ESPIPE;
	for (unsigned i = 0; i < niov; i++) {
		uint32_t part = min((size_t)filled(pipe), iov[i].iov_len);

		asked |= iov[i].iov_len != 0;
		ring_copy(pipe, pipe->out, iov[i].iov_base, part, false);
		pipe->out += part;
		done += part;
	}
	if (done && pipe->writer)
		file_notify(&pipe->writer->file, EPOLLOUT | EPOLLWRNORM);
	return done || !asked || !pipe->writer ? (ssize_t)done : -EAGAIN;
}

static ssize_t pipe_write(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	struct pipe *pipe = pipe_of(file);
	size_t total = 0, done = 0;

	if (offset != NO_OFFSET)
		return -ESPIPE;
	if (!pipe->reader)
		return -EPIPE;
	for (unsigned i = 0; i < niov; i++)
		total += iov[i].iov_len;
	if (total == 0)
		return 0;
	/* Up to PIPE_BUF bytes are written as a whole or not at all (POSIX write()). */
	if (total <= PIPE_BUF && total > RING_BYTES - filled(pipe))
		return -EAGAIN;
	for (unsigned i = 0; i < niov; i++) {
		uint32_t part = min((size_t)(RING_BYTES - filled(pipe)), iov[i].iov_len);

		ring_copy(pipe, pipe->in, iov[i].iov_base, part, true);
		pipe->in += part;
		done += part;
	}
	if (!done)
		return -EAGAIN;
	file_notify(&pipe->reader->file, EPOLLIN | EPOLLRDNORM);
	return done;
}

static uint32_t reader_events(struct file *file)
{
	struct pipe *pipe = pipe_of(file);

	return (filled(pipe) ? EPOLLIN | EPOLLRDNORM : 0) | (pipe->writer ? 0 : EPOLLHUP);
}

static uint32_t writer_events(struct file *file)
{
	struct pipe *pipe = pipe_of(file);

	if (!pipe->reader)
		return EPOLLOUT | EPOLLWRNORM | EPOLLERR;
	return filled(pipe) <= RING_BYTES - PIPE_BUF ? EPOLLOUT | EPOLLWRNORM : 0;
}

static long pipe_ioctl(struct file *file, unsigned long request, void *argument)
{
	if (request != FIONREAD)
		return -ENOTTY;
	*(int *)argument = filled(pipe_of(file));
	return 0;
}

static int pipe_stat(struct file *file, struct stat *st)
{
	st->st_mode = S_IFIFO | 0600;
	st->st_blksize = PAGE_SIZE;
	return 0;
}

static void pipe_release(struct file *file)
{
	struct pipe *pipe = pipe_of(file);

	if (pipe->reader && &pipe->reader->file == file) {
		pipe->reader = NULL;
		if (pipe->writer)
			file_notify(&pipe->writer->file, EPOLLOUT | EPOLLERR);
	} else {
		pipe->writer = NULL;
		if (pipe->reader)
			file_notify(&pipe->reader->file, EPOLLHUP);
	}
	if (!pipe->reader && !pipe->writer)
		object_free(pipe);
	file_free(file);
}

static const struct file_operations reader_operations = {
	.kind = "pipe's reading end",
	.read = pipe_read,
	.events = reader_events,
	.ioctl = pipe_ioctl,
	.stat = pipe_stat,
	.release = pipe_release,
};

static const struct file_operations writer_operations = {
	.kind = "pipe's writing end",
	.writes_all = true,
	.write = pipe_write,
	.events = writer_events,
	.ioctl = pipe_ioctl,
	.stat = pipe_stat,
	.release = pipe_release,
};

static struct pipe_end *make_end(struct pipe *pipe, const struct file_operations *operations,
				 int status_flags)
{
	struct pipe_end *end = object_alloc(sizeof(*end));

	if (!end)
		return NULL;
	file_init(&end->file, operations, status_flags, NULL);
	end->pipe = pipe;
	return end;
}

SYSCALL(pipe2)(int fds[2], int flags)
{
	int nonblock = flags & O_NONBLOCK;
	struct pipe *pipe;
	int reading, writing;

	if (flags & ~(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	if (user_pointer_is_bad(fds))
		return -EFAULT;
	pipe = object_alloc(sizeof(*pipe));
	if (!pipe)
		return -ENOMEM;
	pipe->in = pipe->out = 0;
	pipe->reader = make_end(pipe, &reader_operations, O_RDONLY | nonblock);
	pipe->writer = make_end(pipe, &writer_operations, O_WRONLY | nonblock);
	if (!pipe->reader || !pipe->writer) {
		object_free(pipe->reader);
		object_free(pipe->writer);
		object_free(pipe);
		return -ENOMEM;
	}
	reading = fd_install(&pipe->reader->file, 0, flags & O_CLOEXEC);
	if (reading < 0) {
		struct file *writer = &pipe->writer->file;

		file_unreference(&pipe->reader->file);
		file_unreference(writer);
		return reading;
	}
	writing = fd_install(&pipe->writer->file, 0, flags & O_CLOEXEC);
	if (writing < 0) {
		file_unreference(&pipe->writer->file);
		fd_close(reading);
		return writing;
	}
	fds[0] = reading;
	fds[1] = writing;
	return 0;
}

SYSCALL(pipe)(int fds[2])
{
	return sys_pipe2(fds, 0);
}
