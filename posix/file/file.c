/*
 * Files of all kinds: references, the way to the home core, waiting and telling.
 */
#include "posix/file/file.h"
#include "posix/file/iovec.h"

#include "lavra/console.h"
#include "mm/object.h"
#include "posix/signal/signal.h"
#include "sched/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>

static void file_end_parcel(struct parcel *parcel);

void file_init(struct file *file, const struct file_operations *operations, int status_flags,
	       void *data)
{
	file->operations = operations;
	file->home = file->next_home = this_core;
	file->status_flags = status_flags;
	file->owner = 0;
	list_init(&file->watches);
	file->references = 1;
	parcel_init(&file->parcel, file_end_parcel);
	file->read_timeout_ns = FOREVER;
	file->write_timeout_ns = FOREVER;
	file->data = data;
}

/* ---- references ---- */

static void file_reclaim(struct deferred *deferred)
{
	object_free(container_of(deferred, struct file, deferred));
}

void file_free(struct file *file)
{
	epoch_defer(&file->deferred, file_reclaim);
}

/* The last reference is gone, so there will be no more watches: what has none ends anywhere if its
 * operations may. */
static bool ends_here(const struct file *file)
{
	return file->home == this_core ||
	       (file->operations->anywhere && list_is_empty(&file->watches));
}

static void file_end(struct file *file)
{
	assert(ends_here(file));
	while (!list_is_empty(&file->watches)) {
		struct watch *watch = list_first(&file->watches, struct watch, link);

		list_remove(&watch->link);
		watch->notify(watch, FILE_GONE);
	}
	if (file->operations->release)
		file->operations->release(file);
	else
		file_free(file);
}

static void file_end_parcel(struct parcel *parcel)
{
	file_end(container_of(parcel, struct file, parcel));
}

