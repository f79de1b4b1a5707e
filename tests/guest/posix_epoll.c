/* Epoll sets: level, edge, one-shot, sets of sets, and readiness that comes from another core. */
#include "tests/guest/test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int watch(int set, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
}

static int rearm(int set, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return epoll_ctl(set, EPOLL_CTL_MOD, fd, &event);
}

/* The events of the only file that is ready, 0 for none, -1 for several. */
static int only_event(int set, int fd, int timeout_ms)
{
	struct epoll_event events[4];
	int n = epoll_wait(set, events, 4, timeout_ms);

	if (n == 0)
		return 0;
	return n == 1 && events[0].data.fd == fd ? (int)events[0].events : -1;
}

TEST(level_triggered_stays_until_read)
{
	int set = epoll_create1(0), fd = eventfd(0, EFD_NONBLOCK);
	eventfd_t value;

	CHECK_EQ(watch(set, fd, EPOLLIN), 0);
	CHECK_EQ(only_event(set, fd, 0), 0);
	CHECK_EQ(eventfd_write(fd, 3), 0);
	CHECK_EQ(only_event(set, fd, -1), EPOLLIN);
	CHECK_EQ(only_event(set, fd, -1), EPOLLIN);
	CHECK_EQ(eventfd_read(fd, &value), 0);
	CHECK_EQ(value, 3);
	CHECK_EQ(only_event(set, fd, 0), 0);
	close(fd);
	close(set);
}

TEST(edge_triggered_tells_each_change_once)
{
	int set = epoll_create1(0), fd = eventfd(0, EFD_NONBLOCK);

	CHECK_EQ(watch(set, fd, EPOLLIN | EPOLLET), 0);
	CHECK_EQ(eventfd_write(fd, 1), 0);
	CHECK_EQ(only_event(set, fd, -1), EPOLLIN);
	CHECK_EQ(only_event(set, fd, 0), 0);
	CHECK_EQ(eventfd_write(fd, 1), 0);
	CHECK_EQ(only_event(set, fd, -1), EPOLLIN);
	CHECK_EQ(only_event(set, fd, 0), 0);
	close(fd);
	close(set);
}

TEST(one_shot_is_silent_until_rearmed)
{
	int set = epoll_create1(0), fd = eventfd(1, EFD_NONBLOCK);

	CHECK_EQ(watch(set, fd, EPOLLIN | EPOLLONESHOT), 0);
	CHECK_EQ(only_event(set, fd, -1), EPOLLIN);
	CHECK_EQ(eventfd_write(fd, 1), 0);
	CHECK_EQ(only_event(set, fd, 0), 0);
	CHECK_EQ(rearm(set, fd, EPOLLIN | EPOLLONESHOT), 0);
	CHECK_EQ(only_event(set, fd, -1), EPOLLIN);
	CHECK_EQ(only_event(set, fd, 0), 0);
	close(fd);
	close(set);
}

TEST(epoll_ctl_errors)
{
	int set = epoll_create1(0), fd = eventfd(0, 0), other = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };

	CHECK_EQ(watch(set, fd, EPOLLIN), 0);
	errno = 0;
	CHECK(watch(set, fd, EPOLLIN) == -1 && errno == EEXIST);
	CHECK(rearm(set, other, EPOLLIN) == -1 && errno == ENOENT);
	CHECK(watch(set, 60000, EPOLLIN) == -1 && errno == EBADF);
	CHECK(watch(set, set, EPOLLIN) == -1 && errno == EINVAL);
	CHECK(watch(fd, set, EPOLLIN) == -1 && errno == EINVAL);
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, other, NULL) == -1 && errno == EFAULT);
	CHECK(epoll_wait(set, &event, 0, 0) == -1 && errno == EINVAL);
	CHECK_EQ(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL), 0);
	CHECK(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL) == -1 && errno == ENOENT);
	/* A circle is refused, whichever end closes it. */
	CHECK_EQ(watch(set, other, EPOLLIN), 0);
	CHECK(watch(other, set, EPOLLIN) == -1 && errno == ELOOP);
	close(other);
	close(fd);
	close(set);
}

