/* Descriptors, pipes, eventfds, poll, pseudo files, stdio. */
#include "tests/guest/test.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

TEST(descriptors_are_the_lowest_free)
{
	int a = eventfd(0, 0), b = eventfd(0, 0), c = eventfd(0, 0), d;

	CHECK(a > 2 && b != a && c != b);
	close(b);
	d = dup(a);
	/* Of several cores each has some of its own (posix/file/fd_table.c). */
	if (test_cores == 1) {
		CHECK_EQ(b, a + 1);
		CHECK_EQ(c, a + 2);
		CHECK_EQ(d, b);
	}
	CHECK_EQ(fcntl(a, F_DUPFD, 500), 500);
	CHECK_EQ(dup2(a, 1000), 1000);
	CHECK_EQ(fcntl(1000, F_GETFD), 0);
	CHECK_EQ(fcntl(1000, F_SETFD, FD_CLOEXEC), 0);
	CHECK_EQ(fcntl(1000, F_GETFD), FD_CLOEXEC);
	errno = 0;
	CHECK(close(777) == -1 && errno == EBADF);
	CHECK(dup2(777, 3) == -1 && errno == EBADF);
	close(a);
	close(c);
	close(d);
	close(500);
	close(1000);
}

/* Each number is one file's: who opens an eventfd with a value of its own finds that there. */
static void *open_and_close(void *argument)
{
	uint64_t mine = (uint64_t)(uintptr_t)argument << 32, value;
	unsigned seed = (unsigned)(uintptr_t)argument;
	cpu_set_t core;
	struct {
		int fd;
		uint64_t value;
	} open[100] = { { 0 } };

	CPU_ZERO(&core);
	CPU_SET((int)(uintptr_t)argument % test_cores, &core);
	CHECK_EQ(sched_setaffinity(0, sizeof(core), &core), 0);
	for (unsigned i = 1; i < 5000; i++) {
		unsigned which = (unsigned)rand_r(&seed) % 100;

		if (!open[which].fd) {
			open[which].value = mine + i;
			open[which].fd = eventfd(0, EFD_NONBLOCK);
			CHECK(open[which].fd > 2);
			CHECK_EQ(write(open[which].fd, &open[which].value, 8), 8);
			continue;
		}
		if (i % 16 == 0) {
			int copy = dup(open[which].fd);

			CHECK_EQ(dup2(copy, open[which].fd), open[which].fd);
			CHECK_EQ(close(copy), 0);
		}
		CHECK_EQ(read(open[which].fd, &value, 8), 8);
		CHECK_EQ(value, open[which].value);
		CHECK_EQ(close(open[which].fd), 0);
		open[which].fd = 0;
	}
	for (unsigned i = 0; i < 100; i++)
		if (open[i].fd)
			close(open[i].fd);
	return NULL;
}

