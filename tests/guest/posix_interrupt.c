/* Signals for threads that are blocked: each kind of wait ends or goes on as on Linux, whichever core
 * the signal comes from, and pthread_cancel() ends it. */
#include "tests/guest/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int handled; /* atomic */
static pthread_t handled_by;

static void count(int number)
{
	(void)number;
	handled_by = pthread_self();
	__atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}

static void handle_with(int number, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	CHECK_EQ(sigaction(number, &action, NULL), 0);
	__atomic_store_n(&handled, 0, __ATOMIC_SEQ_CST);
}

/* ---- what blocks ---- */

static int pipe_ends[2], full_pipe[2], listener, datagrams, epoll_set, stream[2];
static sem_t semaphore;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void fill(int fd)
{
	static const char bytes[4096];

	CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	for (int idle = 0; idle < 20;) {
		if (write(fd, bytes, sizeof(bytes)) > 0) {
			idle = 0;
			continue;
		}
		usleep(500); /* the peer's receive buffer fills, too */
		idle++;
	}
	CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
}

static void open_all(void)
{
	struct sockaddr_in address = loopback(7301);
	struct epoll_event event = { .events = EPOLLIN };

	CHECK_EQ(pipe(pipe_ends), 0);
	CHECK_EQ(pipe(full_pipe), 0);
	fill(full_pipe[1]);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)), 0);
	CHECK_EQ(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(listener, 5), 0);
	stream[0] = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(connect(stream[0], (struct sockaddr *)&address, sizeof(address)), 0);
	stream[1] = accept(listener, NULL, NULL);
	CHECK(stream[1] >= 0);
	fill(stream[0]);
	datagrams = socket(AF_INET, SOCK_DGRAM, 0);
	address.sin_port = htons(7302);
	CHECK_EQ(bind(datagrams, (struct sockaddr *)&address, sizeof(address)), 0);
	epoll_set = epoll_create1(0);
	CHECK_EQ(epoll_ctl(epoll_set, EPOLL_CTL_ADD, pipe_ends[0], &event), 0);
	CHECK_EQ(sem_init(&semaphore, 0, 0), 0);
}

static void close_all(void)
{
	int fds[] = { pipe_ends[0], pipe_ends[1], full_pipe[0], full_pipe[1], listener,
		      datagrams,    epoll_set,	  stream[0],	stream[1] };

	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		CHECK_EQ(close(fds[i]), 0);
}

static long do_read(void)
{
	char byte;

	return read(pipe_ends[0], &byte, 1);
}

static long do_write(void)
{
	return write(full_pipe[1], "", 1);
}

static long do_accept(void)
{
	return accept(listener, NULL, NULL);
}

static long do_recv(void)
{
	char byte;

	return recv(datagrams, &byte, 1, 0);
}

static long do_recv_all(void)
{
	char bytes[10];

	return recv(stream[0], bytes, sizeof(bytes), MSG_WAITALL);
}

static long do_recvmmsg(void)
{
	char byte;
	struct iovec iov = { &byte, 1 };
	struct mmsghdr message = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };

	return recvmmsg(datagrams, &message, 1, 0, NULL);
}

/* Bytes one by one, so that the one that blocks has sent nothing. */
static long do_send(void)
{
	static const char bytes[512];
	long result;

	do
		result = send(stream[0], bytes, sizeof(bytes), 0);
	while (result > 0);
	return result;
}

static long do_poll(void)
{
	struct pollfd entries[2] = { { .fd = pipe_ends[0], .events = POLLIN },
				     { .fd = listener, .events = POLLIN } };

	return poll(entries, 2, -1);
}

static long do_select(void)
{
	fd_set reads;

	FD_ZERO(&reads);
	FD_SET(pipe_ends[0], &reads);
	return select(pipe_ends[0] + 1, &reads, NULL, NULL, &(struct timeval){ .tv_sec = 60 });
}

static long do_epoll_wait(void)
{
	struct epoll_event event;

	return epoll_wait(epoll_set, &event, 1, -1);
}

static long do_semaphore(void)
{
	return sem_wait(&semaphore);
}

static long do_nanosleep(void)
{
	struct timespec left = { 0 };
	long result = nanosleep(&(struct timespec){ .tv_sec = 60 }, &left);

	CHECK(left.tv_sec >= 30 && left.tv_sec < 60);
	return result;
}

