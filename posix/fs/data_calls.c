/*
 * System calls that move contents between files, and those that make sure of them, which they are.
 */
#include "posix/file/user_iovec.h"
#include "posix/fs/lookup.h"
#include "posix/fs/open_file.h"
#include "posix/signal/signal.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

/* ---- sendfile: from a file's own frames ---- */

#define PIECES 16u
#define COPY_BYTES (16ul << 10)

struct sending {
	struct inode *inode;
	int64_t offset;
	size_t count;
	char *buffer; /* made when first needed */
};

/* At `out`'s home. The pieces are found anew at each try, since a wait makes them stale. */
static long send_attempt(struct file *out, void *argument)
{
	const struct sending *sending = argument;
	struct iovec iov[PIECES];
	unsigned n;

	if (!out->operations->write)
		return NOT_HERE;
	n = regular_pieces(sending->inode, sending->offset, sending->count, iov, PIECES);
	return n ? out->operations->write(out, iov, n, NO_OFFSET) : 0;
}

/* Elsewhere: that may wait for messages, so the pieces are copied first. */
static long send_here(struct file *out, void *argument)
{
	struct sending *sending = argument;
	struct iovec iov;

	if (out->home == this_core || !out->operations->write_here)
		return NOT_TRIED;
	if (!sending->buffer)
		sending->buffer = object_alloc(COPY_BYTES);
	if (!sending->buffer)
		return -ENOMEM;
	iov = (struct iovec){ sending->buffer, min(sending->count, COPY_BYTES) };
	/* The kernel's memory: it cannot fail. */
	iov.iov_len = (size_t)regular_read(sending->inode, &iov, 1, sending->offset);
	return iov.iov_len ? out->operations->write_here(out, &iov, 1) : 0;
}

/* Send what is there, waiting for `out` as a write to it would. The caller holds references. */
static long send_pieces(struct file *out, struct inode *inode, int64_t *offset, size_t count)
{
	unsigned how = out->status_flags & O_NONBLOCK ? OPERATE_ONCE : 0;
	struct sending sending = { inode, *offset, count, NULL };
	long result = 0;

	while (sending.count) {
		result = file_operate_here(out, send_here, send_attempt, &sending, EPOLLOUT, how,
					   out->write_timeout_ns);
		if (result <= 0)
			break;
		sending.offset += result;
		sending.count -= result;
	}
	object_free(sending.buffer);
	*offset = sending.offset;
	return count > sending.count ? (long)(count - sending.count) : result;
}

/* ---- through a buffer, for what keeps no frames ---- */

static long copy_file(struct file *out, struct file *in, int64_t *offset, size_t count)
{
	char *buffer = object_alloc(min(count, COPY_BYTES));
	size_t done = 0;
	ssize_t result = 0;

	if (!buffer)
		return -ENOMEM;
	while (done < count) {
		struct iovec iov = { buffer, min(count - done, COPY_BYTES) };

		result = file_read(in, &iov, 1, *offset);
		if (result <= 0)
			break;
		iov.iov_len = result;
		result = file_write(out, &iov, 1, NO_OFFSET);
		if (result <= 0)
			break;
		*offset += result;
		done += result;
		if ((size_t)result < iov.iov_len)
			break;
	}
	object_free(buffer);
	return done ? (long)done : result;
}

static int64_t position_of(struct file *file)
{
	return file->operations->seek ? file->operations->seek(file, 0, SEEK_CUR) : -EINVAL;
}

static long send_referenced(struct file *out, struct file *in, int64_t *offset, size_t count)
{
	int64_t position = offset ? *offset : position_of(in);
	long result;

	if (!in->operations->seek || !in->operations->read || position < 0)
		return -EINVAL;
	if ((!out->operations->write && !out->operations->write_here) ||
	    (out->status_flags & O_APPEND))
		return -EINVAL;
	count = min(count, TRANSFER_LIMIT);
	if (in->operations == &regular_operations && !out->operations->anywhere)
		result = send_pieces(out, file_inode(in), &position, count);
	else
		result = copy_file(out, in, &position, count);
	if (result > 0 && offset)
		*offset = position;
	else if (result > 0)
		in->operations->seek(in, position, SEEK_SET);
	return result;
}

