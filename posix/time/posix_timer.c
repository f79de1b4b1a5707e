/*
 * timer_create(2) and its like: timers that send signals.
 *
 * A timer lives on the core where it was made; calls from other cores go there, and find it by its
 * number again, since it may have been deleted meanwhile. Its signal has an entry of its own in the
 * queue, so it never gets lost for want of memory; while that waits, what fires is counted.
 */
#include "posix/time/clock_timer.h"
#include "posix/signal/signal.h"
#include "posix/syscall.h"
#include "posix/time/time_calls.h"
#include "posix/time/timeout.h"
#include "posix/user_memory.h"

#include "mm/object.h"
#include "smp/core.h"
#include "smp/mailbox.h"

#include <ck_spinlock.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#define MAX_TIMERS 4096

/* Linux's struct sigevent: the C library's has other names for its parts. */
struct kernel_sigevent {
	union sigval value;
	int signo, notify;
	int tid;
};

#ifndef SIGEV_THREAD_ID
#define SIGEV_THREAD_ID 4
#endif

struct posix_timer {
	struct clock_timer clock;
	struct queued_signal signal;
	int tid; /* whom it is for, 0: the process */
	bool silent; /* SIGEV_NONE */
};

/* Guards the choice of a free slot. A slot is read and cleared on its home core alone. */
static ck_spinlock_t lock = CK_SPINLOCK_INITIALIZER;
static struct slot {
	struct posix_timer *timer;
	core_id_t home;
} slots[MAX_TIMERS];

static void expired(struct clock_timer *clock, uint64_t missed)
{
	struct posix_timer *timer = container_of(clock, struct posix_timer, clock);
	struct thread *thread = NULL;

	if (timer->silent)
		return;
	if (timer->tid) {
		thread = thread_find(timer->tid);
		if (!thread)
			return;
	}
	signal_send_timer(thread, &timer->signal, missed);
}

/* ---- at home ---- */

struct request {
	unsigned id;
	bool absolute;
	struct clock_timer_state state; /* in: left_ns is the deadline if absolute; out: before */
	int overrun;
};

/* NULL: there is none (any more). */
static struct posix_timer *find(unsigned id)
{
	const struct slot *slot = &slots[id];

	if (__atomic_load_n(&slot->home, __ATOMIC_RELAXED) != this_core)
		return NULL;
	return __atomic_load_n(&slot->timer, __ATOMIC_RELAXED);
}

static long set_at_home(void *argument)
{
	struct request *request = argument;
	struct posix_timer *timer = find(request->id);
	struct clock_timer_state wanted = request->state;
	uint64_t now = 0;

	if (!timer)
		return -EINVAL;
	request->state = clock_timer_state(&timer->clock);
	/* What has fired before is of the old setting. */
	signal_recall_timer(&timer->signal);
	timer->signal.last_overrun = 0;
	if (!wanted.left_ns) {
		clock_timer_stop(&timer->clock);
		return 0;
	}
	clock_read(timer->clock.clock, &now);
	clock_timer_start(&timer->clock, request->absolute ? wanted.left_ns : now + wanted.left_ns,
			  wanted.interval_ns);
	return 0;
}

static long get_at_home(void *argument)
{
	struct request *request = argument;
	struct posix_timer *timer = find(request->id);

	if (!timer)
		return -EINVAL;
	request->state = clock_timer_state(&timer->clock);
	request->overrun = timer->signal.last_overrun;
	return 0;
}

static long delete_at_home(void *argument)
{
	struct request *request = argument;
	struct posix_timer *timer = find(request->id);

	if (!timer)
		return -EINVAL;
	clock_timer_stop(&timer->clock);
	signal_recall_timer(&timer->signal);
	/* Pairs with the load in take_slot(). */
	__atomic_store_n(&slots[request->id].timer, NULL, __ATOMIC_RELEASE);
	object_free(timer);
	return 0;
}

static long at_home(int id, long (*function)(void *), struct request *request)
{
	core_id_t home;

	if (id < 0 || id >= MAX_TIMERS || !__atomic_load_n(&slots[id].timer, __ATOMIC_ACQUIRE))
		return -EINVAL;
	request->id = (unsigned)id;
	home = __atomic_load_n(&slots[id].home, __ATOMIC_RELAXED);
	return core_call(home, function, request);
}

/* ---- timer_create(2) ---- */

