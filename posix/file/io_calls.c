/*
 * The system calls on descriptors of every kind.
 */
#include "posix/file/file.h"
#include "posix/file/user_iovec.h"
#include "posix/fs/lock_calls.h"
#include "posix/fs/locks.h"
#include "posix/fs/memfd.h"
#include "posix/fs/open_file.h"
#include "posix/file/pipe.h"
#include "posix/signal/signal.h"
#include "posix/socket/socket_kind.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>

/* ---- read and write ---- */

/* Sockets that send messages tell a broken connection without a signal, as on Linux. */
static __attribute__((noinline)) void broken_pipe(int fd)
{
	const struct file *file = fd_lookup(fd);

	if (!file || !file->operations->socket || socket_kind_of(file)->stream)
		signal_broken_pipe();
}

static inline long wrote(int fd, ssize_t result)
{
	if (unlikely(result == -EPIPE))
		broken_pipe(fd);
	return result;
}

SYSCALL(read)(int fd, void *buffer, size_t length)
{
	struct iovec iov = { buffer, min(length, TRANSFER_LIMIT) };
	struct file *file = fd_lookup(fd);

	if (unlikely(!file))
		return -EBADF;
	if (unlikely(user_range_is_bad(buffer, length)))
		return -EFAULT;
	return file_read(file, &iov, 1, NO_OFFSET);
}

SYSCALL(write)(int fd, const void *buffer, size_t length)
{
	struct iovec iov = { (void *)buffer, min(length, TRANSFER_LIMIT) };
	struct file *file = fd_lookup(fd);

	if (unlikely(!file))
		return -EBADF;
	if (unlikely(user_range_is_bad(buffer, length)))
		return -EFAULT;
	return wrote(fd, file_write(file, &iov, 1, NO_OFFSET));
}

struct vector_call {
	int fd;
	const struct iovec *iov; /* the application's */
	int niov;
	int64_t offset;
	bool writes;
};

static long transfer_once(const struct vector_call *call)
{
	struct file *file = fd_lookup(call->fd);
	struct user_iovec vector;
	long result;

	if (unlikely(!file))
		return -EBADF;
	if ((unsigned)call->niov > IOV_LIMIT)
		return -EINVAL;
	result = user_iovec_read(&vector, call->iov, (unsigned)call->niov);
	if (unlikely(result))
		return result;
	if (call->writes)
		result = wrote(call->fd,
			       file_write(file, vector.iov, (unsigned)call->niov, call->offset));
	else
		result = file_read(file, vector.iov, (unsigned)call->niov, call->offset);
	user_iovec_free(&vector);
	return result;
}

/* What many entries need is freed before a handler of a signal runs. */
static __attribute__((noinline)) long transfer_many(const struct vector_call *call)
{
	long result;

	do {
		signal_hold();
		result = transfer_once(call);
	} while (signal_release(result));
	return result;
}

static inline long transfer(const struct vector_call *call)
{
	return likely((unsigned)call->niov <= IOV_FEW) ? transfer_once(call) : transfer_many(call);
}

static long read_vector(int fd, const struct iovec *iov, int niov, int64_t offset)
{
	return transfer(&(struct vector_call){ fd, iov, niov, offset, false });
}

static long write_vector(int fd, const struct iovec *iov, int niov, int64_t offset)
{
	return transfer(&(struct vector_call){ fd, iov, niov, offset, true });
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
	struct iovec iov = { buffer, min(length, TRANSFER_LIMIT) };
	struct file *file = fd_lookup(fd);

	if (offset < 0)
		return -EINVAL;
	if (unlikely(!file))
		return -EBADF;
	if (unlikely(user_range_is_bad(buffer, length)))
		return -EFAULT;
	return file_read(file, &iov, 1, offset);
}

