/*
 * Eventfd: a 64-bit counter as a file.
 *
 * A write from another core, the way to wake an event loop, needs no answer: it is added to a word
 * that the writers share and travels as one parcel, however many writes there are.
 */
#include "posix/file/file.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "mm/object.h"
#include "lavra/console.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#define COUNT_MAX (UINT64_MAX - 1)
/* What writers elsewhere may add without an answer: so much never fails in practice and the sum of
 * what is under way stays far from overflow. */
#define POSTED_MAX (1ull << 32)

struct eventfd {
	struct file file; /* first */
	uint64_t count; /* home core */
	bool semaphore;
	uint64_t posted; /* atomic: added by other cores, not yet counted here */
	bool released; /* home core: the end waits for the parcel */
	struct parcel parcel;
};

static void post_arrived(struct parcel *parcel)
{
	struct eventfd *event = container_of(parcel, struct eventfd, parcel);
	uint64_t posted;

	/* `posted` stays above zero, so that no late writer sends the parcel again. */
	if (event->released) {
		file_free(&event->file);
		return;
	}
	/* Pairs with the fetch-add in counter_write_remote(). */
	posted = __atomic_exchange_n(&event->posted, 0, __ATOMIC_ACQ_REL);
	event->count = posted > COUNT_MAX - event->count ? COUNT_MAX : event->count + posted;
	file_notify(&event->file, EPOLLIN | EPOLLRDNORM);
}

static inline int take_value(const struct iovec *iov, unsigned niov, uint64_t *value)
{
	if (niov != 1 || iov->iov_len < sizeof(*value))
		return -EINVAL;
	if (unlikely(!user_copy_8(value, iov->iov_base)))
		return -EFAULT;
	return *value == UINT64_MAX ? -EINVAL : 0;
}

static ssize_t counter_write(struct file *file, const struct iovec *iov, unsigned niov,
			     int64_t offset)
{
	struct eventfd *event = container_of(file, struct eventfd, file);
	uint64_t value;
	int error = take_value(iov, niov, &value);

	if (error)
		return error;
	if (value > COUNT_MAX - event->count)
		return -EAGAIN;
	event->count += value;
	if (event->count)
		file_notify(file, EPOLLIN | EPOLLRDNORM);
	return sizeof(value);
}

static ssize_t counter_write_remote(struct file *file, const struct iovec *iov, unsigned niov)
{
	struct eventfd *event = container_of(file, struct eventfd, file);
	uint64_t value;
	int error = take_value(iov, niov, &value);

	if (error)
		return error;
	if (value == 0 || value > POSTED_MAX ||
	    __atomic_load_n(&event->posted, __ATOMIC_RELAXED) > COUNT_MAX / 2)
		return -EXDEV;
	/* The one who turns it from zero sends; the parcel is then not under way. */
	if (__atomic_fetch_add(&event->posted, value, __ATOMIC_ACQ_REL) == 0)
		parcel_send(file->home, &event->parcel);
	return sizeof(value);
}

static ssize_t counter_read(struct file *file, const struct iovec *iov, unsigned niov,
			    int64_t offset)
{
	struct eventfd *event = container_of(file, struct eventfd, file);
	uint64_t value;

	if (niov != 1 || iov->iov_len < sizeof(value))
		return -EINVAL;
	if (!event->count)
		return -EAGAIN;
	value = event->semaphore ? 1 : event->count;
	if (unlikely(!user_copy_8(iov->iov_base, &value)))
		return -EFAULT;
	event->count -= value;
	file_notify(file, EPOLLOUT | EPOLLWRNORM);
	return sizeof(value);
}

static uint32_t eventfd_events(struct file *file)
{
	struct eventfd *event = container_of(file, struct eventfd, file);

	return (event->count ? EPOLLIN | EPOLLRDNORM : 0) |
	       (event->count < COUNT_MAX ? EPOLLOUT | EPOLLWRNORM : 0);
}

static int eventfd_stat(struct file *file, struct stat *st)
{
	st->st_mode = 0600;
	st->st_blksize = PAGE_SIZE;
	return 0;
}

static void eventfd_release(struct file *file)
{
	struct eventfd *event = container_of(file, struct eventfd, file);

	/* A writer that still had the descriptor may have posted: the parcel frees then. One that
	 * looks after this sees `posted` of a file that is kept until every core has passed a
	 * safe point. */
	if (__atomic_fetch_add(&event->posted, 1, __ATOMIC_ACQ_REL) == 0) {
		file_free(file);
		return;
	}
	event->released = true;
}

static const struct file_operations eventfd_operations = {
	.kind = "eventfd",
	.read = counter_read,
	.write = counter_write,
	.write_remote = counter_write_remote,
	.events = eventfd_events,
	.stat = eventfd_stat,
	.release = eventfd_release,
};

SYSCALL(eventfd2)(unsigned count, int flags)
{
	struct eventfd *event;
	int fd;

	if (flags & ~(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE))
		return -EINVAL;
	event = object_alloc_zeroed(sizeof(*event));
	if (!event)
		return -ENOMEM;
	file_init(&event->file, &eventfd_operations,
		  O_RDWR | (flags & EFD_NONBLOCK ? O_NONBLOCK : 0), NULL);
	event->count = count;
	event->semaphore = flags & EFD_SEMAPHORE;
	parcel_init(&event->parcel, post_arrived);
	fd = fd_install(&event->file, 0, flags & EFD_CLOEXEC);
	if (fd < 0)
		file_unreference(&event->file);
	return fd;
}

SYSCALL(eventfd)(unsigned count)
{
	return sys_eventfd2(count, 0);
}
