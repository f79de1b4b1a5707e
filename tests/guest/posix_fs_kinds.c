/* What else files are: locked, sealed, sent, copied, named pipes, and what /proc tells. */
#include "tests/guest/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define FAILS(call, error)                                                                         \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK_EQ((call), -1);                                                              \
		CHECK_EQ(errno, (error));                                                          \
	} while (0)

/* ---- locks ---- */

static int lock(int fd, int command, int type, long start, long length)
{
	struct flock request = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length
	};

	return fcntl(fd, command, &request);
}

static struct flock asked(int fd, int command, int type, long start, long length)
{
	struct flock request = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length
	};

	CHECK_EQ(fcntl(fd, command, &request), 0);
	return request;
}

TEST(locks_of_ranges)
{
	int a = open("/tmp/locked", O_CREAT | O_RDWR, 0600), b = open("/tmp/locked", O_RDWR);
	int reading = open("/tmp/locked", O_RDONLY);
	struct flock found;

	/* The process does not meet its own locks. */
	CHECK_EQ(lock(a, F_SETLK, F_WRLCK, 0, 10), 0);
	CHECK_EQ(lock(b, F_SETLK, F_WRLCK, 5, 10), 0);
	CHECK_EQ(asked(b, F_GETLK, F_WRLCK, 0, 0).l_type, F_UNLCK);
	/* Open files meet those of the process, and each other's. */
	FAILS(lock(a, F_OFD_SETLK, F_RDLCK, 14, 1), EAGAIN);
	found = asked(a, F_OFD_GETLK, F_WRLCK, 0, 0);
	CHECK_EQ(found.l_type, F_WRLCK);
	CHECK_EQ(found.l_pid, getpid());
	CHECK_EQ(found.l_start, 0);
	CHECK_EQ(found.l_len, 15);
	CHECK_EQ(lock(a, F_SETLK, F_UNLCK, 4, 2), 0);
	CHECK_EQ(lock(a, F_OFD_SETLK, F_WRLCK, 4, 2), 0);
	FAILS(lock(a, F_SETLK, F_RDLCK, 5, 1), EAGAIN);
	FAILS(lock(b, F_OFD_SETLK, F_RDLCK, 5, 1), EAGAIN);
	found = asked(b, F_OFD_GETLK, F_RDLCK, 4, 1);
	CHECK_EQ(found.l_pid, -1);
	CHECK_EQ(found.l_len, 2);
	CHECK_EQ(lock(a, F_OFD_SETLK, F_RDLCK, 4, 2), 0);
	CHECK_EQ(lock(b, F_OFD_SETLK, F_RDLCK, 4, 2), 0);
	FAILS(lock(a, F_OFD_SETLK, F_WRLCK, 5, 1), EAGAIN);

	FAILS(lock(reading, F_SETLK, F_WRLCK, 0, 1), EBADF);
	FAILS(lock(999, F_SETLK, F_WRLCK, 0, 1), EBADF);
	FAILS(lock(a, F_SETLK, 77, 0, 1), EINVAL);
	FAILS(lock(a, F_SETLK, F_WRLCK, -1, 1), EINVAL);
	CHECK_EQ(lock(a, F_SETLK, F_RDLCK, 100, -50), 0);
	CHECK_EQ(asked(b, F_OFD_GETLK, F_WRLCK, 50, 1).l_type, F_RDLCK);
	CHECK_EQ(asked(b, F_OFD_GETLK, F_WRLCK, 100, 1).l_type, F_UNLCK);
	FAILS(fcntl(a, F_SETLK, NULL), EFAULT);

	/* Closing any descriptor of the file drops the process' locks, and an open file's its own. */
	close(reading);
	CHECK_EQ(asked(b, F_OFD_GETLK, F_WRLCK, 50, 1).l_type, F_UNLCK);
	close(b);
	CHECK_EQ(lock(a, F_OFD_SETLK, F_WRLCK, 5, 1), 0);
	close(a);
	CHECK_EQ(unlink("/tmp/locked"), 0);
}

