/*
 * Signalfd: signals that wait, read as data.
 *
 * Reading takes signals of the thread that reads and of the process, so it is done where that thread
 * is; only the watches are the home core's. A signal that begins to wait is told to the set by a
 * parcel, and then whoever watches looks for himself.
 */
#include "posix/file/file_move.h"
#include "posix/signal/signal.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

struct signalfd {
	struct file file; /* first */
	struct signal_watch watch;
	uint64_t set; /* atomic */
	bool told; /* the parcel is under way; atomic */
	bool released; /* home: the parcel frees */
	struct parcel parcel;
};

static struct signalfd *signalfd_of(struct file *file)
{
	return container_of(file, struct signalfd, file);
}

static uint64_t set_of(const struct signalfd *signalfd)
{
	return __atomic_load_n(&signalfd->set, __ATOMIC_RELAXED);
}

/* Any core, with the lock of the signals held. */
static void signal_waits(struct signal_watch *watch)
{
	struct signalfd *signalfd = container_of(watch, struct signalfd, watch);

	/* Pairs with the exchange in tell_watches(). */
	if (!__atomic_exchange_n(&signalfd->told, true, __ATOMIC_ACQ_REL))
		parcel_send(signalfd->file.home, &signalfd->parcel);
}

static void tell_watches(struct parcel *parcel)
{
	struct signalfd *signalfd = container_of(parcel, struct signalfd, parcel);

	if (signalfd->file.home != this_core) {
		parcel_send(signalfd->file.home, parcel);
		return;
	}
	if (signalfd->released) {
		file_free(&signalfd->file);
		return;
	}
	(void)__atomic_exchange_n(&signalfd->told, false, __ATOMIC_ACQ_REL);
	file_notify(&signalfd->file, EPOLLIN | EPOLLRDNORM);
}

static struct signalfd_siginfo data_of(const siginfo_t *info)
{
	struct signalfd_siginfo data = {
		.ssi_signo = (uint32_t)info->si_signo,
		.ssi_errno = info->si_errno,
		.ssi_code = info->si_code,
	};

	/* Linux's signalfd_copyinfo(): which members mean something depends on who sent it. */
	if (info->si_code == SI_TIMER) {
		data.ssi_tid = (uint32_t)info->si_timerid;
		data.ssi_overrun = (uint32_t)info->si_overrun;
	} else if (info->si_code > 0 && info->si_code != SI_KERNEL &&
		   (info->si_signo == SIGSEGV || info->si_signo == SIGBUS ||
		    info->si_signo == SIGILL || info->si_signo == SIGFPE ||
		    info->si_signo == SIGTRAP)) {
		data.ssi_addr = (uint64_t)info->si_addr;
		return data;
	} else {
		data.ssi_pid = (uint32_t)info->si_pid;
		data.ssi_uid = (uint32_t)info->si_uid;
	}
	data.ssi_ptr = (uint64_t)info->si_value.sival_ptr;
	data.ssi_int = info->si_value.sival_int;
	return data;
}

static ssize_t read_signals(struct file *file, const struct iovec *iov, unsigned niov)
{
	uint64_t set = set_of(signalfd_of(file));
	size_t done = 0;

	for (unsigned i = 0; i < niov; i++) {
		size_t room = iov[i].iov_len;
		char *to = iov[i].iov_base;

		for (; room >= sizeof(struct signalfd_siginfo);
		     room -= sizeof(struct signalfd_siginfo)) {
			struct signalfd_siginfo data;
			siginfo_t info;

			if (!signal_take(set, &info))
				return done ? (ssize_t)done : -EAGAIN;
			data = data_of(&info);
			/* As on Linux the signal is taken all the same. */
			if (!user_copy(to, &data, sizeof(data)))
				return done ? (ssize_t)done : -EFAULT;
			to += sizeof(data);
			done += sizeof(data);
		}
	}
	return done ? (ssize_t)done : -EINVAL;
}

static ssize_t signalfd_read(struct file *file, const struct iovec *iov, unsigned niov,
			     int64_t offset)
{
	return offset == NO_OFFSET ? read_signals(file, iov, niov) : -ESPIPE;
}

/* The file comes to the thread that reads, which then waits for it at home. */
static ssize_t read_here(struct file *file, const struct iovec *iov, unsigned niov)
{
	file_bring(file, this_core);
	return read_signals(file, iov, niov);
}

/* Of the thread that asks. That is the one that waits, unless several wait on different cores: those
 * elsewhere than at home may then be told of a signal of another thread, and find nothing. */
static uint32_t signalfd_events(struct file *file)
{
	return signal_waiting() & set_of(signalfd_of(file)) ? EPOLLIN | EPOLLRDNORM : 0;
}

static int signalfd_stat(struct file *file, struct stat *st)
{
	st->st_mode = 0600;
	st->st_blksize = PAGE_SIZE;
	return 0;
}

static void signalfd_release(struct file *file)
{
	struct signalfd *signalfd = signalfd_of(file);

	signal_watch_remove(&signalfd->watch);
	signalfd->released = true;
	if (!__atomic_exchange_n(&signalfd->told, true, __ATOMIC_ACQ_REL))
		file_free(file);
}

static const struct file_operations signalfd_operations = {
	.kind = "signalfd",
	.read = signalfd_read,
	.read_here = read_here,
	.approach = file_approach_by_moving,
	.events = signalfd_events,
	.events_remote = signalfd_events,
	.stat = signalfd_stat,
	.release = signalfd_release,
};

static long create(uint64_t set, int flags)
{
	struct signalfd *signalfd = object_alloc_zeroed(sizeof(*signalfd));
	int fd;

	if (!signalfd)
		return -ENOMEM;
	file_init(&signalfd->file, &signalfd_operations,
		  O_RDWR | (flags & SFD_NONBLOCK ? O_NONBLOCK : 0), NULL);
	signalfd->set = set;
	parcel_init(&signalfd->parcel, tell_watches);
	signal_watch_add(&signalfd->watch, set, signal_waits);
	fd = fd_install(&signalfd->file, 0, flags & SFD_CLOEXEC);
	if (fd < 0)
		file_unreference(&signalfd->file);
	return fd;
}

SYSCALL(signalfd4)(int fd, const uint64_t *mask, size_t size, int flags)
{
	struct file *file;
	uint64_t set;

	if ((flags & ~(SFD_CLOEXEC | SFD_NONBLOCK)) || size != sizeof(*mask))
		return -EINVAL;
	if (user_read(&set, mask, sizeof(set)))
		return -EFAULT;
	set &= ~(1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1));
	if (fd == -1)
		return create(set, flags);
	file = fd_lookup(fd);
	if (!file)
		return -EBADF;
	if (file->operations != &signalfd_operations)
		return -EINVAL;
	__atomic_store_n(&signalfd_of(file)->set, set, __ATOMIC_RELAXED);
	signal_watch_change(&signalfd_of(file)->watch, set);
	/* What waits already may be in the new set: who watches looks again. */
	signal_waits(&signalfd_of(file)->watch);
	return fd;
}

SYSCALL(signalfd)(int fd, const uint64_t *mask, size_t size)
{
	return sys_signalfd4(fd, mask, size, 0);
}