/* Returns its number, or -EAGAIN. */
static int take_slot(struct posix_timer *timer)
{
	static unsigned next; /* numbers are not used again at once */
	int id = -EAGAIN;

	ck_spinlock_lock(&lock);
	for (unsigned tries = 0; tries < MAX_TIMERS; tries++) {
		struct slot *slot = &slots[next];

		if (!__atomic_load_n(&slot->timer, __ATOMIC_ACQUIRE)) {
			id = (int)next;
			__atomic_store_n(&slot->home, this_core, __ATOMIC_RELAXED);
			timer->signal.info.si_timerid = id;
			/* Pairs with the load in at_home(). */
			__atomic_store_n(&slot->timer, timer, __ATOMIC_RELEASE);
		}
		next = (next + 1) % MAX_TIMERS;
		if (id >= 0)
			break;
	}
	ck_spinlock_unlock(&lock);
	return id;
}

static int check_event(const struct kernel_sigevent *event)
{
	switch (event->notify) {
	case SIGEV_NONE:
		return 0;
	case SIGEV_THREAD_ID:
		if (!thread_find(event->tid))
			return -EINVAL;
		break;
	case SIGEV_SIGNAL:
	case SIGEV_THREAD: /* the C library starts the thread */
		break;
	default:
		return -EINVAL;
	}
	return event->signo >= 1 && event->signo <= SIGNALS ? 0 : -EINVAL;
}

SYSCALL(timer_delete)(int id)
{
	struct request request = { 0 };

	return signal_finish(at_home(id, delete_at_home, &request));
}

SYSCALL(timer_create)(int clock, const struct kernel_sigevent *user_event, int *id)
{
	struct kernel_sigevent event = { .signo = SIGALRM, .notify = SIGEV_SIGNAL };
	struct posix_timer *timer;
	uint64_t now;
	int number;

	if (clock_read(clock, &now) != 0)
		return -EINVAL;
	if (clock_is_coarse(clock))
		return -EOPNOTSUPP;
	if (user_event) {
		if (user_read(&event, user_event, sizeof(event)))
			return -EFAULT;
		number = check_event(&event);
		if (number)
			return number;
	}
	if (user_range_is_bad(id, sizeof(number)))
		return -EFAULT;
	timer = object_alloc_zeroed(sizeof(*timer));
	if (!timer)
		return -EAGAIN;
	clock_timer_init(&timer->clock, clock_of_thread(clock, current), expired);
	list_init(&timer->signal.link);
	timer->signal.is_timers = true;
	timer->signal.info.si_signo = event.signo;
	timer->signal.info.si_code = SI_TIMER;
	timer->signal.info.si_value = event.value;
	timer->silent = event.notify == SIGEV_NONE;
	timer->tid = event.notify & SIGEV_THREAD_ID ? event.tid : 0;
	number = take_slot(timer);
	if (number < 0) {
		object_free(timer);
		return number;
	}
	if (!user_event)
		timer->signal.info.si_value.sival_int = number;
	if (!user_copy_4(id, &number)) {
		sys_timer_delete(number);
		return -EFAULT;
	}
	return signal_finish(0);
}

/* ---- the others ---- */

static uint64_t ns_of(const struct timespec *time)
{
	uint64_t limit = INT64_MAX;

	if ((uint64_t)time->tv_sec >= limit / NS_PER_S)
		return limit;
	return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec;
}

static long put_state(const struct clock_timer_state *state, struct itimerspec *to)
{
	struct itimerspec spec = {
		.it_value = { .tv_sec = (time_t)(state->left_ns / NS_PER_S),
			      .tv_nsec = (long)(state->left_ns % NS_PER_S) },
		.it_interval = { .tv_sec = (time_t)(state->interval_ns / NS_PER_S),
				 .tv_nsec = (long)(state->interval_ns % NS_PER_S) },
	};

	return user_write(to, &spec, sizeof(spec));
}

SYSCALL(timer_settime)(int id, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	struct request request = { .absolute = flags & TIMER_ABSTIME };
	struct itimerspec wanted;
	long result;

	if (!new)
		return -EINVAL;
	if (user_read(&wanted, new, sizeof(wanted)))
		return -EFAULT;
	if (timespec_is_bad(&wanted.it_value) || timespec_is_bad(&wanted.it_interval))
		return -EINVAL;
	request.state.left_ns = ns_of(&wanted.it_value);
	request.state.interval_ns = ns_of(&wanted.it_interval);
	result = at_home(id, set_at_home, &request);
	if (!result && old)
		result = put_state(&request.state, old);
	return signal_finish(result);
}

SYSCALL(timer_gettime)(int id, struct itimerspec *value)
{
	struct request request = { 0 };
	long result = at_home(id, get_at_home, &request);

	return signal_finish(result ? result : put_state(&request.state, value));
}

SYSCALL(timer_getoverrun)(int id)
{
	struct request request = { 0 };
	long result = at_home(id, get_at_home, &request);

	return signal_finish(result ? result : request.overrun);
}