static int other_file;

static void *unlock_later(void *argument)
{
	usleep(20000);
	if (argument)
		CHECK_EQ(flock(other_file, LOCK_UN), 0);
	else
		CHECK_EQ(lock(other_file, F_OFD_SETLK, F_UNLCK, 0, 0), 0);
	return NULL;
}

static void nothing(int signal) {}

static void *interrupt_later(void *thread)
{
	usleep(20000);
	pthread_kill((pthread_t)thread, SIGUSR1);
	return NULL;
}

TEST(locks_wait_for_each_other)
{
	struct sigaction action = { .sa_handler = nothing };
	int fd = open("/tmp/locked", O_CREAT | O_RDWR, 0600);
	pthread_t thread;

	other_file = open("/tmp/locked", O_RDWR);
	CHECK_EQ(lock(other_file, F_OFD_SETLK, F_WRLCK, 0, 0), 0);
	pthread_create(&thread, NULL, unlock_later, NULL);
	CHECK_EQ(lock(fd, F_OFD_SETLKW, F_WRLCK, 0, 0), 0);
	pthread_join(thread, NULL);
	FAILS(lock(other_file, F_SETLK, F_RDLCK, 0, 0), EAGAIN);

	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&thread, NULL, interrupt_later, (void *)pthread_self());
	FAILS(lock(other_file, F_SETLKW, F_RDLCK, 0, 0), EINTR);
	pthread_join(thread, NULL);
	CHECK_EQ(lock(fd, F_OFD_SETLK, F_UNLCK, 0, 0), 0);

	CHECK_EQ(flock(other_file, LOCK_EX), 0);
	FAILS(flock(fd, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	pthread_create(&thread, NULL, unlock_later, &thread);
	CHECK_EQ(flock(fd, LOCK_EX), 0);
	pthread_join(thread, NULL);
	CHECK_EQ(flock(fd, LOCK_SH), 0);
	CHECK_EQ(flock(other_file, LOCK_SH | LOCK_NB), 0);
	FAILS(flock(fd, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	FAILS(flock(fd, 77), EINVAL);
	signal(SIGUSR1, SIG_DFL);
	close(other_file);
	CHECK_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
	CHECK_EQ(unlink("/tmp/locked"), 0);
}

/* ---- memfd ---- */

TEST(a_memfd_can_be_sealed)
{
	int fd = memfd_create("thing", MFD_ALLOW_SEALING);
	char path[64], target[64] = "", *mapped;
	struct stat st;

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, 8192), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(readlink(path, target, sizeof(target)) > 0);
	CHECK(strncmp(target, "/memfd:thing (deleted)", 22) == 0);
	mapped = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(mapped != MAP_FAILED);
	strcpy(mapped + 5000, "through the mapping");
	CHECK_EQ(pread(fd, target, 20, 5000), 20);
	CHECK_EQ(strcmp(target, "through the mapping"), 0);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
	FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	CHECK_EQ(munmap(mapped, 8192), 0);
	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	FAILS(ftruncate(fd, 1), EPERM);
	FAILS(ftruncate(fd, 9000), EPERM);
	FAILS(pwrite(fd, "x", 1, 8192), EPERM);
	CHECK_EQ(pwrite(fd, "xyz", 3, 8190), 2);
	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL), 0);
	FAILS(pwrite(fd, "x", 1, 0), EPERM);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), 15);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, 8192);
	close(fd);
	fd = memfd_create("plain", 0);
	FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	close(fd);
	FAILS(memfd_create("thing", 0x100), EINVAL);
	FAILS(fcntl(1, F_GET_SEALS), EINVAL);
}

/* ---- mappings of files ---- */

