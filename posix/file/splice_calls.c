/*
 * splice(), tee() and vmsplice(): bytes between a pipe and another file, by copying.
 *
 * What is read from one side must not be lost when the other side takes less: bytes are taken out of a
 * pipe only when they are written, and are read for a pipe only into room that was reserved. Either
 * may block in between; then other readers of the pipe wait, and writers see less room.
 */
#include "posix/file/pipe.h"
#include "posix/file/user_iovec.h"
#include "posix/signal/signal.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#define COPY_BYTES ((size_t)PIPE_RING_BYTES)
#define SPLICE_FLAGS 15u /* MOVE, NONBLOCK, MORE, GIFT */

struct piece {
	char *bytes;
	size_t length;
};

/* ---- out of a pipe ---- */

/* At home of the pipe: copy what is there, and keep others from reading it. */
static long begin_reading(struct file *file, void *argument)
{
	struct pipe *pipe = pipe_of_reader(file);
	struct piece *piece = argument;

	if (pipe->ring.reading)
		return -EAGAIN;
	if (pipe_ring_filled(&pipe->ring) == 0)
		return pipe->writer ? -EAGAIN : 0;
	pipe->ring.reading = true;
	piece->length = pipe_ring_peek(&pipe->ring, piece->bytes, piece->length);
	return (long)piece->length;
}

/* So many of them have gone where they should. */
static long end_reading(struct file *file, void *argument)
{
	struct pipe *pipe = pipe_of_reader(file);
	bool was_full = pipe_is_full(pipe);

	pipe->ring.reading = false;
	pipe_ring_skip(&pipe->ring, *(size_t *)argument);
	pipe_emptied(pipe, was_full);
	if (pipe_ring_filled(&pipe->ring))
		pipe_filled(pipe);
	return 0;
}

/* One piece; `takes` is how the bytes leave: tee() leaves them there. */
static ssize_t out_of_pipe(struct file *in, struct file *out, int64_t offset, struct piece *piece,
			   bool takes, bool nonblocking)
{
	ssize_t result = file_operate(in, begin_reading, piece, EPOLLIN, nonblocking, FOREVER);
	struct iovec iov = { piece->bytes, piece->length };
	size_t taken;

	if (result <= 0)
		return result;
	result = file_write(out, &iov, 1, offset);
	taken = result > 0 && takes ? (size_t)result : 0;
	file_operate(in, end_reading, &taken, 0, true, FOREVER);
	return result;
}

/* ---- into a pipe ---- */

static long reserve(struct file *file, void *argument)
{
	struct pipe *pipe = pipe_of_writer(file);
	struct piece *piece = argument;
	size_t room = pipe_ring_room(&pipe->ring);

	if (!pipe->reader)
		return -EPIPE;
	if (!room)
		return -EAGAIN;
	piece->length = min(piece->length, room);
	pipe->ring.reserved += (uint32_t)piece->length;
	return 0;
}

struct commitment {
	struct piece piece; /* what was reserved */
	size_t length; /* what came */
};

static long commit(struct file *file, void *argument)
{
	struct pipe *pipe = pipe_of_writer(file);
	struct commitment *commitment = argument;
	struct iovec iov = { commitment->piece.bytes, commitment->length };
	bool was_full = pipe_is_full(pipe);

	pipe->ring.reserved -= (uint32_t)commitment->piece.length;
	pipe_ring_write(&pipe->ring, &iov, 1,
			false); /* there is room, and the bytes are the kernel's */
	if (commitment->length)
		pipe_filled(pipe);
	pipe_emptied(pipe, was_full);
	return 0;
}

static ssize_t into_pipe(struct file *in, int64_t offset, struct file *out, struct piece *piece,
			 bool nonblocking)
{
	ssize_t result = file_operate(out, reserve, piece, EPOLLOUT, nonblocking, FOREVER);
	struct commitment commitment = { *piece, 0 };
	struct iovec iov = { piece->bytes, piece->length };

	if (result)
		return result;
	result = file_read(in, &iov, 1, offset);
	commitment.length = result > 0 ? (size_t)result : 0;
	file_operate(out, commit, &commitment, 0, true, FOREVER);
	return result;
}

/* ---- the calls ---- */

struct splicing {
	struct file *in, *out;
	int64_t *in_offset, *out_offset; /* NULL: where the file stands */
	size_t length;
	bool tee;
	bool nonblocking; /* as far as the pipes go */
};

static int64_t offset_of(const int64_t *offset)
{
	return offset ? *offset : NO_OFFSET;
}

/* Waits for the first piece only. */
static ssize_t move_pieces(const struct splicing *splicing, char *bytes)
{
	size_t done = 0;
	ssize_t result = 0;

	while (done < splicing->length) {
		struct piece piece = { bytes, min(splicing->length - done, COPY_BYTES) };
		bool nonblocking = splicing->nonblocking || done;

		if (pipe_of_reader(splicing->in))
			result = out_of_pipe(splicing->in, splicing->out,
					     offset_of(splicing->out_offset), &piece,
					     !splicing->tee, nonblocking);
		else
			result = into_pipe(splicing->in, offset_of(splicing->in_offset),
					   splicing->out, &piece, nonblocking);
		if (result <= 0)
			break;
		done += (size_t)result;
		if (splicing->out_offset)
			*splicing->out_offset += result;
		if (splicing->in_offset)
			*splicing->in_offset += result;
		/* The same bytes would be found again. A read may wait where there was one. */
		if (splicing->tee || !pipe_of_reader(splicing->in) || (size_t)result < piece.length)
			break;
	}
	return done ? (ssize_t)done : result;
}

