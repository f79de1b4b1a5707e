/*
 * POSIX message queues.
 *
 * All of them, and their names, have the boot core for home, whoever opens them: they are a rare
 * way to talk between threads, and one home keeps the names without a lock.
 */
#include "posix/file/file.h"
#include "posix/signal/signal.h"
#include "posix/syscall.h"
#include "posix/time/timeout.h"
#include "posix/user_memory.h"

#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <string.h>
#include <sys/stat.h>

#define HOME 0
#define MAX_QUEUES 256 /* Linux's limits: mq_overview(7) */
#define MAX_MESSAGES 65536
#define MAX_MESSAGE_BYTES (16u << 20)
#define DEFAULT_MESSAGES 10
#define DEFAULT_BYTES 8192
#define MAX_PRIORITY 32768

struct queued_message {
	struct list link; /* by priority, the oldest first */
	unsigned priority;
	size_t length;
	char bytes[];
};

struct queue {
	struct list link; /* in `queues` until unlinked */
	char name[NAME_MAX + 1];
	unsigned mode;
	long max_messages, max_bytes, count;
	struct list messages;
	struct list opened; /* struct opened */
	bool unlinked;
	struct file *notified; /* who asked by mq_notify(), or NULL */
	siginfo_t notification; /* si_signo 0: nothing is sent */
	unsigned receivers; /* threads that block in mq_receive(): they come before mq_notify() */
};

struct opened {
	struct file file; /* first */
	struct queue *queue;
	struct list link;
};

/* Home core. */
static struct list queues = LIST_INIT(queues);
static unsigned nqueues;

static struct queue *queue_of(struct file *file)
{
	return container_of(file, struct opened, file)->queue;
}

static struct queue *find(const char *name)
{
	list_for_each(link, &queues) {
		struct queue *queue = list_entry(link, struct queue, link);

		if (strcmp(queue->name, name) == 0)
			return queue;
	}
	return NULL;
}

static void notify_all(struct queue *queue, uint32_t events)
{
	list_for_each(link, &queue->opened)
		file_notify(&list_entry(link, struct opened, link)->file, events);
}

static void free_if_unused(struct queue *queue)
{
	if (!queue->unlinked || !list_is_empty(&queue->opened))
		return;
	while (!list_is_empty(&queue->messages))
		object_free(
		    list_entry(list_pop_front(&queue->messages), struct queued_message, link));
	object_free(queue);
	nqueues--;
}

/* ---- as files ---- */

static uint32_t queue_events(struct file *file)
{
	struct queue *queue = queue_of(file);

	return (queue->count ? EPOLLIN | EPOLLRDNORM : 0) |
	       (queue->count < queue->max_messages ? EPOLLOUT | EPOLLWRNORM : 0);
}

static int queue_stat(struct file *file, struct stat *st)
{
	st->st_mode = S_IFREG | queue_of(file)->mode;
	st->st_blksize = PAGE_SIZE;
	return 0;
}

static void queue_release(struct file *file)
{
	struct opened *opened = container_of(file, struct opened, file);
	struct queue *queue = opened->queue;

	if (queue->notified == file)
		queue->notified = NULL;
	list_remove(&opened->link);
	free_if_unused(queue);
	file_free(file);
}

static const struct file_operations queue_operations = {
	.kind = "message queue",
	.events = queue_events,
	.stat = queue_stat,
	.release = queue_release,
};

static long lookup_queue(mqd_t descriptor, struct file **file)
{
	*file = fd_lookup(descriptor);
	return *file && (*file)->operations == &queue_operations ? 0 : -EBADF;
}

/* ---- open and unlink ---- */

/* Names arrive without the slash that they begin with: the C library takes it off. */
static long take_name(char name[NAME_MAX + 1], const char *from)
{
	long length = user_read_string(name, from, NAME_MAX + 1);

	if (length < 0)
		return length;
	if (!length)
		return -ENOENT;
	return strchr(name, '/') ? -EACCES : 0;
}

