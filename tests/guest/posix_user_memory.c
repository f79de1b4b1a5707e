/*
 * Pointers that system calls must not follow, and buffers of which a part is not there. What is expected
 * is what Linux says; sockets, signals, threads and time are elsewhere.
 */
#include "tests/guest/test.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

/* A kernel stack, the direct map, data of the kernel's and of a core's; kernel_places.c knows better. */
uintptr_t kernel_places[4] = { 0xffffc00000002000ul, 0xffff800000100000ul, 0xffffffff80b00000ul,
			       0xffffffff80a00000ul };

#define PAGE 4096
#define HERE AT_FDCWD

/* NULL is the last: some calls mean something by it. */
#define PLACES 9
static void *bad[PLACES];

static void find_bad_places(void)
{
	for (int i = 0; i < 4; i++)
		bad[i] = (void *)kernel_places[i];
	bad[4] = (void *)0x8000123456789abcul; /* not canonical */
	bad[5] = (void *)-4096l;
	bad[6] = (void *)-8l; /* what is longer wraps */
	bad[7] = (void *)8;
	bad[8] = NULL;
}

static void check_fault(int line, const char *call, long result, int place)
{
	if (result != -1 || errno != EFAULT)
		test_failed(__FILE__, line, call, place, result == -1 ? errno : -result, true);
}

