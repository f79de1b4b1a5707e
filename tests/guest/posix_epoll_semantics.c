/*
 * What programs rely on of epoll, in detail. Nothing here is Lavra's own: the same file passes on Linux
 * (compiled with main.c, -Dtest_cases_start=__start_test_cases -Dtest_cases_end=__stop_test_cases).
 */
#include "tests/guest/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CHECK_FAILS(call, error)                                                                   \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK((call) == -1);                                                               \
		CHECK_EQ(errno, error);                                                            \
	} while (0)

static int add(int set, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
}

static int modify(int set, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return epoll_ctl(set, EPOLL_CTL_MOD, fd, &event);
}

/* The events of the one file that is ready within `ms`, or 0. */
static uint32_t next(int set, int ms)
{
	struct epoll_event event = { 0 };

	return epoll_wait(set, &event, 1, ms) == 1 ? event.events : 0;
}

static void add_to(int fd, uint64_t value)
{
	CHECK_EQ(write(fd, &value, sizeof(value)), sizeof(value));
}

static void connect_pair(int fds[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t length = sizeof(address);

	CHECK_EQ(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(listener, 5), 0);
	CHECK_EQ(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(connect(fds[0], (struct sockaddr *)&address, sizeof(address)), 0);
	fds[1] = accept(listener, NULL, NULL);
	CHECK(fds[1] >= 0);
	close(listener);
}

/* ---- edges ---- */

TEST(an_edge_is_new_data_whether_or_not_the_old_was_read)
{
	int fds[2], set = epoll_create1(0);
	char byte;

	connect_pair(fds);
	CHECK_EQ(add(set, fds[1], EPOLLIN | EPOLLET), 0);
	CHECK_EQ(next(set, 20), 0);
	CHECK_EQ(write(fds[0], "ab", 2), 2);
	CHECK_EQ(next(set, 5000), EPOLLIN);
	CHECK_EQ(next(set, 20), 0);
	CHECK_EQ(read(fds[1], &byte, 1), 1);
	CHECK_EQ(next(set, 20), 0);
	CHECK_EQ(write(fds[0], "c", 1), 1);
	CHECK_EQ(next(set, 5000), EPOLLIN);
	CHECK_EQ(next(set, 20), 0);
	/* A change of what is asked for looks anew. */
	CHECK_EQ(modify(set, fds[1], EPOLLIN | EPOLLOUT | EPOLLET), 0);
	CHECK_EQ(next(set, 5000), EPOLLIN | EPOLLOUT);
	CHECK_EQ(next(set, 20), 0);
	close(fds[0]);
	close(fds[1]);
	close(set);
}

TEST(room_is_an_edge_after_a_full_queue)
{
	static char bytes[100000];
	int fds[2], set = epoll_create1(0);
	long sent = 0, received = 0;
	ssize_t n;

	connect_pair(fds);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	CHECK_EQ(add(set, fds[0], EPOLLOUT | EPOLLET), 0);
	CHECK_EQ(next(set, 5000), EPOLLOUT);
	do {
		while ((n = write(fds[0], bytes, sizeof(bytes))) > 0)
			sent += n;
		CHECK_EQ(errno, EAGAIN);
	} while (next(set, 300));
	while (received < sent && (n = read(fds[1], bytes, sizeof(bytes))) > 0)
		received += n;
	CHECK_EQ(next(set, 5000), EPOLLOUT);
	close(fds[0]);
	close(fds[1]);
	close(set);
}

/* ---- the ends of a connection ---- */

TEST(the_ends_of_a_connection)
{
	int fds[2], set = epoll_create1(0), plain = epoll_create1(0);
	struct linger linger = { 1, 0 };

	connect_pair(fds);
	CHECK_EQ(add(set, fds[1], EPOLLIN | EPOLLRDHUP), 0);
	CHECK_EQ(add(plain, fds[1], EPOLLIN), 0);
	CHECK_EQ(next(set, 20), 0);
	shutdown(fds[0], SHUT_WR);
	CHECK_EQ(next(set, 5000), EPOLLIN | EPOLLRDHUP);
	/* As long as it is true, and only to who asked. */
	CHECK_EQ(next(set, 5000), EPOLLIN | EPOLLRDHUP);
	CHECK_EQ(next(plain, 5000), EPOLLIN);
	CHECK_EQ(modify(set, fds[1], EPOLLRDHUP), 0);
	CHECK_EQ(next(set, 5000), EPOLLRDHUP);
	/* Both sides have ended: EPOLLHUP, which nobody needs to ask for. */
	CHECK_EQ(modify(set, fds[1], 0), 0);
	CHECK_EQ(next(set, 20), 0);
	shutdown(fds[1], SHUT_WR);
	CHECK_EQ(next(set, 5000), EPOLLHUP);
	close(fds[0]);
	close(fds[1]);

	connect_pair(fds);
	CHECK_EQ(add(set, fds[1], 0), 0);
	setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fds[0]);
	CHECK_EQ(next(set, 5000), EPOLLERR | EPOLLHUP);
	close(fds[1]);
	close(set);
	close(plain);
}

/* ---- one shot ---- */

TEST(one_shot_is_for_one_thread)
{
	int event = eventfd(1, 0), set = epoll_create1(0);

	CHECK_EQ(add(set, event, EPOLLIN | EPOLLONESHOT), 0);
	CHECK_EQ(next(set, 5000), EPOLLIN);
	CHECK_EQ(next(set, 20), 0);
	add_to(event, 1);
	CHECK_EQ(next(set, 20), 0);
	CHECK_EQ(modify(set, event, EPOLLIN | EPOLLONESHOT | EPOLLET), 0);
	CHECK_EQ(next(set, 5000), EPOLLIN);
	CHECK_EQ(next(set, 20), 0);
	close(event);
	close(set);
}

/* ---- EPOLLEXCLUSIVE ---- */

TEST(exclusive_has_its_rules)
{
	int event = eventfd(0, 0), set = epoll_create1(0), inner = epoll_create1(0);

	CHECK_FAILS(add(set, event, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT), EINVAL);
	CHECK_FAILS(add(set, event, EPOLLIN | EPOLLEXCLUSIVE | EPOLLRDHUP), EINVAL);
	CHECK_FAILS(add(set, event, EPOLLPRI | EPOLLEXCLUSIVE), EINVAL);
	CHECK_FAILS(add(set, inner, EPOLLIN | EPOLLEXCLUSIVE), EINVAL);
	CHECK_EQ(add(set, event, EPOLLIN | EPOLLOUT | EPOLLEXCLUSIVE | EPOLLET), 0);
	CHECK_FAILS(modify(set, event, EPOLLIN), EINVAL);
	CHECK_FAILS(modify(set, event, EPOLLIN | EPOLLEXCLUSIVE), EINVAL);
	CHECK_EQ(epoll_ctl(set, EPOLL_CTL_DEL, event, NULL), 0);
	CHECK_EQ(add(set, event, EPOLLIN), 0);
	CHECK_FAILS(modify(set, event, EPOLLIN | EPOLLEXCLUSIVE), EINVAL);
	CHECK_EQ(modify(set, event, EPOLLOUT), 0);
	CHECK_EQ(next(set, 5000), EPOLLOUT);
	close(event);
	close(set);
	close(inner);
}

#define SLEEPERS 4

struct sleeper {
	int set;
	int woken;
};

static void *sleep_in_set(void *argument)
{
	struct sleeper *sleeper = argument;

	sleeper->woken = next(sleeper->set, 400) != 0;
	return NULL;
}

static int sets_woken(uint32_t flags)
{
	int event = eventfd(0, 0), woken = 0;
	struct sleeper sleepers[SLEEPERS];
	pthread_t threads[SLEEPERS];

	for (int i = 0; i < SLEEPERS; i++) {
		sleepers[i] = (struct sleeper){ epoll_create1(0), 0 };
		CHECK_EQ(add(sleepers[i].set, event, EPOLLIN | flags), 0);
		pthread_create(&threads[i], NULL, sleep_in_set, &sleepers[i]);
	}
	usleep(100000);
	add_to(event, 1);
	for (int i = 0; i < SLEEPERS; i++) {
		pthread_join(threads[i], NULL);
		woken += sleepers[i].woken;
		close(sleepers[i].set);
	}
	close(event);
	return woken;
}

TEST(exclusive_wakes_one_and_the_usual_all)
{
	CHECK_EQ(sets_woken(0), SLEEPERS);
	CHECK_EQ(sets_woken(EPOLLEXCLUSIVE), 1);
}

TEST(an_exclusive_set_where_nobody_waits_keeps_nothing_from_others)
{
	int event = eventfd(0, 0), idle = epoll_create1(0);
	struct sleeper sleeper = { epoll_create1(0), 0 };
	pthread_t thread;

	CHECK_EQ(add(idle, event, EPOLLIN | EPOLLEXCLUSIVE), 0);
	CHECK_EQ(add(sleeper.set, event, EPOLLIN | EPOLLEXCLUSIVE), 0);
	pthread_create(&thread, NULL, sleep_in_set, &sleeper);
	usleep(100000);
	add_to(event, 1);
	pthread_join(thread, NULL);
	CHECK_EQ(sleeper.woken, 1);
	CHECK_EQ(next(idle, 100), EPOLLIN);
	close(event);
	close(idle);
	close(sleeper.set);
}

/* ---- sets in sets ---- */

TEST(sets_nest_five_deep)
{
	int event = eventfd(0, 0), sets[7];

	for (int i = 0; i < 7; i++)
		sets[i] = epoll_create1(0);
	CHECK_EQ(add(sets[0], event, EPOLLIN), 0);
	/* A file in a set in a set in a set in a set in a set: five sets. */
	for (int i = 1; i < 5; i++)
		CHECK_EQ(add(sets[i], sets[i - 1], EPOLLIN), 0);
	CHECK_FAILS(add(sets[5], sets[4], EPOLLIN), ELOOP);
	CHECK_FAILS(add(sets[0], sets[4], EPOLLIN), ELOOP);
	CHECK_FAILS(add(sets[0], sets[1], EPOLLIN), ELOOP);
	CHECK_EQ(next(sets[4], 20), 0);
	add_to(event, 1);
	CHECK_EQ(next(sets[4], 5000), EPOLLIN);
	CHECK_EQ(next(sets[2], 5000), EPOLLIN);
	for (int i = 0; i < 7; i++)
		close(sets[i]);
	close(event);
}

/* ---- descriptors that come and go ---- */

TEST(a_duplicate_keeps_a_closed_descriptor_in_its_set)
{
	int event = eventfd(1, 0), copy = dup(event), set = epoll_create1(0);
	struct epoll_event told;

	CHECK_EQ(add(set, event, EPOLLIN), 0);
	CHECK_EQ(add(set, copy, EPOLLIN | EPOLLONESHOT), 0);
	close(event);
	CHECK_EQ(next(set, 5000), EPOLLIN);
	CHECK_FAILS(modify(set, event, EPOLLIN), EBADF);
	CHECK_EQ(epoll_ctl(set, EPOLL_CTL_DEL, copy, NULL), 0);
	CHECK_EQ(epoll_wait(set, &told, 1, 5000), 1);
	CHECK_EQ(told.data.fd, event);
	close(copy);
	CHECK_EQ(next(set, 20), 0);
	close(set);
}

struct actor {
	int set, fd;
	int what;
};

static void *act_later(void *argument)
{
	struct actor *actor = argument;

	usleep(50000);
	switch (actor->what) {
	case 0:
		CHECK_EQ(add(actor->set, actor->fd, EPOLLIN), 0);
		break;
	case 1:
		CHECK_EQ(modify(actor->set, actor->fd, EPOLLIN), 0);
		break;
	case 2:
		CHECK_EQ(epoll_ctl(actor->set, EPOLL_CTL_DEL, actor->fd, NULL), 0);
		add_to(actor->fd, 1);
		break;
	case 3:
		close(actor->fd);
		break;
	}
	return NULL;
}

/* What a waiter of 200 ms sees of what another thread does to its set meanwhile. */
static uint32_t see(int set, int fd, int what)
{
	struct actor actor = { set, fd, what };
	pthread_t thread;
	uint32_t seen;

	pthread_create(&thread, NULL, act_later, &actor);
	seen = next(set, what < 2 ? 5000 : 200);
	pthread_join(thread, NULL);
	return seen;
}

TEST(a_set_changes_while_a_thread_waits_for_it)
{
	int event = eventfd(1, 0), set = epoll_create1(0);

	CHECK_EQ(see(set, event, 0), EPOLLIN);
	CHECK_EQ(modify(set, event, EPOLLPRI), 0);
	CHECK_EQ(see(set, event, 1), EPOLLIN);
	CHECK_EQ(modify(set, event, EPOLLPRI), 0);
	CHECK_EQ(see(set, event, 2), 0);
	CHECK_EQ(add(set, event, EPOLLPRI), 0);
	CHECK_EQ(see(set, event, 3), 0);
	CHECK_FAILS(epoll_ctl(set, EPOLL_CTL_DEL, event, NULL), EBADF);
	close(set);
}

/* ---- threads that share a set ---- */

#define SHARED_FDS 16
#define SHARED_ROUNDS 40

struct share {
	int set;
	int *told; /* by index of the descriptor */
	int *fds;
	int *rearmed;
};

static int sharing;

static void *take_events(void *argument)
{
	struct share *share = argument;
	struct epoll_event events[4];

	while (__atomic_load_n(&sharing, __ATOMIC_ACQUIRE)) {
		int n = epoll_wait(share->set, events, 4, 10);

		for (int i = 0; i < n; i++) {
			uint64_t value;
			int at = (int)events[i].data.u32;

			CHECK_EQ(read(share->fds[at], &value, sizeof(value)), sizeof(value));
			__atomic_fetch_add(&share->told[at], 1, __ATOMIC_ACQ_REL);
		}
	}
	return NULL;
}

/* Each change is told to one thread, and none is lost. */
static void share_a_set(uint32_t flags)
{
	int fds[SHARED_FDS], told[SHARED_FDS] = { 0 };
	struct share share = { epoll_create1(0), told, fds, NULL };
	pthread_t threads[4];
	int late = 0;

	__atomic_store_n(&sharing, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < SHARED_FDS; i++) {
		struct epoll_event event = { .events = EPOLLIN | flags, .data.u32 = (uint32_t)i };

		fds[i] = eventfd(0, EFD_NONBLOCK);
		CHECK_EQ(epoll_ctl(share.set, EPOLL_CTL_ADD, fds[i], &event), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, take_events, &share);
	for (int round = 1; round <= SHARED_ROUNDS && !late; round++) {
		for (int i = 0; i < SHARED_FDS; i++)
			add_to(fds[i], 1);
		for (int i = 0; i < SHARED_FDS; i++) {
			struct epoll_event event = { .events = EPOLLIN | flags,
						     .data.u32 = (uint32_t)i };

			for (int ms = 0; __atomic_load_n(&told[i], __ATOMIC_ACQUIRE) < round;
			     ms++) {
				if (ms == 5000) {
					late++;
					break;
				}
				usleep(1000);
			}
			if (flags & EPOLLONESHOT)
				epoll_ctl(share.set, EPOLL_CTL_MOD, fds[i], &event);
		}
	}
	CHECK_EQ(late, 0);
	__atomic_store_n(&sharing, 0, __ATOMIC_RELEASE);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < SHARED_FDS; i++) {
		CHECK_EQ(told[i], SHARED_ROUNDS);
		close(fds[i]);
	}
	close(share.set);
}

TEST(threads_share_a_set_of_edges)
{
	share_a_set(EPOLLET);
}

TEST(threads_share_a_set_of_single_shots)
{
	share_a_set(EPOLLONESHOT);
}

/* ---- times and masks ---- */

static void handler(int number)
{
	(void)number;
}

/* musl has no function for it. */
static long wait2(int set, struct epoll_event *told, int max, const struct timespec *timeout)
{
	return syscall(SYS_epoll_pwait2, set, told, max, timeout, NULL, 8l);
}

TEST(epoll_pwait2_and_masks)
{
	struct timespec short_time = { 0, 20000000 }, bad = { 0, 1000000000 }, none = { 0, 0 };
	struct sigaction action = { .sa_handler = handler };
	int event = eventfd(0, 0), set = epoll_create1(0);
	struct epoll_event told;
	sigset_t blocked, open;
	struct timespec before, after;

	CHECK_EQ(add(set, event, EPOLLIN), 0);
	clock_gettime(CLOCK_MONOTONIC, &before);
	CHECK_EQ(wait2(set, &told, 1, &short_time), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK((after.tv_sec - before.tv_sec) * 1000000000l + after.tv_nsec - before.tv_nsec >=
	      20000000);
	CHECK_EQ(wait2(set, &told, 1, &none), 0);
	CHECK_FAILS(wait2(set, &told, 1, &bad), EINVAL);
	CHECK_FAILS(wait2(set, &told, 0, &none), EINVAL);
	/* A signal that only the wait lets in ends it. */
	sigaction(SIGUSR1, &action, NULL);
	sigemptyset(&open);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
	pthread_kill(pthread_self(), SIGUSR1);
	CHECK_FAILS(epoll_pwait(set, &told, 1, 5000, &open), EINTR);
	pthread_kill(pthread_self(), SIGUSR1);
	add_to(event, 1);
	CHECK_EQ(epoll_pwait(set, &told, 1, 5000, &blocked), 1);
	pthread_sigmask(SIG_UNBLOCK, &blocked, NULL);
	close(event);
	close(set);
}

TEST(calls_that_are_wrong)
{
	int event = eventfd(0, 0), set = epoll_create1(0);
	struct epoll_event told;

	CHECK_FAILS(epoll_create1(1), EINVAL);
	CHECK_FAILS(epoll_wait(event, &told, 1, 0), EINVAL);
	CHECK_FAILS(epoll_wait(set, &told, 0, 0), EINVAL);
	CHECK_FAILS(epoll_wait(999, &told, 1, 0), EBADF);
	CHECK_FAILS(add(set, set, EPOLLIN), EINVAL);
	CHECK_FAILS(add(event, set, EPOLLIN), EINVAL);
	CHECK_FAILS(add(set, 999, EPOLLIN), EBADF);
	CHECK_FAILS(modify(set, event, EPOLLIN), ENOENT);
	CHECK_FAILS(epoll_ctl(set, EPOLL_CTL_DEL, event, NULL), ENOENT);
	CHECK_FAILS(epoll_ctl(set, EPOLL_CTL_ADD, event, NULL), EFAULT);
	CHECK_FAILS(epoll_ctl(set, 77, event, &told), EINVAL);
	CHECK_EQ(add(set, event, EPOLLIN), 0);
	CHECK_FAILS(add(set, event, EPOLLOUT), EEXIST);
	close(event);
	close(set);
}
