/*
 * The interval timers of the process: setitimer(), getitimer() and alarm(). ITIMER_VIRTUAL and
 * ITIMER_PROF count the same, since a system call is a call: all processor time is the program's.
 *
 * They live on one core, and are set there by a call.
 */
#include "posix/time/clock_timer.h"
#include "posix/signal/signal.h"
#include "posix/syscall.h"
#include "posix/time/time_calls.h"
#include "posix/user_memory.h"

#include "arch/arch.h"
#include "smp/mailbox.h"

#include <errno.h>
#include <sys/time.h>
#include <time.h>

#define TIMER_CORE 0

static void alarm_expired(struct clock_timer *timer, uint64_t missed);
static void virtual_expired(struct clock_timer *timer, uint64_t missed);
static void profile_expired(struct clock_timer *timer, uint64_t missed);

/* Of TIMER_CORE alone. */
static struct clock_timer timers[3];

static void alarm_expired(struct clock_timer *timer, uint64_t missed)
{
	signal_send_to_process(SIGALRM);
}

static void virtual_expired(struct clock_timer *timer, uint64_t missed)
{
	signal_send_to_process(SIGVTALRM);
}

static void profile_expired(struct clock_timer *timer, uint64_t missed)
{
	signal_send_to_process(SIGPROF);
}

static struct clock_timer *timer_of(int which)
{
	if (!timers[0].expired) {
		clock_timer_init(&timers[ITIMER_REAL], CLOCK_MONOTONIC, alarm_expired);
		clock_timer_init(&timers[ITIMER_VIRTUAL], CLOCK_PROCESS_CPUTIME_ID,
				 virtual_expired);
		clock_timer_init(&timers[ITIMER_PROF], CLOCK_PROCESS_CPUTIME_ID, profile_expired);
	}
	return &timers[which];
}

struct setting {
	int which;
	struct clock_timer_state state;
};

static long get_timer(void *argument)
{
	struct setting *setting = argument;

	setting->state = clock_timer_state(timer_of(setting->which));
	return 0;
}

/* Sets what *argument says; what was left goes there. */
static long set_timer(void *argument)
{
	struct setting *setting = argument;
	struct clock_timer *timer = timer_of(setting->which);
	struct clock_timer_state wanted = setting->state;
	uint64_t now = 0;

	setting->state = clock_timer_state(timer);
	clock_read(timer->clock, &now);
	if (wanted.left_ns)
		clock_timer_start(timer, now + wanted.left_ns, wanted.interval_ns);
	else
		clock_timer_stop(timer);
	return 0;
}

/* Linux's limit of a time in nanoseconds: what is beyond is 292 years away. */
static uint64_t ns_of(const struct timeval *time)
{
	uint64_t limit = INT64_MAX / 2;

	if ((uint64_t)time->tv_sec >= limit / NS_PER_S)
		return limit;
	return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_usec * NS_PER_US;
}

/* Rounded up: what is on is not 0. */
static struct timeval timeval_of(uint64_t ns)
{
	uint64_t us = (ns + NS_PER_US - 1) / NS_PER_US;

	return (struct timeval){ .tv_sec = (time_t)(us / 1000000),
				 .tv_usec = (suseconds_t)(us % 1000000) };
}

static bool timeval_is_bad(const struct timeval *time)
{
	return time->tv_sec < 0 || (unsigned long)time->tv_usec >= 1000000;
}

static long put_state(const struct clock_timer_state *state, struct itimerval *to)
{
	struct itimerval value = { .it_value = timeval_of(state->left_ns),
				   .it_interval = timeval_of(state->interval_ns) };

	return user_write(to, &value, sizeof(value));
}

SYSCALL(setitimer)(int which, const struct itimerval *new, struct itimerval *old)
{
	struct setting setting = { .which = which };
	struct itimerval wanted;

	if (which < ITIMER_REAL || which > ITIMER_PROF)
		return -EINVAL;
	/* Linux takes a null pointer for "off". */
	if (new) {
		if (user_read(&wanted, new, sizeof(wanted)))
			return -EFAULT;
		if (timeval_is_bad(&wanted.it_value) || timeval_is_bad(&wanted.it_interval))
			return -EINVAL;
		setting.state.left_ns = ns_of(&wanted.it_value);
		setting.state.interval_ns = ns_of(&wanted.it_interval);
	}
	core_call(TIMER_CORE, set_timer, &setting);
	return signal_finish(old ? put_state(&setting.state, old) : 0);
}

SYSCALL(getitimer)(int which, struct itimerval *value)
{
	struct setting setting = { .which = which };

	if (which < ITIMER_REAL || which > ITIMER_PROF)
		return -EINVAL;
	core_call(TIMER_CORE, get_timer, &setting);
	return signal_finish(put_state(&setting.state, value));
}

SYSCALL(alarm)(unsigned seconds)
{
	struct setting setting = { .which = ITIMER_REAL, .state = { seconds * NS_PER_S, 0 } };

	core_call(TIMER_CORE, set_timer, &setting);
	return signal_finish((long)((setting.state.left_ns + NS_PER_S - 1) / NS_PER_S));
}
