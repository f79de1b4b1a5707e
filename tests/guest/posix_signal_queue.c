/* Signals that wait: what comes with them, in which order, how many, and who takes them. */
#include "tests/guest/test.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static siginfo_t infos[64];
static atomic_int taken;

static void note(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	infos[atomic_fetch_add(&taken, 1) % 64] = *info;
}

static void handle_with(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO };

	CHECK_EQ(sigaction(number, &action, NULL), 0);
	atomic_store(&taken, 0);
}

static sigset_t set_of(int a, int b)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, a);
	sigaddset(&set, b);
	return set;
}

static void send_value(int number, int value)
{
	CHECK_EQ(sigqueue(getpid(), number, (union sigval){ .sival_int = value }), 0);
}

TEST(what_a_signal_brings_along)
{
	struct itimerval soon = { .it_value.tv_usec = 1000 };
	siginfo_t own = { .si_signo = SIGUSR1, .si_code = -60 };

	handle_with(SIGUSR1, note, 0);
	handle_with(SIGALRM, note, 0);
	CHECK_EQ(kill(getpid(), SIGUSR1), 0);
	CHECK_EQ(infos[0].si_signo, SIGUSR1);
	CHECK_EQ(infos[0].si_code, SI_USER);
	CHECK_EQ(infos[0].si_pid, getpid());
	CHECK_EQ(infos[0].si_uid, getuid());
	CHECK_EQ(raise(SIGUSR1), 0);
	CHECK_EQ(infos[1].si_code, SI_TKILL);
	CHECK_EQ(infos[1].si_pid, getpid());
	send_value(SIGUSR1, 42);
	CHECK_EQ(infos[2].si_code, SI_QUEUE);
	CHECK_EQ(infos[2].si_value.sival_int, 42);
	CHECK_EQ(infos[2].si_uid, getuid());
	CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
	CHECK(pause() == -1 && errno == EINTR);
	CHECK_EQ(infos[3].si_signo, SIGALRM);
	CHECK_EQ(infos[3].si_code, SI_KERNEL);
	/* What one tells oneself is one's own affair. */
	own.si_value.sival_int = 7;
	CHECK_EQ(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &own), 0);
	CHECK_EQ(infos[4].si_code, -60);
	CHECK_EQ(infos[4].si_value.sival_int, 7);
	CHECK_EQ(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &own), 0);
	CHECK_EQ(infos[5].si_code, -60);
	CHECK_EQ(atomic_load(&taken), 6);

	CHECK(syscall(SYS_rt_sigqueueinfo, 30000, SIGUSR1, &own) == -1 && errno == ESRCH);
	CHECK(syscall(SYS_rt_sigqueueinfo, getpid(), 65, &own) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, NULL) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_rt_tgsigqueueinfo, getpid(), 30000, SIGUSR1, &own) == -1 &&
	      errno == ESRCH);
	CHECK(syscall(SYS_tgkill, getpid(), 0, SIGUSR1) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_tgkill, getpid(), 30000, SIGUSR1) == -1 && errno == ESRCH);
	CHECK(syscall(SYS_tgkill, getpid(), gettid(), -1) == -1 && errno == EINVAL);
	CHECK(kill(getpid(), 65) == -1 && errno == EINVAL);
	signal(SIGUSR1, SIG_DFL);
	signal(SIGALRM, SIG_DFL);
}

TEST(real_time_signals_wait_in_order)
{
	int high = SIGRTMIN + 5, low = SIGRTMIN + 4;
	sigset_t set = set_of(high, low), old, pending;
	struct timespec none = { 0 };
	siginfo_t info;

	CHECK_EQ(sigprocmask(SIG_BLOCK, &set, &old), 0);
	for (int i = 0; i < 10; i++) {
		send_value(high, 100 + i);
		send_value(low, 200 + i);
	}
	CHECK_EQ(sigpending(&pending), 0);
	CHECK(sigismember(&pending, low) == 1 && sigismember(&pending, high) == 1);
	for (int i = 0; i < 10; i++) {
		CHECK_EQ(sigwaitinfo(&set, &info), low);
		CHECK_EQ(info.si_value.sival_int, 200 + i);
		CHECK_EQ(info.si_code, SI_QUEUE);
	}
	/* The handler sees the rest, each before the next. */
	handle_with(high, note, 0);
	CHECK_EQ(sigprocmask(SIG_SETMASK, &old, NULL), 0);
	CHECK_EQ(atomic_load(&taken), 10);
	for (int i = 0; i < 10; i++)
		CHECK_EQ(infos[i].si_value.sival_int, 100 + i);
	CHECK(sigtimedwait(&set, &info, &none) == -1 && errno == EAGAIN);
	signal(high, SIG_DFL);
}

