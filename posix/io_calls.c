/*
 * The system calls on descriptors of every kind.
 */
#include "posix/file.h"
#include "posix/signal.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRANSFER_MAX 0x7ffff000ul /* as much as any Linux call moves */

/* ---- read and write ---- */

static inline long wrote(ssize_t result)
{
	if (unlikely(result == -EPIPE))
		signal_broken_pipe();
	return result;
}

SYSCALL(read)(int fd, void *buffer, size_t length)
{
	struct iovec iov = { buffer, min(length, TRANSFER_MAX) };
	struct file *file = fd_lookup(fd);

	if (unlikely(!file))
		return -EBADF;
	if (unlikely(user_buffer_is_bad(buffer, length)))
		return -EFAULT;
	return file_read(file, &iov, 1, NO_OFFSET);
}

SYSCALL(write)(int fd, const void *buffer, size_t length)
{
	struct iovec iov = { (void *)buffer, min(length, TRANSFER_MAX) };
	struct file *file = fd_lookup(fd);

	if (unlikely(!file))
		return -EBADF;
	if (unlikely(user_buffer_is_bad(buffer, length)))
		return -EFAULT;
	return wrote(file_write(file, &iov, 1, NO_OFFSET));
}

static long check_iov(const struct iovec *iov, int niov)
{
	size_t total = 0;

	if (niov < 0 || niov > IOV_MAX)
		return -EINVAL;
	if (niov && user_pointer_is_bad(iov))
		return -EFAULT;
	for (int i = 0; i < niov; i++) {
		if (unlikely(user_buffer_is_bad(iov[i].iov_base, iov[i].iov_len)))
			return -EFAULT;
		if (iov[i].iov_len > SSIZE_MAX - total)
			return -EINVAL;
		total += iov[i].iov_len;
	}
	return 0;
}

static long read_vector(int fd, const struct iovec *iov, int niov, int64_t offset)
{
	struct file *file = fd_lookup(fd);
	long result;

	if (unlikely(!file))
		return -EBADF;
	result = check_iov(iov, niov);
	return result ? result : file_read(file, iov, niov, offset);
}

static long write_vector(int fd, const struct iovec *iov, int niov, int64_t offset)
{
	struct file *file = fd_lookup(fd);
	long result;

	if (unlikely(!file))
		return -EBADF;
	result = check_iov(iov, niov);
	return result ? result : wrote(file_write(file, iov, niov, offset));
}

SYSCALL(readv)(int fd, const struct iovec *iov, int niov)
{
	return read_vector(fd, iov, niov, NO_OFFSET);
}

SYSCALL(writev)(int fd, const struct iovec *iov, int niov)
{
	return write_vector(fd, iov, niov, NO_OFFSET);
}

SYSCALL(pread64)(int fd, void *buffer, size_t length, int64_t offset)
{
	struct iovec iov = { buffer, min(length, TRANSFER_MAX) };

	return offset < 0 ? -EINVAL : read_vector(fd, &iov, 1, offset);
}

SYSCALL(pwrite64)(int fd, const void *buffer, size_t length, int64_t offset)
{
	struct iovec iov = { (void *)buffer, min(length, TRANSFER_MAX) };

	return offset < 0 ? -EINVAL : write_vector(fd, &iov, 1, offset);
}

/* The upper half of the offset is 0 where a long has 64 bits. */
SYSCALL(preadv)(int fd, const struct iovec *iov, int niov, int64_t offset)
{
	return offset < 0 ? -EINVAL : read_vector(fd, iov, niov, offset);
}

SYSCALL(pwritev)(int fd, const struct iovec *iov, int niov, int64_t offset)
{
	return offset < 0 ? -EINVAL : write_vector(fd, iov, niov, offset);
}

/* ---- position ---- */

struct seek {
	int64_t offset;
	int whence;
};

static long seek_attempt(struct file *file, void *argument)
{
	struct seek *seek = argument;

	if (!file->operations->seek)
		return -ESPIPE;
	return file->operations->seek(file, seek->offset, seek->whence);
}

static long seek_file(struct file *file, int64_t offset, int whence)
{
	struct seek seek = { offset, whence };

	return file_operate(file, seek_attempt, &seek, 0, true, FOREVER);
}

SYSCALL(lseek)(int fd, int64_t offset, int whence)
{
	struct file *file = fd_lookup(fd);

	return file ? seek_file(file, offset, whence) : -EBADF;
}

/* ---- sendfile: a copy loop ---- */

#define COPY_BYTES (16ul << 10)

static long copy_file(struct file *out, struct file *in, int64_t *position, size_t count)
{
	char *buffer = object_alloc(min(count, COPY_BYTES));
	size_t done = 0;
	ssize_t result = 0;

	if (!buffer)
		return -ENOMEM;
	while (done < count) {
		struct iovec iov = { buffer, min(count - done, COPY_BYTES) };

		result = file_read(in, &iov, 1, *position);
		if (result <= 0)
			break;
		iov.iov_len = result;
		result = file_write(out, &iov, 1, NO_OFFSET);
		if (result <= 0)
			break;
		*position += result;
		done += result;
		if ((size_t)result < iov.iov_len)
			break;
	}
	object_free(buffer);
	return done ? (long)done : result;
}