SYSCALL(pwrite64)(int fd, const void *buffer, size_t length, int64_t offset)
{
	struct iovec iov = { (void *)buffer, min(length, TRANSFER_LIMIT) };
	struct file *file = fd_lookup(fd);

	if (offset < 0)
		return -EINVAL;
	if (unlikely(!file))
		return -EBADF;
	if (unlikely(user_range_is_bad(buffer, length)))
		return -EFAULT;
	return wrote(fd, file_write(file, &iov, 1, offset));
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

/* Linux's per-call flags (linux/fs.h). Files are memory, so nothing has to be waited for or synchronised. */
#define RWF_HIPRI 0x01
#define RWF_DSYNC 0x02
#define RWF_SYNC 0x04
#define RWF_NOWAIT 0x08
#define RWF_APPEND 0x10
#define RWF_FOR_READING (RWF_HIPRI | RWF_NOWAIT)

SYSCALL(preadv2)
(int fd, const struct iovec *iov, int niov, int64_t offset, long offset_high, int flags)
{
	if (flags & ~RWF_FOR_READING)
		return -EOPNOTSUPP;
	if (offset < -1)
		return -EINVAL;
	return read_vector(fd, iov, niov, offset == -1 ? NO_OFFSET : offset);
}

SYSCALL(pwritev2)
(int fd, const struct iovec *iov, int niov, int64_t offset, long offset_high, int flags)
{
	if (flags & ~(RWF_FOR_READING | RWF_DSYNC | RWF_SYNC | RWF_APPEND))
		return -EOPNOTSUPP;
	if (offset < -1)
		return -EINVAL;
	if (flags & RWF_APPEND)
		return write_vector(fd, iov, niov, AT_END);
	return write_vector(fd, iov, niov, offset == -1 ? NO_OFFSET : offset);
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

	if (unlikely(!file))
		return -EBADF;
	if (likely(file->operations->anywhere && file->operations->seek))
		return file->operations->seek(file, offset, whence);
	return seek_file(file, offset, whence);
}

/* ---- descriptors ---- */

/* A descriptor goes, whatever becomes of the file. */
static void leave_file(int fd)
{
	struct file *file = fd_lookup(fd);

	if (!file)
		return;
	locks_descriptor_closes(file);
	if (file->operations->descriptor_closes)
		file->operations->descriptor_closes(file);
}

SYSCALL(close)(int fd)
{
	leave_file(fd);
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
			sys_close(fd);
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
	leave_file(copy);
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

#define SETTABLE_FLAGS (O_NONBLOCK | O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME)

/* A named pipe holds as much as it does. */
#define FIFO_BYTES 65536u

static long get_pipe_size(struct file *file)
{
	return file->operations == &fifo_operations ? (long)FIFO_BYTES : pipe_get_size(file);
}

static long set_pipe_size(struct file *file, unsigned long size)
{
	if (file->operations != &fifo_operations)
		return pipe_set_size(file, size);
	return size > FIFO_BYTES ? -EPERM : (long)FIFO_BYTES;
}

SYSCALL(fcntl)(int fd, int command, unsigned long argument)
{
	struct file *file = fd_lookup(fd);

	if (!file)
		return -EBADF;
	/* Of what names a file and nothing else. */
	if ((file->status_flags & O_PATH) && command != F_DUPFD && command != F_DUPFD_CLOEXEC &&
	    command != F_GETFD && command != F_SETFD && command != F_GETFL)
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
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return fcntl_lock(fd, command, (struct flock *)argument);
	case F_SETOWN:
		file->owner = argument;
		return 0;
	case F_GETOWN:
		return file->owner;
	case F_SETPIPE_SZ:
		return set_pipe_size(file, argument);
	case F_GETPIPE_SZ:
		return get_pipe_size(file);
	case F_ADD_SEALS:
		return seals_add(file, argument);
	case F_GET_SEALS:
		return seals_get(file);
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
	int on;

	if (!file)
		return -EBADF;
	switch (request) {
	case FIOCLEX:
	case FIONCLEX:
		return fd_set_close_on_exec(fd, request == FIOCLEX);
	case FIONBIO:
		if (user_read(&on, argument, sizeof(on)))
			return -EFAULT;
		file->status_flags = (file->status_flags & ~O_NONBLOCK) | (on ? O_NONBLOCK : 0);
		return 0;
	}
	if (!file->operations->ioctl)
		return -ENOTTY;
	return file_operate(file, ioctl_attempt, &call, 0, true, FOREVER);
}