static long do_clock_nanosleep(void)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 60;
	errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	return errno ? -1 : 0;
}

static long do_pause(void)
{
	return pause();
}

/* The mask lets SIGUSR1 through only during the wait. */
static long do_with_mask(long (*wait_with)(const sigset_t *mask))
{
	sigset_t blocked, old, now;
	long result;
	int error;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	CHECK_EQ(pthread_sigmask(SIG_BLOCK, &blocked, &old), 0);
	result = wait_with(&old);
	error = errno;
	CHECK_EQ(pthread_sigmask(SIG_SETMASK, &old, &now), 0);
	CHECK_EQ(sigismember(&now, SIGUSR1), 1);
	errno = error;
	return result;
}

static long ppoll_with(const sigset_t *mask)
{
	struct pollfd entry = { .fd = pipe_ends[0], .events = POLLIN };

	return ppoll(&entry, 1, NULL, mask);
}

static long epoll_pwait_with(const sigset_t *mask)
{
	struct epoll_event event;

	return epoll_pwait(epoll_set, &event, 1, -1, mask);
}

static long suspend_with(const sigset_t *mask)
{
	return sigsuspend(mask);
}

static long do_ppoll(void)
{
	return do_with_mask(ppoll_with);
}

static long do_epoll_pwait(void)
{
	return do_with_mask(epoll_pwait_with);
}

static long do_sigsuspend(void)
{
	return do_with_mask(suspend_with);
}

static long do_sigwait(void)
{
	sigset_t set;
	int number;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return sigwait(&set, &number);
}

/* For another signal than the one that comes; musl's function would start over. And so it is no
 * cancellation point. */
static long do_sigtimedwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, _NSIG / 8);
}

static const struct blocking_call {
	const char *name;
	long (*call)(void);
	bool restarts;
} calls[] = {
	{ "read", do_read, true },
	{ "write", do_write, true },
	{ "accept", do_accept, true },
	{ "recv", do_recv, true },
	{ "recv_all", do_recv_all, true },
	{ "recvmmsg", do_recvmmsg, true },
	{ "send", do_send, true },
	{ "semaphore", do_semaphore, true },
	{ "poll", do_poll, false },
	{ "select", do_select, false },
	{ "ppoll", do_ppoll, false },
	{ "epoll_wait", do_epoll_wait, false },
	{ "epoll_pwait", do_epoll_pwait, false },
	{ "nanosleep", do_nanosleep, false },
	{ "clock_nanosleep", do_clock_nanosleep, false },
	{ "pause", do_pause, false },
	{ "sigsuspend", do_sigsuspend, false },
	{ "sigtimedwait", do_sigtimedwait, false },
};

#define CALLS (sizeof(calls) / sizeof(*calls))

/* ---- a thread that makes one of them ---- */

struct blocked {
	const struct blocking_call *call;
	int core; /* -1: any */
	bool done; /* atomic */
	long result;
	int error;
	pthread_t thread;
};

static void pin(int core)
{
	cpu_set_t cores;

	CPU_ZERO(&cores);
	CPU_SET(core, &cores);
	CHECK_EQ(sched_setaffinity(0, sizeof(cores), &cores), 0);
}

