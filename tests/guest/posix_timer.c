/* Timers that send signals, and the clocks they run on. */
#include "tests/guest/test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
#ifndef CLOCK_TAI
#define CLOCK_TAI 11
#endif

#define MS 1000000l

static atomic_int handled, overruns, last_value, last_code;
static _Atomic(pthread_t) handled_by;

static void note(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	atomic_store(&last_value, info->si_value.sival_int);
	atomic_store(&last_code, info->si_code);
	atomic_fetch_add(&overruns, info->si_overrun);
	atomic_store(&handled_by, pthread_self());
	atomic_fetch_add(&handled, 1);
}

static void handle(int number)
{
	struct sigaction action = { .sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART };

	CHECK_EQ(sigaction(number, &action, NULL), 0);
	atomic_store(&handled, 0);
	atomic_store(&overruns, 0);
}

static struct itimerspec spec(long first_ns, long interval_ns)
{
	return (struct itimerspec){
		.it_value = { .tv_sec = first_ns / 1000000000, .tv_nsec = first_ns % 1000000000 },
		.it_interval = { .tv_sec = interval_ns / 1000000000,
				 .tv_nsec = interval_ns % 1000000000 },
	};
}

static long now_ms(clockid_t clock)
{
	struct timespec time;

	CHECK_EQ(clock_gettime(clock, &time), 0);
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static timer_t make_timer(clockid_t clock, int number, int value)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = number };
	timer_t timer = 0;

	event.sigev_value.sival_int = value;
	CHECK_EQ(timer_create(clock, &event, &timer), 0);
	return timer;
}

static void spin(void)
{
	for (volatile int i = 0; i < 1000; i++)
		;
}

TEST(a_timer_sends_its_value)
{
	static const clockid_t clocks[] = { CLOCK_REALTIME,	     CLOCK_MONOTONIC,
					    CLOCK_BOOTTIME,	     CLOCK_PROCESS_CPUTIME_ID,
					    CLOCK_THREAD_CPUTIME_ID, CLOCK_TAI };

	handle(SIGUSR1);
	for (size_t i = 0; i < sizeof(clocks) / sizeof(*clocks); i++) {
		timer_t timer = make_timer(clocks[i], SIGUSR1, 4711 + (int)i);
		struct itimerspec once = spec(5 * MS, 0), left;
		long begin = now_ms(clocks[i]), took;

		atomic_store(&handled, 0);
		CHECK_EQ(timer_settime(timer, 0, &once, &left), 0);
		CHECK_EQ(left.it_value.tv_nsec, 0);
		CHECK_EQ(timer_gettime(timer, &left), 0);
		CHECK(left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 5 * MS);
		while (!atomic_load(&handled))
			spin();
		took = now_ms(clocks[i]) - begin;
		CHECK(took >= 4 && took < 5000);
		CHECK_EQ(atomic_load(&last_value), 4711 + (int)i);
		CHECK_EQ(atomic_load(&last_code), SI_TIMER);
		CHECK_EQ(timer_gettime(timer, &left), 0);
		CHECK_EQ(left.it_value.tv_sec, 0);
		CHECK_EQ(left.it_value.tv_nsec, 0);

		/* At a moment of its clock, which has passed. */
		CHECK_EQ(clock_gettime(clocks[i], &once.it_value), 0);
		CHECK_EQ(timer_settime(timer, TIMER_ABSTIME, &once, NULL), 0);
		while (atomic_load(&handled) < 2)
			spin();
		CHECK_EQ(timer_delete(timer), 0);
		CHECK(timer_gettime(timer, &left) == -1 && errno == EINVAL);
	}
	signal(SIGUSR1, SIG_DFL);
}

TEST(a_timer_repeats_and_counts_what_nobody_took)
{
	timer_t timer = make_timer(CLOCK_MONOTONIC, SIGRTMIN + 1, 1);
	struct itimerspec every = spec(2 * MS, 2 * MS), off = spec(0, 0), left;
	sigset_t set, old;
	siginfo_t info;
	int count;

	handle(SIGRTMIN + 1);
	CHECK_EQ(timer_settime(timer, 0, &every, NULL), 0);
	while (atomic_load(&handled) < 5)
		usleep(1000);
	CHECK_EQ(timer_gettime(timer, &left), 0);
	CHECK_EQ(left.it_interval.tv_nsec, 2 * MS);

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	CHECK_EQ(sigprocmask(SIG_BLOCK, &set, &old), 0);
	usleep(50000);
	CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
	CHECK_EQ(info.si_code, SI_TIMER);
	CHECK(info.si_overrun >= 10);
	CHECK_EQ(timer_getoverrun(timer), info.si_overrun);
	CHECK_EQ(timer_settime(timer, 0, &off, NULL), 0);
	CHECK(sigtimedwait(&set, &info, &(struct timespec){ 0, 5 * MS }) == -1 ||
	      info.si_overrun >= 0);
	CHECK_EQ(sigprocmask(SIG_SETMASK, &old, NULL), 0);
	count = atomic_load(&handled);
	usleep(10000);
	CHECK(atomic_load(&handled) <= count + 1);
	CHECK_EQ(timer_delete(timer), 0);
	signal(SIGRTMIN + 1, SIG_DFL);
}

