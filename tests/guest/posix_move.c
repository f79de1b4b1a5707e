/* Connections that move to the core that serves them, and listeners that accept on all cores. */
#include "tests/guest/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void pin(int core)
{
	cpu_set_t cores;

	CPU_ZERO(&cores);
	CPU_SET(core % test_cores, &cores);
	CHECK_EQ(sched_setaffinity(0, sizeof(cores), &cores), 0);
}

static int listen_on(uint16_t port, int flags)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | flags, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	CHECK_EQ(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(fd, 200), 0);
	return fd;
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static bool read_all(int fd, char *bytes, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t n = read(fd, bytes + done, length - done);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* A column of /proc/lavra/cores, summed over the cores. */
static long counted(const char *name)
{
	char text[16384], *line, *rest, *word;
	int fd = open("/proc/lavra/cores", O_RDONLY), column = -1, i = 0;
	ssize_t n = 0, got;
	long sum = 0;

	while ((got = read(fd, text + n, sizeof(text) - 1 - (size_t)n)) > 0)
		n += got;
	close(fd);
	text[n] = 0;
	line = strtok_r(text, "\n", &rest);
	for (char *at = line; (word = strsep(&at, " ")); i++)
		if (strcmp(word, name) == 0)
			column = i;
	if (column < 0)
		return -1;
	while ((line = strtok_r(NULL, "\n", &rest))) {
		i = 0;
		for (char *at = line; (word = strsep(&at, " ")); i++)
			if (i == column)
				sum += atol(word);
	}
	return sum;
}

/* ---- one thread accepts, others serve ---- */

#define CLIENTS 4
#define CONNECTIONS 8
#define REQUESTS 40

struct worker {
	int core, pipe[2];
	long served;
};

static int connections_left;

/* Echo on whatever comes through the pipe: memcached's way. */
static void *serve(void *argument)
{
	struct worker *worker = argument;
	struct epoll_event event = { .events = EPOLLIN, .data.fd = worker->pipe[0] }, events[8];
	int set = epoll_create1(0);
	char bytes[5000];

	pin(worker->core);
	CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, worker->pipe[0], &event), 0);
	while (__atomic_load_n(&connections_left, __ATOMIC_RELAXED) > 0) {
		int n = epoll_wait(set, events, 8, 20);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			ssize_t length;

			if (fd == worker->pipe[0]) {
				CHECK_EQ(read(fd, &fd, sizeof(fd)), sizeof(fd));
				event = (struct epoll_event){ .events = EPOLLIN, .data.fd = fd };
				CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
				continue;
			}
			length = read(fd, bytes, sizeof(bytes));
			if (length > 0) {
				CHECK_EQ(write(fd, bytes, (size_t)length), length);
				worker->served += length;
			} else {
				CHECK(length == 0 || errno == EAGAIN);
				if (length < 0)
					continue;
				close(fd);
				__atomic_fetch_sub(&connections_left, 1, __ATOMIC_RELAXED);
			}
		}
	}
	close(set);
	return NULL;
}

static void *ask(void *argument)
{
	uint16_t port = (uint16_t)(long)argument;
	char sent[3000], back[3000];

	for (int i = 0; i < CONNECTIONS; i++) {
		int fd = connect_to(port), failed = 0;

		for (int j = 0; j < REQUESTS && !failed; j++) {
			size_t length = (size_t)(j * 997 + i * 31) % sizeof(sent) + 1;

			for (size_t k = 0; k < length; k++)
				sent[k] = (char)(k * 7 + (size_t)j + (size_t)fd);
			failed = write(fd, sent, length) != (ssize_t)length ||
				 !read_all(fd, back, length) || memcmp(sent, back, length) != 0;
		}
		CHECK_EQ(failed, 0);
		close(fd);
	}
	return NULL;
}