TEST(a_mapping_and_its_file_are_one)
{
	int fd = open("/tmp/mapped", O_CREAT | O_RDWR, 0600);
	char *shared, *private, bytes[16] = "";

	CHECK_EQ(pwrite(fd, "first", 5, 0), 5);
	CHECK_EQ(ftruncate(fd, 3 * 4096), 0);
	shared = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(shared != MAP_FAILED && private != MAP_FAILED);
	CHECK_EQ(memcmp(shared, "first", 6), 0);
	memcpy(shared + 4096, "second", 6);
	CHECK_EQ(pread(fd, bytes, 6, 4096), 6);
	CHECK_EQ(memcmp(bytes, "second", 6), 0);
	CHECK_EQ(pwrite(fd, "F", 1, 0), 1);
	CHECK_EQ(shared[0], 'F');
	private[0] = 'P';
	CHECK_EQ(shared[0], 'F');
	/* What is written past the end of the file is not there when the file grows over it. */
	CHECK_EQ(ftruncate(fd, 10), 0);
	shared[100] = 'x';
	CHECK_EQ(ftruncate(fd, 3 * 4096), 0);
	CHECK_EQ(shared[100], 0);
	/* A file writes from and reads into its own mapping. */
	CHECK_EQ(pwrite(fd, shared, 8000, 4096), 8000);
	CHECK_EQ(memcmp(shared + 4096, "First", 5), 0);
	CHECK_EQ(pread(fd, shared + 4096, 4096, 0), 4096);
	/* A hole in what is mapped is cleared, what is cut off and comes back is empty. */
	CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096), 0);
	CHECK_EQ(shared[4096], 0);
	shared[8192] = 'c';
	CHECK_EQ(ftruncate(fd, 8192), 0);
	CHECK_EQ(ftruncate(fd, 3 * 4096), 0);
	CHECK_EQ(shared[8192], 0);
	close(fd);
	CHECK_EQ(unlink("/tmp/mapped"), 0);
	CHECK_EQ(memcmp(shared, "First", 5), 0);
	CHECK_EQ(munmap(shared, 3 * 4096) | munmap(private, 4096), 0);
}

/* ---- sending and copying ---- */

static char pattern(size_t i)
{
	return i * 31 + i / 4096;
}

static int make_pattern(const char *path, size_t size)
{
	static char bytes[100000];
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);

	for (size_t i = 0; i < size; i++)
		bytes[i] = pattern(i);
	CHECK_EQ(write(fd, bytes, size), size);
	return fd;
}

static bool is_pattern(const char *bytes, size_t from, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (bytes[i] != pattern(from + i))
			return false;
	return true;
}

static void *drain(void *argument)
{
	static char bytes[100000];
	int fd = (int)(intptr_t)argument;
	size_t got = 0;
	ssize_t n;

	while ((n = read(fd, bytes + got, sizeof(bytes) - got)) > 0)
		got += n;
	CHECK_EQ(got, 99000);
	CHECK(is_pattern(bytes, 1000, got));
	return NULL;
}

TEST(sendfile_to_pipes_sockets_and_files)
{
	int fd = make_pattern("/tmp/pattern", 100000), out, pair[2];
	off_t offset = 1000;
	pthread_t thread;
	char bytes[256];

	CHECK_EQ(pipe(pair), 0);
	pthread_create(&thread, NULL, drain, (void *)(intptr_t)pair[0]);
	CHECK_EQ(sendfile(pair[1], fd, &offset, 200000), 99000);
	CHECK_EQ(offset, 100000);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 100000);
	close(pair[1]);
	pthread_join(thread, NULL);
	close(pair[0]);

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	pthread_create(&thread, NULL, drain, (void *)(intptr_t)pair[0]);
	CHECK_EQ(lseek(fd, 1000, SEEK_SET), 1000);
	CHECK_EQ(sendfile(pair[1], fd, NULL, 200000), 99000);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 100000);
	CHECK_EQ(sendfile(pair[1], fd, NULL, 1), 0);
	close(pair[1]);
	pthread_join(thread, NULL);
	close(pair[0]);

	out = open("/tmp/copy", O_CREAT | O_RDWR, 0600);
	offset = 50;
	CHECK_EQ(sendfile(out, fd, &offset, 256), 256);
	CHECK_EQ(pread(out, bytes, sizeof(bytes), 0), 256);
	CHECK(is_pattern(bytes, 50, 256));
	FAILS(sendfile(1, out, &(off_t){ -1 }, 1), EINVAL);
	CHECK_EQ(fcntl(out, F_SETFL, O_APPEND), 0);
	FAILS(sendfile(out, fd, NULL, 1), EINVAL);
	close(out);
	out = open("/tmp/copy", O_RDONLY);
	FAILS(sendfile(out, fd, NULL, 1), EBADF);
	close(out);
	close(fd);
	CHECK_EQ(unlink("/tmp/pattern") | unlink("/tmp/copy"), 0);
}