static void *wait_in_thread(void *argument)
{
	atomic_store((atomic_int *)argument, gettid());
	while (!atomic_load(&handled))
		usleep(1000);
	return NULL;
}

TEST(a_timer_is_for_one_thread)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2 };
	struct itimerspec once = spec(3 * MS, 0);
	atomic_int tid = 0;
	pthread_t thread;
	timer_t timer;

	handle(SIGUSR2);
	CHECK_EQ(pthread_create(&thread, NULL, wait_in_thread, &tid), 0);
	while (!atomic_load(&tid))
		usleep(1000);
	event.sigev_notify_thread_id = atomic_load(&tid);
	CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	CHECK_EQ(timer_settime(timer, 0, &once, NULL), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK(pthread_equal(atomic_load(&handled_by), thread));
	/* Its thread is gone. */
	CHECK_EQ(timer_settime(timer, 0, &once, NULL), 0);
	usleep(10000);
	CHECK_EQ(atomic_load(&handled), 1);
	CHECK_EQ(timer_delete(timer), 0);
	signal(SIGUSR2, SIG_DFL);
}

static void called(union sigval value)
{
	atomic_store(&last_value, value.sival_int);
	atomic_fetch_add(&handled, 1);
}

TEST(a_timer_calls_a_function_in_a_thread)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD,
				  .sigev_notify_function = called,
				  .sigev_value.sival_int = 99 };
	struct itimerspec every = spec(MS, MS);
	timer_t timer;

	atomic_store(&handled, 0);
	CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	CHECK_EQ(timer_settime(timer, 0, &every, NULL), 0);
	for (int i = 0; i < 5000 && atomic_load(&handled) < 5; i++)
		usleep(1000);
	CHECK(atomic_load(&handled) >= 5);
	CHECK_EQ(atomic_load(&last_value), 99);
	CHECK_EQ(timer_delete(timer), 0);
}

TEST(bad_timers_are_refused)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = 65 };
	struct itimerspec bad = { .it_value.tv_nsec = 1000000000 };
	timer_t timer;

	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == -1 && errno == EINVAL);
	event.sigev_signo = 0;
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == -1 && errno == EINVAL);
	event = (struct sigevent){ .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	event.sigev_notify_thread_id = 30000;
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == -1 && errno == EINVAL);
	CHECK(timer_create(77, NULL, &timer) == -1 && errno == EINVAL);
	CHECK(timer_create(CLOCK_MONOTONIC_COARSE, NULL, &timer) == -1 && errno == EOPNOTSUPP);
	CHECK_EQ(timer_create(CLOCK_MONOTONIC, NULL, &timer), 0);
	CHECK(timer_settime(timer, 0, &bad, NULL) == -1 && errno == EINVAL);
	CHECK_EQ(timer_delete(timer), 0);
	CHECK_EQ(syscall(SYS_timer_delete, 100000), -1);
	CHECK_EQ(errno, EINVAL);
}

/* What waits is gone with its timer. */
TEST(a_deleted_timer_sends_nothing)
{
	sigset_t set, old;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_EQ(sigprocmask(SIG_BLOCK, &set, &old), 0);
	for (int i = 0; i < 20; i++) {
		timer_t timer = make_timer(CLOCK_MONOTONIC, SIGUSR1, i);
		struct itimerspec soon = spec(1 + i * MS / 10, MS);

		CHECK_EQ(timer_settime(timer, 0, &soon, NULL), 0);
		usleep(1000);
		CHECK_EQ(timer_delete(timer), 0);
	}
	/* Linux keeps one that was queued already. */
	while (sigtimedwait(&set, NULL, &(struct timespec){ 0, 0 }) == SIGUSR1)
		;
	CHECK(sigtimedwait(&set, NULL, &(struct timespec){ 0, 5 * MS }) == -1 && errno == EAGAIN);
	CHECK_EQ(sigprocmask(SIG_SETMASK, &old, NULL), 0);
}