TEST(other_signals_wait_once)
{
	sigset_t set = set_of(SIGUSR1, SIGUSR2), old;
	struct timespec none = { 0 };
	siginfo_t info;

	CHECK_EQ(sigprocmask(SIG_BLOCK, &set, &old), 0);
	for (int i = 0; i < 5; i++)
		send_value(SIGUSR1, i);
	/* One for the thread is another than one for the process. */
	CHECK_EQ(raise(SIGUSR1), 0);
	CHECK_EQ(raise(SIGUSR1), 0);
	CHECK_EQ(sigtimedwait(&set, &info, &none), SIGUSR1);
	CHECK(info.si_code == SI_TKILL || info.si_code == SI_USER); /* glibc says so here */
	CHECK_EQ(sigtimedwait(&set, &info, &none), SIGUSR1);
	CHECK_EQ(info.si_code, SI_QUEUE);
	CHECK_EQ(info.si_value.sival_int, 0);
	CHECK(sigtimedwait(&set, &info, &none) == -1 && errno == EAGAIN);
	CHECK_EQ(sigprocmask(SIG_SETMASK, &old, NULL), 0);
}

TEST(the_queue_has_a_limit)
{
	int number = SIGRTMIN + 6, sent = 0;
	sigset_t set = set_of(number, number), old;
	struct rlimit limit, few = { 20, 20 };
	struct timespec none = { 0 };
	siginfo_t info;

	CHECK_EQ(getrlimit(RLIMIT_SIGPENDING, &limit), 0);
	CHECK(limit.rlim_cur >= 100);
	few.rlim_max = limit.rlim_max;
	CHECK_EQ(setrlimit(RLIMIT_SIGPENDING, &few), 0);
	CHECK_EQ(sigprocmask(SIG_BLOCK, &set, &old), 0);
	while (sent < 1000 && sigqueue(getpid(), number, (union sigval){ .sival_int = sent }) == 0)
		sent++;
	CHECK_EQ(errno, EAGAIN);
	/* Linux counts what waits for all processes of the user. */
	CHECK(sent <= 20 && (sent >= 15 || getuid() == 0));
	/* kill() is not refused: at least one waits already. */
	CHECK_EQ(kill(getpid(), number), 0);
	for (int i = 0; i < sent; i++) {
		CHECK_EQ(sigtimedwait(&set, &info, &none), number);
		CHECK_EQ(info.si_value.sival_int, i);
	}
	while (sigtimedwait(&set, &info, &none) > 0)
		;
	CHECK_EQ(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
	for (int i = 0; i < 100; i++)
		send_value(number, i);
	/* Ignoring drops them all. */
	signal(number, SIG_IGN);
	CHECK(sigtimedwait(&set, &info, &none) == -1 && errno == EAGAIN);
	signal(number, SIG_DFL);
	CHECK_EQ(sigprocmask(SIG_SETMASK, &old, NULL), 0);
}

/* ---- who takes what is for the process ---- */

static atomic_int waiting, by_thread;
static atomic_bool stop;

static void *take_values(void *argument)
{
	sigset_t set = set_of(SIGRTMIN + 7, SIGRTMIN + 7);
	siginfo_t info;
	long sum = 0;

	(void)argument;
	for (;;) {
		/* Linux says EINTR to one that another was faster than. */
		if (sigwaitinfo(&set, &info) < 0)
			continue;
		if (info.si_value.sival_int < 0)
			break;
		sum += info.si_value.sival_int;
	}
	return (void *)sum;
}

TEST(threads_share_the_signals_of_the_process)
{
	enum { TAKERS = 4, VALUES = 400 };
	sigset_t set = set_of(SIGRTMIN + 7, SIGRTMIN + 7), old;
	pthread_t takers[TAKERS];
	long sum = 0;

	atomic_store(&waiting, 0);
	CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
	for (int i = 0; i < TAKERS; i++)
		CHECK_EQ(pthread_create(&takers[i], NULL, take_values, NULL), 0);
	for (int i = 1; i <= VALUES; i++)
		send_value(SIGRTMIN + 7, i);
	for (int i = 0; i < TAKERS; i++)
		send_value(SIGRTMIN + 7, -1);
	for (int i = 0; i < TAKERS; i++) {
		void *result;

		CHECK_EQ(pthread_join(takers[i], &result), 0);
		sum += (long)result;
	}
	CHECK_EQ(sum, VALUES * (VALUES + 1) / 2);
	CHECK_EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
}

static void note_thread(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	(void)context;
	atomic_store(&by_thread, gettid());
	atomic_fetch_add(&taken, 1);
}

static void *compute_or_block(void *argument)
{
	sigset_t set = set_of(SIGUSR1, SIGUSR1);

	if (argument)
		pthread_sigmask(SIG_BLOCK, &set, NULL);
	atomic_fetch_add(&waiting, 1);
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		;
	return NULL;
}

TEST(a_computing_thread_takes_a_signal_of_the_process)
{
	sigset_t set = set_of(SIGUSR1, SIGUSR1), old;
	pthread_t open_to_it, closed;

	handle_with(SIGUSR1, note_thread, 0);
	atomic_store(&stop, false);
	atomic_store(&waiting, 0);
	CHECK_EQ(pthread_create(&open_to_it, NULL, compute_or_block, NULL), 0);
	CHECK_EQ(pthread_create(&closed, NULL, compute_or_block, (void *)1), 0);
	CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
	while (atomic_load(&waiting) < 2)
		usleep(1000);
	for (int i = 1; i <= 10; i++) {
		CHECK_EQ(kill(getpid(), SIGUSR1), 0);
		for (int j = 0; j < 10000 && atomic_load(&taken) < i; j++)
			usleep(1000);
		CHECK_EQ(atomic_load(&taken), i);
		CHECK(atomic_load(&by_thread) != gettid());
	}
	atomic_store(&stop, true);
	CHECK_EQ(pthread_join(open_to_it, NULL), 0);
	/* Only those are left who block it: it waits until somebody does not. */
	CHECK_EQ(kill(getpid(), SIGUSR1), 0);
	CHECK_EQ(pthread_join(closed, NULL), 0);
	CHECK_EQ(atomic_load(&taken), 10);
	CHECK_EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
	CHECK_EQ(atomic_load(&taken), 11);
	CHECK_EQ(atomic_load(&by_thread), gettid());
	signal(SIGUSR1, SIG_DFL);
}

/* A thread that is chosen for a signal of the process, and ends or blocks it first, leaves it to others. */
static void *live_shortly(void *unused)
{
	sigset_t set = set_of(SIGRTMIN + 8, SIGRTMIN + 8);

	(void)unused;
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return NULL;
}

TEST(no_signal_of_the_process_is_lost)
{
	enum { VALUES = 300 };
	sigset_t set = set_of(SIGRTMIN + 8, SIGRTMIN + 8), old;

	handle_with(SIGRTMIN + 8, note_thread, 0);
	for (int i = 0; i < VALUES; i++) {
		pthread_t thread;

		CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
		CHECK_EQ(pthread_create(&thread, NULL, live_shortly, NULL), 0);
		send_value(SIGRTMIN + 8, i);
		CHECK_EQ(pthread_join(thread, NULL), 0);
		CHECK_EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
		CHECK_EQ(atomic_load(&taken), i + 1);
	}
	signal(SIGRTMIN + 8, SIG_DFL);
}

/* ---- handlers inside handlers ---- */

static atomic_int depth, deepest;

static void nest(int number, siginfo_t *info, void *context)
{
	int now = atomic_fetch_add(&depth, 1) + 1;

	(void)context;
	if (now > atomic_load(&deepest))
		atomic_store(&deepest, now);
	if (info->si_value.sival_int > 0)
		send_value(number, info->si_value.sival_int - 1);
	atomic_fetch_sub(&depth, 1);
	atomic_fetch_add(&taken, 1);
}

TEST(a_handler_blocks_its_own_signal)
{
	handle_with(SIGRTMIN + 9, nest, 0);
	atomic_store(&deepest, 0);
	send_value(SIGRTMIN + 9, 5);
	CHECK_EQ(atomic_load(&taken), 6);
	CHECK_EQ(atomic_load(&deepest), 1);
	handle_with(SIGRTMIN + 9, nest, SA_NODEFER);
	atomic_store(&deepest, 0);
	send_value(SIGRTMIN + 9, 5);
	CHECK_EQ(atomic_load(&taken), 6);
	CHECK_EQ(atomic_load(&deepest), 6);
	handle_with(SIGRTMIN + 9, nest, SA_RESETHAND);
	send_value(SIGRTMIN + 9, 0);
	struct sigaction now;

	CHECK_EQ(sigaction(SIGRTMIN + 9, NULL, &now), 0);
	CHECK(now.sa_handler == SIG_DFL);
}