TEST(connections_move_to_the_worker_that_watches_them)
{
	int listener = listen_on(7401, 0), n = test_cores < 4 ? test_cores : 4;
	pthread_t threads[4], clients[CLIENTS];
	struct worker workers[4];
	long moved = counted("connections_moved");

	connections_left = CLIENTS * CONNECTIONS;
	for (int i = 0; i < n; i++) {
		workers[i] = (struct worker){ .core = i };
		CHECK_EQ(pipe(workers[i].pipe), 0);
		pthread_create(&threads[i], NULL, serve, &workers[i]);
	}
	for (int i = 0; i < CLIENTS; i++)
		pthread_create(&clients[i], NULL, ask, (void *)7401l);
	for (int i = 0; i < CLIENTS * CONNECTIONS; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

		CHECK(fd >= 0);
		CHECK_EQ(write(workers[i % n].pipe[1], &fd, sizeof(fd)), sizeof(fd));
	}
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(clients[i], NULL);
	for (int i = 0; i < n; i++) {
		pthread_join(threads[i], NULL);
		CHECK(workers[i].served > 0);
		close(workers[i].pipe[0]);
		close(workers[i].pipe[1]);
	}
	moved = counted("connections_moved") - moved;
	CHECK(n == 1 ? moved == 0 : moved > 0);
	CHECK(moved <= CLIENTS * CONNECTIONS);
	close(listener);
}

/* ---- it moves in the middle of whatever the peer does ---- */

#define ROUNDS 60

struct peer {
	uint16_t port;
	unsigned seed;
};

/* Sends at once, and ends in every way, also before anybody looks at the connection. */
static void *disturb(void *argument)
{
	struct peer *peer = argument;
	unsigned random = peer->seed;
	char bytes[4000];

	memset(bytes, 'x', sizeof(bytes));
	for (int i = 0; i < ROUNDS; i++) {
		struct linger linger = { 1, 0 };
		int fd = connect_to(peer->port);

		random = random * 1103515245 + 12345;
		for (unsigned j = 0; j < (random >> 16) % 4; j++)
			(void)!send(fd, bytes, (random >> 8) % sizeof(bytes) + 1, MSG_NOSIGNAL);
		if (random & 1 << 20)
			shutdown(fd, SHUT_WR);
		if ((random & 1 << 21) && ((random >> 16) % 4 || (random & 1 << 20)))
			while (recv(fd, bytes, sizeof(bytes), random & 1 << 22 ? MSG_DONTWAIT : 0) >
			       0)
				if (!(random & 1 << 20))
					break;
		if (random & 1 << 23)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(fd);
	}
	return NULL;
}

static void *echo_to_the_end(void *argument)
{
	int fd = (int)(long)argument;
	char bytes[2000];
	struct pollfd entry = { fd, POLLIN, 0 };
	ssize_t n;

	pin(fd);
	for (;;) {
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN) {
			poll(&entry, 1, 1000);
			continue;
		}
		if (n <= 0 || send(fd, bytes, (size_t)n, MSG_NOSIGNAL) < 0)
			break;
	}
	CHECK(n >= 0 || errno == ECONNRESET || errno == EPIPE);
	close(fd);
	return NULL;
}