static void *run_blocked(void *argument)
{
	struct blocked *blocked = argument;

	if (blocked->core >= 0)
		pin(blocked->core);
	errno = 0;
	blocked->result = blocked->call->call();
	blocked->error = errno;
	__atomic_store_n(&blocked->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static bool is_done(struct blocked *blocked)
{
	return __atomic_load_n(&blocked->done, __ATOMIC_SEQ_CST);
}

/* Signals come until the call has ended: the first may be faster than the call. */
static void interrupt_until_done(struct blocked *blocked)
{
	for (int i = 0; i < 500 && !is_done(blocked); i++) {
		usleep(2000);
		if (!is_done(blocked))
			CHECK_EQ(pthread_kill(blocked->thread, SIGUSR1), 0);
	}
}

static void check_interrupted(const struct blocking_call *call, int core)
{
	struct blocked blocked = { .call = call, .core = core };

	__atomic_store_n(&handled, 0, __ATOMIC_SEQ_CST);
	CHECK_EQ(pthread_create(&blocked.thread, NULL, run_blocked, &blocked), 0);
	interrupt_until_done(&blocked);
	if (!is_done(&blocked)) {
		test_failed(__FILE__, __LINE__, call->name, 0, 0, false);
		return;
	}
	CHECK_EQ(pthread_join(blocked.thread, NULL), 0);
	if (blocked.result != -1 || blocked.error != EINTR)
		test_failed(__FILE__, __LINE__, call->name, blocked.result, blocked.error, true);
	CHECK(handled > 0);
	CHECK(pthread_equal(handled_by, blocked.thread));
}

TEST(a_handler_interrupts_each_blocked_call)
{
	int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);

	handle_with(SIGUSR1, count, 0);
	open_all();
	for (size_t i = 0; i < CALLS; i++) {
		check_interrupted(&calls[i], -1);
		for (int core = 0; core < cores; core++)
			check_interrupted(&calls[i], core);
	}
	close_all();
	signal(SIGUSR1, SIG_DFL);
}

/* With SA_RESTART some calls are still there after several signals; cancellation ends them. */
TEST(a_handler_may_let_a_call_go_on)
{
	int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);

	handle_with(SIGUSR1, count, SA_RESTART);
	open_all();
	for (size_t i = 0; i < CALLS; i++) {
		struct blocked blocked = { .call = &calls[i], .core = (int)i % cores };
		void *result = NULL;

		if (!calls[i].restarts) {
			check_interrupted(&calls[i], blocked.core);
			continue;
		}
		CHECK_EQ(pthread_create(&blocked.thread, NULL, run_blocked, &blocked), 0);
		for (int j = 0; j < 4; j++) {
			int before = __atomic_load_n(&handled, __ATOMIC_SEQ_CST);

			usleep(2000);
			CHECK_EQ(pthread_kill(blocked.thread, SIGUSR1), 0);
			for (int k = 0; k < 500 && handled == before; k++)
				usleep(1000);
			CHECK_EQ(__atomic_load_n(&handled, __ATOMIC_SEQ_CST), before + 1);
		}
		usleep(1000);
		if (is_done(&blocked))
			test_failed(__FILE__, __LINE__, calls[i].name, blocked.result,
				    blocked.error, true);
		CHECK_EQ(pthread_cancel(blocked.thread), 0);
		CHECK_EQ(pthread_join(blocked.thread, &result), 0);
		CHECK(result == PTHREAD_CANCELED);
	}
	close_all();
	signal(SIGUSR1, SIG_DFL);
}

TEST(a_restarted_read_gets_its_data)
{
	struct blocked blocked = { .call = &calls[0], .core = -1 };

	handle_with(SIGUSR1, count, SA_RESTART);
	CHECK_EQ(pipe(pipe_ends), 0);
	CHECK_EQ(pthread_create(&blocked.thread, NULL, run_blocked, &blocked), 0);
	for (int i = 0; i < 100; i++) {
		usleep(100);
		CHECK_EQ(pthread_kill(blocked.thread, SIGUSR1), 0);
	}
	CHECK(!is_done(&blocked));
	CHECK_EQ(write(pipe_ends[1], "x", 1), 1);
	CHECK_EQ(pthread_join(blocked.thread, NULL), 0);
	CHECK_EQ(blocked.result, 1);
	CHECK(handled > 0);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	signal(SIGUSR1, SIG_DFL);
}

static void close_pipe(int number)
{
	(void)number;
	close(pipe_ends[0]);
	__atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}

TEST(a_file_may_be_closed_by_the_handler)
{
	struct blocked blocked = { .call = &calls[0], .core = -1 };

	handle_with(SIGUSR1, close_pipe, SA_RESTART);
	CHECK_EQ(pipe(pipe_ends), 0);
	CHECK_EQ(pthread_create(&blocked.thread, NULL, run_blocked, &blocked), 0);
	usleep(5000);
	CHECK_EQ(pthread_kill(blocked.thread, SIGUSR1), 0);
	CHECK_EQ(pthread_join(blocked.thread, NULL), 0);
	CHECK(blocked.result == -1 && blocked.error == EBADF);
	CHECK_EQ(handled, 1);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	/* Nobody kept the reading end. */
	CHECK(write(pipe_ends[1], "x", 1) == -1 && errno == EPIPE);
	signal(SIGPIPE, SIG_DFL);
	close(pipe_ends[1]);
	signal(SIGUSR1, SIG_DFL);
}