#define EACH(places, ...)                                                                          \
	do {                                                                                       \
		for (int i = 0; i < (places); i++) {                                               \
			char *p = bad[i];                                                          \
			errno = 0;                                                                 \
			check_fault(__LINE__, #__VA_ARGS__, syscall(__VA_ARGS__), i);              \
			(void)p;                                                                   \
		}                                                                                  \
	} while (0)
#define FAULTS(...) EACH(PLACES, __VA_ARGS__)
#define FAULTS_UNLESS_NULL(...) EACH(PLACES - 1, __VA_ARGS__)

#define CHECK_FAULT(call)                                                                          \
	do {                                                                                       \
		errno = 0;                                                                         \
		check_fault(__LINE__, #call, (call), -1);                                          \
	} while (0)

static int make_file(const char *path, size_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	CHECK(fd >= 0);
	for (size_t i = 0; i < size; i++)
		CHECK_EQ(write(fd, &"0123456789abcdef"[i % 16], 1), 1);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* ---- pointers that are no application's ---- */

TEST(paths_that_are_the_kernels)
{
	struct stat st;
	char buffer[300];
	uint64_t how[3] = { O_RDONLY, 0, 0 };

	find_bad_places();
	close(make_file("/tmp/um", 0));
	FAULTS(SYS_open, p, O_RDONLY, 0);
	FAULTS(SYS_openat, HERE, p, O_RDONLY, 0);
	FAULTS(SYS_creat, p, 0600);
	FAULTS(SYS_openat2, HERE, p, how, sizeof(how));
	FAULTS(SYS_openat2, HERE, "/tmp/um", p, sizeof(how));
	FAULTS(SYS_stat, p, &st);
	FAULTS(SYS_lstat, p, &st);
	FAULTS(SYS_newfstatat, HERE, p, &st, 0);
	FAULTS(SYS_statx, HERE, p, 0, 0x7ff, buffer);
	FAULTS(SYS_access, p, R_OK);
	FAULTS(SYS_faccessat, HERE, p, R_OK);
	FAULTS(SYS_faccessat2, HERE, p, R_OK, 0);
	FAULTS(SYS_readlink, p, buffer, 10);
	FAULTS(SYS_readlinkat, HERE, p, buffer, 10);
	FAULTS(SYS_mkdir, p, 0700);
	FAULTS(SYS_mkdirat, HERE, p, 0700);
	FAULTS(SYS_mknod, p, S_IFREG | 0600, 0);
	FAULTS(SYS_mknodat, HERE, p, S_IFREG | 0600, 0);
	FAULTS(SYS_symlink, p, "/tmp/um1");
	FAULTS(SYS_symlink, "x", p);
	FAULTS(SYS_symlinkat, p, HERE, "/tmp/um1");
	FAULTS(SYS_link, p, "/tmp/um1");
	FAULTS(SYS_link, "/tmp/um", p);
	FAULTS(SYS_linkat, HERE, p, HERE, "/tmp/um1", 0);
	FAULTS(SYS_unlink, p);
	FAULTS(SYS_unlinkat, HERE, p, 0);
	FAULTS(SYS_rmdir, p);
	FAULTS(SYS_rename, p, "/tmp/um1");
	FAULTS(SYS_rename, "/tmp/um", p);
	FAULTS(SYS_renameat, HERE, p, HERE, "/tmp/um1");
	FAULTS(SYS_renameat2, HERE, "/tmp/um", HERE, p, 0);
	FAULTS(SYS_chdir, p);
	FAULTS(SYS_chmod, p, 0600);
	FAULTS(SYS_fchmodat, HERE, p, 0600);
	FAULTS(SYS_chown, p, -1, -1);
	FAULTS(SYS_lchown, p, -1, -1);
	FAULTS(SYS_fchownat, HERE, p, -1, -1, 0);
	FAULTS(SYS_truncate, p, 0);
	FAULTS(SYS_statfs, p, buffer);
	FAULTS(SYS_utime, p, NULL);
	FAULTS(SYS_utimes, p, NULL);
	FAULTS(SYS_utimensat, HERE, p, NULL, 0);
	FAULTS(SYS_futimesat, HERE, p, NULL);
	FAULTS(SYS_getxattr, p, "a", buffer, 1);
	FAULTS(SYS_lsetxattr, p, "a", buffer, 1, 0);
	FAULTS(SYS_name_to_handle_at, HERE, p, buffer, buffer, 0);
	FAULTS(SYS_memfd_create, p, 0);
	FAULTS(SYS_mq_open, p, O_RDONLY, 0, NULL);
	FAULTS(SYS_mq_unlink, p);
	CHECK_EQ(access("/tmp/um1", F_OK), -1);
	CHECK_EQ(unlink("/tmp/um"), 0);
}

TEST(structures_of_files_that_are_the_kernels)
{
	int fd = make_file("/tmp/um", 100), directory = open("/tmp", O_RDONLY);
	int console = open("/dev/console", O_RDWR), ends[2];

	find_bad_places();
	CHECK_EQ(symlink("target", "/tmp/um.link"), 0);
	CHECK_EQ(pipe(ends), 0);
	FAULTS(SYS_stat, "/tmp/um", p);
	FAULTS(SYS_lstat, "/tmp/um", p);
	FAULTS(SYS_fstat, fd, p);
	FAULTS(SYS_fstat, ends[0], p);
	FAULTS(SYS_newfstatat, HERE, "/tmp/um", p, 0);
	FAULTS(SYS_statx, HERE, "/tmp/um", 0, 0x7ff, p);
	FAULTS(SYS_statfs, "/tmp/um", p);
	FAULTS(SYS_fstatfs, fd, p);
	FAULTS(SYS_readlink, "/tmp/um.link", p, 100);
	FAULTS(SYS_readlink, "/proc/self/exe", p, 100);
	FAULTS(SYS_getcwd, p, 100);
	FAULTS(SYS_getdents64, directory, p, 1000);
	FAULTS(SYS_getdents, directory, p, 1000);
	FAULTS_UNLESS_NULL(SYS_utimensat, HERE, "/tmp/um", p, 0);
	FAULTS_UNLESS_NULL(SYS_utimes, "/tmp/um", p);
	FAULTS_UNLESS_NULL(SYS_utime, "/tmp/um", p);
	FAULTS_UNLESS_NULL(SYS_futimesat, HERE, "/tmp/um", p);
	FAULTS(SYS_fcntl, fd, F_SETLK, p);
	FAULTS(SYS_fcntl, fd, F_GETLK, p);
	FAULTS(SYS_fcntl, fd, F_OFD_SETLK, p);
	FAULTS(SYS_ioctl, fd, FIONBIO, p);
	FAULTS(SYS_ioctl, ends[0], FIONREAD, p);
	FAULTS(SYS_ioctl, console, TIOCGWINSZ, p);
	FAULTS(SYS_pipe, p);
	FAULTS(SYS_pipe2, p, O_CLOEXEC);
	FAULTS(SYS_getrandom, p, 100, 0);
	FAULTS(SYS_mincore, (uintptr_t)&errno & ~(PAGE - 1ul), PAGE, p);
	close(fd);
	close(directory);
	close(console);
	close(ends[0]);
	close(ends[1]);
	CHECK_EQ(unlink("/tmp/um"), 0);
	CHECK_EQ(unlink("/tmp/um.link"), 0);
}

/* On a descriptor that would read and write. */
static void check_transfers(int in, int out)
{
	char byte;

	FAULTS(SYS_read, in, p, 20);
	FAULTS(SYS_write, out, p, 20);
	FAULTS(SYS_readv, in, p, 1);
	FAULTS(SYS_writev, out, p, 1);
	FAULTS(SYS_readv, in, p, 100);
	FAULTS(SYS_writev, out, p, 100);
	for (int i = 0; i < PLACES; i++) {
		struct iovec two[2] = { { NULL, 0 }, { bad[i], 20 } }, many[20] = { { NULL, 0 } };

		many[19] = two[1];
		CHECK_FAULT(readv(in, two, 2));
		CHECK_FAULT(writev(out, two, 2));
		CHECK_FAULT(readv(in, many, 20));
		CHECK_FAULT(writev(out, many, 20));
	}
	/* A range that begins where it may, and ends where it may not. */
	CHECK_FAULT(syscall(SYS_read, in, &byte, 1ul << 46));
	CHECK_FAULT(syscall(SYS_read, in, &byte, -1ul));
	CHECK_FAULT(syscall(SYS_write, out, &byte, -1ul));
}

TEST(buffers_that_are_the_kernels)
{
	static const char *const devices[] = { "/dev/zero", "/dev/urandom", "/proc/self/comm",
					       "/dev/console" };
	int fd = make_file("/tmp/um", 100), other = make_file("/tmp/um2", 0), ends[2], event;
	uint64_t one = 1;

	find_bad_places();
	check_transfers(fd, fd);
	FAULTS(SYS_pread64, fd, p, 20, 0);
	FAULTS(SYS_pwrite64, fd, p, 20, 0);
	FAULTS(SYS_preadv, fd, p, 1, 0, 0);
	FAULTS(SYS_pwritev, fd, p, 1, 0, 0);
	FAULTS(SYS_preadv2, fd, p, 1, 0, 0, 0);
	FAULTS(SYS_pwritev2, fd, p, 1, 0, 0, 0);

	CHECK_EQ(pipe(ends), 0);
	CHECK_EQ(write(ends[1], "0123456789", 10), 10);
	check_transfers(ends[0], ends[1]);
	FAULTS(SYS_vmsplice, ends[1], p, 1, 0);
	for (int i = 0; i < PLACES; i++) {
		struct iovec iov = { bad[i], 20 };

		CHECK_FAULT(vmsplice(ends[1], &iov, 1, 0));
	}
	FAULTS_UNLESS_NULL(SYS_splice, fd, p, ends[1], NULL, 10, 0);
	FAULTS_UNLESS_NULL(SYS_splice, ends[0], NULL, fd, p, 10, 0);
	FAULTS_UNLESS_NULL(SYS_sendfile, ends[1], fd, p, 10);
	FAULTS_UNLESS_NULL(SYS_copy_file_range, fd, p, other, NULL, 10, 0);
	FAULTS_UNLESS_NULL(SYS_copy_file_range, fd, NULL, other, p, 10, 0);

	event = eventfd(0, 0);
	FAULTS(SYS_write, event, p, 8);
	for (int i = 0; i < PLACES; i++) {
		/* Linux loses what it could not hand out. */
		CHECK_EQ(write(event, &one, 8), 8);
		CHECK_FAULT(read(event, bad[i], 8));
	}
	close(event);

	close(fd);
	for (size_t i = 0; i < sizeof(devices) / sizeof(*devices); i++) {
		fd = open(devices[i], O_RDWR);
		CHECK(fd >= 0);
		check_transfers(fd, fd);
		close(fd);
	}

	CHECK_EQ(mkfifo("/tmp/um.fifo", 0600), 0);
	fd = open("/tmp/um.fifo", O_RDWR);
	CHECK_EQ(write(fd, "0123456789", 10), 10);
	check_transfers(fd, fd);
	FAULTS(SYS_ioctl, fd, FIONREAD, p);
	close(fd);
	close(other);
	close(ends[0]);
	close(ends[1]);
	CHECK_EQ(unlink("/tmp/um"), 0);
	CHECK_EQ(unlink("/tmp/um2"), 0);
	CHECK_EQ(unlink("/tmp/um.fifo"), 0);
}

TEST(waiting_with_what_is_the_kernels)
{
	int set = epoll_create1(0), event = eventfd(1, 0);
	struct epoll_event wanted = { .events = EPOLLIN };
	struct pollfd entry = { event, POLLIN, 0 };
	struct timespec none = { 0, 0 };
	fd_set in;

	find_bad_places();
	FD_ZERO(&in);
	FAULTS(SYS_epoll_ctl, set, EPOLL_CTL_ADD, event, p);
	CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, event, &wanted), 0);
	FAULTS(SYS_epoll_ctl, set, EPOLL_CTL_MOD, event, p);
	FAULTS(SYS_epoll_wait, set, p, 10, 0);
	FAULTS(SYS_epoll_pwait, set, p, 10, 0, NULL, 8);
	FAULTS(SYS_epoll_pwait2, set, p, 10, &none, NULL, 8);
	FAULTS_UNLESS_NULL(SYS_epoll_pwait2, set, &wanted, 1, p, NULL, 8);
	FAULTS(SYS_poll, p, 1, 0);
	FAULTS(SYS_poll, p, 100, 0);
	FAULTS(SYS_ppoll, p, 2, &none, NULL, 8);
	FAULTS_UNLESS_NULL(SYS_ppoll, &entry, 1, p, NULL, 8);
	FAULTS_UNLESS_NULL(SYS_select, 200, p, NULL, NULL, &none);
	FAULTS_UNLESS_NULL(SYS_select, 200, NULL, p, NULL, &none);
	FAULTS_UNLESS_NULL(SYS_select, 200, NULL, NULL, p, &none);
	FAULTS_UNLESS_NULL(SYS_select, 1, &in, NULL, NULL, p);
	FAULTS_UNLESS_NULL(SYS_pselect6, 200, p, NULL, NULL, &none, NULL);
	FAULTS_UNLESS_NULL(SYS_pselect6, 1, NULL, NULL, NULL, p, NULL);
	FAULTS_UNLESS_NULL(SYS_pselect6, 1, NULL, NULL, NULL, &none, p);
	close(set);
	close(event);
}

TEST(message_queues_with_what_is_the_kernels)
{
	struct mq_attr attributes = { .mq_maxmsg = 2, .mq_msgsize = 100 };
	struct timespec soon = { 1, 0 };
	char buffer[100];
	unsigned priority;
	int queue;

	find_bad_places();
	FAULTS_UNLESS_NULL(SYS_mq_open, "um", O_RDWR | O_CREAT, 0600, p);
	queue = (int)syscall(SYS_mq_open, "um", O_RDWR | O_CREAT, 0600, &attributes);
	CHECK(queue >= 0);
	FAULTS(SYS_mq_timedsend, queue, p, 10, 0, NULL);
	FAULTS_UNLESS_NULL(SYS_mq_timedsend, queue, buffer, 10, 0, p);
	CHECK_EQ(syscall(SYS_mq_timedsend, queue, "hello", 5, 3, &soon), 0);
	FAULTS(SYS_mq_timedreceive, queue, p, 100, &priority, NULL);
	FAULTS_UNLESS_NULL(SYS_mq_timedreceive, queue, buffer, 100, p, NULL);
	FAULTS_UNLESS_NULL(SYS_mq_timedreceive, queue, buffer, 100, &priority, p);
	FAULTS_UNLESS_NULL(SYS_mq_notify, queue, p);
	FAULTS_UNLESS_NULL(SYS_mq_getsetattr, queue, p, NULL);
	FAULTS_UNLESS_NULL(SYS_mq_getsetattr, queue, NULL, p);
	CHECK_EQ(syscall(SYS_mq_timedreceive, queue, buffer, 100, &priority, NULL), 5);
	CHECK_EQ(priority, 3);
	close(queue);
	CHECK_EQ(syscall(SYS_mq_unlink, "um"), 0);
}

/* ---- memory of which a part is not there ---- */

/* A page, and nothing behind it: returns its end. */
static char *page_end(int protection)
{
	char *pages =
	    mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(pages != MAP_FAILED);
	memset(pages, 'x', 2 * PAGE);
	CHECK_EQ(munmap(pages + PAGE, PAGE), 0);
	CHECK_EQ(mprotect(pages, PAGE, protection), 0);
	return pages + PAGE;
}

static int bytes_in(int fd)
{
	int bytes = -1;

	CHECK_EQ(ioctl(fd, FIONREAD, &bytes), 0);
	return bytes;
}

TEST(files_and_buffers_that_end_early)
{
	char *end = page_end(PROT_READ | PROT_WRITE);
	struct iovec iov[2] = { { end - 50, 50 }, { end, 50 } };
	int fd = make_file("/tmp/um", 3 * PAGE);

	CHECK_EQ(read(fd, end - 100, 200), 100);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 100);
	CHECK_EQ(memcmp(end - 100, "0123456789abcdef", 16), 0);
	CHECK_EQ(pread(fd, end - PAGE, 2 * PAGE, 0), PAGE);
	CHECK_FAULT(read(fd, end, 10));
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 100);
	CHECK_EQ(preadv(fd, iov, 2, 0), 50);
	memset(end - 100, 'y', 100);
	CHECK_EQ(pwrite(fd, end - 100, 200, PAGE - 50), 100);
	CHECK_EQ(pwritev(fd, iov, 2, 0), 50);
	CHECK_FAULT(pwrite(fd, end, 10, 0));
	CHECK_EQ(pread(fd, end - 200, 200, PAGE - 60), 200);
	CHECK_EQ(end[-191], "0123456789abcdef"[(PAGE - 51) % 16]);
	CHECK_EQ(end[-190], 'y');
	CHECK_EQ(end[-91], 'y');
	CHECK_EQ(end[-90], "0123456789abcdef"[(PAGE + 50) % 16]);
	/* A hole gets no page for what is not there. */
	CHECK_EQ(ftruncate(fd, 10 * PAGE), 0);
	CHECK_FAULT(pwrite(fd, end, 10, 8 * PAGE));
	CHECK_EQ(pwrite(fd, end - 10, 20, 20 * PAGE), 10);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 20 * PAGE + 10);
	CHECK_EQ(lseek(fd, 5 * PAGE, SEEK_DATA), 20 * PAGE);
	close(fd);
	munmap(end - PAGE, PAGE);
	CHECK_EQ(unlink("/tmp/um"), 0);
}

