/* Pipes: packets, sizes, readiness, and moving bytes between them and other files. */
#include "tests/guest/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FAILS(call, error)                                                                         \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK_EQ((call), -1);                                                              \
		CHECK_EQ(errno, error);                                                            \
	} while (0)

static int events_of(int fd)
{
	struct pollfd entry = { fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0 };

	poll(&entry, 1, 0);
	return entry.revents;
}

static void close_pair(const int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

/* ---- pipes ---- */

TEST(packets_in_a_pipe)
{
	static char block[10000];
	int fds[2], bytes;
	char text[16];

	CHECK_EQ(pipe2(fds, O_DIRECT | O_NONBLOCK), 0);
	CHECK_EQ(write(fds[1], "first", 5), 5);
	CHECK_EQ(write(fds[1], "second", 6), 6);
	CHECK_EQ(ioctl(fds[0], FIONREAD, &bytes), 0);
	CHECK_EQ(bytes, 11);
	CHECK_EQ(read(fds[0], text, sizeof(text)), 5);
	/* What does not fit of a packet is lost. */
	CHECK_EQ(read(fds[0], text, 3), 3);
	CHECK_EQ(memcmp(text, "sec", 3), 0);
	FAILS(read(fds[0], text, sizeof(text)), EAGAIN);
	/* Plain bytes between packets. */
	CHECK_EQ(write(fds[1], "packet", 6), 6);
	CHECK_EQ(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	CHECK_EQ(write(fds[1], "plain", 5), 5);
	CHECK_EQ(write(fds[1], "bytes", 5), 5);
	CHECK_EQ(fcntl(fds[1], F_SETFL, O_NONBLOCK | O_DIRECT), 0);
	CHECK_EQ(write(fds[1], "end", 3), 3);
	CHECK_EQ(read(fds[0], text, sizeof(text)), 6);
	CHECK_EQ(read(fds[0], text, 4), 4);
	CHECK_EQ(memcmp(text, "plai", 4), 0);
	CHECK_EQ(read(fds[0], text, 6), 6);
	CHECK_EQ(memcmp(text, "nbytes", 6), 0);
	CHECK_EQ(read(fds[0], text, sizeof(text)), 3);
	/* Long writes are several packets. */
	CHECK_EQ(write(fds[1], block, 10000), 10000);
	CHECK_EQ(read(fds[0], block, sizeof(block)), 4096);
	CHECK_EQ(read(fds[0], block, sizeof(block)), 4096);
	CHECK_EQ(read(fds[0], block, sizeof(block)), 1808);
	close_pair(fds);
}

TEST(the_size_of_a_pipe)
{
	static char block[140000], back[140000];
	int fds[2];

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)(i * 7 + (i >> 9));
	CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
	CHECK_EQ(fcntl(fds[0], F_GETPIPE_SZ), 65536);
	CHECK_EQ(write(fds[1], block, sizeof(block)), 65536);
	CHECK_EQ(events_of(fds[1]), 0);
	CHECK_EQ(read(fds[0], back, 30000), 30000);
	CHECK_EQ(write(fds[1], block + 65536, 20000), 20000);
	CHECK_EQ(fcntl(fds[1], F_SETPIPE_SZ, 100000), 131072);
	CHECK_EQ(fcntl(fds[1], F_GETPIPE_SZ), 131072);
	CHECK_EQ(events_of(fds[1]), POLLOUT);
	CHECK_EQ(write(fds[1], block + 85536, 40000), 40000);
	FAILS(fcntl(fds[0], F_SETPIPE_SZ, 4096), EBUSY);
	CHECK_EQ(read(fds[0], back + 30000, sizeof(back)), 95536);
	CHECK_EQ(memcmp(block, back, 125536), 0);
	CHECK_EQ(fcntl(fds[0], F_SETPIPE_SZ, 1), 4096);
	CHECK_EQ(write(fds[1], block, 5000), 4096);
	close(fds[0]);
	CHECK_EQ(events_of(fds[1]), POLLERR);
	close(fds[1]);
	FAILS(fcntl(0, F_GETPIPE_SZ), EBADF);
}

TEST(ends_of_a_pipe)
{
	struct epoll_event event = { .events = EPOLLOUT | EPOLLET }, told;
	static char block[65536];
	int fds[2], set = epoll_create1(0);

	CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
	CHECK_EQ(events_of(fds[0]), 0);
	CHECK_EQ(events_of(fds[1]), POLLOUT);
	FAILS(write(fds[0], "x", 1), EBADF);
	FAILS(read(fds[1], block, 1), EBADF);
	CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fds[1], &event), 0);
	CHECK_EQ(epoll_wait(set, &told, 1, 0), 1);
	CHECK_EQ(write(fds[1], block, sizeof(block)), sizeof(block));
	CHECK_EQ(epoll_wait(set, &told, 1, 0), 0);
	/* Only a whole page is room. */
	CHECK_EQ(read(fds[0], block, 100), 100);
	CHECK_EQ(epoll_wait(set, &told, 1, 0), 0);
	CHECK_EQ(read(fds[0], block, 8000), 8000);
	CHECK_EQ(epoll_wait(set, &told, 1, 0), 1);
	CHECK_EQ(events_of(fds[1]), POLLOUT);
	close(fds[1]);
	CHECK_EQ(events_of(fds[0]), POLLIN | POLLHUP);
	CHECK_EQ(read(fds[0], block, sizeof(block)), 57436);
	CHECK_EQ(events_of(fds[0]), POLLHUP);
	CHECK_EQ(read(fds[0], block, 1), 0);
	close(fds[0]);
	close(set);
}