static ssize_t splice_held(const struct splicing *splicing)
{
	char *bytes;
	ssize_t result = -EBADF;

	if (!file_reference(splicing->in))
		return -EBADF;
	if (file_reference(splicing->out)) {
		bytes = object_alloc(min(splicing->length, COPY_BYTES));
		result = bytes ? move_pieces(splicing, bytes) : -ENOMEM;
		object_free(bytes);
		file_unreference(splicing->out);
	}
	file_unreference(splicing->in);
	return result;
}

static long splice_files(const struct splicing *splicing)
{
	ssize_t result;

	do {
		signal_hold();
		result = splice_held(splicing);
	} while (signal_release(result) && fd_names(splicing->in) && fd_names(splicing->out));
	if (result == -EPIPE)
		signal_broken_pipe();
	return result;
}

static long check_ends(const struct file *in, const struct file *out)
{
	if (!in || !out || (in->status_flags & O_ACCMODE) == O_WRONLY ||
	    (out->status_flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	return 0;
}

/* Where in a file that is no pipe. *offset becomes NULL if the application says nothing. */
static long read_offset(int64_t **offset, const int64_t *from, bool is_pipe,
			const struct file *file)
{
	if (!from) {
		*offset = NULL;
		return 0;
	}
	if (is_pipe)
		return -ESPIPE;
	if (!file->operations->seek)
		return -EINVAL;
	return user_read(*offset, from, sizeof(**offset));
}

static long write_offset(int64_t *to, const int64_t *offset)
{
	return offset ? user_write(to, offset, sizeof(*offset)) : 0;
}

SYSCALL(splice)
(int in_fd, int64_t *in_offset, int out_fd, int64_t *out_offset, size_t length, unsigned flags)
{
	struct file *in = fd_lookup(in_fd), *out = fd_lookup(out_fd);
	int64_t from_offset, to_offset;
	struct splicing splicing = { in,
				     out,
				     &from_offset,
				     &to_offset,
				     min(length, (size_t)INT_MAX),
				     false,
				     flags & SPLICE_F_NONBLOCK };
	struct pipe *from, *to;
	long result;

	if (length == 0)
		return 0;
	if (flags & ~SPLICE_FLAGS)
		return -EINVAL;
	result = check_ends(in, out);
	if (result)
		return result;
	from = pipe_of_reader(in);
	to = pipe_of_writer(out);
	if ((!from && !to) || from == to)
		return -EINVAL;
	result = read_offset(&splicing.in_offset, in_offset, from, in);
	if (!result)
		result = read_offset(&splicing.out_offset, out_offset, to, out);
	if (result)
		return result;
	splicing.nonblocking |= ((from ? in : out)->status_flags & O_NONBLOCK) != 0;
	result = splice_files(&splicing);
	if (result > 0 && (write_offset(in_offset, splicing.in_offset) ||
			   write_offset(out_offset, splicing.out_offset)))
		return -EFAULT;
	return result;
}

SYSCALL(tee)(int in_fd, int out_fd, size_t length, unsigned flags)
{
	struct file *in = fd_lookup(in_fd), *out = fd_lookup(out_fd);
	struct splicing splicing = {
		in, out, NULL, NULL, min(length, (size_t)INT_MAX), true, flags & SPLICE_F_NONBLOCK
	};
	long result;

	if (flags & ~SPLICE_FLAGS)
		return -EINVAL;
	if (length == 0)
		return 0;
	result = check_ends(in, out);
	if (result)
		return result;
	if (!pipe_of_reader(in) || !pipe_of_writer(out) ||
	    pipe_of_reader(in) == pipe_of_writer(out))
		return -EINVAL;
	splicing.nonblocking |= (in->status_flags & O_NONBLOCK) != 0;
	return splice_files(&splicing);
}

static long vmsplice_once(int fd, const struct iovec *iov, unsigned niov)
{
	struct file *file = fd_lookup(fd);
	struct user_iovec vector;
	long result;

	if (!file || (!pipe_of_reader(file) && !pipe_of_writer(file)))
		return -EBADF;
	result = user_iovec_read(&vector, iov, niov);
	if (result)
		return result;
	if (pipe_of_reader(file))
		result = file_read(file, vector.iov, niov, NO_OFFSET);
	else
		result = file_write(file, vector.iov, niov, NO_OFFSET);
	user_iovec_free(&vector);
	return result;
}

/* Nothing is given away: reading and writing by another name. */
SYSCALL(vmsplice)(int fd, const struct iovec *iov, unsigned long niov, unsigned flags)
{
	struct file *file = fd_lookup(fd);
	long result;

	if (flags & ~SPLICE_FLAGS)
		return -EINVAL;
	if (!file)
		return -EBADF;
	if (niov > IOV_LIMIT)
		return -EINVAL;
	do {
		signal_hold();
		result = vmsplice_once(fd, iov, (unsigned)niov);
	} while (signal_release(result));
	if (result == -EPIPE)
		signal_broken_pipe();
	return result;
}