TEST(devices_and_buffers_that_end_early)
{
	char *end = page_end(PROT_READ | PROT_WRITE);
	int zero = open("/dev/zero", O_RDONLY), randoms = open("/dev/urandom", O_RDONLY);
	int version = open("/proc/version", O_RDONLY), directory = open("/tmp", O_RDONLY);

	CHECK_EQ(read(zero, end - 10, 20), 10);
	CHECK_EQ(end[-11], 'x');
	CHECK_EQ(end[-10] | end[-1], 0);
	CHECK_FAULT(read(zero, end, 20));
	CHECK_EQ(read(randoms, end - 10, 20), 10);
	CHECK_FAULT(read(randoms, end, 20));
	CHECK_EQ(syscall(SYS_getrandom, end - 700, 2000, 0), 700);
	CHECK_FAULT(syscall(SYS_getrandom, end, 20, 0));
	CHECK_EQ(read(version, end - 5, 20), 5);
	CHECK_EQ(memcmp(end - 5, "Linux", 5), 0);
	CHECK_FAULT(read(version, end, 20));
	CHECK_EQ(syscall(SYS_getdents64, directory, end - 60, 1000), 48); /* "." and ".." */
	CHECK_EQ(lseek(directory, 0, SEEK_SET), 0);
	CHECK_FAULT(syscall(SYS_getdents64, directory, end - 4, 1000));
	close(zero);
	close(randoms);
	close(version);
	close(directory);
	munmap(end - PAGE, PAGE);
}

