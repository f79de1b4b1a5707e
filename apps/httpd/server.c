#define _GNU_SOURCE
#include "server.h"

#include "connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 64
#define SWEEP_MS 1000

struct worker_counts worker_counts[WORKERS_MAX];
int worker_cores[WORKERS_MAX];
unsigned nworkers;

static pthread_t workers[WORKERS_MAX];
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t start_changed = PTHREAD_COND_INITIALIZER;
static unsigned nlistening;
static int start_error;

static void report_start(int error)
{
	pthread_mutex_lock(&start_lock);
	if (error && !start_error)
		start_error = error;
	nlistening++;
	pthread_cond_signal(&start_changed);
	pthread_mutex_unlock(&start_lock);
}

/* A socket that listens at `address`, or -1 and errno. */
static int listen_at(const struct sockaddr *address, socklen_t length)
{
	int one = 1, both = 0;
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if ((address->sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof(both)) != 0) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0 ||
	    bind(fd, address, length) != 0 || listen(fd, 1024) != 0) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* A listener of this thread alone; made on its own core, so that it serves what arrives there. It
 * hears IPv6 and IPv4, or IPv4 alone where there is nothing else. */
static int open_listener(uint16_t port)
{
	struct sockaddr_in6 both = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in ip4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = listen_at((struct sockaddr *)&both, sizeof(both));

	return fd < 0 && errno == EAFNOSUPPORT ? listen_at((struct sockaddr *)&ip4, sizeof(ip4))
					       : fd;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Take all waiting connections. Out of descriptors or memory: they stay in the backlog, and the
 * next close makes room. */
static void accept_connections(struct worker *worker, int listener)
{
	for (;;) {
		int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		connection_open(worker, fd);
	}
}

static void *worker_main(void *argument)
{
	unsigned index = (unsigned)(uintptr_t)argument;
	struct epoll_event events[EVENTS_MAX], event = { .events = EPOLLIN };
	struct worker *worker;
	uint64_t next_sweep;
	int listener, ok;

	worker = worker_create(&worker_counts[index]);
	listener = worker ? open_listener((uint16_t)worker_port) : -1;
	ok = listener >= 0 && (worker->epoll = epoll_create1(EPOLL_CLOEXEC)) >= 0 &&
	     epoll_ctl(worker->epoll, EPOLL_CTL_ADD, listener, &event) == 0;
	report_start(ok ? 0 : errno ? errno : ENOMEM);
	if (!ok)
		return NULL;

	worker->now_ms = now_ms();
	next_sweep = worker->now_ms + SWEEP_MS;
	for (;;) {
		int count = epoll_wait(worker->epoll, events, EVENTS_MAX, SWEEP_MS);

		worker->now_ms = now_ms();
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr)
				connection_ready(worker, events[i].data.ptr, events[i].events);
			else
				accept_connections(worker, listener);
		}
		if (worker->now_ms >= next_sweep) {
			connections_sweep(worker);
			next_sweep = worker->now_ms + SWEEP_MS;
		}
	}
}

int worker_port;

int server_start(unsigned count, uint16_t port)
{
	unsigned started = 0;

	nworkers = count;
	worker_port = port;
	for (; started < count; started++) {
		pthread_attr_t attributes;
		cpu_set_t core;
		int error;

		CPU_ZERO(&core);
		CPU_SET(worker_cores[started], &core);
		pthread_attr_init(&attributes);
		pthread_attr_setaffinity_np(&attributes, sizeof(core), &core);
		error = pthread_create(&workers[started], &attributes, worker_main,
				       (void *)(uintptr_t)started);
		pthread_attr_destroy(&attributes);
		if (error) {
			fprintf(stderr, "httpd: cannot start a thread on core %d: %s\n",
				worker_cores[started], strerror(error));
			return -1;
		}
	}
	pthread_mutex_lock(&start_lock);
	while (nlistening < count)
		pthread_cond_wait(&start_changed, &start_lock);
	pthread_mutex_unlock(&start_lock);
	if (start_error) {
		fprintf(stderr, "httpd: cannot listen on port %u: %s\n", port,
			strerror(start_error));
		return -1;
	}
	return 0;
}

void server_wait(void)
{
	for (unsigned i = 0; i < nworkers; i++)
		pthread_join(workers[i], NULL);
}
