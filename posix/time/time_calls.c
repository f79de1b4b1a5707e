/*
 * System calls about time: clocks, sleeping.
 */
#include "posix/time/time_calls.h"

#include "arch/arch.h"
#include "posix/signal/signal.h"
#include "posix/syscall.h"
#include "posix/time/timeout.h"
#include "posix/user_memory.h"
#include "sched/thread.h"
#include "smp/core.h"

#include <errno.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>

/* Clocks of a process or thread have its number in the upper bits, inverted (Linux, posix-timers.h;
 * musl's clock_getcpuclockid and pthread_getcpuclockid make them). */
#define CPU_CLOCK_THREAD 4
#define CPU_CLOCK_KIND 3 /* 0: profiling, 1: virtual, 2: scheduler's; all the same here */
#define CPU_CLOCK_SCHEDULER 2
#define CPU_CLOCK_ID(clock) (~(clock) >> 3)

static void add_cpu_ns(struct thread *thread, void *sum)
{
	if (thread->tid)
		*(uint64_t *)sum += thread_cpu_ns(thread);
}

static uint64_t dead_cpu_ns; /* of threads that have ended */

void time_thread_ended(const struct thread *dead)
{
	__atomic_fetch_add(&dead_cpu_ns, dead->cpu_ns, __ATOMIC_RELAXED);
}

static uint64_t process_cpu_ns(void)
{
	uint64_t sum = __atomic_load_n(&dead_cpu_ns, __ATOMIC_RELAXED);

	thread_for_each(add_cpu_ns, &sum);
	return sum;
}

bool clock_is_of_processor(int clock)
{
	return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
}

bool clock_is_coarse(int clock)
{
	return clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE ||
	       clock == CLOCK_MONOTONIC_RAW;
}

int clock_of_thread(int clock, const struct thread *thread)
{
	bool own = clock == CLOCK_THREAD_CPUTIME_ID ||
		   (clock < 0 && clock & CPU_CLOCK_THREAD && !CPU_CLOCK_ID(clock));

	return own ? (int)(~(unsigned)thread->tid << 3) | CPU_CLOCK_THREAD | CPU_CLOCK_SCHEDULER
		   : clock;
}

uint64_t clock_offset_ns(int clock)
{
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_TAI: /* the offset of leap seconds is 0 until somebody sets it, as on Linux */
		return clock_epoch_ns;
	}
	return 0;
}

int clock_read(int clock, uint64_t *ns)
{
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_TAI:
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		*ns = clock_offset_ns(clock) + clock_ns();
		return 0;
	case CLOCK_PROCESS_CPUTIME_ID:
		*ns = process_cpu_ns();
		return 0;
	case CLOCK_THREAD_CPUTIME_ID:
		*ns = thread_cpu_ns(current);
		return 0;
	}
	if (clock < 0 && (clock & CPU_CLOCK_KIND) != CPU_CLOCK_KIND) {
		int id = CPU_CLOCK_ID(clock);
		struct thread *thread;

		if (!(clock & CPU_CLOCK_THREAD)) {
			if (id != 0 && id != 1)
				return -EINVAL;
			*ns = process_cpu_ns();
			return 0;
		}
		thread = id ? thread_find(id) : current;
		if (!thread)
			return -EINVAL;
		*ns = thread_cpu_ns(thread);
		return 0;
	}
	return -EINVAL;
}

static long put_time(uint64_t ns, struct timespec *to)
{
	struct timespec time = { .tv_sec = (time_t)(ns / NS_PER_S),
				 .tv_nsec = (long)(ns % NS_PER_S) };

	return user_write(to, &time, sizeof(time));
}

SYSCALL(clock_gettime)(int clock, struct timespec *result)
{
	uint64_t ns;
	int error = clock_read(clock, &ns);

	if (error)
		return error;
	return put_time(ns, result);
}

SYSCALL(clock_getres)(int clock, struct timespec *result)
{
	uint64_t ns;
	int error = clock_read(clock, &ns);

	if (error)
		return error;
	return result ? put_time(1, result) : 0;
}

SYSCALL(gettimeofday)(struct timeval *time, struct timezone *zone)
{
	static const struct timezone utc;
	uint64_t ns = clock_epoch_ns + clock_ns();
	struct timeval now = { .tv_sec = (time_t)(ns / NS_PER_S),
			       .tv_usec = (suseconds_t)(ns % NS_PER_S / NS_PER_US) };

	if (time && user_write(time, &now, sizeof(now)))
		return -EFAULT;
	return zone ? user_write(zone, &utc, sizeof(utc)) : 0;
}

SYSCALL(time)(time_t *result)
{
	time_t seconds = (time_t)((clock_epoch_ns + clock_ns()) / NS_PER_S);

	if (result && user_write(result, &seconds, sizeof(seconds)))
		return -EFAULT;
	return seconds;
}

