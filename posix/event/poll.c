/*
 * poll() and select(): look at all files; if none is ready, wait for them with an epoll set that
 * lives as long as the wait.
 */
#include "posix/event/epoll.h"
#include "posix/signal/signal.h"
#include "posix/syscall.h"
#include "posix/time/timeout.h"
#include "posix/user_memory.h"

#include "lavra/console.h"
#include "mm/object.h"
#include "sched/thread.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>

/* What poll() calls its bits, epoll does too. */
_Static_assert(POLLIN == EPOLLIN && POLLOUT == EPOLLOUT && POLLERR == EPOLLERR &&
		   POLLHUP == EPOLLHUP && POLLRDHUP == EPOLLRDHUP && POLLPRI == EPOLLPRI &&
		   POLLRDNORM == EPOLLRDNORM && POLLWRNORM == EPOLLWRNORM,
	       "poll and epoll bits differ");

static long events_attempt(struct file *file, void *argument)
{
	return file_events(file);
}

static short look(const struct pollfd *entry)
{
	struct file *file = fd_lookup(entry->fd);
	long events = FILE_UNKNOWN;

	if (!file)
		return POLLNVAL;
	if (file->home == this_core)
		events = file_events(file);
	else if (file->operations->events_remote)
		events = file->operations->events_remote(file);
	if (events == FILE_UNKNOWN)
		events = file_operate(file, events_attempt, NULL, 0, true, FOREVER);
	if (events < 0)
		return POLLNVAL;
	return events & ((unsigned short)entry->events | POLLERR | POLLHUP);
}

static int look_at_all(struct pollfd *entries, unsigned count)
{
	int ready = 0;

	for (unsigned i = 0; i < count; i++) {
		entries[i].revents = entries[i].fd < 0 ? 0 : look(&entries[i]);
		ready += entries[i].revents != 0;
	}
	return ready;
}

/* The set's home is this core. A number that stands twice in the list is watched for both. */
static int watch_all(struct epoll *epoll, const struct pollfd *entries, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct file *file = entries[i].fd < 0 ? NULL : fd_lookup(entries[i].fd);
		uint32_t wanted = (unsigned short)entries[i].events;
		int result;

		if (!file || !file->operations->events)
			continue;
		result = epoll_add(epoll, entries[i].fd, file, NULL, wanted, 0);
		if (result == -EEXIST) {
			for (unsigned j = 0; j < i; j++)
				if (entries[j].fd == entries[i].fd)
					wanted |= (unsigned short)entries[j].events;
			result = epoll_modify(epoll, entries[i].fd, file, wanted, 0);
		}
		if (result)
			return result;
	}
	return 0;
}

static long poll_until(struct pollfd *entries, unsigned count, uint64_t deadline_ns)
{
	struct epoll *epoll;
	long ready;

	core_poll();
	ready = look_at_all(entries, count);
	if (ready)
		return ready;
	if (thread_signal_ready(current))
		return -EINTR;
	if (deadline_ns == NO_WAIT)
		return 0;
	epoll = epoll_create_set();
	if (!epoll)
		return -ENOMEM;
	ready = watch_all(epoll, entries, count);
	while (ready == 0) {
		int waited = file_wait(epoll_file(epoll), EPOLLIN, false, deadline_ns);
		struct epoll_event event;

		/* Takes the readiness out of the set, where that is here, so that the next wait waits. */
		ready = look_at_all(entries, count);
		if (ready || waited == -ETIMEDOUT)
			break;
		if (waited == -EINTR) {
			ready = -EINTR;
			break;
		}
		if (epoll_file(epoll)->home == this_core)
			epoll_collect(epoll, &event, 1);
		else
			thread_yield();
	}
	file_unreference(epoll_file(epoll));
	return ready;
}

static long check_entries(const struct pollfd *entries, unsigned long count)
{
	if (count > fd_limit())
		return -EINVAL;
	return user_buffer_is_bad(entries, count * sizeof(*entries)) ? -EFAULT : 0;
}

SYSCALL(poll)(struct pollfd *entries, unsigned long count, int timeout_ms)
{
	long result = check_entries(entries, count);

	if (result)
		return result;
	return signal_finish(poll_until(entries, count, deadline_in_ms(timeout_ms)));
}

/* The time left goes back to the caller, as Linux does and musl hides. */
static void put_time_left(struct timespec *timeout, uint64_t deadline_ns)
{
	uint64_t now = clock_ns(), left;

	if (!timeout || deadline_ns == FOREVER)
		return;
	left = deadline_ns > now ? deadline_ns - now : 0;
	timeout->tv_sec = left / NS_PER_S;
	timeout->tv_nsec = left % NS_PER_S;
}

static long poll_with_mask(struct pollfd *entries, unsigned count, uint64_t deadline_ns,
			   const uint64_t *mask, size_t mask_size)
{
	uint64_t old_mask;
	long result = mask ? signal_enter_mask(mask, mask_size, &old_mask) : 0;

	if (result)
		return result;
	result = poll_until(entries, count, deadline_ns);
	if (mask)
		signal_leave_mask(old_mask, result);
	return result;
}

static long check_timeout(const struct timespec *timeout)
{
	if (!timeout)
		return 0;
	if (user_pointer_is_bad(timeout))
		return -EFAULT;
	return timespec_is_bad(timeout) ? -EINVAL : 0;
}

