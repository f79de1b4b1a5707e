/* Timers as files, and signals as files. */
#include "tests/guest/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000l

static void pin(int core)
{
	cpu_set_t cores;

	CPU_ZERO(&cores);
	CPU_SET(core % (int)sysconf(_SC_NPROCESSORS_ONLN), &cores);
	CHECK_EQ(sched_setaffinity(0, sizeof(cores), &cores), 0);
}

static long now_ms(int clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000 + now.tv_nsec / MS;
}

static struct itimerspec times(long first_ms, long interval_ms)
{
	return (
	    struct itimerspec){ .it_value = { first_ms / 1000, first_ms % 1000 * MS },
				.it_interval = { interval_ms / 1000, interval_ms % 1000 * MS } };
}

static bool is_readable(int fd, int timeout_ms)
{
	struct pollfd entry = { fd, POLLIN, 0 };

	return poll(&entry, 1, timeout_ms) == 1 && entry.revents == POLLIN;
}

#define FAILS(call, error)                                                                         \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK_EQ((call), -1);                                                              \
		CHECK_EQ(errno, error);                                                            \
	} while (0)

TEST(a_timer_expires_once)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	struct itimerspec wanted = times(30, 0), told;
	long start = now_ms(CLOCK_MONOTONIC);
	uint64_t count = 0;

	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(timerfd_gettime(fd, &told), 0);
	CHECK_EQ(told.it_value.tv_sec | told.it_value.tv_nsec, 0);
	CHECK_EQ(timerfd_settime(fd, 0, &wanted, &told), 0);
	CHECK_EQ(told.it_value.tv_sec | told.it_value.tv_nsec, 0);
	CHECK_EQ(timerfd_gettime(fd, &told), 0);
	CHECK(told.it_value.tv_sec == 0 && told.it_value.tv_nsec > 0 &&
	      told.it_value.tv_nsec <= 30 * MS);
	CHECK_EQ(read(fd, &count, sizeof(count)), sizeof(count));
	CHECK_EQ(count, 1);
	CHECK(now_ms(CLOCK_MONOTONIC) - start >= 29);
	CHECK_EQ(is_readable(fd, 0), false);
	FAILS(read(fd, &count, 4), EINVAL);
	FAILS(write(fd, &count, sizeof(count)), EINVAL);
	close(fd);
}

TEST(a_timer_repeats_and_counts)
{
	static const int clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME };

	for (int i = 0; i < 3; i++) {
		int fd = timerfd_create(clocks[i], TFD_NONBLOCK);
		struct itimerspec wanted = times(0, 10), told;
		uint64_t count = 0;

		FAILS(read(fd, &count, sizeof(count)), EAGAIN);
		/* Absolute, and over already. */
		wanted.it_value.tv_sec = 1;
		CHECK_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME, &wanted, NULL), 0);
		CHECK_EQ(is_readable(fd, 1000), true);
		usleep(50000);
		CHECK_EQ(read(fd, &count, sizeof(count)), sizeof(count));
		CHECK(count >= 5);
		CHECK_EQ(timerfd_gettime(fd, &told), 0);
		CHECK_EQ(told.it_interval.tv_nsec, 10 * MS);
		CHECK(told.it_value.tv_nsec <= 10 * MS);
		/* Off: what was counted is gone. */
		usleep(20000);
		CHECK_EQ(timerfd_settime(fd, 0, &(struct itimerspec){ 0 }, &told), 0);
		CHECK_EQ(told.it_interval.tv_nsec, 10 * MS);
		FAILS(read(fd, &count, sizeof(count)), EAGAIN);
		close(fd);
	}
}

TEST(a_timer_at_a_moment)
{
	static const int clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC };

	for (int i = 0; i < 2; i++) {
		int fd = timerfd_create(clocks[i], 0), set = epoll_create1(0);
		struct epoll_event event = { .events = EPOLLIN }, told;
		long moment = now_ms(clocks[i]) + 40;
		struct itimerspec wanted = times(moment, 0);
		uint64_t count;

		CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
		CHECK_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &wanted,
					 NULL),
			 0);
		CHECK_EQ(epoll_wait(set, &told, 1, 0), 0);
		CHECK_EQ(epoll_wait(set, &told, 1, 5000), 1);
		CHECK_EQ(told.events, EPOLLIN);
		CHECK(now_ms(clocks[i]) >= moment);
		CHECK_EQ(read(fd, &count, sizeof(count)), sizeof(count));
		CHECK_EQ(count, 1);
		CHECK_EQ(epoll_wait(set, &told, 1, 0), 0);
		close(fd);
		close(set);
	}
}

TEST(timers_that_make_no_sense)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, 0), other = epoll_create1(0);
	struct itimerspec wanted = times(10, 0);

	FAILS(timerfd_create(CLOCK_THREAD_CPUTIME_ID, 0), EINVAL);
	FAILS(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
	FAILS(timerfd_settime(fd, 8, &wanted, NULL), EINVAL);
	FAILS(timerfd_settime(other, 0, &wanted, NULL), EINVAL);
	FAILS(timerfd_settime(7777, 0, &wanted, NULL), EBADF);
	FAILS(timerfd_gettime(other, &wanted), EINVAL);
	wanted.it_value.tv_nsec = 1000000000;
	FAILS(timerfd_settime(fd, 0, &wanted, NULL), EINVAL);
	/* As far away as can be said. */
	wanted.it_value = (struct timespec){ INT64_MAX, 0 };
	CHECK_EQ(timerfd_settime(fd, 0, &wanted, NULL), 0);
	CHECK_EQ(is_readable(fd, 5), false);
	close(fd);
	close(other);
}