TEST(cores_open_and_close_at_once)
{
	pthread_t threads[8];

	for (uintptr_t i = 0; i < 8; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, open_and_close, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
}

TEST(the_limit_of_descriptors_holds)
{
	struct rlimit old, limit;
	int fds[64], n = 0, highest = 0, fd;

	getrlimit(RLIMIT_NOFILE, &old);
	limit = old;
	limit.rlim_cur = 40;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (n < 64 && (fd = eventfd(0, 0)) >= 0) {
		fds[n++] = fd;
		highest = fd > highest ? fd : highest;
	}
	CHECK_EQ(errno, EMFILE);
	CHECK_EQ(highest, 39);
	for (fd = 0; fd < 40; fd++)
		CHECK(fcntl(fd, F_GETFD) >= 0);
	while (n)
		close(fds[--n]);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
}

static void *write_slowly(void *argument)
{
	char bytes[1000];
	int fd = *(int *)argument;

	memset(bytes, 'x', sizeof(bytes));
	for (int i = 0; i < 300; i++)
		if (write(fd, bytes, sizeof(bytes)) != sizeof(bytes))
			CHECK(!"a blocking write to a pipe was short");
	close(fd);
	return NULL;
}

TEST(a_pipe_carries_more_than_it_holds)
{
	static char bytes[7000];
	pthread_t writer;
	long total = 0, n;
	int fds[2];

	CHECK_EQ(pipe(fds), 0);
	pthread_create(&writer, NULL, write_slowly, &fds[1]);
	while ((n = read(fds[0], bytes, sizeof(bytes))) > 0)
		total += n;
	CHECK_EQ(n, 0);
	CHECK_EQ(total, 300 * 1000);
	pthread_join(writer, NULL);
	close(fds[0]);
}

TEST(pipe_ends_and_limits)
{
	static char big[100000];
	int fds[2], bytes;
	long n;

	CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
	errno = 0;
	CHECK(read(fds[0], big, 1) == -1 && errno == EAGAIN);
	n = write(fds[1], big, sizeof(big));
	CHECK_EQ(n, 65536);
	CHECK(write(fds[1], big, 1) == -1 && errno == EAGAIN);
	CHECK_EQ(ioctl(fds[0], FIONREAD, &bytes), 0);
	CHECK_EQ(bytes, 65536);
	CHECK(read(fds[1], big, 1) == -1 && errno == EBADF);
	CHECK(write(fds[0], big, 1) == -1 && errno == EBADF);
	signal(SIGPIPE, SIG_IGN);
	close(fds[0]);
	CHECK(write(fds[1], big, 1) == -1 && errno == EPIPE);
	signal(SIGPIPE, SIG_DFL);
	close(fds[1]);
}

TEST(an_eventfd_counts)
{
	int fd = eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE);
	eventfd_t value;
	char byte;

	CHECK_EQ(eventfd_read(fd, &value), 0);
	CHECK_EQ(value, 1);
	CHECK_EQ(eventfd_read(fd, &value), 0);
	errno = 0;
	CHECK(eventfd_read(fd, &value) == -1 && errno == EAGAIN);
	CHECK(read(fd, &byte, 1) == -1 && errno == EINVAL);
	CHECK_EQ(eventfd_write(fd, ~0ull - 1), 0);
	CHECK(eventfd_write(fd, 1) == -1 && errno == EAGAIN);
	CHECK(eventfd_write(fd, ~0ull) == -1 && errno == EINVAL);
	close(fd);
}

TEST(poll_and_select_look_and_wait)
{
	int fd = eventfd(0, 0), ready = eventfd(1, 0);
	struct pollfd entries[] = { { fd, POLLIN, 0 },
				    { ready, POLLIN | POLLOUT, 0 },
				    { -1, POLLIN, 0 },
				    { 4321, POLLIN, 0 } };
	struct timeval soon = { 0, 20000 };
	fd_set reads;

	CHECK_EQ(poll(entries, 4, -1), 2);
	CHECK_EQ(entries[0].revents, 0);
	CHECK_EQ(entries[1].revents, POLLIN | POLLOUT);
	CHECK_EQ(entries[2].revents, 0);
	CHECK_EQ(entries[3].revents, POLLNVAL);
	CHECK_EQ(poll(entries, 1, 20), 0);
	CHECK_EQ(poll(NULL, 0, 10), 0);

	FD_ZERO(&reads);
	FD_SET(fd, &reads);
	CHECK_EQ(select(fd + 1, &reads, NULL, NULL, &soon), 0);
	CHECK(!FD_ISSET(fd, &reads));
	FD_SET(fd, &reads);
	FD_SET(ready, &reads);
	CHECK_EQ(select(ready + 1, &reads, NULL, NULL, NULL), 1);
	CHECK(!FD_ISSET(fd, &reads) && FD_ISSET(ready, &reads));
	FD_SET(4321 % FD_SETSIZE, &reads);
	errno = 0;
	CHECK(select(FD_SETSIZE, &reads, NULL, NULL, NULL) == -1 && errno == EBADF);
	close(fd);
	close(ready);
}

static void *write_later(void *argument)
{
	usleep(20000);
	eventfd_write(*(int *)argument, 1);
	return NULL;
}

TEST(poll_wakes_when_another_thread_writes)
{
	int fd = eventfd(0, 0), quiet = eventfd(0, 0);
	struct pollfd entries[] = { { quiet, POLLIN, 0 }, { fd, POLLIN, 0 }, { fd, POLLOUT, 0 } };
	pthread_t thread;

	entries[2].events = 0;
	pthread_create(&thread, NULL, write_later, &fd);
	CHECK_EQ(poll(entries, 3, 5000), 1);
	CHECK_EQ(entries[1].revents, POLLIN);
	pthread_join(thread, NULL);
	close(fd);
	close(quiet);
}

TEST(a_blocking_read_waits_for_the_writer)
{
	int fd = eventfd(0, 0);
	pthread_t thread;
	eventfd_t value = 0;

	pthread_create(&thread, NULL, write_later, &fd);
	CHECK_EQ(eventfd_read(fd, &value), 0);
	CHECK_EQ(value, 1);
	pthread_join(thread, NULL);
	close(fd);
}

