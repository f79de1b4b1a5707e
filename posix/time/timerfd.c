/*
 * Timerfd: a timer as a file; reading tells how often it has expired.
 *
 * The timer runs on the file's home core. Wall-clock time is never set here, so that
 * TFD_TIMER_CANCEL_ON_SET is accepted and nothing is ever cancelled.
 */
#include "posix/file/file.h"
#include "posix/syscall.h"
#include "posix/time/time_calls.h"
#include "posix/time/timeout.h"
#include "posix/user_memory.h"

#include "arch/arch.h"
#include "mm/object.h"
#include "sched/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#define SETTIME_FLAGS (TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)
/* A time in nanoseconds as Linux keeps it: what is beyond is 292 years away. */
#define TIME_MAX_NS ((uint64_t)INT64_MAX)

struct timerfd {
	struct file file; /* first */
	int clock;
	/* Home core. */
	struct timer timer;
	uint64_t interval_ns; /* 0: once */
	uint64_t expirations; /* not yet read */
};

static struct timerfd *timerfd_of(struct file *file)
{
	return container_of(file, struct timerfd, file);
}

static void expired(struct timer *timer)
{
	struct timerfd *timerfd = container_of(timer, struct timerfd, timer);
	uint64_t now = clock_ns(), deadline_ns = timer->deadline_ns, missed = 0;

	timerfd->expirations++;
	if (timerfd->interval_ns) {
		/* Those that nobody looked for are counted, and the rhythm is kept. */
		if (now > deadline_ns)
			missed = (now - deadline_ns) / timerfd->interval_ns;
		timerfd->expirations += missed;
		if (timerfd->interval_ns <= (UINT64_MAX - now) / 2)
			timer_start(timer, deadline_ns + (missed + 1) * timerfd->interval_ns);
	}
	file_notify(&timerfd->file, EPOLLIN | EPOLLRDNORM);
}

/* What is due by now has expired, though the core has not polled since. */
static void catch_up(struct timerfd *timerfd)
{
	if (!timerfd->timer.started || timerfd->timer.deadline_ns > clock_ns())
		return;
	timer_stop(&timerfd->timer);
	expired(&timerfd->timer);
}

static ssize_t timerfd_read(struct file *file, const struct iovec *iov, unsigned niov,
			    int64_t offset)
{
	struct timerfd *timerfd = timerfd_of(file);
	uint64_t count;

	if (offset != NO_OFFSET)
		return -ESPIPE;
	if (niov < 1 || iov->iov_len < sizeof(count))
		return -EINVAL;
	catch_up(timerfd);
	count = timerfd->expirations;
	if (!count)
		return -EAGAIN;
	timerfd->expirations = 0;
	return user_copy_8(iov->iov_base, &count) ? (ssize_t)sizeof(count) : -EFAULT;
}

static uint32_t timerfd_events(struct file *file)
{
	return timerfd_of(file)->expirations ? EPOLLIN | EPOLLRDNORM : 0;
}

static int timerfd_stat(struct file *file, struct stat *st)
{
	st->st_mode = 0600;
	st->st_blksize = PAGE_SIZE;
	return 0;
}

static void timerfd_release(struct file *file)
{
	timer_stop(&timerfd_of(file)->timer);
	file_free(file);
}

static const struct file_operations timerfd_operations = {
	.kind = "timerfd",
	.read = timerfd_read,
	.events = timerfd_events,
	.stat = timerfd_stat,
	.release = timerfd_release,
};