TEST(a_set_can_be_watched_by_a_set)
{
	int inner = epoll_create1(0), outer = epoll_create1(0), fd = eventfd(0, EFD_NONBLOCK);
	eventfd_t value;

	CHECK_EQ(watch(outer, inner, EPOLLIN), 0);
	CHECK_EQ(watch(inner, fd, EPOLLIN), 0);
	CHECK_EQ(only_event(outer, inner, 0), 0);
	eventfd_write(fd, 1);
	CHECK_EQ(only_event(outer, inner, -1), EPOLLIN);
	CHECK_EQ(only_event(inner, fd, -1), EPOLLIN);
	eventfd_read(fd, &value);
	CHECK_EQ(only_event(outer, inner, 0), 0);
	close(fd);
	close(inner);
	close(outer);
}

TEST(closing_a_file_takes_it_out_of_its_sets)
{
	int set = epoll_create1(0), fd = eventfd(1, 0), copy = dup(fd);

	CHECK_EQ(watch(set, fd, EPOLLIN), 0);
	close(fd);
	/* As on Linux: the file is open under another number, so it is still told, by the old one. */
	CHECK_EQ(only_event(set, fd, 0), EPOLLIN);
	close(copy);
	CHECK_EQ(only_event(set, fd, 0), 0);
	close(set);
}

TEST(epoll_wait_takes_its_time)
{
	struct timespec before, after;
	struct epoll_event event;
	int set = epoll_create1(0);
	long long ms;

	clock_gettime(CLOCK_MONOTONIC, &before);
	CHECK_EQ(epoll_wait(set, &event, 1, 30), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
	CHECK(ms >= 29);
	close(set);
}

TEST(many_ready_files_all_get_a_turn)
{
	enum { FILES = 40, AT_ONCE = 8 };
	int set = epoll_create1(0), fds[FILES], told[FILES] = { 0 };
	struct epoll_event events[AT_ONCE];

	for (int i = 0; i < FILES; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		fds[i] = eventfd(1, EFD_NONBLOCK);
		CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &event), 0);
	}
	for (int round = 0; round < FILES / AT_ONCE; round++) {
		CHECK_EQ(epoll_wait(set, events, AT_ONCE, 0), AT_ONCE);
		for (int i = 0; i < AT_ONCE; i++)
			told[events[i].data.u32]++;
	}
	for (int i = 0; i < FILES; i++) {
		CHECK_EQ(told[i], 1);
		close(fds[i]);
	}
	close(set);
}

/* ---- several cores ---- */

static void pin(int core)
{
	cpu_set_t cores;

	CPU_ZERO(&cores);
	CPU_SET(core, &cores);
	CHECK_EQ(sched_setaffinity(0, sizeof(cores), &cores), 0);
}

/* How many cores there are is asked before pinning: afterwards it is 1. */
static void unpin(int ncores)
{
	cpu_set_t cores;

	CPU_ZERO(&cores);
	for (int i = 0; i < ncores; i++)
		CPU_SET(i, &cores);
	CHECK_EQ(sched_setaffinity(0, sizeof(cores), &cores), 0);
}

#define ROUNDS 500

struct ping {
	int set, fd; /* who waits on `set` is woken by `fd` */
	struct ping *other;
	int core;
	long done;
};

static void *play(void *argument)
{
	struct ping *ping = argument;

	pin(ping->core);
	for (int i = 0; i < ROUNDS; i++) {
		struct epoll_event event;
		eventfd_t value;

		if (epoll_wait(ping->set, &event, 1, 5000) != 1 || event.data.fd != ping->fd)
			break;
		/* Not blocking, pinned, and perhaps another core's: it must be readable now. */
		if (eventfd_read(ping->fd, &value) != 0 || value != 1)
			break;
		ping->done++;
		eventfd_write(ping->other->fd, 1);
	}
	return NULL;
}

