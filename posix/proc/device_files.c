/*
 * /dev: files without state.
 */
#include "posix/fs/open_file.h"
#include "posix/fs/pseudo.h"
#include "posix/random.h"
#include "posix/user_memory.h"

#include "mm/area.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>

static size_t total_of(const struct iovec *iov, unsigned niov)
{
	size_t total = 0;

	for (unsigned i = 0; i < niov; i++)
		total += iov[i].iov_len;
	return total;
}

static ssize_t swallow(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	return total_of(iov, niov);
}

static ssize_t refuse(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	return -ENOSPC;
}

static ssize_t read_end(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	return 0;
}

/* By a function that returns how many bytes it did, fewer if memory is not there. */
static ssize_t fill(const struct iovec *iov, unsigned niov, size_t function(void *, size_t))
{
	ssize_t total = 0;

	for (unsigned i = 0; i < niov; i++) {
		size_t done = function(iov[i].iov_base, iov[i].iov_len);

		total += (ssize_t)done;
		if (done < iov[i].iov_len)
			return total ? total : -EFAULT;
	}
	return total;
}

static ssize_t read_zeros(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	return fill(iov, niov, user_clear_some);
}

static ssize_t read_random(struct file *file, const struct iovec *iov, unsigned niov,
			   int64_t offset)
{
	return fill(iov, niov, random_bytes);
}

static uint32_t always_ready(struct file *file)
{
	return EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM;
}

static int64_t stay(struct file *file, int64_t offset, int whence)
{
	return 0;
}

static long map_zeros(struct file *file, vaddr_t address, size_t length, int prot, int flags,
		      int64_t offset)
{
	return area_map(address, length, prot, flags | MAP_ANONYMOUS);
}

#define DEVICE(...)                                                                                \
	{                                                                                          \
		.anywhere = true, .seek = stay, .stat = open_file_stat,                            \
		.release = open_file_release, __VA_ARGS__                                          \
	}

static const struct file_operations null_operations =
    DEVICE(.kind = "/dev/null", .read = read_end, .write = swallow, .events = always_ready);
static const struct file_operations zero_operations =
    DEVICE(.kind = "/dev/zero", .read = read_zeros, .write = swallow, .map = map_zeros);
static const struct file_operations full_operations =
    DEVICE(.kind = "/dev/full", .read = read_zeros, .write = refuse);
static const struct file_operations random_operations =
    DEVICE(.kind = "/dev/random", .read = read_random, .write = swallow, .events = always_ready);

#define NUMBER(major, minor) ((major) << 8 | (minor)) /* Linux's devices.txt */

#define DEVICE_NODE(name, major, minor, permissions, kind)                                         \
	{                                                                                          \
		.path = name, .mode = S_IFCHR | permissions, .device = NUMBER(major, minor),       \
		.operations = &kind                                                                \
	}

#define LINK(name, to)                                                                             \
	{                                                                                          \
		.path = name, .mode = S_IFLNK | 0777, .target = to                                 \
	}

const struct pseudo_node device_nodes[] = {
	DEVICE_NODE("/dev/null", 1, 3, 0666, null_operations),
	DEVICE_NODE("/dev/zero", 1, 5, 0666, zero_operations),
	DEVICE_NODE("/dev/full", 1, 7, 0666, full_operations),
	DEVICE_NODE("/dev/random", 1, 8, 0666, random_operations),
	DEVICE_NODE("/dev/urandom", 1, 9, 0666, random_operations),
	DEVICE_NODE("/dev/tty", 5, 0, 0666, console_operations),
	DEVICE_NODE("/dev/console", 5, 1, 0600, console_operations),
	LINK("/dev/fd", "/proc/self/fd"),
	LINK("/dev/stdin", "/proc/self/fd/0"),
	LINK("/dev/stdout", "/proc/self/fd/1"),
	LINK("/dev/stderr", "/proc/self/fd/2"),
};
const unsigned ndevice_nodes = array_size(device_nodes);