SYSCALL(timerfd_create)(int clock, int flags)
{
	struct timerfd *timerfd;
	int fd;

	if (flags & ~(TFD_CLOEXEC | TFD_NONBLOCK))
		return -EINVAL;
	if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME &&
	    clock != CLOCK_REALTIME_ALARM && clock != CLOCK_BOOTTIME_ALARM)
		return -EINVAL;
	timerfd = object_alloc_zeroed(sizeof(*timerfd));
	if (!timerfd)
		return -ENOMEM;
	/* Linux opens it for both; writing is refused because there is nothing to write to. */
	file_init(&timerfd->file, &timerfd_operations,
		  O_RDWR | (flags & TFD_NONBLOCK ? O_NONBLOCK : 0), NULL);
	timerfd->clock = clock;
	timer_init(&timerfd->timer, expired);
	fd = fd_install(&timerfd->file, 0, flags & TFD_CLOEXEC);
	if (fd < 0)
		file_unreference(&timerfd->file);
	return fd;
}

static int timerfd_lookup(int fd, struct file **file)
{
	*file = fd_lookup(fd);
	if (!*file)
		return -EBADF;
	return (*file)->operations == &timerfd_operations ? 0 : -EINVAL;
}

/* ---- setting ---- */

struct settings {
	uint64_t deadline_ns; /* of clock_ns(); 0: off */
	uint64_t interval_ns;
	struct itimerspec old;
};

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_S),
				  .tv_nsec = (long)(ns % NS_PER_S) };
}

static uint64_t ns_of(const struct timespec *time)
{
	if ((uint64_t)time->tv_sec >= TIME_MAX_NS / NS_PER_S)
		return TIME_MAX_NS;
	return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec;
}

static void tell(struct timerfd *timerfd, struct itimerspec *value)
{
	uint64_t now, left = 0;

	catch_up(timerfd);
	now = clock_ns(); /* after what is due by now: no more than an interval is left */
	/* One that is on never reads 0. */
	if (timerfd->timer.started)
		left = timerfd->timer.deadline_ns > now ? timerfd->timer.deadline_ns - now : 1;
	value->it_value = timespec_of(left);
	value->it_interval = timespec_of(timerfd->interval_ns);
}

static long set_attempt(struct file *file, void *argument)
{
	struct timerfd *timerfd = timerfd_of(file);
	struct settings *settings = argument;

	tell(timerfd, &settings->old);
	timer_stop(&timerfd->timer);
	timerfd->expirations = 0;
	timerfd->interval_ns = settings->interval_ns;
	if (settings->deadline_ns)
		timer_start(&timerfd->timer, settings->deadline_ns);
	catch_up(timerfd);
	return 0;
}

static uint64_t deadline_for(const struct timerfd *timerfd, const struct timespec *value, int flags)
{
	uint64_t ns = ns_of(value), offset_ns;

	if (ns == 0)
		return 0;
	if (!(flags & TFD_TIMER_ABSTIME))
		return clock_ns() + ns;
	offset_ns = clock_offset_ns(timerfd->clock);
	/* What is over already expires at once. */
	return ns > offset_ns ? ns - offset_ns : 1;
}

SYSCALL(timerfd_settime)
(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	struct settings settings;
	struct itimerspec wanted;
	struct file *file;
	long result;

	if (user_read(&wanted, new, sizeof(wanted)))
		return -EFAULT;
	if ((flags & ~SETTIME_FLAGS) || timespec_is_bad(&wanted.it_value) ||
	    timespec_is_bad(&wanted.it_interval))
		return -EINVAL;
	result = timerfd_lookup(fd, &file);
	if (result)
		return result;
	settings.deadline_ns = deadline_for(timerfd_of(file), &wanted.it_value, flags);
	settings.interval_ns = ns_of(&wanted.it_interval);
	result = file_operate(file, set_attempt, &settings, 0, true, FOREVER);
	if (!result && old)
		result = user_write(old, &settings.old, sizeof(settings.old));
	return result;
}

static long get_attempt(struct file *file, void *argument)
{
	tell(timerfd_of(file), argument);
	return 0;
}

SYSCALL(timerfd_gettime)(int fd, struct itimerspec *value)
{
	struct itimerspec told;
	struct file *file;
	long result = timerfd_lookup(fd, &file);

	if (result)
		return result;
	result = file_operate(file, get_attempt, &told, 0, true, FOREVER);
	return result ? result : user_write(value, &told, sizeof(told));
}
