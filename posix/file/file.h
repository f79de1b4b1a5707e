/*
 * Files: what a descriptor names.
 *
 * An open file has a home core; its operations run only there, never block, and return
 * -EAGAIN when they would. posix/file/file.c does the rest for all kinds: references, moving to the
 * home core or calling it, waiting, and telling who watches. posix/file/fd_table.c holds descriptors.
 *
 * - A kind puts `struct file` first in an object from object_alloc() and adds what it needs.
 * - What fd_lookup() returns may be used until the caller blocks or polls. To keep it longer,
 *   take a reference, which fails when the last one is gone already.
 * - Only epoll sets, signalfds, local sockets and connections change their home, and only while nobody
 *   watches them.
 */
#pragma once

#include "lavra/list.h"
#include "lavra/types.h"
#include "smp/core.h"
#include "smp/epoch.h"
#include "smp/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/uio.h>

struct file;
struct socket_kind;
struct stat;

#define NO_OFFSET (-1) /* read or write where the file stands */
#define FOREVER UINT64_MAX

struct file_operations {
	const char *kind; /* "socket", "eventfd", ...: for messages */
	const struct socket_kind *socket; /* what socket calls do with it; NULL: not a socket */
	/* Nothing belongs to the home core but the watches: operations may run anywhere. */
	bool anywhere;
	/* A thread that blocks on such a file moves to its home core (threads follow flows). */
	bool followed;
	/* A blocking write returns only when all bytes are written. */
	bool writes_all;
	/* Home core, not blocking: bytes moved, -EAGAIN, or another error. NULL: -EINVAL. */
	ssize_t (*read)(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset);
	ssize_t (*write)(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset);
	uint32_t (*events)(
	    struct file *file); /* EPOLL* bits that are true now; NULL: always ready */
	/* `argument` is as the application gave it. */
	long (*ioctl)(struct file *file, unsigned long request, void *argument);
	int (*stat)(struct file *file, struct stat *st);
	int64_t (*seek)(struct file *file, int64_t offset, int whence); /* NULL: -ESPIPE */
	long (*map)(struct file *file, vaddr_t address, size_t length, int prot, int flags,
		    int64_t offset); /* NULL: -ENODEV */
	/* The last reference is gone. Home core, must not block. Ends, now or later, with
	 * file_free(). NULL: nothing but that. */
	void (*release)(struct file *file);
	/* A descriptor of it goes; may wait. Thread context. NULL: nothing to do. */
	void (*descriptor_closes)(struct file *file);
	/* A write from another core that needs no answer: returns -EXDEV to have it called at home
	 * as usual. Any core. NULL: always as usual. */
	ssize_t (*write_remote)(struct file *file, const struct iovec *iov, unsigned niov);
	ssize_t (*read_remote)(struct file *file, const struct iovec *iov, unsigned niov);
	/* Read and write where the caller is, which need not be home: thread context, with a reference.
	 * May wait for messages, not for events. -EXDEV: at home as usual. NULL: always as usual. */
	ssize_t (*read_here)(struct file *file, const struct iovec *iov, unsigned niov);
	ssize_t (*write_here)(struct file *file, const struct iovec *iov, unsigned niov);
	/* What is true now, from another core than home, or FILE_UNKNOWN. Must not block. NULL: unknown. */
	uint32_t (*events_remote)(struct file *file);
	/* Thread context, the caller holds a reference: `core` is going to use the file and to watch it.
	 * The file may have moved there on return; otherwise a view of its readiness, or NULL. NULL: as
	 * if it returned that. */
	struct file_view *(*approach)(struct file *file, core_id_t core);
};

/* Readiness of a file that any core can look at; it may outlive the file. */
struct file_view {
	uint32_t (*events)(struct file_view *view); /* any core */
	void (*release)(struct file_view *view); /* any core */
};

/* A file's home while a message takes it to `next_home`: equal to no core, so that nobody uses it. */
#define HOME_ON_ITS_WAY ((core_id_t)-1)