SYSCALL(ppoll)
(struct pollfd *entries, unsigned long count, struct timespec *timeout, const uint64_t *mask,
 size_t mask_size)
{
	long result = check_entries(entries, count);
	uint64_t deadline_ns;

	if (!result)
		result = check_timeout(timeout);
	if (result)
		return result;
	deadline_ns = deadline_of(timeout);
	result = poll_with_mask(entries, count, deadline_ns, mask, mask_size);
	put_time_left(timeout, deadline_ns);
	return signal_finish(result);
}

/* ---- select ---- */

#define READ_EVENTS (POLLRDNORM | POLLIN | POLLHUP | POLLERR)
#define WRITE_EVENTS (POLLWRNORM | POLLOUT | POLLERR)

static bool in_set(const fd_set *set, int fd)
{
	return set && FD_ISSET(fd, set);
}

static short wanted_of(int fd, const fd_set *reads, const fd_set *writes, const fd_set *excepts)
{
	return (in_set(reads, fd) ? POLLIN | POLLRDNORM : 0) |
	       (in_set(writes, fd) ? POLLOUT | POLLWRNORM : 0) |
	       (in_set(excepts, fd) ? POLLPRI : 0);
}

/* Keep `fd` in the set only if one of `events` is true. Returns whether it stays. */
static bool keep(fd_set *set, int fd, bool asked, short revents, int events)
{
	if (!asked || (revents & events))
		return asked;
	FD_CLR(fd, set);
	return false;
}

static long select_entries(struct pollfd *entries, unsigned count, fd_set *reads, fd_set *writes,
			   fd_set *excepts, uint64_t deadline_ns, const uint64_t *mask,
			   size_t mask_size)
{
	long result = poll_with_mask(entries, count, deadline_ns, mask, mask_size);
	long bits = 0;

	if (result < 0)
		return result;
	for (unsigned i = 0; i < count; i++) {
		short events = entries[i].events, revents = entries[i].revents;
		int fd = entries[i].fd;

		if (revents & POLLNVAL)
			return -EBADF;
		bits += keep(reads, fd, events & POLLIN, revents, READ_EVENTS);
		bits += keep(writes, fd, events & POLLOUT, revents, WRITE_EVENTS);
		bits += keep(excepts, fd, events & POLLPRI, revents, POLLPRI);
	}
	return bits;
}

static long select_until(int limit, fd_set *reads, fd_set *writes, fd_set *excepts,
			 uint64_t deadline_ns, const uint64_t *mask, size_t mask_size)
{
	struct pollfd few[16], *entries = few;
	unsigned count = 0, i = 0;
	long result;

	if (limit < 0)
		return -EINVAL;
	limit = min(limit, FD_SETSIZE);
	if ((reads && user_pointer_is_bad(reads)) || (writes && user_pointer_is_bad(writes)) ||
	    (excepts && user_pointer_is_bad(excepts)))
		return -EFAULT;
	for (int fd = 0; fd < limit; fd++)
		count += wanted_of(fd, reads, writes, excepts) != 0;
	if (count > array_size(few)) {
		entries = object_alloc(count * sizeof(*entries));
		if (!entries)
			return -ENOMEM;
	}
	for (int fd = 0; fd < limit; fd++) {
		short wanted = wanted_of(fd, reads, writes, excepts);

		if (wanted)
			entries[i++] = (struct pollfd){ .fd = fd, .events = wanted };
	}
	result =
	    select_entries(entries, count, reads, writes, excepts, deadline_ns, mask, mask_size);
	if (entries != few)
		object_free(entries);
	return result;
}

SYSCALL(select)(int limit, fd_set *reads, fd_set *writes, fd_set *excepts, struct timeval *timeout)
{
	uint64_t deadline_ns = FOREVER;
	struct timespec left;
	long result;

	if (timeout) {
		if (user_pointer_is_bad(timeout))
			return -EFAULT;
		if (timeout->tv_sec < 0 || timeout->tv_usec < 0)
			return -EINVAL;
		deadline_ns = deadline_in(timeout->tv_sec, timeout->tv_usec * NS_PER_US);
	}
	result = select_until(limit, reads, writes, excepts, deadline_ns, NULL, 0);
	if (timeout && deadline_ns != FOREVER) {
		put_time_left(&left, deadline_ns);
		timeout->tv_sec = left.tv_sec;
		timeout->tv_usec = left.tv_nsec / NS_PER_US;
	}
	return signal_finish(result);
}

struct pselect_mask { /* two arguments in one: Linux's pselect6 */
	const uint64_t *mask;
	size_t size;
};

SYSCALL(pselect6)
(int limit, fd_set *reads, fd_set *writes, fd_set *excepts, struct timespec *timeout,
 const struct pselect_mask *mask)
{
	long result = check_timeout(timeout);
	uint64_t deadline_ns;

	if (result)
		return result;
	if (mask && user_pointer_is_bad(mask))
		return -EFAULT;
	deadline_ns = deadline_of(timeout);
	result = select_until(limit, reads, writes, excepts, deadline_ns, mask ? mask->mask : NULL,
			      mask ? mask->size : 0);
	put_time_left(timeout, deadline_ns);
	return signal_finish(result);
}