static void check_pipe(int in, int out)
{
	char *end = page_end(PROT_READ | PROT_WRITE);
	struct iovec iov[2] = { { end - 50, 50 }, { end, 50 } };

	/* No message is cut. */
	CHECK_FAULT(write(out, end - 100, 200));
	CHECK_FAULT(writev(out, iov, 2));
	CHECK_EQ(bytes_in(in), 0);
	CHECK_EQ(write(out, end - PAGE, 200), 200);
	CHECK_FAULT(read(in, end - 100, 200));
	CHECK_FAULT(readv(in, iov, 2));
	CHECK_EQ(bytes_in(in), 200);
	CHECK_EQ(read(in, end - 200, 300), 200);
	/* Whole pages go. */
	CHECK_EQ(write(out, end - PAGE, 2 * PAGE), PAGE);
	CHECK_EQ(write(out, end - PAGE, PAGE), PAGE);
	CHECK_EQ(read(in, end - PAGE, 2 * PAGE), PAGE);
	CHECK_FAULT(read(in, end - 100, 2 * PAGE));
	CHECK_EQ(bytes_in(in), PAGE);
	CHECK_EQ(read(in, end - PAGE, PAGE), PAGE);
	munmap(end - PAGE, PAGE);
}

TEST(pipes_and_buffers_that_end_early)
{
	int ends[2], fd;

	CHECK_EQ(pipe(ends), 0);
	check_pipe(ends[0], ends[1]);
	close(ends[0]);
	close(ends[1]);
	CHECK_EQ(mkfifo("/tmp/um.fifo", 0600), 0);
	fd = open("/tmp/um.fifo", O_RDWR);
	check_pipe(fd, fd);
	close(fd);
	CHECK_EQ(unlink("/tmp/um.fifo"), 0);
}