TEST(interval_timers_count_processor_time)
{
	static const struct {
		int which, number;
	} timers[] = { { ITIMER_VIRTUAL, SIGVTALRM }, { ITIMER_PROF, SIGPROF } };

	for (int i = 0; i < 2; i++) {
		struct itimerval every = { { 0, 5000 }, { 0, 5000 } }, none = { 0 }, left;

		handle(timers[i].number);
		CHECK_EQ(setitimer(timers[i].which, &every, NULL), 0);
		CHECK_EQ(getitimer(timers[i].which, &left), 0);
		CHECK_EQ(left.it_interval.tv_usec, 5000);
		while (atomic_load(&handled) < 3)
			spin();
		CHECK_EQ(setitimer(timers[i].which, &none, &left), 0);
		/* Who sleeps uses none. */
		atomic_store(&handled, 0);
		every = (struct itimerval){ .it_value = { 0, 50000 } };
		CHECK_EQ(setitimer(timers[i].which, &every, NULL), 0);
		usleep(100000);
		CHECK_EQ(atomic_load(&handled), 0);
		CHECK_EQ(setitimer(timers[i].which, &none, NULL), 0);
		signal(timers[i].number, SIG_DFL);
	}
}

/* ---- clocks ---- */

static void *burn(void *argument)
{
	while (!atomic_load((atomic_bool *)argument))
		spin();
	return NULL;
}

TEST(clocks_of_processor_time)
{
	struct timespec before, after, until;
	atomic_bool stop = false;
	clockid_t clock, process;
	pthread_t thread;
	long ms;

	CHECK_EQ(pthread_create(&thread, NULL, burn, &stop), 0);
	CHECK_EQ(pthread_getcpuclockid(thread, &clock), 0);
	CHECK_EQ(clock_getcpuclockid(0, &process), 0);
	CHECK_EQ(clock_gettime(clock, &before), 0);
	ms = now_ms(CLOCK_PROCESS_CPUTIME_ID);
	/* Until the other one has used some: this thread's own time stands nearly still. */
	CHECK_EQ(clock_gettime(process, &until), 0);
	until.tv_nsec += 30 * MS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	CHECK_EQ(clock_nanosleep(process, TIMER_ABSTIME, &until, NULL), 0);
	CHECK(now_ms(CLOCK_PROCESS_CPUTIME_ID) - ms >= 29);
	CHECK_EQ(clock_gettime(clock, &after), 0);
	CHECK((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec >
	      15 * MS);
	CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &until, NULL), EINVAL);
	atomic_store(&stop, true);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

TEST(clocks_are_read_and_not_set)
{
	static const clockid_t clocks[] = {
		CLOCK_REALTIME,		 CLOCK_MONOTONIC,     CLOCK_PROCESS_CPUTIME_ID,
		CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
		CLOCK_MONOTONIC_COARSE,	 CLOCK_BOOTTIME,      CLOCK_TAI
	};
	struct timespec time, resolution;
	struct timex timex = { 0 };

	for (size_t i = 0; i < sizeof(clocks) / sizeof(*clocks); i++) {
		struct timespec later;

		CHECK_EQ(clock_gettime(clocks[i], &time), 0);
		CHECK_EQ(clock_getres(clocks[i], &resolution), 0);
		CHECK(resolution.tv_sec == 0 && resolution.tv_nsec > 0);
		CHECK_EQ(clock_gettime(clocks[i], &later), 0);
		CHECK(later.tv_sec > time.tv_sec ||
		      (later.tv_sec == time.tv_sec && later.tv_nsec >= time.tv_nsec));
	}
	CHECK(clock_gettime(1234, &time) == -1 && errno == EINVAL);
	CHECK_EQ(clock_gettime(CLOCK_REALTIME, &time), 0);
	if (getuid() != 0) { /* Linux lets root do it */
		CHECK(clock_settime(CLOCK_REALTIME, &time) == -1 && errno == EPERM);
		timex.modes = ADJ_FREQUENCY;
		CHECK(adjtimex(&timex) == -1 && errno == EPERM);
	}
	CHECK(clock_settime(CLOCK_MONOTONIC, &time) == -1 && errno == EINVAL);
	timex.modes = 0;
	CHECK(adjtimex(&timex) >= 0);
	CHECK(timex.time.tv_sec - time.tv_sec <= 5 && timex.time.tv_sec >= time.tv_sec);
	CHECK_EQ(timex.tick, 10000);
}
