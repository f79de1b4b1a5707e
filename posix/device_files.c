/*
 * /dev: files without state.
 */
#include "posix/pseudo_file.h"
#include "posix/random.h"

#include "mm/area.h"

#include <errno.h>
#include <string.h>
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

static ssize_t read_zeros(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	for (unsigned i = 0; i < niov; i++)
		memset(iov[i].iov_base, 0, iov[i].iov_len);
	return total_of(iov, niov);
}

static ssize_t read_random(struct file *file, const struct iovec *iov, unsigned niov,
			   int64_t offset)
{
	for (unsigned i = 0; i < niov; i++)
		random_bytes(iov[i].iov_base, iov[i].iov_len);
	return total_of(iov, niov);
}

static uint32_t always_ready(struct file *file)
{
	return EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM;
}

static int64_t stay(struct file *file, int64_t offset, int whence)
{
	return 0;
}

static int device_stat(struct file *file, struct stat *st)
{
	st->st_mode = S_IFCHR | 0666;
	return 0;
}

static long map_zeros(struct file *file, vaddr_t address, size_t length, int prot, int flags,
		      int64_t offset)
{
	return area_map(address, length, prot, flags | MAP_ANONYMOUS);
}

#define DEVICE(...)                                                                                \
	{                                                                                          \
		.anywhere = true, .seek = stay, .stat = device_stat, __VA_ARGS__                   \
	}

static const struct file_operations null_operations =
    DEVICE(.kind = "/dev/null", .read = read_end, .write = swallow, .events = always_ready);
static const struct file_operations zero_operations =
    DEVICE(.kind = "/dev/zero", .read = read_zeros, .write = swallow, .map = map_zeros);
static const struct file_operations full_operations =
    DEVICE(.kind = "/dev/full", .read = read_zeros, .write = refuse);
static const struct file_operations random_operations =
    DEVICE(.kind = "/dev/random", .read = read_random, .write = swallow, .events = always_ready);

const struct pseudo_file device_files[] = {
	{ "/dev/null", S_IFCHR | 0666, &null_operations, NULL },
	{ "/dev/zero", S_IFCHR | 0666, &zero_operations, NULL },
	{ "/dev/full", S_IFCHR | 0666, &full_operations, NULL },
	{ "/dev/random", S_IFCHR | 0666, &random_operations, NULL },
	{ "/dev/urandom", S_IFCHR | 0666, &random_operations, NULL },
	{ "/dev/console", S_IFCHR | 0600, &console_operations, NULL },
	{ "/dev/tty", S_IFCHR | 0666, &console_operations, NULL },
	{ "/dev/stdin", S_IFCHR | 0600, &console_operations, NULL },
	{ "/dev/stdout", S_IFCHR | 0600, &console_operations, NULL },
	{ "/dev/stderr", S_IFCHR | 0600, &console_operations, NULL },
};
const unsigned ndevice_files = array_size(device_files);