TEST(packets_and_buffers_that_end_early)
{
	char *end = page_end(PROT_READ | PROT_WRITE);
	int ends[2];

	CHECK_EQ(pipe2(ends, O_DIRECT), 0);
	CHECK_FAULT(write(ends[1], end - 100, 200));
	CHECK_EQ(write(ends[1], end - 100, 100), 100);
	CHECK_EQ(write(ends[1], end - 10, 10), 10);
	CHECK_FAULT(read(ends[0], end - 50, 200));
	CHECK_EQ(bytes_in(ends[0]), 110);
	CHECK_EQ(read(ends[0], end - 200, 200), 100);
	CHECK_EQ(read(ends[0], end - 200, 200), 10);
	close(ends[0]);
	close(ends[1]);
	munmap(end - PAGE, PAGE);
}

TEST(counters_and_events_that_find_no_place)
{
	char *end = page_end(PROT_READ | PROT_WRITE);
	int set = epoll_create1(0), events[2] = { eventfd(5, 0), eventfd(6, 0) };
	struct epoll_event wanted = { .events = EPOLLIN | EPOLLET }, *place = (void *)(end - 12),
			   told[2];
	uint64_t count;

	CHECK_FAULT(read(events[0], end - 4, 8));
	CHECK_FAULT(write(events[0], end - 4, 8));
	count = 1;
	CHECK_EQ(write(events[0], &count, 8), 8);
	for (int i = 0; i < 2; i++) {
		wanted.data.u64 = 70 + (unsigned)i;
		CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, events[i], &wanted), 0);
	}
	CHECK_FAULT(syscall(SYS_epoll_wait, set, end - 8, 2, 0));
	CHECK_EQ(syscall(SYS_epoll_wait, set, place, 2, 0), 1);
	memcpy(told, place, sizeof(*place));
	CHECK_EQ(told[0].data.u64, 70);
	CHECK_EQ(told[0].events, EPOLLIN);
	/* What was not told is told yet. */
	CHECK_EQ(epoll_wait(set, told, 2, 0), 1);
	CHECK_EQ(told[0].data.u64, 71);
	CHECK_EQ(epoll_wait(set, told, 2, 0), 0);
	close(set);
	close(events[0]);
	close(events[1]);
	munmap(end - PAGE, PAGE);
}

