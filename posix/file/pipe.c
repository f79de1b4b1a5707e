/*
 * Pipes as files.
 */
#include "posix/file/pipe.h"

#include "posix/file/iovec.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static struct pipe *pipe_of(struct file *file)
{
	return container_of(file, struct pipe_end, file)->pipe;
}

/* ---- telling the other end ---- */

/* Linux counts pages, and a page is free as long as there is room for one. */
bool pipe_is_full(const struct pipe *pipe)
{
	return pipe_ring_room(&pipe->ring) < PIPE_BUF || !pipe_ring_takes_packet(&pipe->ring);
}

void pipe_filled(struct pipe *pipe)
{
	if (pipe->reader)
		file_notify(&pipe->reader->file, EPOLLIN | EPOLLRDNORM);
}

void pipe_emptied(struct pipe *pipe, bool was_full)
{
	if (pipe->writer && was_full && !pipe_is_full(pipe))
		file_notify(&pipe->writer->file, EPOLLOUT | EPOLLWRNORM);
}

/* ---- reading and writing ---- */

static ssize_t pipe_read(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	struct pipe *pipe = pipe_of(file);
	bool was_full = pipe_is_full(pipe);
	ssize_t done;

	if (offset != NO_OFFSET)
		return -ESPIPE;
	if (iov_total(iov, niov) == 0)
		return 0;
	if (pipe->ring.reading)
		return -EAGAIN;
	done = pipe_ring_read(&pipe->ring, iov, niov);
	if (done > 0)
		pipe_emptied(pipe, was_full);
	return done || !pipe->writer ? done : -EAGAIN;
}

static ssize_t pipe_write(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	struct pipe *pipe = pipe_of(file);
	size_t total = iov_total(iov, niov);
	ssize_t done;

	if (offset != NO_OFFSET)
		return -ESPIPE;
	if (!pipe->reader)
		return -EPIPE;
	if (total == 0)
		return 0;
	/* Up to PIPE_BUF bytes are written as a whole or not at all (POSIX write()). */
	if (total <= PIPE_BUF && total > pipe_ring_room(&pipe->ring))
		return -EAGAIN;
	done = pipe_ring_write(&pipe->ring, iov, niov, file->status_flags & O_DIRECT);
	if (!done)
		return -EAGAIN;
	if (done > 0)
		pipe_filled(pipe);
	return done;
}

static uint32_t reader_events(struct file *file)
{
	struct pipe *pipe = pipe_of(file);
	bool readable = pipe_ring_filled(&pipe->ring) && !pipe->ring.reading;

	return (readable ? EPOLLIN | EPOLLRDNORM : 0) | (pipe->writer ? 0 : EPOLLHUP);
}

static uint32_t writer_events(struct file *file)
{
	struct pipe *pipe = pipe_of(file);

	return (pipe_is_full(pipe) ? 0 : EPOLLOUT | EPOLLWRNORM) | (pipe->reader ? 0 : EPOLLERR);
}

static long pipe_ioctl(struct file *file, unsigned long request, void *argument)
{
	int filled = (int)pipe_ring_filled(&pipe_of(file)->ring);

	return request == FIONREAD ? user_write(argument, &filled, sizeof(filled)) : -ENOTTY;
}

static int pipe_stat(struct file *file, struct stat *st)
{
	st->st_mode = S_IFIFO | 0600;
	st->st_blksize = PAGE_SIZE;
	return 0;
}

static void pipe_free(struct pipe *pipe)
{
	pipe_ring_free(&pipe->ring);
	object_free(pipe);
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
		pipe_free(pipe);
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

struct pipe *pipe_of_reader(struct file *file)
{
	return file->operations == &reader_operations ? pipe_of(file) : NULL;
}

struct pipe *pipe_of_writer(struct file *file)
{
	return file->operations == &writer_operations ? pipe_of(file) : NULL;
}

/* ---- size ---- */

static long get_size_attempt(struct file *file, void *argument)
{
	return pipe_of(file)->ring.size;
}

long pipe_get_size(struct file *file)
{
	if (!pipe_of_reader(file) && !pipe_of_writer(file))
		return -EBADF;
	return file_operate(file, get_size_attempt, NULL, 0, true, FOREVER);
}

static long set_size_attempt(struct file *file, void *argument)
{
	struct pipe *pipe = pipe_of(file);
	bool was_full = pipe_is_full(pipe);
	long result = pipe_ring_resize(&pipe->ring, *(unsigned long *)argument);

	if (result)
		return result;
	pipe_emptied(pipe, was_full);
	return pipe->ring.size;
}

long pipe_set_size(struct file *file, unsigned long size)
{
	if (!pipe_of_reader(file) && !pipe_of_writer(file))
		return -EBADF;
	return file_operate(file, set_size_attempt, &size, 0, true, FOREVER);
}

/* ---- making ---- */

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

static struct pipe *create(int status_flags)
{
	struct pipe *pipe = object_alloc(sizeof(*pipe));

	if (!pipe)
		return NULL;
	if (pipe_ring_init(&pipe->ring, PIPE_RING_BYTES)) {
		object_free(pipe);
		return NULL;
	}
	pipe->reader = make_end(pipe, &reader_operations, O_RDONLY | status_flags);
	pipe->writer = make_end(pipe, &writer_operations, O_WRONLY | status_flags);
	if (pipe->reader && pipe->writer)
		return pipe;
	object_free(pipe->reader);
	object_free(pipe->writer);
	pipe_free(pipe);
	return NULL;
}

/* Both ends get a descriptor, or none. */
static long install(struct file *reader, struct file *writer, int fds[2], bool close_on_exec)
{
	fds[0] = fd_install(reader, 0, close_on_exec);
	if (fds[0] < 0) {
		file_unreference(reader);
		file_unreference(writer);
		return fds[0];
	}
	fds[1] = fd_install(writer, 0, close_on_exec);
	if (fds[1] < 0) {
		file_unreference(writer);
		fd_close(fds[0]);
		return fds[1];
	}
	return 0;
}

SYSCALL(pipe2)(int user_fds[2], int flags)
{
	struct pipe *pipe;
	int fds[2];
	long error;

	if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return -EINVAL;
	if (user_range_is_bad(user_fds, sizeof(fds)))
		return -EFAULT;
	pipe = create(flags & (O_NONBLOCK | O_DIRECT));
	if (!pipe)
		return -ENOMEM;
	/* The pipe itself may be gone as soon as both ends are. */
	error = install(&pipe->reader->file, &pipe->writer->file, fds, flags & O_CLOEXEC);
	if (error)
		return error;
	if (user_copy_of(user_fds, fds, sizeof(fds)))
		return 0;
	fd_close(fds[0]);
	fd_close(fds[1]);
	return -EFAULT;
}

SYSCALL(pipe)(int fds[2])
{
	return sys_pipe2(fds, 0);
}
