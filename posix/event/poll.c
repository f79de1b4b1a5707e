/*
 * poll() and select(): look at all files; if none is ready, wait for them with an epoll set that
 * lives as long as the wait.
 */
#include "posix/event/epoll.h"
#include "posix/signal/signal.h"
#include "posix/syscall.h"
#include "posix/time/timeout.h"
#include "posix/user_memory.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "sched/thread.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>

/* A list of as many as there can be descriptors. */
#define BIG_ORDER 7u

_Static_assert((PAGE_SIZE << BIG_ORDER) >= FD_MAX * sizeof(struct pollfd), "poll() of all");

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

/* The application's list, copied: what the wait rests on is read once. */
struct entries {
	struct pollfd *each;
	unsigned count;
	struct pollfd few[16];
};

static void free_entries(struct entries *entries)
{
	if (entries->each == entries->few)
		return;
	if (entries->count * sizeof(struct pollfd) <= OBJECT_MAX)
		object_free(entries->each);
	else
		frame_free(virt_to_phys(entries->each), BIG_ORDER);
}

/* Room for `count` of them. False without memory. */
static bool make_entries(struct entries *entries, unsigned count)
{
	paddr_t frames;

	entries->count = count;
	entries->each = entries->few;
	if (count <= array_size(entries->few))
		return true;
	if (count * sizeof(struct pollfd) <= OBJECT_MAX) {
		entries->each = object_alloc(count * sizeof(struct pollfd));
		return entries->each;
	}
	frames = frame_alloc(BIG_ORDER);
	entries->each = frames ? phys_to_virt(frames) : NULL;
	return entries->each;
}

static long read_entries(struct entries *entries, const struct pollfd *from, unsigned long count)
{
	size_t size = count * sizeof(*from);

	if (count > fd_limit())
		return -EINVAL;
	if (user_range_is_bad(from, size))
		return -EFAULT;
	if (!make_entries(entries, (unsigned)count))
		return -ENOMEM;
	if (user_copy(entries->each, from, size))
		return 0;
	free_entries(entries);
	return -EFAULT;
}

/* What was found goes back, and nothing else: another thread may change the rest. Frees the copy. */
static long put_entries(struct entries *entries, struct pollfd *to, long result)
{
	for (unsigned i = 0; i < entries->count; i++) {
		if (!user_copy_2(&to[i].revents, &entries->each[i].revents)) {
			result = -EFAULT;
			break;
		}
	}
	free_entries(entries);
	return result;
}

SYSCALL(poll)(struct pollfd *list, unsigned long count, int timeout_ms)
{
	struct entries entries;
	long result = read_entries(&entries, list, count);

	if (result)
		return result;
	result = poll_until(entries.each, entries.count, deadline_in_ms(timeout_ms));
	return signal_finish(put_entries(&entries, list, result));
}

static struct timespec time_left(uint64_t deadline_ns)
{
	uint64_t now = clock_ns(), left = deadline_ns > now ? deadline_ns - now : 0;

	return (struct timespec){ left / NS_PER_S, left % NS_PER_S };
}

/* The time left goes back to the caller, as Linux does and musl hides; as there it is no error if it
 * cannot. */