TEST(structures_that_end_early)
{
	char *end = page_end(PROT_READ | PROT_WRITE), *vector = end - sizeof(struct iovec);
	int fd = make_file("/tmp/um", 10), ends[2];
	struct iovec iov = { end - 100, 5 };
	struct stat st;

	memcpy(end - 8, "/tmp/um", 8);
	CHECK_EQ(stat(end - 8, &st), 0);
	memcpy(end - 7, "/tmp/um", 7);
	CHECK_FAULT(syscall(SYS_stat, end - 7, &st));
	CHECK_FAULT(open(end - 7, O_RDONLY));
	CHECK_FAULT(syscall(SYS_stat, "/tmp/um", end - sizeof(st) + 1));
	CHECK_EQ(syscall(SYS_stat, "/tmp/um", end - sizeof(st)), 0);
	CHECK_FAULT(syscall(SYS_pipe, end - 4));
	CHECK_EQ(syscall(SYS_pipe, end - 8), 0);
	memcpy(ends, end - 8, sizeof(ends));
	close(ends[0]);
	close(ends[1]);
	memcpy(vector, &iov, sizeof(iov));
	CHECK_EQ(readv(fd, (void *)vector, 1), 5);
	CHECK_FAULT(readv(fd, (void *)vector, 2));
	CHECK_FAULT(syscall(SYS_poll, end - sizeof(struct pollfd), 2, 0));
	CHECK_FAULT(syscall(SYS_mincore, end - PAGE, PAGE, end));
	CHECK_FAULT(syscall(SYS_getcwd, end - 1, 100));
	CHECK_FAULT(fcntl(fd, F_GETLK, end - 8));
	close(fd);
	munmap(end - PAGE, PAGE);
	CHECK_EQ(unlink("/tmp/um"), 0);
}

