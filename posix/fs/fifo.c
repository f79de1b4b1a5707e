/*
 * Named pipes.
 *
 * The ring and the list of ends belong to the home core. How many readers and writers there are, and
 * how many there ever were, is guarded by the lock of the queue in which those wait who opened one side
 * before the other; the home core changes it.
 */
#include "posix/fs/fifo.h"

#include "posix/file/iovec.h"

#include "lavra/console.h"
#include "mm/object.h"
#include "posix/fs/inode.h"
#include "posix/user_memory.h"
#include "sched/thread.h"
#include "sched/wait_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#define RING_BYTES (64u << 10) /* as Linux; a power of two */

struct fifo {
	core_id_t home;
	struct list ends; /* home core */
	char *ring; /* home core; there while the list has ends */
	uint32_t in, out; /* home core: bytes ever written and read, modulo 2^32 */
	struct wait_queue openers;
	unsigned readers, writers, readers_ever, writers_ever; /* with the lock of `openers` */
};

struct end {
	struct list link;
	struct open_file *open;
	bool reads, writes;
};

static struct fifo *fifo_of(const struct open_file *open)
{
	return __atomic_load_n(&open->inode->fifo, __ATOMIC_ACQUIRE);
}

static struct fifo *make_fifo(struct inode *inode)
{
	struct fifo *fifo = __atomic_load_n(&inode->fifo, __ATOMIC_ACQUIRE), *seen = NULL;

	if (fifo)
		return fifo;
	fifo = object_alloc_zeroed(sizeof(*fifo));
	if (!fifo)
		return NULL;
	fifo->home = this_core;
	list_init(&fifo->ends);
	wait_queue_init(&fifo->openers);
	if (__atomic_compare_exchange_n(&inode->fifo, &seen, fifo, false, __ATOMIC_RELEASE,
					__ATOMIC_ACQUIRE))
		return fifo;
	object_free(fifo);
	return seen;
}

void fifo_destroy(struct fifo *fifo)
{
	object_free(fifo);
}

/* ---- at home ---- */

static uint32_t filled(const struct fifo *fifo)
{
	return fifo->in - fifo->out;
}

/* Tell one side of all ends. */
static void notify(struct fifo *fifo, bool readers, uint32_t events)
{
	list_for_each_safe(link, &fifo->ends) {
		struct end *end = list_entry(link, struct end, link);

		if (readers ? end->reads : end->writes)
			file_notify(&end->open->file, events);
	}
}

static void count(struct fifo *fifo, const struct end *end, int change)
{
	wait_queue_lock(&fifo->openers);
	if (end->reads) {
		fifo->readers += change;
		fifo->readers_ever += change > 0;
	}
	if (end->writes) {
		fifo->writers += change;
		fifo->writers_ever += change > 0;
	}
	if (change > 0)
		wait_queue_wake_locked(&fifo->openers, UINT32_MAX, NULL, NULL);
	wait_queue_unlock(&fifo->openers);
}

static long attach(void *argument)
{
	struct end *end = argument;
	struct fifo *fifo = fifo_of(end->open);

	if (!fifo->ring) {
		fifo->ring = object_alloc(RING_BYTES);
		if (!fifo->ring)
			return -ENOMEM;
		fifo->in = fifo->out = 0;
	}
	list_push_back(&fifo->ends, &end->link);
	count(fifo, end, 1);
	return 0;
}

void fifo_close(struct open_file *open)
{
	struct fifo *fifo = fifo_of(open);
	struct end *end = open->end;

	list_remove(&end->link);
	count(fifo, end, -1);
	if (end->writes && !fifo->writers)
		notify(fifo, true, EPOLLHUP);
	if (end->reads && !fifo->readers)
		notify(fifo, false, EPOLLOUT | EPOLLERR);
	if (list_is_empty(&fifo->ends)) {
		object_free(fifo->ring);
		fifo->ring = NULL;
	}
	object_free(end);
}

/* ---- opening ---- */

/* Until the other side was opened once more than `ever`. */
static int wait_for_other_side(struct fifo *fifo, const unsigned *ever, unsigned seen)
{
	wait_queue_lock(&fifo->openers);
	while (*ever == seen) {
		struct waiter waiter = { 0 };

		if (!wait_queue_wait_interruptible(&fifo->openers, &waiter, UINT64_MAX))
			return -EINTR;
		wait_queue_lock(&fifo->openers);
	}
	wait_queue_unlock(&fifo->openers);
	return 0;
}