/* Two ends of a connection with this machine itself. */
static void connect_pair(int pair[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_EQ(bind(listener, (void *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(listener, 1), 0);
	CHECK_EQ(getsockname(listener, (void *)&address, &length), 0);
	pair[1] = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(connect(pair[1], (void *)&address, sizeof(address)), 0);
	pair[0] = accept(listener, NULL, NULL);
	CHECK(pair[0] >= 0);
	close(listener);
}

TEST(sendfile_to_a_connection)
{
	int fd = make_pattern("/tmp/pattern", 100000), pair[2];
	off_t offset = 1000;
	pthread_t thread;
	ssize_t n;

	connect_pair(pair);
	pthread_create(&thread, NULL, drain, (void *)(intptr_t)pair[0]);
	CHECK_EQ(sendfile(pair[1], fd, &offset, 200000), 99000);
	CHECK_EQ(shutdown(pair[1], SHUT_WR), 0);
	pthread_join(thread, NULL);
	close(pair[0]);
	close(pair[1]);

	/* One that does not wait sends what there is room for. */
	connect_pair(pair);
	pthread_create(&thread, NULL, drain, (void *)(intptr_t)pair[0]);
	CHECK_EQ(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
	offset = 1000;
	while ((n = sendfile(pair[1], fd, &offset, 200000)) != 0) {
		CHECK(n > 0 || errno == EAGAIN);
		if (n < 0)
			usleep(500);
	}
	CHECK_EQ(offset, 100000);
	CHECK_EQ(shutdown(pair[1], SHUT_WR), 0);
	pthread_join(thread, NULL);
	close(pair[0]);
	close(pair[1]);
	close(fd);
	CHECK_EQ(unlink("/tmp/pattern"), 0);
}

TEST(copy_file_range_copies)
{
	int in = make_pattern("/tmp/pattern", 100000);
	int out = open("/tmp/copy", O_CREAT | O_RDWR, 0600);
	static char bytes[100000];
	off_t from = 10, to = 20;

	CHECK_EQ(copy_file_range(in, &from, out, &to, 200000, 0), 99990);
	CHECK_EQ(from, 100000);
	CHECK_EQ(to, 100010);
	CHECK_EQ(pread(out, bytes, sizeof(bytes), 20), 99990);
	CHECK(is_pattern(bytes, 10, 99990));
	CHECK_EQ(copy_file_range(in, &from, out, NULL, 10, 0), 0);
	from = 0;
	CHECK_EQ(copy_file_range(in, &from, in, &to, 100, 0), 100);
	from = to = 0;
	FAILS(copy_file_range(in, &from, in, &to, 10, 0), EINVAL);
	FAILS(copy_file_range(in, &from, out, &to, 10, 1), EINVAL);
	FAILS(copy_file_range(in, &from, 1, NULL, 10, 0), EINVAL);
	close(in);
	close(out);
	CHECK_EQ(unlink("/tmp/pattern") | unlink("/tmp/copy"), 0);
}

/* ---- named pipes ---- */

static void *write_to_fifo(void *argument)
{
	int fd = open("/tmp/fifo", O_WRONLY);

	CHECK(fd >= 0);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(write(fd, "0123456789", 10), 10);
	close(fd);
	return NULL;
}

TEST(a_named_pipe)
{
	static char big[200000];
	pthread_t threads[2];
	struct stat st;
	char bytes[64];
	int fd, other;
	long total = 0;
	ssize_t n;

	CHECK_EQ(mkfifo("/tmp/fifo", 0600), 0);
	CHECK_EQ(stat("/tmp/fifo", &st), 0);
	CHECK(S_ISFIFO(st.st_mode));
	FAILS(open("/tmp/fifo", O_WRONLY | O_NONBLOCK), ENXIO);
	pthread_create(&threads[0], NULL, write_to_fifo, NULL);
	pthread_create(&threads[1], NULL, write_to_fifo, NULL);
	fd = open("/tmp/fifo", O_RDONLY);
	CHECK(fd >= 0);
	/* One of the writers may come when the other has gone. */
	while (total < 2000) {
		n = read(fd, bytes, sizeof(bytes));
		CHECK(n >= 0);
		total += n;
	}
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	CHECK_EQ(read(fd, bytes, sizeof(bytes)), 0);
	close(fd);

	fd = open("/tmp/fifo", O_RDONLY | O_NONBLOCK);
	CHECK_EQ(read(fd, bytes, 1), 0);
	other = open("/tmp/fifo", O_WRONLY | O_NONBLOCK);
	CHECK(other >= 0);
	FAILS(read(fd, bytes, 1), EAGAIN);
	CHECK_EQ(write(other, big, sizeof(big)), 65536);
	FAILS(write(other, big, 1), EAGAIN);
	CHECK_EQ(fcntl(other, F_GETPIPE_SZ), 65536);
	CHECK_EQ(unlink("/tmp/fifo"), 0);
	close(fd);
	signal(SIGPIPE, SIG_IGN);
	FAILS(write(other, big, 1), EPIPE);
	signal(SIGPIPE, SIG_DFL);
	close(other);
}

/* ---- pseudo files ---- */

static char *contents(const char *path)
{
	static char bytes[65536];
	int fd = open(path, O_RDONLY);
	ssize_t n, length = 0;

	CHECK(fd >= 0);
	while ((n = read(fd, bytes + length, sizeof(bytes) - 1 - length)) > 0)
		length += n;
	bytes[length] = 0;
	close(fd);
	return bytes;
}

TEST(proc_tells_of_the_process)
{
	char path[64], text[64];
	struct utsname name;
	struct stat st;
	int fd, pid;

	CHECK_EQ(sscanf(contents("/proc/self/stat"), "%d (", &pid), 1);
	CHECK_EQ(pid, getpid());
	CHECK(strstr(contents("/proc/self/status"), "\nThreads:\t") != NULL);
	CHECK(strstr(contents("/proc/1/limits"), "Max open files") != NULL);
	CHECK(strstr(contents("/proc/self/maps"), "-") != NULL);
	CHECK(strlen(contents("/proc/self/cmdline")) > 0);
	CHECK(strstr(contents("/proc/stat"), "\ncpu0 ") != NULL);
	CHECK(strstr(contents("/proc/mounts"), " /proc proc ") != NULL);
	CHECK(strstr(contents("/proc/meminfo"), "MemTotal:") != NULL);
	uname(&name);
	snprintf(text, sizeof(text), "%s\n", name.release);
	CHECK_EQ(strcmp(contents("/proc/sys/kernel/osrelease"), text), 0);
	CHECK_EQ(strlen(contents("/proc/sys/kernel/random/boot_id")), 37);
	strcpy(text, contents("/proc/sys/kernel/random/boot_id"));
	CHECK_EQ(strcmp(contents("/proc/sys/kernel/random/boot_id"), text), 0);

	prctl(PR_SET_NAME, "tester");
	snprintf(path, sizeof(path), "/proc/self/task/%d/comm", (int)syscall(SYS_gettid));
	CHECK_EQ(strcmp(contents(path), "tester\n"), 0);
	CHECK_EQ(strcmp(contents("/proc/thread-self/comm"), "tester\n"), 0);
	fd = open(path, O_WRONLY);
	CHECK_EQ(write(fd, "other\n", 6), 6);
	close(fd);
	CHECK_EQ(prctl(PR_GET_NAME, text), 0);
	CHECK_EQ(strcmp(text, "other"), 0);
	FAILS(open("/proc/self/task/31999/comm", O_RDONLY), ENOENT);
	FAILS(open("/proc/self/task/#/comm", O_RDONLY), ENOENT);
	FAILS(open("/proc/self/task/01/comm", O_RDONLY), ENOENT);

	fd = open("/proc/self/oom_score_adj", O_RDWR);
	CHECK_EQ(write(fd, "-17\n", 4), 4);
	CHECK_EQ(pread(fd, text, sizeof(text), 0), 4);
	CHECK_EQ(memcmp(text, "-17\n", 4), 0);
	FAILS(write(fd, "much", 4), EINVAL);
	close(fd);
	CHECK_EQ(fstatat(AT_FDCWD, "/proc/self", &st, 0), 0);
	CHECK(S_ISDIR(st.st_mode));
	CHECK_EQ(readlink("/proc/self", text, sizeof(text)), 1);
	CHECK_EQ(readlink("/proc/self/cwd", text, sizeof(text)), 1);
	CHECK_EQ(access("/proc/self/cwd/tmp", F_OK), 0);
}

TEST(directories_of_numbers)
{
	int fds[3] = { open("/etc/passwd", O_RDONLY), open("/tmp", O_RDONLY), 0 }, found = 0;
	struct dirent *entry;
	char path[300];
	struct stat a, b;
	DIR *dir = opendir("/proc/self/fd");

	while ((entry = readdir(dir))) {
		CHECK(strcmp(entry->d_name, "#") != 0);
		for (int i = 0; i < 2; i++)
			found += atoi(entry->d_name) == fds[i];
	}
	closedir(dir);
	CHECK_EQ(found, 2);
	snprintf(path, sizeof(path), "/dev/fd/%d", fds[0]);
	CHECK_EQ(stat(path, &a) | stat("/etc/passwd", &b), 0);
	CHECK_EQ(a.st_ino, b.st_ino);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/../etc/passwd", fds[1]);
	CHECK_EQ(access(path, F_OK), 0);
	CHECK_EQ(close(open("/dev/stdout", O_WRONLY)), 0);
	CHECK_EQ(stat("/sys/devices/system/cpu/cpu0/topology/core_id", &a), 0);
	FAILS(stat("/sys/devices/system/cpu/cpu77", &a), ENOENT);
	FAILS(open("/dev/fd/900", O_RDONLY), ENOENT);
	close(fds[0]);
	close(fds[1]);
}

TEST(devices_are_nodes)
{
	struct stat st;
	int fd;

	CHECK_EQ(stat("/dev/null", &st), 0);
	CHECK_EQ(st.st_rdev, 0x103);
	CHECK_EQ(mknod("/tmp/zero", S_IFCHR | 0600, 0x105), 0);
	fd = open("/tmp/zero", O_RDONLY);
	CHECK_EQ(read(fd, &st, 8), 8);
	CHECK_EQ(*(long *)&st, 0);
	close(fd);
	CHECK_EQ(unlink("/tmp/zero"), 0);
	CHECK_EQ(mknod("/tmp/plain", 0600, 0), 0);
	CHECK_EQ(stat("/tmp/plain", &st), 0);
	CHECK(S_ISREG(st.st_mode));
	CHECK_EQ(unlink("/tmp/plain"), 0);
	CHECK_EQ(mknod("/tmp/sock", S_IFSOCK | 0600, 0), 0);
	FAILS(open("/tmp/sock", O_RDONLY), ENXIO);
	CHECK_EQ(unlink("/tmp/sock"), 0);
	FAILS(mknod("/tmp/dir", S_IFDIR | 0700, 0), EPERM);
}