static long send_file(int out_fd, int in_fd, int64_t *offset, size_t count)
{
	struct file *out = fd_lookup(out_fd), *in = fd_lookup(in_fd);
	long result = -EBADF;

	if (!out || !in || (in->status_flags & O_ACCMODE) == O_WRONLY ||
	    (out->status_flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (count == 0)
		return 0;
	if (!file_reference(out))
		return -EBADF;
	if (file_reference(in)) {
		result = send_referenced(out, in, offset, count);
		file_unreference(in);
	}
	file_unreference(out);
	if (result == -EPIPE)
		signal_broken_pipe();
	return result;
}

SYSCALL(sendfile)(int out_fd, int in_fd, int64_t *user_offset, size_t count)
{
	int64_t offset;
	long result;

	if (user_offset && user_read(&offset, user_offset, sizeof(offset)))
		return -EFAULT;
	do {
		signal_hold();
		result = send_file(out_fd, in_fd, user_offset ? &offset : NULL, count);
	} while (signal_release(result));
	if (result > 0 && user_offset && user_write(user_offset, &offset, sizeof(offset)))
		return -EFAULT;
	return result;
}

/* ---- copy_file_range ---- */

static long copy_range(struct inode *in, int64_t from, struct inode *out, int64_t to, size_t count)
{
	size_t done = 0;
	ssize_t result = 0;

	mutex_lock(&out->mutex);
	while (done < count) {
		struct iovec iov[PIECES];
		unsigned n = regular_pieces(in, from + done, count - done, iov, PIECES);

		result = n ? regular_write(out, iov, n, to + done) : 0;
		if (result <= 0)
			break;
		done += result;
	}
	mutex_unlock(&out->mutex);
	return done ? (long)done : result;
}

/* *offset becomes what the application says, or where the file stands. */
static int check_range(struct file *file, const int64_t *user_offset, unsigned access,
		       int64_t *offset)
{
	if ((file->status_flags & (O_ACCMODE | O_PATH)) == access || (file->status_flags & O_PATH))
		return -EBADF;
	if (file->operations == &directory_operations)
		return -EISDIR;
	if (file->operations != &regular_operations)
		return -EINVAL;
	if (!user_offset) {
		*offset = position_of(file);
		return 0;
	}
	if (user_read(offset, user_offset, sizeof(*offset)))
		return -EFAULT;
	return *offset < 0 ? -EINVAL : 0;
}

static int put_range(struct file *file, int64_t *user_offset, int64_t offset)
{
	if (user_offset)
		return user_write(user_offset, &offset, sizeof(offset));
	file->operations->seek(file, offset, SEEK_SET);
	return 0;
}

/* The caller holds references. */
static long copy_referenced(struct file *in, int64_t *in_offset, struct file *out,
			    int64_t *out_offset, size_t count, unsigned flags)
{
	int64_t from, to;
	long result;
	int error = check_range(in, in_offset, O_WRONLY, &from);

	if (!error)
		error = check_range(out, out_offset, O_RDONLY, &to);
	if (error)
		return error;
	if (flags)
		return -EINVAL;
	if (out->status_flags & O_APPEND)
		return -EBADF;
	count = min(count, TRANSFER_LIMIT);
	if (count > (size_t)(FILE_SIZE_MAX - max(from, to)))
		return -EOVERFLOW;
	if (file_inode(in) == file_inode(out) && from < to + (int64_t)count &&
	    to < from + (int64_t)count)
		return -EINVAL;
	result = copy_range(file_inode(in), from, file_inode(out), to, count);
	if (result <= 0)
		return result;
	error = put_range(in, in_offset, from + result);
	if (!error)
		error = put_range(out, out_offset, to + result);
	return error ? error : result;
}

SYSCALL(copy_file_range)
(int in_fd, int64_t *in_offset, int out_fd, int64_t *out_offset, size_t count, unsigned flags)
{
	struct file *in = fd_lookup(in_fd), *out = fd_lookup(out_fd);
	long result = -EBADF;

	if (!in || !out || !file_reference(in))
		return -EBADF;
	if (file_reference(out)) {
		result = copy_referenced(in, in_offset, out, out_offset, count, flags);
		file_unreference(out);
	}
	file_unreference(in);
	return result;
}

/* ---- memory is all there is ---- */

static long check_file(int fd, int others)
{
	struct file *file = fd_lookup(fd);

	if (!file || (file->status_flags & O_PATH))
		return -EBADF;
	return file_inode(file) ? 0 : others;
}

SYSCALL(fsync)(int fd)
{
	return check_file(fd, -EINVAL);
}

SYSCALL(fdatasync)(int fd)
{
	return check_file(fd, -EINVAL);
}

SYSCALL(sync)(void)
{
	return 0;
}

SYSCALL(syncfs)(int fd)
{
	return check_file(fd, 0);
}

SYSCALL(sync_file_range)(int fd, int64_t offset, int64_t length, unsigned flags)
{
	if (offset < 0 || length < 0 || (flags & ~7u))
		return -EINVAL;
	return check_file(fd, -ESPIPE);
}

SYSCALL(fadvise64)(int fd, int64_t offset, int64_t length, int advice)
{
	long error = check_file(fd, -ESPIPE);

	if (error)
		return error;
	return advice < POSIX_FADV_NORMAL || advice > POSIX_FADV_NOREUSE || length < 0 ? -EINVAL
										       : 0;
}

SYSCALL(readahead)(int fd, int64_t offset, size_t count)
{
	return check_file(fd, -EINVAL);
}