static void *read_afar(void *argument)
{
	uint64_t sum = 0, count;

	pin(1);
	while (sum < 5) {
		CHECK_EQ(read((int)(long)argument, &count, sizeof(count)), sizeof(count));
		sum += count;
	}
	return NULL;
}

TEST(a_timer_of_another_core)
{
	struct itimerspec wanted = times(5, 5);
	pthread_t thread;
	int fd;

	pin(0);
	fd = timerfd_create(CLOCK_MONOTONIC, 0);
	pthread_create(&thread, NULL, read_afar, (void *)(long)fd);
	CHECK_EQ(timerfd_settime(fd, 0, &wanted, NULL), 0);
	pthread_join(thread, NULL);
	close(fd);
}

/* ---- signals ---- */

static void block(sigset_t *set, int how)
{
	sigemptyset(set);
	sigaddset(set, SIGUSR1);
	sigaddset(set, SIGUSR2);
	sigaddset(set, SIGRTMIN + 3);
	CHECK_EQ(pthread_sigmask(how, set, NULL), 0);
}

TEST(signals_are_read)
{
	struct signalfd_siginfo signals[4];
	sigset_t set;
	int fd;

	block(&set, SIG_BLOCK);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	FAILS(read(fd, signals, sizeof(signals)), EAGAIN);
	CHECK_EQ(is_readable(fd, 0), false);
	CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){ .sival_int = 7 }), 0);
	CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){ .sival_int = 8 }), 0);
	CHECK_EQ(kill(getpid(), SIGUSR1), 0);
	CHECK_EQ(is_readable(fd, 0), true);
	FAILS(read(fd, signals, 100), EINVAL);
	CHECK_EQ(read(fd, signals, sizeof(signals)), 3 * sizeof(signals[0]));
	CHECK_EQ(signals[0].ssi_signo, SIGUSR1);
	CHECK_EQ(signals[0].ssi_code, SI_USER);
	CHECK_EQ(signals[0].ssi_pid, getpid());
	CHECK_EQ(signals[0].ssi_uid, getuid());
	CHECK_EQ(signals[1].ssi_signo, SIGRTMIN + 3);
	CHECK_EQ(signals[1].ssi_code, SI_QUEUE);
	CHECK_EQ(signals[1].ssi_int, 7);
	CHECK_EQ(signals[2].ssi_int, 8);
	CHECK_EQ(is_readable(fd, 0), false);
	/* Another set for the same descriptor. */
	sigdelset(&set, SIGUSR1);
	CHECK_EQ(signalfd(fd, &set, 0), fd);
	raise(SIGUSR1);
	CHECK_EQ(is_readable(fd, 0), false);
	sigaddset(&set, SIGUSR1);
	CHECK_EQ(signalfd(fd, &set, 0), fd);
	CHECK_EQ(is_readable(fd, 0), true);
	CHECK_EQ(read(fd, signals, sizeof(signals)), sizeof(signals[0]));
	FAILS(signalfd(fd, &set, 1), EINVAL);
	FAILS(signalfd(0x7000, &set, 0), EBADF);
	FAILS(signalfd(0, &set, 0), EINVAL);
	close(fd);
	block(&set, SIG_UNBLOCK);
}

static void *send_signals(void *argument)
{
	pin((int)(long)argument);
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){ .sival_int = i }), 0);
		sched_yield();
	}
	return NULL;
}

TEST(signals_wake_an_event_loop)
{
	struct epoll_event event = { .events = EPOLLIN }, told;
	int set = epoll_create1(0), fd, next = 0;
	struct signalfd_siginfo data;
	pthread_t thread;
	sigset_t signals;

	block(&signals, SIG_BLOCK);
	pin(0);
	fd = signalfd(-1, &signals, SFD_NONBLOCK);
	CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
	pthread_create(&thread, NULL, send_signals, (void *)1l);
	while (next < 100) {
		CHECK_EQ(epoll_wait(set, &told, 1, 5000), 1);
		while (read(fd, &data, sizeof(data)) == sizeof(data)) {
			CHECK_EQ(data.ssi_int, next);
			next++;
		}
		CHECK_EQ(errno, EAGAIN);
	}
	pthread_join(thread, NULL);
	close(fd);
	close(set);
	block(&signals, SIG_UNBLOCK);
}

static int waiting_fd;

static void *wait_for_own_signal(void *argument)
{
	struct signalfd_siginfo data;

	(void)argument;
	pin(1);
	for (int i = 0; i < 50; i++) {
		CHECK_EQ(read(waiting_fd, &data, sizeof(data)), sizeof(data));
		CHECK_EQ(data.ssi_signo, SIGUSR2);
		CHECK_EQ(data.ssi_code, SI_TKILL);
		__atomic_store_n((int *)argument, i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* For one thread, which blocks in read(), while the file was made on another core. */
TEST(signals_of_one_thread)
{
	pthread_t thread;
	sigset_t signals;
	int taken = 0;

	block(&signals, SIG_BLOCK);
	pin(0);
	waiting_fd = signalfd(-1, &signals, 0);
	pthread_create(&thread, NULL, wait_for_own_signal, &taken);
	for (int i = 0; i < 50; i++) {
		CHECK_EQ(pthread_kill(thread, SIGUSR2), 0);
		while (__atomic_load_n(&taken, __ATOMIC_ACQUIRE) == i)
			sched_yield();
	}
	pthread_join(thread, NULL);
	close(waiting_fd);
	block(&signals, SIG_UNBLOCK);
}
