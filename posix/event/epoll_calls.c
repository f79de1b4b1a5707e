/*
 * The epoll system calls. epoll_wait() is the heart of a server: it polls the core's work (so the
 * network) once, then collects; with one thread to a core there is neither switch nor interrupt.
 */
#include "posix/event/epoll.h"
#include "posix/signal/signal.h"
#include "posix/syscall.h"
#include "posix/time/timeout.h"
#include "posix/user_memory.h"

#include "sched/thread.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>

static long create(bool close_on_exec)
{
	struct epoll *epoll = epoll_create_set();
	int fd;

	if (!epoll)
		return -ENOMEM;
	fd = fd_install(epoll_file(epoll), 0, close_on_exec);
	if (fd < 0)
		file_unreference(epoll_file(epoll));
	return fd;
}

SYSCALL(epoll_create1)(int flags)
{
	return flags & ~EPOLL_CLOEXEC ? -EINVAL : create(flags & EPOLL_CLOEXEC);
}

SYSCALL(epoll_create)(int size)
{
	return size <= 0 ? -EINVAL : create(false);
}

/* ---- control ---- */

/* What may be asked for exclusively. */
#define EXCLUSIVE_BITS                                                                             \
	(EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

struct control {
	struct epoll *epoll;
	struct file *file;
	struct file_view *view;
	int operation, fd;
	struct epoll_event event;
};

static long control_at_home(void *argument)
{
	struct control *control = argument;

	switch (control->operation) {
	case EPOLL_CTL_ADD:
		return epoll_add(control->epoll, control->fd, control->file, control->view,
				 control->event.events, control->event.data.u64);
	case EPOLL_CTL_MOD:
		return epoll_modify(control->epoll, control->fd, control->file,
				    control->event.events, control->event.data.u64);
	case EPOLL_CTL_DEL:
		return epoll_remove(control->epoll, control->fd, control->file);
	}
	return -EINVAL;
}

/* Set or file is at another core. The caller holds references on both. */
static long control_across(struct file *set, struct control *control)
{
	struct file *file = control->file;
	long result;

	if (control->operation == EPOLL_CTL_ADD && file->home != set->home &&
	    file->operations->approach)
		control->view = file->operations->approach(file, set->home);
	result = file_call(set, control_at_home, control);
	if (result && control->view)
		control->view->release(control->view);
	return result;
}

SYSCALL(epoll_ctl)(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
	struct file *set = fd_lookup(epoll_fd), *file = fd_lookup(fd);
	struct control control = { .file = file, .operation = operation, .fd = fd };
	long result = -EBADF;

	if (operation != EPOLL_CTL_DEL && user_read(&control.event, event, sizeof(*event)))
		return -EFAULT;
	if (!set || !file)
		return -EBADF;
	control.epoll = epoll_of(set);
	if (!control.epoll || set == file)
		return -EINVAL;
	/* What has no readiness of its own cannot be watched (a text file, /dev/zero). */
	if (!file->operations->events)
		return -EPERM;
	if (operation != EPOLL_CTL_DEL) {
		uint32_t events = control.event.events;

		if ((events & EPOLLEXCLUSIVE) &&
		    (operation == EPOLL_CTL_MOD || (events & ~EXCLUSIVE_BITS) || epoll_of(file)))
			return -EINVAL;
	}
	if (likely(set->home == this_core && file->home == this_core))
		return control_at_home(&control);
	if (!file_reference(set))
		return -EBADF;
	if (file_reference(file)) {
		result = control_across(set, &control);
		file_unreference(file);
	}
	file_unreference(set);
	return result;
}

/* ---- waiting ---- */

struct collect {
	struct epoll *epoll;
	struct epoll_event *events;
	int max;
};

static long collect_at_home(void *argument)
{
	struct collect *collect = argument;

	return epoll_collect(collect->epoll, collect->events, collect->max);
}

/* Nothing was ready at once, as look() has found, or the set is at another core. It comes here if it can; else
 * the thread goes there; else it is served by messages. */
static long wait_for_events(struct file *file, struct epoll *epoll, struct epoll_event *events,
			    int max, uint64_t deadline_ns)
{
	struct collect collect = { epoll, events, max };
	bool looked = file->home == this_core && deadline_ns != NO_WAIT;
	long n;

	current->has_polled &= looked;
	if (!file_reference(file)) {
		current->has_polled = false;
		return -EBADF;
	}
	if (file->home != this_core && !epoll_bring_here(epoll) && deadline_ns != NO_WAIT)
		file_go_home(file);
	for (;; looked = false) {
		int waited;

		n = looked ? 0 : file_call(file, collect_at_home, &collect);
		if (n > 0 || n == -EFAULT || (n == 0 && deadline_ns == NO_WAIT))
			break;
		/* Without a wish to wait, only for answers that are under way: not exclusively, or
		 * the news that they are there may go to another thread, which waits for events. */
		if (deadline_ns == NO_WAIT)
			waited = file_wait(file, EPOLLIN | EPOLL_SETTLED, false, FOREVER);
		else
			waited = file_wait(file, EPOLLIN, true, deadline_ns);
		if (waited) {
			n = waited == -EINTR ? -EINTR : 0;
			break;
		}
	}
	current->has_polled = false;
	file_unreference(file);
	return n;
}

#define EVENTS_MAX (INT_MAX / sizeof(struct epoll_event)) /* as Linux */

/* A first look. Returns what a call returns, or -EAGAIN: wait. */
static inline long look(int epoll_fd, struct epoll_event *events, int max, struct file **file)
{
	struct epoll *epoll;
	bool worked = core_poll();

	if (unlikely((unsigned)max - 1 >= EVENTS_MAX))
		return -EINVAL;
	if (unlikely(user_range_is_bad(events, (unsigned)max * sizeof(*events))))
		return -EFAULT;
	*file = fd_lookup(epoll_fd);
	if (unlikely(!*file))
		return -EBADF;
	epoll = epoll_of(*file);
	if (unlikely(!epoll))
		return -EINVAL;
	if (likely((*file)->home == this_core)) {
		int n = epoll_collect(epoll, events, max);

		if (likely(n > 0 || n == -EFAULT))
			return n;
	}
	current->has_polled = !worked;
	return -EAGAIN;
}

/* Out of line, so that a call which finds something has nothing to save for this. */
static __attribute__((noinline)) long wait_and_finish(struct file *file, struct epoll_event *events,
						      int max, uint64_t deadline_ns)
{
	return signal_finish(wait_for_events(file, epoll_of(file), events, max, deadline_ns));
}

static long wait_with_deadline(int epoll_fd, struct epoll_event *events, int max,
			       uint64_t deadline_ns)
{
	struct file *file;
	long n = look(epoll_fd, events, max, &file);

	if (n != -EAGAIN)
		return n;
	return wait_for_events(file, epoll_of(file), events, max, deadline_ns);
}

SYSCALL(epoll_wait)(int epoll_fd, struct epoll_event *events, int max, int timeout_ms)
{
	struct file *file;
	long n = look(epoll_fd, events, max, &file);

	if (likely(n != -EAGAIN))
		return n;
	return wait_and_finish(file, events, max, deadline_in_ms(timeout_ms));
}

/* Out of line, so that the usual call is a jump. */
static __attribute__((noinline)) long wait_with_mask(int epoll_fd, struct epoll_event *events,
						     int max, uint64_t deadline_ns,
						     const uint64_t *mask, size_t mask_size)
{
	uint64_t old_mask;
	long result = signal_enter_mask(mask, mask_size, &old_mask);

	if (result)
		return result;
	result = wait_with_deadline(epoll_fd, events, max, deadline_ns);
	signal_leave_mask(old_mask, result);
	return signal_finish(result);
}

SYSCALL(epoll_pwait)
(int epoll_fd, struct epoll_event *events, int max, int timeout_ms, const uint64_t *mask,
 size_t mask_size)
{
	if (likely(!mask))
		return sys_epoll_wait(epoll_fd, events, max, timeout_ms);
	return wait_with_mask(epoll_fd, events, max, deadline_in_ms(timeout_ms), mask, mask_size);
}

SYSCALL(epoll_pwait2)
(int epoll_fd, struct epoll_event *events, int max, const struct timespec *user_timeout,
 const uint64_t *mask, size_t mask_size)
{
	struct timespec timeout;
	uint64_t deadline_ns = FOREVER;

	if (user_timeout) {
		if (user_read(&timeout, user_timeout, sizeof(timeout)))
			return -EFAULT;
		if (timespec_is_bad(&timeout))
			return -EINVAL;
		deadline_ns = deadline_of(&timeout);
	}
	if (mask)
		return wait_with_mask(epoll_fd, events, max, deadline_ns, mask, mask_size);
	return signal_finish(wait_with_deadline(epoll_fd, events, max, deadline_ns));
}