TEST(memory_that_may_not_be_written)
{
	char *end = page_end(PROT_READ | PROT_WRITE), *page = end - PAGE;
	int fd = make_file("/tmp/um", 100), ends[2], lowest = dup(fd), event = eventfd(1, 0);
	struct flock *lock = (void *)page;
	struct pollfd *entry = (void *)(page + 64);
	struct timeval *timeout = (void *)(page + 128);
	fd_set *set = (void *)(page + 256), none;

	close(lowest);
	*lock = (struct flock){ .l_type = F_RDLCK };
	*entry = (struct pollfd){ event, POLLIN, 0 };
	*timeout = (struct timeval){ 0, 1000 };
	FD_ZERO(set);
	FD_SET(event, set);
	*(int64_t *)(page + 512) = 10;
	CHECK_EQ(mprotect(page, PAGE, PROT_READ), 0);
	CHECK_FAULT(read(fd, page, 10));
	CHECK_FAULT(syscall(SYS_fstat, fd, page));
	CHECK_FAULT(syscall(SYS_pipe2, page, 0));
	CHECK_FAULT(fcntl(fd, F_GETLK, lock));
	CHECK_EQ(fcntl(fd, F_SETLK, lock), 0);
	CHECK_FAULT(poll(entry, 1, 0));
	CHECK_FAULT(syscall(SYS_select, event + 1, set, NULL, NULL, NULL));
	CHECK_FAULT(syscall(SYS_getrandom, page, 10, 0));
	CHECK_FAULT(syscall(SYS_getcwd, page, 100));
	/* The time that is left goes nowhere, which is no error. */
	FD_ZERO(&none);
	CHECK_EQ(syscall(SYS_select, 1, &none, NULL, NULL, timeout), 0);
	/* No descriptor stays behind. */
	CHECK_EQ(pipe(ends), 0);
	CHECK_EQ(ends[0], lowest < event ? lowest : event + 1);
	CHECK_FAULT(syscall(SYS_sendfile, ends[1], fd, page + 512, 10));
	CHECK_EQ(bytes_in(ends[0]), 10);
	CHECK_EQ(write(fd, page, 10), 10);
	close(fd);
	close(event);
	close(ends[0]);
	close(ends[1]);
	munmap(page, PAGE);
	CHECK_EQ(unlink("/tmp/um"), 0);
}