/* ---- splice ---- */

TEST(splicing_between_sockets)
{
	int in[2], out[2], fds[2];
	char text[32];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, in), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, out), 0);
	CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
	CHECK_EQ(write(in[0], "through a pipe", 14), 14);
	CHECK_EQ(splice(in[1], NULL, fds[1], NULL, 1000, SPLICE_F_MOVE), 14);
	CHECK_EQ(splice(fds[0], NULL, out[0], NULL, 7, SPLICE_F_MORE), 7);
	CHECK_EQ(splice(fds[0], NULL, out[0], NULL, 1000, SPLICE_F_NONBLOCK), 7);
	CHECK_EQ(read(out[1], text, sizeof(text)), 14);
	CHECK_EQ(memcmp(text, "through a pipe", 14), 0);
	FAILS(splice(fds[0], NULL, out[0], NULL, 1000, 0), EAGAIN);
	close(in[0]);
	CHECK_EQ(splice(in[1], NULL, fds[1], NULL, 1000, 0), 0);
	close(fds[1]);
	CHECK_EQ(splice(fds[0], NULL, out[0], NULL, 1000, 0), 0);
	FAILS(splice(in[1], NULL, out[0], NULL, 1000, 0), EINVAL);
	close(fds[0]);
	close(in[1]);
	close_pair(out);
}