/* A signal ended a sleep: `remaining`, if not NULL, is the application's and gets what is left. */
static long sleep_interrupted(uint64_t left_ns, struct timespec *remaining)
{
	long result = remaining ? put_time(left_ns, remaining) : 0;

	return signal_finish(result ? result : -EINTR);
}

static long sleep_until(uint64_t deadline_ns, struct timespec *remaining)
{
	uint64_t now;

	thread_prepare_block();
	thread_block_interruptible(deadline_ns);
	if (likely(!thread_signal_ready(current)))
		return 0;
	now = clock_ns();
	if (now >= deadline_ns)
		return signal_finish(0);
	return sleep_interrupted(deadline_ns - now, remaining);
}

SYSCALL(nanosleep)(const struct timespec *request, struct timespec *remaining)
{
	struct timespec wanted;

	if (user_read(&wanted, request, sizeof(wanted)))
		return -EFAULT;
	if (timespec_is_bad(&wanted))
		return -EINVAL;
	return sleep_until(deadline_of(&wanted), remaining);
}

/* A clock of processor time is looked at again and again (posix/time/clock_timer.h). */
static long sleep_by_processor(int clock, uint64_t until_ns, struct timespec *remaining)
{
	uint64_t now;

	while (clock_read(clock, &now) == 0 && now < until_ns) {
		uint64_t left = until_ns - now;

		thread_prepare_block();
		thread_block_interruptible(clock_ns() + max(left / ncores, (uint64_t)NS_PER_MS));
		if (!thread_signal_ready(current))
			continue;
		return sleep_interrupted(left, remaining);
	}
	return 0;
}

SYSCALL(clock_nanosleep)
(int clock, int flags, const struct timespec *request, struct timespec *remaining)
{
	struct timespec wanted;
	uint64_t now, ns;
	int error;

	if (clock == CLOCK_THREAD_CPUTIME_ID)
		return -EINVAL;
	error = clock_read(clock, &now);
	if (error)
		return error;
	if (clock_is_coarse(clock))
		return -EOPNOTSUPP;
	if (user_read(&wanted, request, sizeof(wanted)))
		return -EFAULT;
	if (timespec_is_bad(&wanted))
		return -EINVAL;
	if (flags & TIMER_ABSTIME)
		remaining = NULL;
	if (clock_is_of_processor(clock)) {
		ns = deadline_at(&wanted, 0);
		if (!(flags & TIMER_ABSTIME))
			ns = ns > UINT64_MAX - now ? UINT64_MAX : ns + now;
		return sleep_by_processor(clock, ns, remaining);
	}
	/* All other clocks run as clock_ns() does, some with an offset. */
	if (flags & TIMER_ABSTIME)
		return sleep_until(deadline_at(&wanted, clock_offset_ns(clock)), NULL);
	return sleep_until(deadline_of(&wanted), remaining);
}

/* ---- setting clocks: not for this user ---- */

SYSCALL(clock_settime)(int clock, const struct timespec *time)
{
	struct timespec wanted;

	if (clock != CLOCK_REALTIME)
		return -EINVAL;
	if (user_read(&wanted, time, sizeof(wanted)))
		return -EFAULT;
	return timespec_is_bad(&wanted) ? -EINVAL : -EPERM;
}

SYSCALL(settimeofday)(const struct timeval *time, const struct timezone *zone)
{
	struct timezone wanted_zone;
	struct timeval wanted;

	if ((time && user_read(&wanted, time, sizeof(wanted))) ||
	    (zone && user_read(&wanted_zone, zone, sizeof(wanted_zone))))
		return -EFAULT;
	return time || zone ? -EPERM : 0;
}

/* As Linux tells them while nobody disciplines the clock: nothing is known of its error. */
#define UNKNOWN_ERROR_US 16000000
#define TICK_US 10000
#define TOLERANCE 32768000

SYSCALL(clock_adjtime)(int clock, struct timex *timex)
{
	uint64_t ns = clock_epoch_ns + clock_ns();
	struct timex told = {
		.maxerror = UNKNOWN_ERROR_US,
		.esterror = UNKNOWN_ERROR_US,
		.status = STA_UNSYNC,
		.constant = 2,
		.precision = 1,
		.tolerance = TOLERANCE,
		.time = { .tv_sec = (time_t)(ns / NS_PER_S),
			  .tv_usec = (suseconds_t)(ns % NS_PER_S / NS_PER_US) },
		.tick = TICK_US,
	};

	if (clock != CLOCK_REALTIME)
		return clock_read(clock, &ns) ? -EINVAL : -EOPNOTSUPP;
	if (user_read(&told.modes, &timex->modes, sizeof(told.modes)))
		return -EFAULT;
	if (told.modes && told.modes != ADJ_OFFSET_SS_READ)
		return -EPERM;
	return user_write(timex, &told, sizeof(told)) ? -EFAULT : TIME_ERROR;
}

SYSCALL(adjtimex)(struct timex *timex)
{
	return sys_clock_adjtime(CLOCK_REALTIME, timex);
}