/* ---- many ---- */

TEST(vectors_of_many_buffers)
{
	static char bytes[1024];
	struct iovec iov[1025];
	int ends[2];

	for (int i = 0; i < 1025; i++)
		iov[i] = (struct iovec){ &bytes[i % 1024], 1 };
	for (int i = 0; i < 1024; i++)
		bytes[i] = (char)i;
	CHECK_EQ(pipe(ends), 0);
	CHECK_EQ(syscall(SYS_writev, ends[1], iov, 1024), 1024);
	CHECK(syscall(SYS_writev, ends[1], iov, 1025) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_writev, ends[1], iov, -1) == -1 && errno == EINVAL);
	memset(bytes, 0, sizeof(bytes));
	CHECK_EQ(syscall(SYS_readv, ends[0], iov, 1024), 1024);
	for (int i = 0; i < 1024; i++)
		CHECK_EQ(bytes[i], (char)i);
	CHECK_EQ(vmsplice(ends[1], iov, 100, 0), 100);
	CHECK_EQ(bytes_in(ends[0]), 100);
	iov[50].iov_len = (size_t)-1;
	CHECK(syscall(SYS_writev, ends[1], iov, 100) == -1 && errno == EINVAL);
	close(ends[0]);
	close(ends[1]);
}

TEST(polling_many_descriptors)
{
	enum { MANY = 40000 };
	struct pollfd *entries = calloc(MANY, sizeof(*entries));
	int event = eventfd(1, 0);

	for (int i = 0; i < MANY; i++)
		entries[i] = (struct pollfd){ -1, POLLIN, 7 };
	CHECK_EQ(poll(entries, MANY, 0), 0);
	CHECK_EQ(entries[0].revents | entries[MANY - 1].revents, 0);
	entries[MANY - 1].fd = entries[100].fd = event;
	CHECK_EQ(poll(entries, MANY, -1), 2);
	CHECK_EQ(entries[MANY - 1].revents, POLLIN);
	CHECK_EQ(poll(entries, 101, -1), 1);
	close(event);
	free(entries);
}