int fifo_open(struct open_file *open)
{
	int access = open->file.status_flags & O_ACCMODE;
	bool nonblocking = open->file.status_flags & O_NONBLOCK;
	struct fifo *fifo = make_fifo(open->inode);
	struct end *end = fifo ? object_alloc(sizeof(*end)) : NULL;
	unsigned readers_ever, writers_ever;
	bool alone;
	long error;

	if (!end)
		return -ENOMEM;
	list_init(&end->link);
	end->open = open;
	end->reads = access != O_WRONLY;
	end->writes = access != O_RDONLY;
	open->file.home = fifo->home;

	wait_queue_lock(&fifo->openers);
	readers_ever = fifo->readers_ever;
	writers_ever = fifo->writers_ever;
	alone = access == O_RDONLY ? !fifo->writers : !fifo->readers;
	wait_queue_unlock(&fifo->openers);
	if (access == O_WRONLY && nonblocking && alone) {
		object_free(end);
		return -ENXIO;
	}
	error = core_call(fifo->home, attach, end);
	if (error) {
		object_free(end);
		return error;
	}
	open->end = end; /* from here on it ends with the file */
	if (access == O_RDWR || nonblocking || !alone)
		return 0;
	if (access == O_RDONLY)
		return wait_for_other_side(fifo, &fifo->writers_ever, writers_ever);
	return wait_for_other_side(fifo, &fifo->readers_ever, readers_ever);
}

/* ---- reading and writing; at home ---- */

/* How many bytes: fewer if memory is not there. */
static uint32_t ring_copy(struct fifo *fifo, uint32_t position, char *memory, uint32_t length,
			  bool into_ring)
{
	uint32_t done = 0;

	while (done < length) {
		uint32_t at = (position + done) % RING_BYTES;
		uint32_t part = min(length - done, RING_BYTES - at), copied;

		if (into_ring)
			copied = (uint32_t)user_copy_some(fifo->ring + at, memory + done, part);
		else
			copied = (uint32_t)user_copy_some(memory + done, fifo->ring + at, part);
		done += copied;
		if (unlikely(copied < part))
			break;
	}
	return done;
}

/* Copy what there is in the ring, or room for. Returns how many bytes; where memory is not there only
 * whole pages, as on Linux, or -EFAULT: none. */
static ssize_t move(struct fifo *fifo, const struct iovec *iov, unsigned niov, uint32_t position,
		    uint32_t most, bool into_ring)
{
	uint32_t done = 0;

	for (unsigned i = 0; i < niov && done < most; i++) {
		uint32_t part = min((size_t)(most - done), iov[i].iov_len);
		uint32_t copied =
		    ring_copy(fifo, position + done, iov[i].iov_base, part, into_ring);

		done += copied;
		if (unlikely(copied < part)) {
			done = align_down(done, (uint32_t)PAGE_SIZE);
			return done ? (ssize_t)done : -EFAULT;
		}
	}
	return done;
}

static ssize_t fifo_read(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	struct fifo *fifo = fifo_of(open_file_of(file));
	ssize_t done;

	if (offset != NO_OFFSET)
		return -ESPIPE;
	if (iov_total(iov, niov) == 0)
		return 0;
	done = move(fifo, iov, niov, fifo->out, filled(fifo), false);
	if (done > 0) {
		fifo->out += (uint32_t)done;
		notify(fifo, false, EPOLLOUT | EPOLLWRNORM);
	}
	return done || !fifo->writers ? done : -EAGAIN;
}

static ssize_t fifo_write(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	struct fifo *fifo = fifo_of(open_file_of(file));
	size_t total = iov_total(iov, niov);
	ssize_t done;

	if (offset != NO_OFFSET)
		return -ESPIPE;
	if (!fifo->readers)
		return -EPIPE;
	if (total == 0)
		return 0;
	/* Up to PIPE_BUF bytes are written as a whole or not at all (POSIX write()). */
	if (total <= PIPE_BUF && total > RING_BYTES - filled(fifo))
		return -EAGAIN;
	done = move(fifo, iov, niov, fifo->in, RING_BYTES - filled(fifo), true);
	if (!done)
		return -EAGAIN;
	if (done > 0) {
		fifo->in += (uint32_t)done;
		notify(fifo, true, EPOLLIN | EPOLLRDNORM);
	}
	return done;
}

static uint32_t fifo_events(struct file *file)
{
	const struct end *end = open_file_of(file)->end;
	const struct fifo *fifo = fifo_of(open_file_of(file));
	uint32_t events = 0;

	if (end->reads) {
		events |= filled(fifo) ? EPOLLIN | EPOLLRDNORM : 0;
		/* Before the first writer there is nobody who could have hung up. */
		events |= fifo->writers || !fifo->writers_ever ? 0 : EPOLLHUP;
	}
	if (end->writes) {
		events |= fifo->readers ? 0 : EPOLLERR;
		if (filled(fifo) <= RING_BYTES - PIPE_BUF || !fifo->readers)
			events |= EPOLLOUT | EPOLLWRNORM;
	}
	return events;
}

static long fifo_ioctl(struct file *file, unsigned long request, void *argument)
{
	int bytes = (int)filled(fifo_of(open_file_of(file)));

	return request == FIONREAD ? user_write(argument, &bytes, sizeof(bytes)) : -ENOTTY;
}

const struct file_operations fifo_operations = {
	.kind = "named pipe",
	.writes_all = true,
	.read = fifo_read,
	.write = fifo_write,
	.events = fifo_events,
	.ioctl = fifo_ioctl,
	.stat = open_file_stat,
	.release = open_file_release,
};