struct open_call {
	char name[NAME_MAX + 1];
	int flags;
	unsigned mode;
	long max_messages, max_bytes;
	struct file *file;
};

static long make_queue(const struct open_call *call, struct queue **made)
{
	struct queue *queue;

	if (call->max_messages <= 0 || call->max_messages > MAX_MESSAGES || call->max_bytes <= 0 ||
	    call->max_bytes > MAX_MESSAGE_BYTES)
		return -EINVAL;
	if (nqueues == MAX_QUEUES)
		return -ENOSPC;
	queue = object_alloc(sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	memset(queue, 0, sizeof(*queue));
	memcpy(queue->name, call->name, sizeof(queue->name));
	queue->mode = call->mode & 0777;
	queue->max_messages = call->max_messages;
	queue->max_bytes = call->max_bytes;
	list_init(&queue->messages);
	list_init(&queue->opened);
	list_push_back(&queues, &queue->link);
	nqueues++;
	*made = queue;
	return 0;
}

static long open_at_home(void *argument)
{
	struct open_call *call = argument;
	struct queue *queue = find(call->name);
	struct opened *opened;

	if (queue && (call->flags & O_CREAT) && (call->flags & O_EXCL))
		return -EEXIST;
	if (!queue && !(call->flags & O_CREAT))
		return -ENOENT;
	opened = object_alloc(sizeof(*opened));
	if (!opened)
		return -ENOMEM;
	if (!queue) {
		long result = make_queue(call, &queue);

		if (result) {
			object_free(opened);
			return result;
		}
	}
	file_init(&opened->file, &queue_operations, call->flags & (O_ACCMODE | O_NONBLOCK), NULL);
	opened->queue = queue;
	list_push_back(&queue->opened, &opened->link);
	call->file = &opened->file;
	return 0;
}

SYSCALL(mq_open)(const char *name, int flags, unsigned mode, const struct mq_attr *attributes)
{
	struct open_call call = { .flags = flags, .mode = mode };
	struct mq_attr wanted;
	long result = take_name(call.name, name);

	if (result)
		return result;
	call.max_messages = DEFAULT_MESSAGES;
	call.max_bytes = DEFAULT_BYTES;
	if ((flags & O_CREAT) && attributes) {
		if (user_read(&wanted, attributes, sizeof(wanted)))
			return -EFAULT;
		call.max_messages = wanted.mq_maxmsg;
		call.max_bytes = wanted.mq_msgsize;
	}
	result = core_call(HOME, open_at_home, &call);
	if (result)
		return result;
	result = fd_install(call.file, 0, flags & O_CLOEXEC);
	if (result < 0)
		file_unreference(call.file);
	return result;
}

static long unlink_at_home(void *argument)
{
	struct queue *queue = find(argument);

	if (!queue)
		return -ENOENT;
	list_remove(&queue->link);
	queue->unlinked = true;
	free_if_unused(queue);
	return 0;
}

SYSCALL(mq_unlink)(const char *name)
{
	char copy[NAME_MAX + 1];
	long result = take_name(copy, name);

	return result ? result : core_call(HOME, unlink_at_home, copy);
}

/* ---- messages ---- */

struct message_call {
	struct queued_message *message; /* to send; received: the caller frees it */
	size_t room; /* to receive */
};

/* Somebody asked to be told of a message in an empty queue where nobody waits: once. */
static void tell(struct queue *queue)
{
	siginfo_t info = queue->notification;

	queue->notified = NULL;
	if (info.si_signo)
		signal_send_process(&info);
}

static long send_attempt(struct file *file, void *argument)
{
	struct message_call *call = argument;
	struct queue *queue = queue_of(file);
	struct list *position = queue->messages.prev;

	if (call->message->length > (size_t)queue->max_bytes)
		return -EMSGSIZE;
	if (queue->count == queue->max_messages)
		return -EAGAIN;
	while (position != &queue->messages &&
	       list_entry(position, struct queued_message, link)->priority <
		   call->message->priority)
		position = position->prev;
	list_insert_before(position->next, &call->message->link);
	call->message = NULL;
	if (queue->count++ == 0 && queue->notified && !queue->receivers)
		tell(queue);
	notify_all(queue, EPOLLIN | EPOLLRDNORM);
	return 0;
}

static long receive_attempt(struct file *file, void *argument)
{
	struct message_call *call = argument;
	struct queue *queue = queue_of(file);

	if (call->room < (size_t)queue->max_bytes)
		return -EMSGSIZE;
	if (!queue->count)
		return -EAGAIN;
	call->message = list_entry(list_pop_front(&queue->messages), struct queued_message, link);
	queue->count--;
	notify_all(queue, EPOLLOUT | EPOLLWRNORM);
	return 0;
}

static long add_receiver(struct file *file, void *argument)
{
	queue_of(file)->receivers += *(int *)argument;
	return 0;
}

/* Try, and wait until the moment `deadline` of the wall clock; NULL: for ever. A bad time is only an
 * error where the call would wait. */
static long operate(struct file *file, file_attempt *attempt, struct message_call *call,
		    uint32_t events, const struct timespec *deadline)
{
	long result = file_operate(file, attempt, call, events, true, FOREVER);
	uint64_t until = FOREVER, now;

	if (result != -EAGAIN || (file->status_flags & O_NONBLOCK))
		return result;
	if (deadline) {
		if (timespec_is_bad(deadline))
			return -EINVAL;
		until = deadline_at(deadline, clock_epoch_ns);
		now = clock_ns();
		if (until <= now)
			return -ETIMEDOUT;
		if (until != FOREVER)
			until -= now;
	}
	result = file_operate(file, attempt, call, events, false, until);
	return result == -EAGAIN ? -ETIMEDOUT : result;
}

static long send_once(mqd_t descriptor, const char *bytes, size_t length, unsigned priority,
		      const struct timespec *deadline)
{
	struct message_call call = { 0 };
	struct file *file;
	long result = lookup_queue(descriptor, &file);

	if (result)
		return result;
	if ((file->status_flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	call.message = object_alloc(sizeof(*call.message) + length);
	if (!call.message)
		return -ENOMEM;
	call.message->priority = priority;
	call.message->length = length;
	if (!user_copy(call.message->bytes, bytes, length)) {
		result = -EFAULT;
	} else if (file_reference(file)) {
		result = operate(file, send_attempt, &call, EPOLLOUT, deadline);
		file_unreference(file);
	} else {
		result = -EBADF;
	}
	object_free(call.message);
	return result;
}

SYSCALL(mq_timedsend)
(mqd_t descriptor, const char *bytes, size_t length, unsigned priority,
 const struct timespec *user_deadline)
{
	struct timespec deadline;
	long result;

	if (priority >= MAX_PRIORITY)
		return -EINVAL;
	if (length > MAX_MESSAGE_BYTES)
		return -EMSGSIZE;
	if (user_range_is_bad(bytes, length) ||
	    (user_deadline && user_read(&deadline, user_deadline, sizeof(deadline))))
		return -EFAULT;
	do {
		signal_hold();
		result = send_once(descriptor, bytes, length, priority,
				   user_deadline ? &deadline : NULL);
	} while (signal_release(result));
	return result;
}

static long receive_once(mqd_t descriptor, char *bytes, size_t length, unsigned *priority,
			 const struct timespec *deadline)
{
	struct message_call call = { .room = length };
	int one = 1, minus_one = -1;
	struct file *file;
	long result = lookup_queue(descriptor, &file);

	if (result)
		return result;
	if ((file->status_flags & O_ACCMODE) == O_WRONLY || !file_reference(file))
		return -EBADF;
	file_operate(file, add_receiver, &one, 0, true, FOREVER);
	result = operate(file, receive_attempt, &call, EPOLLIN, deadline);
	file_operate(file, add_receiver, &minus_one, 0, true, FOREVER);
	file_unreference(file);
	if (result)
		return result;
	result = (long)call.message->length;
	/* As on Linux it is gone if there is no place for it. */
	if (!user_copy(bytes, call.message->bytes, call.message->length) ||
	    (priority && !user_copy_4(priority, &call.message->priority)))
		result = -EFAULT;
	object_free(call.message);
	return result;
}

SYSCALL(mq_timedreceive)
(mqd_t descriptor, char *bytes, size_t length, unsigned *priority,
 const struct timespec *user_deadline)
{
	struct timespec deadline;
	long result;

	length = min(length, (size_t)MAX_MESSAGE_BYTES);
	if (user_range_is_bad(bytes, length) ||
	    (priority && user_range_is_bad(priority, sizeof(*priority))) ||
	    (user_deadline && user_read(&deadline, user_deadline, sizeof(deadline))))
		return -EFAULT;
	do {
		signal_hold();
		result = receive_once(descriptor, bytes, length, priority,
				      user_deadline ? &deadline : NULL);
	} while (signal_release(result));
	return result;
}

/* ---- mq_notify, attributes ---- */

static long notify_attempt(struct file *file, void *argument)
{
	const struct sigevent *event = argument;
	struct queue *queue = queue_of(file);

	if (!event) {
		if (queue->notified == file)
			queue->notified = NULL;
		return 0;
	}
	if (queue->notified)
		return -EBUSY;
	queue->notified = file;
	memset(&queue->notification, 0, sizeof(queue->notification));
	if (event->sigev_notify == SIGEV_SIGNAL) {
		queue->notification.si_signo = event->sigev_signo;
		queue->notification.si_code = SI_MESGQ;
		queue->notification.si_pid = PROCESS;
		queue->notification.si_value = event->sigev_value;
	}
	return 0;
}

SYSCALL(mq_notify)(mqd_t descriptor, const struct sigevent *user_event)
{
	struct sigevent event;
	struct file *file;
	long result = lookup_queue(descriptor, &file);

	if (result)
		return result;
	if (user_event) {
		if (user_read(&event, user_event, sizeof(event)))
			return -EFAULT;
		/* The C library's SIGEV_THREAD comes with a netlink socket, which it cannot have made. */
		if (event.sigev_notify != SIGEV_SIGNAL && event.sigev_notify != SIGEV_NONE)
			return -EINVAL;
		if (event.sigev_notify == SIGEV_SIGNAL &&
		    (event.sigev_signo < 1 || event.sigev_signo > SIGNALS))
			return -EINVAL;
	}
	return file_operate(file, notify_attempt, user_event ? &event : NULL, 0, true, FOREVER);
}

static long attributes_attempt(struct file *file, void *argument)
{
	struct queue *queue = queue_of(file);
	struct mq_attr *attributes = argument;

	attributes->mq_maxmsg = queue->max_messages;
	attributes->mq_msgsize = queue->max_bytes;
	attributes->mq_curmsgs = queue->count;
	return 0;
}

SYSCALL(mq_getsetattr)(mqd_t descriptor, const struct mq_attr *new, struct mq_attr *old)
{
	struct mq_attr attributes = { 0 }, wanted;
	struct file *file;
	long result = lookup_queue(descriptor, &file);

	if (result)
		return result;
	if ((new &&user_read(&wanted, new, sizeof(wanted))) ||
	    (old && user_range_is_bad(old, sizeof(*old))))
		return -EFAULT;
	if (new && (wanted.mq_flags & ~(long)O_NONBLOCK))
		return -EINVAL;
	result = file_operate(file, attributes_attempt, &attributes, 0, true, FOREVER);
	if (result)
		return result;
	file = fd_lookup(descriptor); /* stale since the call */
	if (!file)
		return -EBADF;
	attributes.mq_flags = file->status_flags & O_NONBLOCK;
	if (new)
		file->status_flags = (file->status_flags & ~O_NONBLOCK) | (int)wanted.mq_flags;
	return !old || user_copy(old, &attributes, sizeof(attributes)) ? 0 : -EFAULT;
}