TEST(connections_move_while_the_peer_sends_and_ends_them)
{
	int listener = listen_on(7402, 0);
	struct peer peers[3];
	pthread_t threads[3], echo[3 * ROUNDS];

	for (int i = 0; i < 3; i++) {
		peers[i] = (struct peer){ 7402, (unsigned)i * 7919 + 1 };
		pthread_create(&threads[i], NULL, disturb, &peers[i]);
	}
	for (int i = 0; i < 3 * ROUNDS; i++) {
		long fd = accept(listener, NULL, NULL);

		CHECK(fd >= 0);
		CHECK_EQ(pthread_create(&echo[i], NULL, echo_to_the_end, (void *)fd), 0);
		if (i >= 20)
			pthread_join(echo[i - 20], NULL);
	}
	for (int i = 3 * ROUNDS - 20; i < 3 * ROUNDS; i++)
		pthread_join(echo[i], NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	close(listener);
}

/* ---- accepting everywhere ---- */

struct acceptor {
	int core, listener, accepted;
	bool blocking;
};

static int to_accept, epoll_wakeups;

static void *accept_all(void *argument)
{
	struct acceptor *acceptor = argument;
	struct epoll_event event = { .events = EPOLLIN | EPOLLEXCLUSIVE };
	int set = epoll_create1(0);

	if (acceptor->core >= 0)
		pin(acceptor->core);
	if (!acceptor->blocking)
		CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, acceptor->listener, &event), 0);
	while (__atomic_load_n(&to_accept, __ATOMIC_RELAXED) > 0) {
		int fd;

		if (!acceptor->blocking) {
			if (epoll_wait(set, &event, 1, 50) <= 0)
				continue;
			__atomic_fetch_add(&epoll_wakeups, 1, __ATOMIC_RELAXED);
		}
		fd = accept(acceptor->listener, NULL, NULL);
		if (fd < 0)
			continue;
		acceptor->accepted++;
		__atomic_fetch_sub(&to_accept, 1, __ATOMIC_RELAXED);
		close(fd);
	}
	close(set);
	return NULL;
}

static void accept_on_all(uint16_t port, bool blocking, bool pinned)
{
	struct timeval timeout = { 0, 50000 };
	int listener = listen_on(port, blocking ? 0 : SOCK_NONBLOCK), accepted = 0;
	struct acceptor acceptors[4];
	pthread_t threads[4];

	setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	to_accept = 60;
	epoll_wakeups = 0;
	for (int i = 0; i < 4; i++) {
		acceptors[i] = (struct acceptor){ pinned ? i : -1, listener, 0, blocking };
		pthread_create(&threads[i], NULL, accept_all, &acceptors[i]);
	}
	usleep(20000);
	for (int i = 0; i < 60; i++) {
		pin(i);
		close(connect_to(port));
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		accepted += acceptors[i].accepted;
	}
	CHECK_EQ(accepted, 60);
	CHECK_EQ(to_accept, 0);
	close(listener);
}

TEST(pinned_threads_accept_on_all_cores)
{
	accept_on_all(7410, true, true);
}

TEST(free_threads_accept_on_all_cores)
{
	accept_on_all(7411, true, false);
}

TEST(exclusive_sets_accept_on_all_cores)
{
	accept_on_all(7412, false, true);
	/* A wake-up for each connection, and few in vain: not four for each. */
	CHECK(epoll_wakeups >= 30 && epoll_wakeups < 150);
}

/* Connections that wait on other cores are found by a thread that waits for nothing else. */
TEST(one_thread_takes_from_the_queues_of_all_cores)
{
	int listener = listen_on(7413, SOCK_NONBLOCK), fds[20], taken = 0;
	struct pollfd entry = { listener, POLLIN, 0 };

	/* Who asks on another core makes connections wait where they come. */
	for (int i = 0; i < test_cores && i < 4; i++) {
		pin(i);
		errno = 0;
		CHECK(accept(listener, NULL, NULL) == -1 && errno == EAGAIN);
	}
	for (int i = 0; i < 20; i++) {
		pin(i);
		fds[i] = connect_to(7413);
	}
	for (int i = 0; i < 20; i++) {
		int fd;

		pin(i + 1);
		CHECK_EQ(poll(&entry, 1, 5000), 1);
		fd = accept(listener, NULL, NULL);
		CHECK(fd >= 0);
		taken += fd >= 0;
		close(fd);
		close(fds[i]);
	}
	CHECK_EQ(taken, 20);
	errno = 0;
	CHECK(accept(listener, NULL, NULL) == -1 && errno == EAGAIN);
	/* Those that nobody takes end with the listener. */
	pin(1);
	fds[0] = connect_to(7413);
	pin(0);
	close(listener);
	entry = (struct pollfd){ fds[0], POLLIN, 0 };
	CHECK_EQ(poll(&entry, 1, 5000), 1);
	CHECK(entry.revents & POLLHUP);
	close(fds[0]);
}
