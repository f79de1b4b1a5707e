/* Signals that the program sends itself, and the cancellation of threads, which is made of them. */
#include "tests/guest/test.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t handled;

static void handle(int number)
{
	handled = number;
}

TEST(raise_calls_the_handler)
{
	struct sigaction action = { .sa_handler = handle }, old;
	sigset_t set;

	CHECK_EQ(sigaction(SIGUSR1, &action, &old), 0);
	handled = 0;
	CHECK_EQ(raise(SIGUSR1), 0);
	CHECK_EQ(handled, SIGUSR1);

	/* A blocked signal waits. */
	handled = 0;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	CHECK_EQ(kill(getpid(), SIGUSR1), 0);
	CHECK_EQ(handled, 0);
	CHECK_EQ(sigprocmask(SIG_UNBLOCK, &set, NULL), 0);
	CHECK_EQ(handled, SIGUSR1);
	CHECK_EQ(sigaction(SIGUSR1, &old, NULL), 0);

	CHECK_EQ(kill(getpid(), 0), 0);
	errno = 0;
	CHECK(kill(4242, SIGTERM) == -1 && errno == ESRCH);
}

static sigjmp_buf way_out;

static void leave(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	handled = info->si_signo;
	siglongjmp(way_out, 1);
}

TEST(a_handler_may_be_left_by_siglongjmp)
{
	struct sigaction action = { .sa_sigaction = leave, .sa_flags = SA_SIGINFO }, old;
	sigset_t mask;

	CHECK_EQ(sigaction(SIGUSR2, &action, &old), 0);
	for (int i = 0; i < 2; i++) {
		handled = 0;
		if (sigsetjmp(way_out, 1) == 0) {
			raise(SIGUSR2);
			CHECK(!"the handler returned");
		}
		CHECK_EQ(handled, SIGUSR2);
	}
	CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &mask), 0);
	CHECK_EQ(sigismember(&mask, SIGUSR2), 0);
	CHECK_EQ(sigaction(SIGUSR2, &old, NULL), 0);
}

static void *sleep_for_ever(void *argument)
{
	(void)argument;
	for (;;)
		usleep(1000);
	return NULL;
}

static int cleaned;

static void clean(void *argument)
{
	(void)argument;
	cleaned++;
}

static void *sleep_with_cleanup(void *argument)
{
	(void)argument;
	pthread_cleanup_push(clean, NULL);
	sleep_for_ever(NULL);
	pthread_cleanup_pop(0);
	return NULL;
}

TEST(a_cancelled_thread_ends_at_a_cancellation_point)
{
	pthread_t thread;
	void *result = NULL;

	cleaned = 0;
	CHECK_EQ(pthread_create(&thread, NULL, sleep_with_cleanup, NULL), 0);
	usleep(5000);
	CHECK_EQ(pthread_cancel(thread), 0);
	CHECK_EQ(pthread_join(thread, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	CHECK_EQ(cleaned, 1);
}