static long send_file(int out_fd, int in_fd, int64_t *offset, size_t count)
{
	struct file *out = fd_lookup(out_fd), *in = fd_lookup(in_fd);
	int64_t position;
	long result = -EBADF;

	if (!out || !in)
		return -EBADF;
	if (offset && user_pointer_is_bad(offset))
		return -EFAULT;
	if (count == 0)
		return 0;
	if (!file_reference(out))
		return -EBADF;
	if (file_reference(in)) {
		position = offset ? *offset : seek_file(in, 0, SEEK_CUR);
		result = -EINVAL; /* not a file with positions */
		if (in->operations->seek && position >= 0)
			result = copy_file(out, in, &position, min(count, TRANSFER_MAX));
		if (result > 0 && offset)
			*offset = position;
		else if (result > 0)
			seek_file(in, position, SEEK_SET);
		file_unreference(in);
	}
	file_unreference(out);
	return wrote(result);
}

SYSCALL(sendfile)(int out_fd, int in_fd, int64_t *offset, size_t count)
{
	long result;

	do {
		signal_hold();
		result = send_file(out_fd, in_fd, offset, count);
	} while (signal_release(result));
	return result;
}

/* ---- descriptors ---- */

SYSCALL(close)(int fd)
{
	return fd_close(fd);
}

SYSCALL(close_range)(unsigned first, unsigned last, unsigned flags)
{
	if (first > last || (flags & ~4u /* CLOSE_RANGE_CLOEXEC */))
		return -EINVAL;
	for (unsigned fd = first; fd <= min(last, FD_MAX - 1); fd++) {
		if (flags)
			fd_set_close_on_exec(fd, true);
		else
			fd_close(fd);
	}
	return 0;
}

static long duplicate(int fd, int lowest, bool close_on_exec)
{
	struct file *file = fd_lookup(fd);
	int copy;

	if (!file || !file_reference(file))
		return -EBADF;
	copy = fd_install(file, lowest, close_on_exec);
	if (copy < 0)
		file_unreference(file);
	return copy;
}

SYSCALL(dup)(int fd)
{
	return duplicate(fd, 0, false);
}

static long duplicate_to(int fd, int copy, bool close_on_exec)
{
	struct file *file = fd_lookup(fd), *old = NULL;
	int result;

	if (!file || !file_reference(file))
		return -EBADF;
	result = fd_replace(copy, file, close_on_exec, &old);
	if (result < 0)
		file_unreference(file);
	if (old)
		file_unreference(old);
	return result;
}

SYSCALL(dup2)(int fd, int copy)
{
	if (fd == copy)
		return fd_lookup(fd) ? fd : -EBADF;
	return duplicate_to(fd, copy, false);
}

SYSCALL(dup3)(int fd, int copy, int flags)
{
	if (fd == copy || (flags & ~O_CLOEXEC))
		return -EINVAL;
	return duplicate_to(fd, copy, flags & O_CLOEXEC);
}

/* ---- control ---- */

#define SETTABLE_FLAGS (O_NONBLOCK | O_APPEND)

SYSCALL(fcntl)(int fd, int command, unsigned long argument)
{
	struct file *file = fd_lookup(fd);

	if (!file)
		return -EBADF;
	switch (command) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return duplicate(fd, argument > INT_MAX ? -1 : (int)argument,
				 command == F_DUPFD_CLOEXEC);
	case F_GETFD:
		return fd_get_close_on_exec(fd);
	case F_SETFD:
		return fd_set_close_on_exec(fd, argument & FD_CLOEXEC);
	case F_GETFL:
		/* x86-64 Linux says O_LARGEFILE only of what open() made, and musl ignores it. */
		return file->status_flags;
	case F_SETFL:
		file->status_flags = (file->status_flags & ~SETTABLE_FLAGS) |
				     (argument & SETTABLE_FLAGS);
		return 0;
	}
	return -EINVAL;
}

struct ioctl_call {
	unsigned long request;
	void *argument;
};

static long ioctl_attempt(struct file *file, void *argument)
{
	struct ioctl_call *call = argument;

	return file->operations->ioctl(file, call->request, call->argument);
}

SYSCALL(ioctl)(int fd, unsigned long request, void *argument)
{
	struct ioctl_call call = { request, argument };
	struct file *file = fd_lookup(fd);

	if (!file)
		return -EBADF;
	switch (request) {
	case FIOCLEX:
	case FIONCLEX:
		return fd_set_close_on_exec(fd, request == FIOCLEX);
	case FIONBIO:
		if (user_pointer_is_bad(argument))
			return -EFAULT;
		file->status_flags = (file->status_flags & ~O_NONBLOCK) |
				     (*(int *)argument ? O_NONBLOCK : 0);
		return 0;
	}
	if (!file->operations->ioctl)
		return -ENOTTY;
	if (user_pointer_is_bad(argument))
		return -EFAULT;
	return file_operate(file, ioctl_attempt, &call, 0, true, FOREVER);
}

/* ---- what it is ---- */

static long stat_attempt(struct file *file, void *argument)
{
	return file->operations->stat ? file->operations->stat(file, argument) : 0;
}

SYSCALL(fstat)(int fd, struct stat *st)
{
	struct file *file = fd_lookup(fd);

	if (!file)
		return -EBADF;
	if (user_pointer_is_bad(st))
		return -EFAULT;
	memset(st, 0, sizeof(*st));
	st->st_nlink = 1;
	st->st_ino = (ino_t)file >> 4; /* a number of its own, as long as it is open */
	st->st_blksize = PAGE_SIZE;
	return file_operate(file, stat_attempt, st, 0, true, FOREVER);
}

/* Nothing is behind a file that could still be written. */
SYSCALL(fsync)(int fd)
{
	return fd_lookup(fd) ? -EINVAL : -EBADF;
}

SYSCALL(fdatasync)(int fd)
{
	return sys_fsync(fd);
}
