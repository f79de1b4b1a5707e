/*
 * What the tests of local sockets share.
 */
#pragma once

#include "tests/guest/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)

static inline void pin(int core)
{
	cpu_set_t cores;

	CPU_ZERO(&cores);
	CPU_SET(core, &cores);
	CHECK_EQ(sched_setaffinity(0, sizeof(cores), &cores), 0);
}

static inline int core_of(int i)
{
	return i % (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* What poll() says of `fd` now. */
static inline int events_of(int fd)
{
	struct pollfd entry = { fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0 };

	poll(&entry, 1, 0);
	return entry.revents;
}

static inline socklen_t abstract(struct sockaddr_un *address, const char *name)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path + 1, name, strlen(name));
	return (socklen_t)(PATH_OFFSET + 1 + strlen(name));
}

static inline int bound(int type, const char *name)
{
	struct sockaddr_un address;
	socklen_t length = abstract(&address, name);
	int fd = socket(AF_UNIX, type, 0);

	CHECK_EQ(bind(fd, (struct sockaddr *)&address, length), 0);
	return fd;
}

static inline int listening(int type, const char *name, int backlog)
{
	int fd = bound(type, name);

	CHECK_EQ(listen(fd, backlog), 0);
	return fd;
}

static inline int connect_to(int fd, const char *name)
{
	struct sockaddr_un address;
	socklen_t length = abstract(&address, name);

	return connect(fd, (struct sockaddr *)&address, length) == 0 ? 0 : -errno;
}

static inline int option(int fd, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : -errno;
}

#define FAILS(call, error)                                                                         \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK_EQ((call), -1);                                                              \
		CHECK_EQ(errno, error);                                                            \
	} while (0)

/* A number of /proc/lavra/totals; 0 where there is none. */
static inline long total(const char *name)
{
	FILE *file = fopen("/proc/lavra/totals", "r");
	char line[100];
	long value = 0;

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ' ')
			value = atol(line + strlen(name));
	fclose(file);
	return value;
}

/* What other cores still have under way ends by and by. */
static inline void check_total(const char *name, long expected)
{
	for (int i = 0; i < 500 && total(name) != expected; i++)
		usleep(10000);
	CHECK_EQ(total(name), expected);
}

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * 300)];
};

static inline ssize_t send_descriptors(int fd, const char *text, size_t length, const int *fds,
				       unsigned count)
{
	union control control;
	struct iovec iov = { (void *)text, length };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = CMSG_SPACE(sizeof(int) * count) };
	struct cmsghdr *head;

	memset(&control, 0, sizeof(control));
	head = CMSG_FIRSTHDR(&message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int) * count);
	memcpy(CMSG_DATA(head), fds, sizeof(int) * count);
	/* The C library's own has a smaller limit. */
	return syscall(SYS_sendmsg, fd, &message, 0);
}

/* Returns how many descriptors came. */
static inline unsigned receive_descriptors(int fd, char *text, size_t length, int *fds,
					   unsigned room, int flags, struct msghdr *message)
{
	static union control control;
	static struct iovec iov;
	struct cmsghdr *head;
	unsigned count;

	iov = (struct iovec){ text, length };
	*message = (struct msghdr){ .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control.bytes,
				    .msg_controllen = CMSG_LEN(sizeof(int) * room) };
	CHECK(recvmsg(fd, message, flags) >= 0);
	head = CMSG_FIRSTHDR(message);
	if (!head)
		return 0;
	CHECK_EQ(head->cmsg_level, SOL_SOCKET);
	CHECK_EQ(head->cmsg_type, SCM_RIGHTS);
	count = (unsigned)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(fds, CMSG_DATA(head), sizeof(int) * count);
	return count;
}

static inline unsigned next_number(unsigned *state)
{
	*state = *state * 1103515245u + 12345u;
	return *state >> 16 & 0x7fff;
}