static void put_time_left(struct timespec *timeout, uint64_t deadline_ns)
{
	struct timespec left;

	if (!timeout || deadline_ns == FOREVER)
		return;
	left = time_left(deadline_ns);
	(void)!user_write(timeout, &left, sizeof(left));
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

static long read_timeout(const struct timespec *timeout, uint64_t *deadline_ns)
{
	struct timespec time;

	*deadline_ns = FOREVER;
	if (!timeout)
		return 0;
	if (user_read(&time, timeout, sizeof(time)))
		return -EFAULT;
	if (timespec_is_bad(&time))
		return -EINVAL;
	*deadline_ns = deadline_of(&time);
	return 0;
}

SYSCALL(ppoll)
(struct pollfd *list, unsigned long count, struct timespec *timeout, const uint64_t *mask,
 size_t mask_size)
{
	struct entries entries;
	uint64_t deadline_ns;
	long result = read_timeout(timeout, &deadline_ns);

	if (!result)
		result = read_entries(&entries, list, count);
	if (result)
		return result;
	result = poll_with_mask(entries.each, entries.count, deadline_ns, mask, mask_size);
	result = put_entries(&entries, list, result);
	put_time_left(timeout, deadline_ns);
	return signal_finish(result);
}

/* ---- select ---- */

#define READ_EVENTS (POLLRDNORM | POLLIN | POLLHUP | POLLERR)
#define WRITE_EVENTS (POLLWRNORM | POLLOUT | POLLERR)

struct sets {
	fd_set reads, writes, excepts;
};

/* As many bytes as Linux looks at: whole words. */
static size_t set_bytes(int limit)
{
	return align_up((size_t)limit, 64ul) / 8;
}

static long read_set(fd_set *set, const fd_set *from, size_t size)
{
	memset(set, 0, sizeof(*set));
	return from ? user_read(set, from, size) : 0;
}

static long write_set(fd_set *to, const fd_set *set, size_t size)
{
	return to ? user_write(to, set, size) : 0;
}

static short wanted_of(int fd, const struct sets *sets)
{
	return (FD_ISSET(fd, &sets->reads) ? POLLIN | POLLRDNORM : 0) |
	       (FD_ISSET(fd, &sets->writes) ? POLLOUT | POLLWRNORM : 0) |
	       (FD_ISSET(fd, &sets->excepts) ? POLLPRI : 0);
}

/* Keep `fd` in the set only if one of `events` is true. Returns whether it stays. */
static bool keep(fd_set *set, int fd, bool asked, short revents, int events)
{
	if (!asked || (revents & events))
		return asked;
	FD_CLR(fd, set);
	return false;
}

static long select_entries(const struct entries *entries, struct sets *sets, uint64_t deadline_ns,
			   const uint64_t *mask, size_t mask_size)
{
	long result = poll_with_mask(entries->each, entries->count, deadline_ns, mask, mask_size);
	long bits = 0;

	if (result < 0)
		return result;
	for (unsigned i = 0; i < entries->count; i++) {
		short events = entries->each[i].events, revents = entries->each[i].revents;
		int fd = entries->each[i].fd;

		if (revents & POLLNVAL)
			return -EBADF;
		bits += keep(&sets->reads, fd, events & POLLIN, revents, READ_EVENTS);
		bits += keep(&sets->writes, fd, events & POLLOUT, revents, WRITE_EVENTS);
		bits += keep(&sets->excepts, fd, events & POLLPRI, revents, POLLPRI);
	}
	return bits;
}

static long select_sets(int limit, struct sets *sets, uint64_t deadline_ns, const uint64_t *mask,
			size_t mask_size)
{
	struct entries entries;
	unsigned count = 0, i = 0;
	long result;

	for (int fd = 0; fd < limit; fd++)
		count += wanted_of(fd, sets) != 0;
	if (!make_entries(&entries, count))
		return -ENOMEM;
	for (int fd = 0; fd < limit; fd++) {
		short wanted = wanted_of(fd, sets);

		if (wanted)
			entries.each[i++] = (struct pollfd){ .fd = fd, .events = wanted };
	}
	result = select_entries(&entries, sets, deadline_ns, mask, mask_size);
	free_entries(&entries);
	return result;
}

static long select_until(int limit, fd_set *reads, fd_set *writes, fd_set *excepts,
			 uint64_t deadline_ns, const uint64_t *mask, size_t mask_size)
{
	struct sets sets;
	size_t size;
	long result;

	if (limit < 0)
		return -EINVAL;
	limit = min(limit, FD_SETSIZE);
	size = set_bytes(limit);
	if (read_set(&sets.reads, reads, size) || read_set(&sets.writes, writes, size) ||
	    read_set(&sets.excepts, excepts, size))
		return -EFAULT;
	result = select_sets(limit, &sets, deadline_ns, mask, mask_size);
	if (result >= 0 &&
	    (write_set(reads, &sets.reads, size) || write_set(writes, &sets.writes, size) ||
	     write_set(excepts, &sets.excepts, size)))
		return -EFAULT;
	return result;
}

SYSCALL(select)(int limit, fd_set *reads, fd_set *writes, fd_set *excepts, struct timeval *timeout)
{
	uint64_t deadline_ns = FOREVER;
	struct timespec left;
	struct timeval time;
	long result;

	if (timeout) {
		if (user_read(&time, timeout, sizeof(time)))
			return -EFAULT;
		if (time.tv_sec < 0 || time.tv_usec < 0)
			return -EINVAL;
		deadline_ns = deadline_in(time.tv_sec, time.tv_usec * NS_PER_US);
	}
	result = select_until(limit, reads, writes, excepts, deadline_ns, NULL, 0);
	if (timeout && deadline_ns != FOREVER) {
		left = time_left(deadline_ns);
		time = (struct timeval){ left.tv_sec, left.tv_nsec / NS_PER_US };
		(void)!user_write(timeout, &time, sizeof(time));
	}
	return signal_finish(result);
}

struct pselect_mask { /* two arguments in one: Linux's pselect6 */
	const uint64_t *mask;
	size_t size;
};

SYSCALL(pselect6)
(int limit, fd_set *reads, fd_set *writes, fd_set *excepts, struct timespec *timeout,
 const struct pselect_mask *user_mask)
{
	struct pselect_mask mask = { NULL, 0 };
	uint64_t deadline_ns;
	long result;

	if (user_mask && user_read(&mask, user_mask, sizeof(mask)))
		return -EFAULT;
	result = read_timeout(timeout, &deadline_ns);
	if (result)
		return result;
	result = select_until(limit, reads, writes, excepts, deadline_ns, mask.mask, mask.size);
	put_time_left(timeout, deadline_ns);
	return signal_finish(result);
}