TEST(what_a_full_file_does_not_take_stays_in_the_pipe)
{
	static char block[8192];
	int fds[2], out[2], bytes;
	size_t total = 0;
	ssize_t n;

	CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, out), 0);
	while (write(out[0], block, sizeof(block)) > 0)
		;
	CHECK_EQ(write(fds[1], "keep", 4), 4);
	FAILS(splice(fds[0], NULL, out[0], NULL, 100, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_EQ(ioctl(fds[0], FIONREAD, &bytes), 0);
	CHECK_EQ(bytes, 4);
	while ((n = read(out[1], block, sizeof(block))) > 0)
		total += (size_t)n;
	CHECK(total > 0);
	CHECK_EQ(splice(fds[0], NULL, out[0], NULL, 100, SPLICE_F_NONBLOCK), 4);
	CHECK_EQ(read(out[1], block, sizeof(block)), 4);
	CHECK_EQ(memcmp(block, "keep", 4), 0);
	close_pair(out);
	close_pair(fds);
}

TEST(tee_copies)
{
	int a[2], b[2], event = eventfd(0, 0);
	struct iovec iov[2] = { { "ab", 2 }, { "cd", 2 } };
	char text[16];

	CHECK_EQ(pipe(a), 0);
	CHECK_EQ(pipe(b), 0);
	CHECK_EQ(vmsplice(a[1], iov, 2, 0), 4);
	CHECK_EQ(tee(a[0], b[1], 100, 0), 4);
	CHECK_EQ(read(a[0], text, sizeof(text)), 4);
	CHECK_EQ(memcmp(text, "abcd", 4), 0);
	CHECK_EQ(read(b[0], text, sizeof(text)), 4);
	CHECK_EQ(memcmp(text, "abcd", 4), 0);
	FAILS(tee(a[0], b[1], 100, SPLICE_F_NONBLOCK), EAGAIN);
	FAILS(tee(a[0], a[1], 100, 0), EINVAL);
	FAILS(tee(event, a[1], 100, 0), EINVAL);
	FAILS(tee(a[1], b[0], 100, 0), EBADF);
	FAILS(splice(a[0], &(off_t){ 0 }, b[1], NULL, 1, 0), ESPIPE);
	FAILS(splice(a[0], NULL, b[1], NULL, 1, 1000), EINVAL);
	FAILS(vmsplice(event, iov, 2, 0), EBADF);
	close(event);
	close_pair(a);
	close_pair(b);
}

struct pump {
	int from, to;
	size_t total;
};

static void *pump_bytes(void *argument)
{
	struct pump *pump = argument;
	ssize_t n;

	while ((n = splice(pump->from, NULL, pump->to, NULL, 30000, 0)) > 0)
		pump->total += (size_t)n;
	CHECK_EQ(n, 0);
	return NULL;
}

static void *write_numbers(void *argument)
{
	int fd = (int)(long)argument;
	unsigned numbers[500];

	for (unsigned i = 0; i < 200; i++) {
		for (unsigned j = 0; j < 500; j++)
			numbers[j] = i * 500 + j;
		CHECK_EQ(write(fd, numbers, sizeof(numbers)), sizeof(numbers));
	}
	close(fd);
	return NULL;
}

/* Each side of the pipes waits for the other. */
TEST(a_chain_of_pipes)
{
	int in[2], middle[2], out[2];
	struct pump first, second;
	pthread_t threads[3];
	unsigned numbers[1000], next = 0, wrong = 0;
	ssize_t n;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, in), 0);
	CHECK_EQ(pipe(middle), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, out), 0);
	first = (struct pump){ in[1], middle[1], 0 };
	second = (struct pump){ middle[0], out[0], 0 };
	pthread_create(&threads[0], NULL, write_numbers, (void *)(long)in[0]);
	pthread_create(&threads[1], NULL, pump_bytes, &first);
	pthread_create(&threads[2], NULL, pump_bytes, &second);
	while (next < 100000 && (n = recv(out[1], numbers, sizeof(numbers), MSG_WAITALL)) > 0)
		for (ssize_t i = 0; i < n / 4; i++)
			wrong += numbers[i] != next++;
	CHECK_EQ(next, 100000);
	CHECK_EQ(wrong, 0);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	close(middle[1]);
	pthread_join(threads[2], NULL);
	CHECK_EQ(first.total, 400000);
	CHECK_EQ(second.total, 400000);
	close(in[1]);
	close(middle[0]);
	close_pair(out);
}