static __thread sigjmp_buf way_out;

static void jump(int number)
{
	(void)number;
	siglongjmp(way_out, 1);
}

static void *read_and_jump(void *argument)
{
	char byte;

	(void)argument;
	if (sigsetjmp(way_out, 1) == 0) {
		__atomic_store_n(&handled, 1, __ATOMIC_SEQ_CST);
		read(pipe_ends[0], &byte, 1);
		return NULL;
	}
	CHECK_EQ(close(pipe_ends[0]), 0);
	return &way_out;
}

TEST(leaving_a_handler_of_a_blocked_call_keeps_no_file)
{
	pthread_t thread;
	void *result = NULL;

	handle_with(SIGUSR1, jump, 0);
	CHECK_EQ(pipe(pipe_ends), 0);
	CHECK_EQ(pthread_create(&thread, NULL, read_and_jump, NULL), 0);
	while (!__atomic_load_n(&handled, __ATOMIC_SEQ_CST))
		usleep(1000);
	usleep(5000);
	CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
	CHECK_EQ(pthread_join(thread, &result), 0);
	CHECK(result != NULL);
	signal(SIGPIPE, SIG_IGN);
	CHECK(write(pipe_ends[1], "x", 1) == -1 && errno == EPIPE);
	signal(SIGPIPE, SIG_DFL);
	close(pipe_ends[1]);
	signal(SIGUSR1, SIG_DFL);
}

/* ---- signals for the process ---- */

static void *wait_for_signal(void *argument)
{
	sigset_t set;
	int number = 0;

	(void)argument;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	CHECK_EQ(sigwait(&set, &number), 0);
	return (void *)(intptr_t)number;
}