struct file {
	const struct file_operations *operations;
	core_id_t home; /* changes on the cores it leaves and reaches; others see it change */
	core_id_t next_home;
	uint32_t status_flags; /* O_NONBLOCK, O_APPEND, access mode; any core, a single word */
	int owner; /* F_SETOWN; stored and told */
	struct list watches; /* home core */
	uint32_t references; /* descriptors and operations under way; atomic */
	struct parcel parcel; /* brings the end of the last reference to the home core */
	struct deferred deferred;
	uint64_t read_timeout_ns, write_timeout_ns; /* SO_RCVTIMEO, SO_SNDTIMEO; FOREVER: none */
	void *data; /* the kind's own */
};

/* Where messages about it go. Any core. */
static inline core_id_t file_home(const struct file *file)
{
	/* Acquire: pairs with the release in file_leave(). */
	core_id_t home = __atomic_load_n(&file->home, __ATOMIC_ACQUIRE);

	return likely(home != HOME_ON_ITS_WAY) ? home : file->next_home;
}

/* Bits that travel with EPOLL* bits and are none of them. */
#define FILE_ALWAYS_READY (EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM)
#define FILE_UNKNOWN (1u << 19) /* only home knows */
#define FILE_GONE (1u << 20) /* to a watch: the file ends; the watch is already out of its list */

/* Somebody who wants to hear of readiness: a waiting thread, an epoll item. Home core only. */
struct watch {
	struct list link;
	uint32_t events; /* interested in; EPOLLERR and EPOLLHUP always */
	core_id_t core; /* of who is told; a hint */
	/* Of all exclusive watches they are told one after the other until one takes the event: until
	 * `takes`, which may be NULL, says that somebody waits there. */
	bool exclusive;
	bool (*takes)(const struct watch *watch);
	void (*notify)(struct watch *watch, uint32_t events); /* home core; must not block */
};

/* One reference, home on this core. */
void file_init(struct file *file, const struct file_operations *operations, int status_flags,
	       void *data);
/* Free the object once no core can still look at it. */
void file_free(struct file *file);
/* Tell the watches that `events` became true. Home core. */
void file_notify(struct file *file, uint32_t events);
/* The same; of exclusive watches those of core `near` are first. */
void file_notify_near(struct file *file, uint32_t events, core_id_t near);
void file_watch(struct file *file, struct watch *watch);
void file_unwatch(struct watch *watch);
/* Home core, nobody watches: a parcel to `next_home` was sent, whose handler calls file_arrive(). */
void file_leave(struct file *file, core_id_t next_home);
void file_arrive(struct file *file);
/* What is true now. Home core. */
static inline uint32_t file_events(struct file *file)
{
	if (unlikely(!file->operations->events))
		return FILE_ALWAYS_READY;
	return file->operations->events(file);
}

/* Keep the file over a block or a poll. Returns false if it is ending. Any core. */
bool file_reference(struct file *file);
void file_unreference(struct file *file);

/* ---- descriptors (posix/file/fd_table.c); any core ---- */

#define FD_MAX 65536u

#define FD_CHUNK 1024u
extern struct file **fd_chunks[FD_MAX / FD_CHUNK]; /* made when first needed, never freed */

/* What `fd` names, or NULL. */
static inline struct file *fd_lookup(int fd)
{
	struct file **chunk;

	if (unlikely((unsigned)fd >= FD_MAX))
		return NULL;
	/* Acquire: pairs with the releases in fd_table.c. */
	chunk = __atomic_load_n(&fd_chunks[(unsigned)fd / FD_CHUNK], __ATOMIC_ACQUIRE);
	if (unlikely(!chunk))
		return NULL;
	return __atomic_load_n(&chunk[(unsigned)fd % FD_CHUNK], __ATOMIC_ACQUIRE);
}

/* A free descriptor now names `file` (takes over the caller's reference), or -EMFILE, -ENOMEM, -EINVAL (the
 * caller keeps the reference). From `lowest` on it is the lowest; with 0 only below 8 or on one core, and else the
 * lowest of those that this core keeps, or the lowest that no core does. */
int fd_install(struct file *file, int lowest, bool close_on_exec);
/* Take the file out of its descriptor; the caller owns the reference. NULL if there is none. */
struct file *fd_remove(int fd);
/* `fd` itself now names `file`; *old is what it named before (with its reference) or NULL. */
int fd_replace(int fd, struct file *file, bool close_on_exec, struct file **old);
int fd_get_close_on_exec(int fd); /* 0, 1, -EBADF */
int fd_set_close_on_exec(int fd, bool on);
/* Thread context: waits for the end of a file whose home is elsewhere. 0 or -EBADF. */
int fd_close(int fd);
/* Some descriptor names `file`, of which only the address is known: for one that was let go while a
 * signal's handler ran. A search through all of them. */
