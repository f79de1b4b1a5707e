/* TCP and UDP over the loopback interface, between threads of all cores. */
#include "tests/guest/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_in local(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int listen_on(uint16_t port, int type_flags, bool reuse_port)
{
	int fd = socket(AF_INET, SOCK_STREAM | type_flags, 0), on = 1;
	struct sockaddr_in address = local(port);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (reuse_port)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	CHECK_EQ(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(fd, 100), 0);
	return fd;
}

static int connect_to(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = local(port);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		CHECK_EQ(errno, 0);
		close(fd);
		return -1;
	}
	return fd;
}

static void pin(int core)
{
	cpu_set_t cores;

	CPU_ZERO(&cores);
	CPU_SET(core, &cores);
	CHECK_EQ(sched_setaffinity(0, sizeof(cores), &cores), 0);
}

static bool read_all(int fd, char *bytes, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t n = read(fd, bytes + done, length - done);

		if (n <= 0)
			return false;
		done += n;
	}
	return true;
}

/* ---- one connection ---- */

TEST(names_of_both_ends)
{
	struct sockaddr_in a, b;
	socklen_t length = sizeof(a);
	int listener = listen_on(0, 0, false), fd, accepted;

	CHECK_EQ(getsockname(listener, (struct sockaddr *)&a, &length), 0);
	CHECK(length == sizeof(a) && a.sin_port != 0);
	fd = connect_to(ntohs(a.sin_port));
	length = sizeof(b);
	accepted = accept4(listener, (struct sockaddr *)&b, &length, SOCK_CLOEXEC);
	CHECK(accepted >= 0);
	CHECK_EQ(fcntl(accepted, F_GETFD), FD_CLOEXEC);
	length = sizeof(a);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&a, &length), 0);
	CHECK(a.sin_port == b.sin_port && a.sin_addr.s_addr == b.sin_addr.s_addr);
	close(accepted);
	length = sizeof(a);
	errno = 0;
	CHECK(getpeername(listener, (struct sockaddr *)&a, &length) == -1 && errno == ENOTCONN);
	close(fd);
	close(listener);
}

TEST(half_close_and_end_of_stream)
{
	int listener = listen_on(7001, 0, false), fd = connect_to(7001);
	int accepted = accept(listener, NULL, NULL), bytes;
	char text[16];

	CHECK_EQ(write(fd, "question", 8), 8);
	CHECK_EQ(shutdown(fd, SHUT_WR), 0);
	CHECK_EQ(read_all(accepted, text, 8), true);
	CHECK_EQ(memcmp(text, "question", 8), 0);
	CHECK_EQ(read(accepted, text, 8), 0);
	CHECK_EQ(send(accepted, "answer", 6, MSG_NOSIGNAL), 6);
	CHECK_EQ(recv(fd, text, 6, MSG_WAITALL | MSG_PEEK), 6);
	CHECK_EQ(ioctl(fd, FIONREAD, &bytes), 0);
	CHECK_EQ(bytes, 6);
	CHECK_EQ(recv(fd, text, 6, MSG_WAITALL), 6);
	CHECK_EQ(memcmp(text, "answer", 6), 0);
	close(accepted);
	CHECK_EQ(read(fd, text, 1), 0);
	close(fd);
	close(listener);
}

TEST(nonblocking_connect_and_refusal)
{
	int listener = listen_on(7002, SOCK_NONBLOCK, false), error = -1, accepted;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in address = local(7002);
	struct pollfd entry = { fd, POLLOUT, 0 }, waiting = { listener, POLLIN, 0 };
	socklen_t length = sizeof(error);
	char byte;

	errno = 0;
	CHECK(accept(listener, NULL, NULL) == -1 && errno == EAGAIN);
	errno = 0;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		CHECK_EQ(errno, EINPROGRESS);
	CHECK_EQ(poll(&entry, 1, 5000), 1);
	CHECK_EQ(entry.revents, POLLOUT);
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length), 0);
	CHECK_EQ(error, 0);
	CHECK_EQ(poll(&waiting, 1, 5000), 1);
	accepted = accept(listener, NULL, NULL);
	CHECK(accepted >= 0);
	errno = 0;
	CHECK(recv(fd, &byte, 1, 0) == -1 && errno == EAGAIN);
	close(accepted);
	close(fd);
	close(listener);

	/* Nobody listens there any more. */
	fd = socket(AF_INET, SOCK_STREAM, 0);
	errno = 0;
	CHECK(connect(fd, (struct sockaddr *)&address, sizeof(address)) == -1);
	CHECK_EQ(errno, ECONNREFUSED);
	close(fd);
}

