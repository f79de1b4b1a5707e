/*
 * The interval timer of the process, which sends SIGALRM: setitimer(ITIMER_REAL) and alarm().
 *
 * It lives on one core, and is set there by a call.
 */
#include "posix/signal.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "arch/arch.h"
#include "sched/timer.h"
#include "smp/mailbox.h"

#include <errno.h>
#include <signal.h>
#include <sys/time.h>

#define TIMER_CORE 0

static void alarm_expired(struct timer *timer);

/* Of TIMER_CORE alone. */
static struct timer alarm_timer = { .expired = alarm_expired };
static uint64_t interval_ns; /* 0: once */

static void alarm_expired(struct timer *timer)
{
	/* From the last deadline on, so that it does not drift, but never many at once. */
	if (interval_ns)
		timer_start(timer, max(timer->deadline_ns + interval_ns, clock_ns()));
	signal_send_to_process(SIGALRM);
}

struct alarm {
	uint64_t first_ns, interval_ns; /* from now on; 0: off */
};

static struct alarm alarm_left(void)
{
	struct alarm left = { 0, interval_ns };
	uint64_t now = clock_ns();

	/* One that is due but not yet seen is still on: not 0. */
	if (alarm_timer.started)
		left.first_ns = alarm_timer.deadline_ns > now ? alarm_timer.deadline_ns - now : 1;
	return left;
}

static long get_alarm(void *argument)
{
	*(struct alarm *)argument = alarm_left();
	return 0;
}

/* Sets what *argument says; what was left goes there. */
static long set_alarm(void *argument)
{
	struct alarm *alarm = argument, wanted = *alarm;

	*alarm = alarm_left();
	interval_ns = wanted.interval_ns;
	if (wanted.first_ns)
		timer_start(&alarm_timer, clock_ns() + wanted.first_ns);
	else
		timer_stop(&alarm_timer);
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

static void put_alarm(const struct alarm *alarm, struct itimerval *value)
{
	value->it_value = timeval_of(alarm->first_ns);
	value->it_interval = timeval_of(alarm->interval_ns);
}

/* ITIMER_VIRTUAL and ITIMER_PROF: no timer counts processor time. */
SYSCALL(setitimer)(int which, const struct itimerval *new, struct itimerval *old)
{
	struct alarm alarm = { 0, 0 };

	if (which != ITIMER_REAL)
		return -EINVAL;
	if ((new &&user_pointer_is_bad(new)) || (old && user_pointer_is_bad(old)))
		return -EFAULT;
	/* Linux takes a null pointer for "off". */
	if (new) {
		if (timeval_is_bad(&new->it_value) || timeval_is_bad(&new->it_interval))
			return -EINVAL;
		alarm.first_ns = ns_of(&new->it_value);
		alarm.interval_ns = ns_of(&new->it_interval);
	}
	core_call(TIMER_CORE, set_alarm, &alarm);
	if (old)
		put_alarm(&alarm, old);
	return signal_finish(0);
}

SYSCALL(getitimer)(int which, struct itimerval *value)
{
	struct alarm alarm;

	if (which != ITIMER_REAL)
		return -EINVAL;
	if (user_pointer_is_bad(value))
		return -EFAULT;
	core_call(TIMER_CORE, get_alarm, &alarm);
	put_alarm(&alarm, value);
	return signal_finish(0);
}

SYSCALL(alarm)(unsigned seconds)
{
	struct alarm alarm = { seconds * NS_PER_S, 0 };

	core_call(TIMER_CORE, set_alarm, &alarm);
	return signal_finish((long)((alarm.first_ns + NS_PER_S - 1) / NS_PER_S));
}