TEST(devices)
{
	char bytes[64], zeros[64] = { 0 };
	int fd = open("/dev/zero", O_RDONLY);
	struct stat st;

	memset(bytes, 1, sizeof(bytes));
	CHECK_EQ(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
	CHECK_EQ(memcmp(bytes, zeros, sizeof(bytes)), 0);
	close(fd);
	fd = open("/dev/null", O_RDWR);
	CHECK_EQ(write(fd, bytes, 10), 10);
	CHECK_EQ(read(fd, bytes, 10), 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK(S_ISCHR(st.st_mode));
	close(fd);
	fd = open("/dev/urandom", O_RDONLY);
	CHECK_EQ(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
	CHECK(memcmp(bytes, zeros, sizeof(bytes)) != 0);
	close(fd);
}

TEST(paths_that_do_not_exist)
{
	char name[100];
	struct stat st;

	errno = 0;
	CHECK(open("/etc/nothing", O_RDONLY) == -1 && errno == ENOENT);
	CHECK(open("/nowhere/new", O_CREAT | O_WRONLY, 0600) == -1 && errno == ENOENT);
	CHECK(open("", O_RDONLY) == -1 && errno == ENOENT);
	CHECK(stat("/dev/nothing", &st) == -1 && errno == ENOENT);
	CHECK(stat("/dev/null/x", &st) == -1 && errno == ENOTDIR);
	CHECK_EQ(stat("//dev/../dev/./null", &st), 0);
	CHECK_EQ(stat("/dev", &st), 0);
	CHECK(S_ISDIR(st.st_mode));
	CHECK_EQ(access("/dev/null", R_OK | W_OK), 0);
	CHECK(getcwd(name, sizeof(name)) && strcmp(name, "/") == 0);
}

TEST(the_table_of_cores)
{
	char line[4000];
	FILE *file = fopen("/proc/lavra/cores", "r");
	long lines = 0;

	CHECK(file != NULL);
	if (!file)
		return;
	CHECK(fgets(line, sizeof(line), file) && strncmp(line, "core rx_packets ", 16) == 0);
	while (fgets(line, sizeof(line), file)) {
		CHECK_EQ(atol(line), lines);
		lines++;
	}
	CHECK_EQ(lines, sysconf(_SC_NPROCESSORS_ONLN));
	fclose(file);
}

TEST(stdio_prints_numbers_of_all_kinds)
{
	char text[200];
	int length;

	length = snprintf(text, sizeof(text), "%5.2f|%g|%e|%lld|%#x|%-6s|%a", 3.14159, 1e100,
			  -12345.678, -(1ll << 62), 255u, "ab", 1.0);
	CHECK_EQ(length, (int)strlen(text));
	if (strcmp(text, " 3.14|1e+100|-1.234568e+04|-4611686018427387904|0xff|ab    |0x1p+0"))
		printf("# %s\n", text);
	CHECK_EQ(strcmp(text, " 3.14|1e+100|-1.234568e+04|-4611686018427387904|0xff|ab    |0x1p+0"),
		 0);
	CHECK_EQ((long)(strtod("2.5e3", NULL) * 2), 5000);
	CHECK_EQ((long)(sqrt(2.0) * 1e6), 1414213);
}

TEST(vectors_and_positions)
{
	char a[4], b[8], whole[16];
	struct iovec iov[2] = { { a, sizeof(a) }, { b, sizeof(b) } };
	int fd = open("/proc/cpuinfo", O_RDONLY);

	CHECK_EQ(pread(fd, whole, 12, 0), 12);
	CHECK_EQ(readv(fd, iov, 2), 12);
	CHECK_EQ(memcmp(a, whole, 4) | memcmp(b, whole + 4, 8), 0);
	CHECK_EQ(lseek(fd, 2, SEEK_SET), 2);
	CHECK_EQ(read(fd, a, 2), 2);
	CHECK_EQ(memcmp(a, whole + 2, 2), 0);
	errno = 0;
	CHECK(lseek(fd, -5, SEEK_SET) == -1 && errno == EINVAL);
	CHECK(lseek(1, 0, 99) != -2);
	CHECK(write(fd, a, 1) == -1 && errno == EBADF);
	CHECK(read(fd, NULL, 4) == -1 && errno == EFAULT);
	close(fd);
}