TEST(a_receive_timeout_ends_the_wait)
{
	int listener = listen_on(7003, 0, false), fd = connect_to(7003);
	struct timeval timeout = { 0, 30000 }, told = { 0 };
	socklen_t length = sizeof(told);
	char byte;

	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &told, &length), 0);
	CHECK_EQ(told.tv_usec, 30000);
	errno = 0;
	CHECK(read(fd, &byte, 1) == -1 && errno == EAGAIN);
	CHECK_EQ(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	close(accept(listener, NULL, NULL));
	CHECK(accept(listener, NULL, NULL) == -1 && errno == EAGAIN);
	close(fd);
	close(listener);
}

TEST(socket_errors)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), pipes[2];
	char byte = 0;

	errno = 0;
	CHECK(socket(AF_PACKET, SOCK_RAW, 0) == -1 && errno == EAFNOSUPPORT);
	CHECK(recv(fd, &byte, 1, 0) == -1 && errno == ENOTCONN);
	CHECK(accept(fd, NULL, NULL) == -1 && errno == EINVAL);
	CHECK(lseek(fd, 0, SEEK_SET) == -1 && errno == ESPIPE);
	CHECK_EQ(pipe(pipes), 0);
	CHECK(send(pipes[1], &byte, 1, 0) == -1 && errno == ENOTSOCK);
	CHECK(shutdown(4321, SHUT_RD) == -1 && errno == EBADF);
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
}

/* ---- much data ---- */

#define STREAM_BYTES 3000000

static unsigned char pattern(size_t at)
{
	return at * 7 + (at >> 8);
}

static void *send_stream(void *argument)
{
	static char bytes[STREAM_BYTES];
	int fd = connect_to((long)argument);

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = pattern(i);
	/* One blocking call sends it all. */
	CHECK_EQ(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	close(fd);
	return NULL;
}

TEST(three_megabytes_arrive_in_order)
{
	int listener = listen_on(7004, 0, false), fd;
	static char bytes[30000];
	size_t total = 0, wrong = 0;
	pthread_t sender;
	ssize_t n;

	pthread_create(&sender, NULL, send_stream, (void *)7004l);
	fd = accept(listener, NULL, NULL);
	while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			wrong += (unsigned char)bytes[i] != pattern(total + i);
		total += n;
	}
	CHECK_EQ(n, 0);
	CHECK_EQ(total, STREAM_BYTES);
	CHECK_EQ(wrong, 0);
	pthread_join(sender, NULL);
	close(fd);
	close(listener);
}

/* ---- servers on every core ---- */

#define CLIENTS 4
#define REQUESTS 100
#define CONNECTIONS 5

struct server {
	uint16_t port;
	int core; /* -1: not pinned */
	int listener;
	bool reuse_port;
	pthread_barrier_t *ready;
	int *left; /* connections still to be served by all */
	long served;
};

static void *run_server(void *argument)
{
	struct server *server = argument;
	struct epoll_event event = { .events = EPOLLIN }, events[8];
	int set = epoll_create1(0);

	if (server->core >= 0)
		pin(server->core);
	if (server->reuse_port)
		server->listener = listen_on(server->port, SOCK_NONBLOCK, true);
	event.data.fd = server->listener;
	CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, server->listener, &event), 0);
	pthread_barrier_wait(server->ready);
	while (__atomic_load_n(server->left, __ATOMIC_RELAXED) > 0) {
		int n = epoll_wait(set, events, 8, 20);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			char bytes[64];
			ssize_t length;

			if (fd == server->listener) {
				event.data.fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
				if (event.data.fd >= 0)
					epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd, &event);
				continue;
			}
			length = read(fd, bytes, sizeof(bytes));
			if (length > 0) {
				CHECK_EQ(write(fd, bytes, length), length);
				server->served++;
			} else if (length == 0 || errno != EAGAIN) {
				close(fd);
				__atomic_fetch_sub(server->left, 1, __ATOMIC_RELAXED);
			}
		}
	}
	close(set);
	if (server->reuse_port)
		close(server->listener);
	return NULL;
}

static void *run_client(void *argument)
{
	uint16_t port = (long)argument;

	for (int i = 0; i < CONNECTIONS; i++) {
		int fd = connect_to(port), failed = 0;

		for (int j = 0; j < REQUESTS && !failed; j++) {
			char sent[32], back[32];
			int length = snprintf(sent, sizeof(sent), "request %d of %d", j, fd);

			failed = write(fd, sent, length) != length || !read_all(fd, back, length) ||
				 memcmp(sent, back, length) != 0;
		}
		CHECK_EQ(failed, 0);
		close(fd);
	}
	return NULL;
}