TEST(sendfile_wants_a_file_with_positions)
{
	int fds[2], pair[2];

	CHECK_EQ(pipe(fds), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	CHECK_EQ(write(pair[0], "x", 1), 1);
	FAILS(sendfile(pair[0], pair[1], NULL, 1), EINVAL);
	FAILS(sendfile(pair[0], fds[0], NULL, 1), EINVAL);
	FAILS(sendfile(fds[0], pair[1], NULL, 1), EBADF);
	close_pair(fds);
	close_pair(pair);
}

/* ---- poll and select ---- */

#define MANY 2000

TEST(poll_of_many)
{
	static struct pollfd entries[MANY];
	int fds[2];
	struct rlimit limit;

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	CHECK_EQ(pipe(fds), 0);
	for (int i = 0; i < MANY; i++)
		entries[i] =
		    (struct pollfd){ i == MANY - 1 ? fds[1] : fds[0], POLLIN | POLLOUT, 0 };
	CHECK_EQ(poll(entries, MANY, -1), 1);
	CHECK_EQ(entries[MANY - 1].revents, POLLOUT);
	entries[MANY - 1].fd = fds[0];
	CHECK_EQ(poll(entries, MANY, 10), 0);
	CHECK_EQ(write(fds[1], "x", 1), 1);
	CHECK_EQ(poll(entries, MANY, INT_MAX), MANY);
	/* One that is not open, and one that is left out. */
	entries[5].fd = 30000;
	entries[6].fd = -3;
	CHECK_EQ(poll(entries, MANY, 0), MANY - 1);
	CHECK_EQ(entries[5].revents, POLLNVAL);
	CHECK_EQ(entries[6].revents, 0);
	FAILS(poll(entries, (nfds_t)limit.rlim_cur + 1, 0), EINVAL);
	close_pair(fds);
}

static void *write_later(void *argument)
{
	usleep(20000);
	CHECK_EQ(write((int)(long)argument, "x", 1), 1);
	return NULL;
}

TEST(waits_without_end)
{
	struct timespec long_time = { INT64_MAX, 999999999 };
	int fds[2];
	struct pollfd entry = { 0 };
	pthread_t thread;
	fd_set set;
	char byte;

	CHECK_EQ(pipe(fds), 0);
	entry = (struct pollfd){ fds[0], POLLIN, 0 };
	pthread_create(&thread, NULL, write_later, (void *)(long)fds[1]);
	CHECK_EQ(ppoll(&entry, 1, &long_time, NULL), 1);
	CHECK_EQ(read(fds[0], &byte, 1), 1);
	pthread_join(thread, NULL);
	pthread_create(&thread, NULL, write_later, (void *)(long)fds[1]);
	FD_ZERO(&set);
	FD_SET(fds[0], &set);
	long_time.tv_sec = INT64_MAX;
	CHECK_EQ(pselect(fds[0] + 1, &set, NULL, NULL, &long_time, NULL), 1);
	CHECK(FD_ISSET(fds[0], &set));
	pthread_join(thread, NULL);
	long_time.tv_nsec = 1000000000;
	FAILS(ppoll(&entry, 1, &long_time, NULL), EINVAL);
	FD_ZERO(&set);
	FD_SET(50, &set);
	FAILS(select(51, &set, NULL, NULL, &(struct timeval){ 0, 0 }), EBADF);
	FAILS(select(-1, NULL, NULL, NULL, &(struct timeval){ 0, 0 }), EINVAL);
	close_pair(fds);
}

TEST(an_eventfd_counts_down_one_by_one)
{
	int fd = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
	uint64_t value = UINT64_MAX - 1;

	for (int i = 0; i < 3; i++) {
		uint64_t one = 0;

		CHECK_EQ(read(fd, &one, sizeof(one)), sizeof(one));
		CHECK_EQ(one, 1);
	}
	FAILS(read(fd, &value, sizeof(value)), EAGAIN);
	CHECK_EQ(events_of(fd), POLLOUT);
	CHECK_EQ(write(fd, &value, sizeof(value)), sizeof(value));
	CHECK_EQ(events_of(fd), POLLIN);
	value = 1;
	FAILS(write(fd, &value, sizeof(value)), EAGAIN);
	FAILS(read(fd, &value, 4), EINVAL);
	close(fd);
}