bool fd_names(const struct file *file);
unsigned fd_count(void); /* while others open and close, about */
/* Would fd_install() find a number? */
bool fd_is_free(void);
unsigned fd_limit(void); /* RLIMIT_NOFILE */
void fd_set_limit(unsigned limit);

/* ---- being at home; thread context ---- */

/* Be on `file`'s home core: returns 0 and stays (moves an unpinned thread), or -EXDEV for a pinned
 * one, which then uses file_call(). The caller holds a reference. */
int file_go_home(struct file *file);
/* Run `function(argument)` on the home core (a plain call when we are there). Blocks when it is
 * elsewhere; the caller then holds a reference. */
long file_call(struct file *file, long (*function)(void *), void *argument);
/* Wait until one of `events` is true for `file` (0), the deadline (-ETIMEDOUT), or a signal that the
 * thread takes (-EINTR). The caller holds a reference. `exclusive` as in struct watch. */
int file_wait(struct file *file, uint32_t events, bool exclusive, uint64_t deadline_ns);

/*
 * Try `attempt(file, argument)` at home until it returns something else than -EAGAIN, waiting for
 * `events` in between. nonblocking: once. After `timeout_ns` (FOREVER: none): -EAGAIN. Takes its
 * own reference; -EBADF if it cannot. A signal runs its handler, and then the wait goes on or
 * the result is -EINTR. Thread context; `file` is stale afterwards.
 */
typedef long file_attempt(struct file *file, void *argument);
#define NOT_HERE (-ESTALE) /* of an attempt: the file is used in another way by now, start over */
long file_operate(struct file *file, file_attempt *attempt, void *argument, uint32_t events,
		  bool nonblocking, uint64_t timeout_ns);
/* The same, but `here(file, argument)` is tried first, where the thread is; if it returns -EXDEV,
 * `attempt` is. how: bits. */
#define OPERATE_ONCE 1u /* nonblocking */
#define OPERATE_STAYS 2u /* the thread does not follow the file to its home */
#define OPERATE_EXCLUSIVE 4u /* an event wakes one of those who wait like this */
long file_operate_here(struct file *file, file_attempt *here, file_attempt *attempt, void *argument,
		       uint32_t events, unsigned how, uint64_t timeout_ns);

/* Read and write as system calls do: any core, waiting if the file and its flags say so. At home the
 * first try is a direct call; the rest is in file.c. */
ssize_t file_read_slowly(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset,
			 ssize_t first_result);
ssize_t file_write_slowly(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset,
			  ssize_t first_result);
#define NOT_TRIED (-EXDEV)

static inline ssize_t file_read(struct file *file, const struct iovec *iov, unsigned niov,
				int64_t offset)
{
	ssize_t result = NOT_TRIED;

	if (likely((file->home == this_core || file->operations->anywhere) &&
		   file->operations->read && (file->status_flags & O_ACCMODE) != O_WRONLY)) {
		result = file->operations->read(file, iov, niov, offset);
		if (likely(result != -EAGAIN))
			return result;
	}
	return file_read_slowly(file, iov, niov, offset, result);
}

static inline ssize_t file_write(struct file *file, const struct iovec *iov, unsigned niov,
				 int64_t offset)
{
	ssize_t result = NOT_TRIED;

	if (likely((file->home == this_core || file->operations->anywhere) &&
		   file->operations->write && (file->status_flags & O_ACCMODE) != O_RDONLY)) {
		result = file->operations->write(file, iov, niov, offset);
		if (likely(niov == 1 && result == (ssize_t)iov->iov_len))
			return result;
	}
	return file_write_slowly(file, iov, niov, offset, result);
}

/* A blocking write that has moved `done` bytes so far goes on to the end, or an error. */
ssize_t file_write_rest(struct file *file, const struct iovec *iov, unsigned niov, size_t done);
/* A call is about to report EAGAIN: now and then look at the core's work, so that a program which
 * spins without ever waiting still gets its packets. Files without a reference are stale after it. */
void file_spin_poll(void);