static void serve_and_ask(uint16_t port, bool reuse_port, bool pinned)
{
	int ncores = sysconf(_SC_NPROCESSORS_ONLN), left = CLIENTS * CONNECTIONS;
	pthread_t threads[8], clients[CLIENTS];
	struct server servers[8];
	pthread_barrier_t ready;
	int nservers = ncores < 8 ? ncores : 8, listener = -1;
	long served = 0;

	pthread_barrier_init(&ready, NULL, nservers + 1);
	if (!reuse_port)
		listener = listen_on(port, SOCK_NONBLOCK, false);
	for (int i = 0; i < nservers; i++) {
		servers[i] = (struct server){ port,   pinned ? i : -1, listener, reuse_port,
					      &ready, &left,	       0 };
		pthread_create(&threads[i], NULL, run_server, &servers[i]);
	}
	pthread_barrier_wait(&ready);
	for (int i = 0; i < CLIENTS; i++)
		pthread_create(&clients[i], NULL, run_client, (void *)(long)port);
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(clients[i], NULL);
	for (int i = 0; i < nservers; i++) {
		pthread_join(threads[i], NULL);
		served += servers[i].served;
	}
	CHECK(served >= CLIENTS * CONNECTIONS * REQUESTS);
	CHECK_EQ(left, 0);
	if (!reuse_port)
		close(listener);
	pthread_barrier_destroy(&ready);
}

TEST(a_listener_for_each_pinned_server)
{
	serve_and_ask(7010, true, true);
}

TEST(one_listener_for_pinned_servers)
{
	serve_and_ask(7011, false, true);
}

TEST(one_listener_for_free_servers)
{
	serve_and_ask(7012, false, false);
}

/* ---- a blocking thread for each connection ---- */

static void *echo_blocking(void *argument)
{
	int fd = (long)argument;
	char bytes[64];
	ssize_t length;

	while ((length = read(fd, bytes, sizeof(bytes))) > 0)
		CHECK_EQ(write(fd, bytes, length), length);
	CHECK_EQ(length, 0);
	close(fd);
	return NULL;
}

static void *accept_blocking(void *argument)
{
	int listener = (long)argument;
	pthread_t threads[CLIENTS * CONNECTIONS];

	for (int i = 0; i < CLIENTS * CONNECTIONS; i++) {
		long fd = accept(listener, NULL, NULL);

		CHECK(fd >= 0);
		CHECK_EQ(pthread_create(&threads[i], NULL, echo_blocking, (void *)fd), 0);
	}
	for (int i = 0; i < CLIENTS * CONNECTIONS; i++)
		pthread_join(threads[i], NULL);
	return NULL;
}

TEST(a_blocking_thread_for_each_connection)
{
	int listener = listen_on(7013, 0, false);
	pthread_t server, clients[CLIENTS];

	pthread_create(&server, NULL, accept_blocking, (void *)(long)listener);
	for (int i = 0; i < CLIENTS; i++)
		pthread_create(&clients[i], NULL, run_client, (void *)7013l);
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(clients[i], NULL);
	pthread_join(server, NULL);
	close(listener);
}

/* ---- datagrams ---- */

TEST(datagrams_keep_their_borders)
{
	int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in to = local(7020), from;
	socklen_t length = sizeof(from);
	char bytes[100], head[4], tail[10];
	struct iovec iov[2] = { { head, sizeof(head) }, { tail, sizeof(tail) } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };

	CHECK_EQ(bind(a, (struct sockaddr *)&to, sizeof(to)), 0);
	CHECK_EQ(sendto(b, "one", 3, 0, (struct sockaddr *)&to, sizeof(to)), 3);
	CHECK_EQ(connect(b, (struct sockaddr *)&to, sizeof(to)), 0);
	CHECK_EQ(send(b, "number two", 10, 0), 10);
	CHECK_EQ(send(b, "a third one, too long", 21, 0), 21);
	CHECK_EQ(recvfrom(a, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &length), 3);
	CHECK_EQ(memcmp(bytes, "one", 3), 0);
	CHECK(length == sizeof(from) && from.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
	CHECK_EQ(recvmsg(a, &message, 0), 10);
	CHECK_EQ(memcmp(head, "numb", 4) | memcmp(tail, "er two", 6), 0);
	CHECK_EQ(message.msg_flags & MSG_TRUNC, 0);
	CHECK_EQ(recvmsg(a, &message, 0), 14);
	CHECK_EQ(message.msg_flags & MSG_TRUNC, MSG_TRUNC);
	errno = 0;
	CHECK(recv(a, bytes, 10, MSG_DONTWAIT) == -1 && errno == EAGAIN);
	/* An answer to where it came from. */
	CHECK_EQ(sendto(a, "yes", 3, 0, (struct sockaddr *)&from, sizeof(from)), 3);
	CHECK_EQ(recv(b, bytes, sizeof(bytes), 0), 3);
	close(a);
	close(b);
}