TEST(a_signal_for_the_process_finds_who_takes_it)
{
	struct timespec none = { 0 };
	struct blocked blocked = { .call = &calls[0], .core = -1 };
	pthread_t thread;
	sigset_t set, old, pending;
	siginfo_t info;
	void *result = NULL;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	handle_with(SIGUSR1, count, 0);
	CHECK_EQ(pipe(pipe_ends), 0);

	/* This thread blocks it, the reader does not. */
	CHECK_EQ(pthread_create(&blocked.thread, NULL, run_blocked, &blocked), 0);
	CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
	for (int i = 0; i < 500 && !is_done(&blocked); i++) {
		usleep(2000);
		CHECK_EQ(kill(getpid(), SIGUSR1), 0);
	}
	CHECK_EQ(pthread_join(blocked.thread, NULL), 0);
	CHECK(blocked.result == -1 && blocked.error == EINTR);
	/* The last one may have come when it was gone. */
	while (sigtimedwait(&set, NULL, &none) > 0)
		;

	/* All block it, one waits for it; its default action is not taken. */
	CHECK_EQ(pthread_create(&thread, NULL, wait_for_signal, NULL), 0);
	usleep(5000);
	CHECK_EQ(kill(getpid(), SIGTERM), 0);
	CHECK_EQ(pthread_join(thread, &result), 0);
	CHECK_EQ((intptr_t)result, SIGTERM);

	/* All block it and nobody waits yet. */
	CHECK_EQ(kill(getpid(), SIGTERM), 0);
	CHECK_EQ(sigpending(&pending), 0);
	CHECK_EQ(sigismember(&pending, SIGTERM), 1);
	CHECK_EQ(sigtimedwait(&set, &info, &none), SIGTERM);
	CHECK_EQ(info.si_signo, SIGTERM);
	CHECK_EQ(sigpending(&pending), 0);
	CHECK_EQ(sigismember(&pending, SIGTERM), 0);
	CHECK(sigtimedwait(&set, &info, &(struct timespec){ .tv_nsec = 2000000 }) == -1 &&
	      errno == EAGAIN);

	/* Ignoring discards what waits. */
	CHECK_EQ(kill(getpid(), SIGTERM), 0);
	signal(SIGTERM, SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	CHECK_EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	signal(SIGUSR1, SIG_DFL);
}

/* ---- the interval timer ---- */

TEST(the_interval_timer_sends_sigalrm)
{
	struct itimerval value = { .it_value.tv_usec = 3000, .it_interval.tv_usec = 2000 }, old;
	struct timespec begin, end;
	long ms;

	handle_with(SIGALRM, count, 0);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	CHECK_EQ(setitimer(ITIMER_REAL, &value, &old), 0);
	CHECK_EQ(old.it_value.tv_usec, 0);
	for (int i = 1; i <= 5; i++) {
		CHECK(pause() == -1 && errno == EINTR);
		CHECK(handled >= i);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	ms = (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000;
	CHECK(ms >= 9);
	CHECK_EQ(getitimer(ITIMER_REAL, &value), 0);
	CHECK_EQ(value.it_interval.tv_usec, 2000);
	CHECK(value.it_value.tv_usec > 0 && value.it_value.tv_usec <= 2000);

	/* Off is off; alarm() tells what was left. */
	CHECK_EQ(alarm(100), 1);
	CHECK_EQ(alarm(0), 100);
	handled = 0;
	usleep(10000);
	CHECK_EQ(handled, 0);
	CHECK_EQ(alarm(0), 0);

	/* The classic limit of a blocking call. */
	value = (struct itimerval){ .it_value.tv_usec = 3000, .it_interval.tv_usec = 3000 };
	CHECK_EQ(pipe(pipe_ends), 0);
	CHECK_EQ(setitimer(ITIMER_REAL, &value, NULL), 0);
	CHECK(do_read() == -1 && errno == EINTR);
	CHECK(handled > 0);
	alarm(0);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	value.it_value.tv_usec = 1000000;
	CHECK(setitimer(ITIMER_REAL, &value, NULL) == -1 && errno == EINVAL);
	signal(SIGALRM, SIG_DFL);
}

/* ---- many signals ---- */

static bool stop; /* atomic */
static int rounds;

static void *wait_shortly(void *argument)
{
	int core = (int)(intptr_t)argument;

	pin(core);
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		struct pollfd entry = { .fd = pipe_ends[0], .events = POLLIN };
		struct epoll_event event;
		struct timespec until;

		nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
		poll(&entry, 1, 1);
		epoll_wait(epoll_set, &event, 1, 1);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 200000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		sem_timedwait(&semaphore, &until);
		pthread_mutex_lock(&mutex);
		pthread_cond_timedwait(&condition, &mutex, &until);
		pthread_mutex_unlock(&mutex);
		__atomic_add_fetch(&rounds, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

TEST(many_signals_meet_timed_waits)
{
	int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);

	handle_with(SIGUSR1, count, 0);
	open_all();
	for (int core = 0; core < cores; core++) {
		pthread_t thread;
		int before;

		__atomic_store_n(&stop, false, __ATOMIC_SEQ_CST);
		handled = rounds = 0;
		CHECK_EQ(pthread_create(&thread, NULL, wait_shortly, (void *)(intptr_t)core), 0);
		for (int i = 0; i < 1000; i++) {
			CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
			if (i % 4 == 0) {
				sem_post(&semaphore);
				pthread_cond_signal(&condition);
			}
			if (i % 7 == 0)
				usleep(50 + i);
			else
				sched_yield();
		}
		before = __atomic_load_n(&rounds, __ATOMIC_SEQ_CST);
		for (int i = 0; i < 2000 && __atomic_load_n(&rounds, __ATOMIC_SEQ_CST) < before + 2;
		     i++)
			usleep(1000);
		CHECK(__atomic_load_n(&rounds, __ATOMIC_SEQ_CST) >= before + 2);
		CHECK(handled > 0);
		__atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
		CHECK_EQ(pthread_join(thread, NULL), 0);
	}
	close_all();
	signal(SIGUSR1, SIG_DFL);
}

static void *end_at_once(void *argument)
{
	return argument;
}

/* The message about a signal may come when the thread is gone. */
TEST(signals_for_threads_that_end)
{
	handle_with(SIGUSR1, count, 0);
	for (int i = 0; i < 300; i++) {
		pthread_t thread;

		CHECK_EQ(pthread_create(&thread, NULL, end_at_once, NULL), 0);
		for (int j = 0; j < 3; j++) {
			int error = pthread_kill(thread, SIGUSR1);

			CHECK(error == 0 || error == ESRCH);
		}
		CHECK_EQ(pthread_join(thread, NULL), 0);
	}
	signal(SIGUSR1, SIG_DFL);
}

/* ---- cancellation ---- */

static void unlock(void *argument)
{
	__atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(argument);
}

static long do_condition(void)
{
	pthread_mutex_lock(&mutex);
	pthread_cleanup_push(unlock, &mutex);
	for (;;)
		pthread_cond_wait(&condition, &mutex);
	pthread_cleanup_pop(1);
	return 0;
}

static void check_cancelled(const struct blocking_call *call, int core, bool wait)
{
	struct blocked blocked = { .call = call, .core = core };
	void *result = NULL;

	CHECK_EQ(pthread_create(&blocked.thread, NULL, run_blocked, &blocked), 0);
	if (wait)
		usleep(2000);
	CHECK_EQ(pthread_cancel(blocked.thread), 0);
	CHECK_EQ(pthread_join(blocked.thread, &result), 0);
	if (result != PTHREAD_CANCELED || is_done(&blocked))
		test_failed(__FILE__, __LINE__, call->name, core, wait, true);
}

TEST(each_blocked_call_is_cancelled)
{
	const struct blocking_call wait_for_condition = { "condition", do_condition, true };
	const struct blocking_call await_usr2 = { "sigwait", do_sigwait, true };
	int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);

	open_all();
	for (int core = -1; core < cores; core++)
		for (int wait = 0; wait < 2; wait++) {
			for (size_t i = 0; i < CALLS; i++)
				if (calls[i].call != do_sigtimedwait)
					check_cancelled(&calls[i], core, wait);
			check_cancelled(&await_usr2, core, wait);
			handled = 0;
			check_cancelled(&wait_for_condition, core, true);
			CHECK_EQ(handled, 1);
			CHECK_EQ(pthread_mutex_trylock(&mutex), 0);
			CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
		}
	close_all();
}

static void *read_uncancelled(void *argument)
{
	char byte = 0;
	int old;

	CHECK_EQ(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old), 0);
	CHECK_EQ(read(pipe_ends[0], &byte, 1), 1);
	*(char *)argument = byte;
	CHECK_EQ(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old), 0);
	pthread_testcancel();
	*(char *)argument = 'n';
	return NULL;
}

TEST(disabled_cancellation_waits)
{
	char got = 0;
	pthread_t thread;
	void *result = NULL;

	CHECK_EQ(pipe(pipe_ends), 0);
	CHECK_EQ(pthread_create(&thread, NULL, read_uncancelled, &got), 0);
	usleep(3000);
	CHECK_EQ(pthread_cancel(thread), 0);
	usleep(3000);
	CHECK_EQ(got, 0);
	CHECK_EQ(write(pipe_ends[1], "x", 1), 1);
	CHECK_EQ(pthread_join(thread, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	CHECK_EQ(got, 'x');
	close(pipe_ends[0]);
	close(pipe_ends[1]);
}

static int bytes_read;

static void *read_bytes(void *argument)
{
	char byte;

	(void)argument;
	for (;;)
		bytes_read += read(pipe_ends[0], &byte, 1) == 1;
	return NULL;
}

/* Deferred: what the cancelled call has taken, the thread has seen. */
TEST(cancellation_loses_no_data)
{
	CHECK_EQ(pipe(pipe_ends), 0);
	for (int i = 0; i < 300; i++) {
		pthread_t thread;
		void *result = NULL;
		char rest[16];
		int left;

		bytes_read = 0;
		CHECK_EQ(pthread_create(&thread, NULL, read_bytes, NULL), 0);
		if (i & 1)
			usleep(i);
		CHECK_EQ(write(pipe_ends[1], "0123456789", 10), 10);
		CHECK_EQ(pthread_cancel(thread), 0);
		CHECK_EQ(pthread_join(thread, &result), 0);
		CHECK(result == PTHREAD_CANCELED);
		CHECK_EQ(fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK), 0);
		left = (int)read(pipe_ends[0], rest, sizeof(rest));
		CHECK_EQ(fcntl(pipe_ends[0], F_SETFL, 0), 0);
		CHECK_EQ(bytes_read + (left > 0 ? left : 0), 10);
	}
	close(pipe_ends[0]);
	close(pipe_ends[1]);
}