bool file_reference(struct file *file)
{
	uint32_t seen = __atomic_load_n(&file->references, __ATOMIC_RELAXED);

	/* Relaxed: the caller may look at the file already; the count only keeps it. */
	do {
		if (seen == 0)
			return false;
	} while (!__atomic_compare_exchange_n(&file->references, &seen, seen + 1, true,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return true;
}

/* Drop a reference; true for the last. Release and acquire: what others did with the file comes
 * before its end. */
static bool file_drop(struct file *file)
{
	uint32_t before = __atomic_fetch_sub(&file->references, 1, __ATOMIC_ACQ_REL);

	assert(before > 0);
	return before == 1;
}

void file_unreference(struct file *file)
{
	if (!file_drop(file))
		return;
	/* Nobody can move an epoll set any more, so the home is final. */
	if (ends_here(file))
		file_end(file);
	else
		parcel_send(file->home, &file->parcel);
}

static long file_end_call(void *argument)
{
	file_end(argument);
	return 0;
}

int fd_close(int fd)
{
	struct file *file = fd_remove(fd);

	if (!file)
		return -EBADF;
	/* Waiting for the end means that an address is free again when close() returns. */
	if (!file_drop(file))
		return 0;
	if (ends_here(file))
		file_end(file);
	else
		core_call(file->home, file_end_call, file);
	return 0;
}

/* ---- watches ---- */

void file_watch(struct file *file, struct watch *watch)
{
	assert_on_core(file->home);
	list_push_back(&file->watches, &watch->link);
}

void file_unwatch(struct watch *watch)
{
	list_remove(&watch->link);
}

/* Pairs with the relaxed store of an epoll set on another core (EPOLL_CTL_MOD), which asks again
 * after it. */
static inline bool wants(const struct watch *watch, uint32_t events)
{
	uint32_t wanted = __atomic_load_n(&watch->events, __ATOMIC_RELAXED);

	return events & (wanted | EPOLLERR | EPOLLHUP);
}

/* Returns true if one took the event. */
static bool notify_exclusive(struct file *file, uint32_t events, core_id_t near, bool is_near)
{
	list_for_each_safe(link, &file->watches) {
		struct watch *watch = list_entry(link, struct watch, link);
		bool takes;

		if (!watch->exclusive || (watch->core == near) != is_near || !wants(watch, events))
			continue;
		takes = !watch->takes || watch->takes(watch);
		watch->notify(watch, events);
		if (takes)
			return true;
	}
	return false;
}

void file_notify_near(struct file *file, uint32_t events, core_id_t near)
{
	bool any_exclusive = false;

	list_for_each_safe(link, &file->watches) {
		struct watch *watch = list_entry(link, struct watch, link);

		if (unlikely(watch->exclusive))
			any_exclusive = true;
		else if (wants(watch, events))
			watch->notify(watch, events);
	}
	if (unlikely(any_exclusive) && !notify_exclusive(file, events, near, true))
		notify_exclusive(file, events, near, false);
}

void file_notify(struct file *file, uint32_t events)
{
	file_notify_near(file, events, this_core);
}

/* ---- being at home ---- */

void file_leave(struct file *file, core_id_t next_home)
{
	assert_on_core(file->home);
	assert(list_is_empty(&file->watches));
	file->next_home = next_home;
	/* Release: pairs with the acquire in file_home(). */
	__atomic_store_n(&file->home, HOME_ON_ITS_WAY, __ATOMIC_RELEASE);
}

void file_arrive(struct file *file)
{
	assert_on_core(file->next_home);
	__atomic_store_n(&file->home, this_core, __ATOMIC_RELEASE);
}

int file_go_home(struct file *file)
{
	while (file->home != this_core) {
		core_id_t home = file_home(file);

		if (current->affinity_set)
			return -EXDEV;
		if (home == this_core)
			thread_yield(); /* it is about to arrive */
		else
			thread_migrate(home);
	}
	return 0;
}

struct home_call {
	struct file *file;
	long (*function)(void *);
	void *argument;
	uint32_t rights; /* the caller's, over its memory */
};

static long run_at_home(void *argument)
{
	struct home_call *call = argument;
	uint32_t rights;
	long result;

	/* An epoll set may have moved since the caller looked. */
	if (call->file->home != this_core)
		return -EXDEV;
	rights = arch_lend_rights(call->rights);
	result = call->function(call->argument);
	arch_lend_rights(rights);
	return result;
}

long file_call(struct file *file, long (*function)(void *), void *argument)
{
	struct home_call call = { file, function, argument, 0 };
	long result;

	if (file->home == this_core || file->operations->anywhere)
		return function(argument);
	call.rights = arch_call_rights();
	while ((result = core_call(file_home(file), run_at_home, &call)) == -EXDEV)
		thread_yield();
	return result;
}

/*
 * ---- waiting ----
 *
 * A waiter is a watch on the waiting thread's stack. Exactly one wake-up ends each wait: from the
 * watch, or from taking the waiter out. Elsewhere than at home, two parcels do what a call does at
 * home; the thread leaves only when both have been handled, since they lie on its stack.
 */
struct waiter_of_file {
	struct watch watch;
	struct file *file;
	struct thread *thread;
	bool taken; /* home core: the wake-up was given */
	bool told; /* ... because of an event */
	uint32_t to_handle; /* parcels under way; atomic */
	struct parcel begin, cancel;
};

static void waiter_wake(struct waiter_of_file *waiter)
{
	list_remove(&waiter->watch.link);
	waiter->taken = true;
	waiter->told = true;
	thread_wake(waiter->thread);
}

static void waiter_notify(struct watch *watch, uint32_t events)
{
	(void)events;
	waiter_wake(container_of(watch, struct waiter_of_file, watch));
}

/* Home core. Returns true if there is nothing to wait for. */
static bool waiter_begin(struct waiter_of_file *waiter)
{
	uint32_t wanted = waiter->watch.events | EPOLLERR | EPOLLHUP;

	if (file_events(waiter->file) & wanted)
		return true;
	file_watch(waiter->file, &waiter->watch);
	return false;
}

/* The parcel was handled. Release: pairs with the acquire in waiter_leave(). The thread cannot be
 * gone before this, so what follows needs its own copy of what it uses. */
static void waiter_handled(struct waiter_of_file *waiter)
{
	__atomic_fetch_sub(&waiter->to_handle, 1, __ATOMIC_RELEASE);
}

static bool waiter_forward(struct waiter_of_file *waiter, struct parcel *parcel)
{
	if (waiter->file->home == this_core)
		return false;
	parcel_send(file_home(waiter->file), parcel);
	return true;
}

static void waiter_begin_parcel(struct parcel *parcel)
{
	struct waiter_of_file *waiter = container_of(parcel, struct waiter_of_file, begin);
	struct thread *thread = waiter->thread;

	if (waiter_forward(waiter, parcel))
		return;
	if (waiter->taken || !waiter_begin(waiter)) {
		waiter_handled(waiter);
		return;
	}
	waiter->taken = true;
	waiter->told = true;
	waiter_handled(waiter);
	thread_wake(thread);
}

static void waiter_cancel_parcel(struct parcel *parcel)
{
	struct waiter_of_file *waiter = container_of(parcel, struct waiter_of_file, cancel);
	struct thread *thread = waiter->thread;
	bool taken;

	if (waiter_forward(waiter, parcel))
		return;
	taken = waiter->taken;
	if (!taken) {
		list_remove(&waiter->watch.link);
		waiter->taken = true;
	}
	waiter_handled(waiter);
	if (!taken)
		thread_wake(thread);
}

static void waiter_leave(struct waiter_of_file *waiter)
{
	while (__atomic_load_n(&waiter->to_handle, __ATOMIC_ACQUIRE))
		thread_yield();
}

int file_wait(struct file *file, uint32_t events, bool exclusive, uint64_t deadline_ns)
{
	struct waiter_of_file waiter = {
		.watch = { .events = events,
			   .core = this_core,
			   .exclusive = exclusive,
			   .notify = waiter_notify },
		.file = file,
		.thread = current,
	};
	int error;

	list_init(&waiter.watch.link);
	thread_prepare_block();
	if (file->home == this_core) {
		if (waiter_begin(&waiter))
			return 0;
	} else {
		parcel_init(&waiter.begin, waiter_begin_parcel);
		waiter.to_handle = 1;
		parcel_send(file_home(file), &waiter.begin);
	}
	if (thread_block_interruptible(deadline_ns)) {
		waiter_leave(&waiter);
		return 0;
	}
	error = thread_signal_ready(current) ? -EINTR : -ETIMEDOUT;
	/* While the thread slept it may have been moved, and an epoll set as well. */
	if (file->home == this_core && !waiter.to_handle) {
		if (!waiter.taken) {
			list_remove(&waiter.watch.link);
			return error;
		}
	} else {
		parcel_init(&waiter.cancel, waiter_cancel_parcel);
		__atomic_fetch_add(&waiter.to_handle, 1, __ATOMIC_RELAXED);
		parcel_send(file_home(file), &waiter.cancel);
	}
	thread_block(FOREVER);
	waiter_leave(&waiter);
	/* An event may be told to one waiter only: who has it must look. */
	return waiter.told ? 0 : error;
}

/* ---- operations that may wait ---- */

struct attempt_call {
	struct file *file;
	file_attempt *attempt;
	void *argument;
};

static long attempt_at_home(void *argument)
{
	struct attempt_call *call = argument;

	return call->attempt(call->file, call->argument);
}

/* The caller holds a reference. `here` may be NULL. */
static long operate_referenced(struct file *file, file_attempt *here, file_attempt *attempt,
			       void *argument, uint32_t events, unsigned how, uint64_t deadline_ns)
{
	struct attempt_call call = { file, attempt, argument };
	bool again = false;

	for (;;) {
		long result = NOT_TRIED;
		int waited;

		if (!(how & (OPERATE_ONCE | OPERATE_STAYS)) && file->operations->followed)
			file_go_home(file);
		if (here)
			result = here(file, argument);
		if (result == NOT_TRIED)
			result = file_call(file, attempt_at_home, &call);
		if (unlikely(result == NOT_HERE))
			continue;
		if (result != -EAGAIN || (how & OPERATE_ONCE))
			return result;
		if (again) {
			/* Others took it, or it only seems to be there: this must not go on without end. */
			thread_yield();
			if (thread_signal_ready(current))
				return -EINTR;
			if (clock_ns() >= deadline_ns)
				return -EAGAIN;
		}
		again = true;
		waited = file_wait(file, events, how & OPERATE_EXCLUSIVE, deadline_ns);
		if (waited)
			return waited == -EINTR ? -EINTR : -EAGAIN;
	}
}

/*
 * A signal ended a wait before anything was moved. Handlers run without a reference to the file, since
 * they may be left by siglongjmp(). Returns true if the operation goes on; the file may have been
 * closed meanwhile (the result is -EBADF then), and it must not have become one of another kind.
 */
static bool goes_on(struct file *file, const struct file_operations *operations, void *data,
		    bool restarts, long *result)
{
	if (!signal_restarts(restarts))
		return false;
	if (fd_names(file) && file->operations->kind == operations->kind && file->data == data)
		return true;
	*result = -EBADF;
	return false;
}

static uint64_t deadline_after(uint64_t timeout_ns)
{
	uint64_t now;

	if (timeout_ns == FOREVER)
		return FOREVER;
	now = clock_ns();
	return timeout_ns > FOREVER - 1 - now ? FOREVER - 1 : now + timeout_ns;
}

long file_operate_here(struct file *file, file_attempt *here, file_attempt *attempt, void *argument,
		       uint32_t events, unsigned how, uint64_t timeout_ns)
{
	const struct file_operations *operations = file->operations;
	void *data = file->data;
	long result;

	do {
		if (!file_reference(file))
			return -EBADF;
		result = operate_referenced(file, here, attempt, argument, events, how,
					    deadline_after(timeout_ns));
		file_unreference(file);
	} while (unlikely(result == -EINTR) &&
		 goes_on(file, operations, data, timeout_ns == FOREVER, &result));
	return result;
}

long file_operate(struct file *file, file_attempt *attempt, void *argument, uint32_t events,
		  bool nonblocking, uint64_t timeout_ns)
{
	return file_operate_here(file, NULL, attempt, argument, events,
				 nonblocking ? OPERATE_ONCE : 0, timeout_ns);
}

void file_spin_poll(void)
{
	static CORE_LOCAL unsigned again_in_a_row;

	signal_finish(-EAGAIN);
	if (++again_in_a_row < 8)
		return;
	again_in_a_row = 0;
	core_poll();
}

struct transfer {
	const struct iovec *iov;
	unsigned niov;
	int64_t offset;
};

static long read_attempt(struct file *file, void *argument)
{
	struct transfer *transfer = argument;

	if (unlikely(!file->operations->read))
		return NOT_HERE;
	return file->operations->read(file, transfer->iov, transfer->niov, transfer->offset);
}

static long write_attempt(struct file *file, void *argument)
{
	struct transfer *transfer = argument;

	if (unlikely(!file->operations->write))
		return NOT_HERE;
	return file->operations->write(file, transfer->iov, transfer->niov, transfer->offset);
}

static long read_here(struct file *file, void *argument)
{
	struct transfer *transfer = argument;

	if (!file->operations->read_here)
		return NOT_TRIED;
	if (transfer->offset != NO_OFFSET)
		return -ESPIPE;
	return file->operations->read_here(file, transfer->iov, transfer->niov);
}

static long write_here(struct file *file, void *argument)
{
	struct transfer *transfer = argument;

	if (!file->operations->write_here)
		return NOT_TRIED;
	if (transfer->offset != NO_OFFSET)
		return -ESPIPE;
	return file->operations->write_here(file, transfer->iov, transfer->niov);
}

ssize_t file_read_slowly(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset,
			 ssize_t first_result)
{
	const struct file_operations *operations = file->operations;
	struct transfer transfer = { iov, niov, offset };
	bool nonblocking = file->status_flags & O_NONBLOCK;
	ssize_t result = first_result;

	if ((file->status_flags & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	if (!operations->read && !operations->read_here)
		return -EINVAL;
	if (result == NOT_TRIED && operations->read_remote && offset == NO_OFFSET)
		result = operations->read_remote(file, iov, niov);
	if (result != NOT_TRIED && result != -EAGAIN)
		return result;
	if (result == -EAGAIN && nonblocking) {
		file_spin_poll();
		return -EAGAIN;
	}
	return file_operate_here(file, read_here, read_attempt, &transfer, EPOLLIN | EPOLLRDHUP,
				 nonblocking ? OPERATE_ONCE : 0, file->read_timeout_ns);
}

#define REST_ENTRIES 16

ssize_t file_write_rest(struct file *file, const struct iovec *iov, unsigned niov, size_t done)
{
	const struct file_operations *operations = file->operations;
	void *data = file->data;
	size_t total = iov_total(iov, niov);
	bool forever = file->write_timeout_ns == FOREVER;
	uint64_t deadline_ns = deadline_after(file->write_timeout_ns);
	ssize_t result = 0;

	do {
		if (!file_reference(file))
			return done ? (ssize_t)done : -EBADF;
		while (done < total || total == 0) {
			struct iovec rest[REST_ENTRIES];
			struct transfer transfer = { iov, niov, NO_OFFSET };

			if (done) {
				transfer.iov = rest;
				transfer.niov = iov_rest(iov, niov, done, rest, REST_ENTRIES);
			}
			result = operate_referenced(file, write_here, write_attempt, &transfer,
						    EPOLLOUT, 0, deadline_ns);
			if (result <= 0)
				break;
			done += result;
		}
		file_unreference(file);
		if (done)
			return signal_finish(done);
	} while (unlikely(result == -EINTR) && goes_on(file, operations, data, forever, &result));
	return result;
}

ssize_t file_write_slowly(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset,
			  ssize_t first_result)
{
	const struct file_operations *operations = file->operations;
	struct transfer transfer = { iov, niov, offset };
	bool nonblocking = file->status_flags & O_NONBLOCK;
	ssize_t result = first_result;

	if ((file->status_flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (!operations->write && !operations->write_here)
		return -EINVAL;
	if (result == NOT_TRIED && operations->write_remote && offset == NO_OFFSET)
		result = operations->write_remote(file, iov, niov);
	if (result != NOT_TRIED) {
		if (nonblocking || (result < 0 && result != -EAGAIN))
			return result;
		if (result >= 0 &&
		    (!operations->writes_all || (size_t)result == iov_total(iov, niov)))
			return result;
	}
	if (operations->writes_all && !nonblocking)
		return file_write_rest(file, iov, niov, max(result, 0l));
	return file_operate_here(file, write_here, write_attempt, &transfer, EPOLLOUT,
				 nonblocking ? OPERATE_ONCE : 0, file->write_timeout_ns);
}
