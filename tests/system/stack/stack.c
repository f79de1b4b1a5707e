/*
 * A server for test_stack.py, one thread on each core: to every line on a connection to port 80 it answers
 * `core N`, to every datagram to port 7 likewise. The network of this image makes mistakes when it is told
 * to (kernel_mistake.c).
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP_PORT 80
#define UDP_PORT 7

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int bound_socket(int type, int port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0), one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0 ||
	    bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0)
		fail("socket");
	if (type == SOCK_STREAM && listen(fd, 100) != 0)
		fail("listen");
	return fd;
}

static void watch(int set, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0)
		fail("epoll_ctl");
}

static void answer_datagram(int fd, const char *text)
{
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	char bytes[64];

	if (recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &length) >= 0)
		sendto(fd, text, strlen(text), 0, (struct sockaddr *)&from, length);
}

static void answer_line(int fd, const char *text)
{
	char bytes[256];
	ssize_t length = read(fd, bytes, sizeof(bytes));

	if (length < 0 && errno == EAGAIN)
		return;
	if (length <= 0 || write(fd, text, strlen(text)) < 0)
		close(fd);
}

static void *serve(void *core)
{
	int listener = bound_socket(SOCK_STREAM, TCP_PORT),
	    datagrams = bound_socket(SOCK_DGRAM, UDP_PORT);
	int set = epoll_create1(0);
	char text[32];

	snprintf(text, sizeof(text), "core %ld\n", (long)core);
	watch(set, listener);
	watch(set, datagrams);
	for (;;) {
		struct epoll_event events[64];
		int n = epoll_wait(set, events, 64, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == datagrams) {
				answer_datagram(fd, text);
			} else if (fd == listener) {
				int connection = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

				if (connection >= 0)
					watch(set, connection);
			} else {
				answer_line(fd, text);
			}
		}
	}
	return NULL;
}

int main(void)
{
	long ncores = sysconf(_SC_NPROCESSORS_ONLN);

	for (long core = 0; core < ncores; core++) {
		pthread_attr_t attributes;
		pthread_t thread;
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET((int)core, &set);
		pthread_attr_init(&attributes);
		pthread_attr_setaffinity_np(&attributes, sizeof(set), &set);
		if (pthread_create(&thread, &attributes, serve, (void *)core) != 0)
			fail("pthread_create");
	}
	for (;;)
		pause();
}