static void ping_pong(uint32_t flags)
{
	int ncores = sysconf(_SC_NPROCESSORS_ONLN);
	struct ping pings[2];
	pthread_t threads[2];

	for (int i = 0; i < 2; i++) {
		pings[i] = (struct ping){ .set = epoll_create1(0),
					  .fd = eventfd(0, EFD_NONBLOCK),
					  .other = &pings[1 - i],
					  .core = i % ncores };
		CHECK_EQ(watch(pings[i].set, pings[i].fd, EPOLLIN | flags), 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, play, &pings[i]);
	eventfd_write(pings[0].fd, 1);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		CHECK_EQ(pings[i].done, ROUNDS);
		close(pings[i].fd);
		close(pings[i].set);
	}
}

TEST(threads_on_two_cores_wake_each_other_level)
{
	ping_pong(0);
}

TEST(threads_on_two_cores_wake_each_other_edge)
{
	ping_pong(EPOLLET);
}

struct shared {
	int set, core;
	long *sum;
};

#define SHARED_FILES 4
#define SHARED_WRITES 400
static int shared_fds[SHARED_FILES];

/* Several pinned threads take events of one set; level-triggered, so each may come late. */
static void *take_shared(void *argument)
{
	struct shared *shared = argument;

	pin(shared->core);
	while (__atomic_load_n(shared->sum, __ATOMIC_RELAXED) < SHARED_FILES * SHARED_WRITES) {
		struct epoll_event events[2];
		int n = epoll_wait(shared->set, events, 2, 20);

		for (int i = 0; i < n; i++) {
			eventfd_t value;

			if (eventfd_read(events[i].data.fd, &value) == 0)
				__atomic_fetch_add(shared->sum, value, __ATOMIC_RELAXED);
		}
	}
	return NULL;
}

TEST(one_set_serves_threads_of_all_cores)
{
	int ncores = sysconf(_SC_NPROCESSORS_ONLN), set = epoll_create1(0);
	struct shared shared[4];
	pthread_t threads[4];
	long sum = 0;

	for (int i = 0; i < SHARED_FILES; i++) {
		shared_fds[i] = eventfd(0, EFD_NONBLOCK);
		CHECK_EQ(watch(set, shared_fds[i], EPOLLIN), 0);
	}
	for (int i = 0; i < 4; i++) {
		shared[i] = (struct shared){ set, i % ncores, &sum };
		pthread_create(&threads[i], NULL, take_shared, &shared[i]);
	}
	for (int i = 0; i < SHARED_WRITES; i++)
		for (int j = 0; j < SHARED_FILES; j++)
			eventfd_write(shared_fds[j], 1);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(sum, SHARED_FILES * SHARED_WRITES);
	for (int i = 0; i < SHARED_FILES; i++)
		close(shared_fds[i]);
	close(set);
}

/* Sets and files are made, watched and closed on every core at once, in every order. */
static void *churn(void *argument)
{
	int core = (long)argument;

	pin(core);
	for (int i = 0; i < 200; i++) {
		int set = epoll_create1(0), mine = eventfd(0, EFD_NONBLOCK);
		struct epoll_event event;

		watch(set, mine, EPOLLIN);
		for (int j = 0; j < SHARED_FILES; j++)
			watch(set, shared_fds[j], EPOLLIN | (i & 1 ? EPOLLET : 0));
		eventfd_write(shared_fds[i % SHARED_FILES], 1);
		if (epoll_wait(set, &event, 1, 1000) != 1)
			CHECK(!"a set that watches a readable file is not ready");
		if (i & 1)
			epoll_ctl(set, EPOLL_CTL_DEL, shared_fds[0], NULL);
		if (i & 2)
			close(mine);
		close(set);
		if (!(i & 2))
			close(mine);
	}
	return NULL;
}

TEST(sets_come_and_go_on_every_core)
{
	int ncores = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t threads[4];

	for (int i = 0; i < SHARED_FILES; i++) {
		pin(i % ncores);
		shared_fds[i] = eventfd(0, EFD_NONBLOCK);
	}
	unpin(ncores);
	for (long i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, churn, (void *)(i % ncores));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < SHARED_FILES; i++)
		close(shared_fds[i]);
}
