/*
 * Local sockets on three cores, played by one thread: parcels lie in queues until the test delivers
 * them, so every order of events between cores can happen, and any allocation may fail. Bytes are
 * numbered, so that each one that is lost, doubled or out of order is seen; whoever waits must have
 * been told; at the end nothing is left. AddressSanitizer sees what is used after its end.
 *
 * links: tests/host/fake_cores.c posix/socket/unix_socket.c posix/socket/unix_message.c posix/socket/unix_queue.c posix/socket/unix_stream.c
 * links: posix/socket/unix_datagram.c posix/socket/unix_connection.c posix/socket/unix_transfer.c posix/socket/unix_name.c
 * links: posix/socket/unix_rights.c posix/socket/unix_option.c posix/file/file.c posix/file/file_move.c
 */
#include "tests/host/fake_cores.h"

#include "posix/socket/unix_socket.h"

#include "posix/file/file_move.h"
#include "posix/fs/calls.h"
#include "posix/fs/fs.h"
#include "posix/socket/interface_list.h"
#include "posix/signal/signal.h"
#include "sched/thread.h"

#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <cmocka.h>

#define SOCKETS 10
#define NAMES 4

/* ---- the machine ---- */

static long objects;

/* One of so many allocations fails; 0: none. */
static unsigned failing;

static unsigned random_state;

static unsigned pick(unsigned n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 10) % n;
}

void *object_alloc(size_t size)
{
	if (failing && pick(failing) == 0)
		return NULL;
	objects++;
	return malloc(size);
}

void *object_alloc_zeroed(size_t size)
{
	void *object = object_alloc(size);

	return object ? memset(object, 0, size) : NULL;
}

size_t object_size(const void *object)
{
	return malloc_usable_size((void *)object);
}

void object_free(void *object)
{
	objects -= object != NULL;
	free(object);
}

/* No thread waits here. */
static struct thread only_thread;
CORE_LOCAL struct thread *current = &only_thread;

#define NOT_HERE_EVER(type, name, arguments)                                                       \
	type name arguments                                                                        \
	{                                                                                          \
		fail();                                                                            \
		return (type)0;                                                                    \
	}

NOT_HERE_EVER(bool, thread_block, (uint64_t deadline_ns))
NOT_HERE_EVER(bool, thread_block_interruptible, (uint64_t deadline_ns))
NOT_HERE_EVER(bool, signal_restarts, (bool may_restart))
NOT_HERE_EVER(long, signal_finish_slowly, (long result))
NOT_HERE_EVER(long, interface_ioctl, (unsigned long request, void *argument))
NOT_HERE_EVER(struct file *, fd_remove, (int fd))

void thread_prepare_block(void)
{
	fail();
}
void thread_wake(struct thread *thread)
{
	fail();
}
void thread_yield(void)
{
	fail();
}
void thread_migrate(core_id_t core)
{
	fail();
}
bool core_poll(void)
{
	return false;
}
uint64_t clock_ns(void)
{
	return 0;
}
void signal_hold(void) {}
bool signal_release(long result)
{
	return false;
}
long sys_getuid(void);
long sys_getuid(void)
{
	return 1000;
}
long sys_getgid(void);
long sys_getgid(void)
{
	return 1000;
}
unsigned umask_now(void)
{
	return 022;
}

/* ---- descriptors ---- */

static struct file *chunk[FD_CHUNK];
struct file **fd_chunks[FD_MAX / FD_CHUNK] = { chunk };

bool fd_names(const struct file *file)
{
	return true;
}

unsigned fd_limit(void)
{
	return FD_CHUNK;
}

int fd_install(struct file *file, int lowest, bool close_on_exec)
{
	int fd = lowest;

	if (failing && pick(failing) == 0)
		return -EMFILE;
	while (chunk[fd])
		fd++;
	chunk[fd] = file;
	return fd;
}

static void fd_forget(int fd)
{
	struct file *file = chunk[fd];

	chunk[fd] = NULL;
	file_unreference(file);
}

/* ---- names in the file system ---- */

struct inode {
	char path[16];
	void *socket;
};

static struct inode nodes[NAMES];

static struct inode *node_of(const char *path)
{
	return &nodes[path[1] - '0'];
}

int fs_bind_socket(const char *path, unsigned mode, void *socket, struct inode **node)
{
	assert_int_equal(mode, 0755);
	if (failing && pick(failing) == 0)
		return -ENOSPC;
	*node = node_of(path);
	if ((*node)->socket)
		return -EADDRINUSE;
	(*node)->socket = socket;
	return 0;
}

void fs_unbind_socket(struct inode *node)
{
	assert_non_null(node->socket);
	node->socket = NULL;
}

int fs_find_socket(const char *path, void **socket)
{
	*socket = node_of(path)->socket;
	return *socket ? 0 : -ECONNREFUSED;
}

/* ---- files that are sent ---- */

static unsigned sent_files;

static void sent_file_release(struct file *file)
{
	sent_files--;
	file_free(file);
}

static const struct file_operations sent_file_operations = {
	.kind = "sent file",
	.release = sent_file_release,
};

static int sent_file_create(void)
{
	unsigned was_failing = failing;
	struct file *file;
	int fd;

	failing = 0;
	file = object_alloc_zeroed(sizeof(*file));
	file_init(file, &sent_file_operations, O_RDWR, NULL);
	fd = fd_install(file, 0, false);
	failing = was_failing;
	sent_files++;
	return fd;
}

/* ---- the model ---- */

/* A direction: bytes are numbered as they are sent. Both ends know its place in `directions`. */
struct direction {
	unsigned sent, received;
};

static struct direction directions[100000];
static unsigned ndirections;

/* What the model knows of a socket. */
static struct end {
	struct file *file; /* NULL: none */
	int type;
	struct direction *out, *in; /* of a connection that was made by a pair */
	bool watched;
	struct watch watch;
	uint32_t told;
} ends[SOCKETS];

static void note(struct watch *watch, uint32_t events)
{
	struct end *end = container_of(watch, struct end, watch);

	if (events == FILE_GONE)
		end->watched = false;
	else
		end->told |= events;
}

static long watch_at_home(void *argument)
{
	struct end *end = argument;

	file_watch(end->file, &end->watch);
	/* As an epoll set does when it begins. */
	end->told = file_events(end->file);
	return 0;
}

static void begin_watch(struct end *end)
{
	if (end->watched)
		return;
	end->watched = true;
	list_init(&end->watch.link);
	end->watch.notify = note;
	end->watch.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP;
	core_call(end->file->home, watch_at_home, end);
}

static uint32_t events_at_home(const struct end *end)
{
	core_id_t caller = this_core;
	uint32_t events;

	this_core = end->file->home;
	events = file_events(end->file);
	this_core = caller;
	return events;
}

/* What is not true cannot have been told since; what is must have been. */
static void check_watch(struct end *end)
{
	uint32_t events;

	if (!end->file || !end->watched)
		return;
	events = events_at_home(end) & (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
	assert_int_equal(events & ~end->told, 0);
	end->told = events;
}

static void take(struct end *end, struct file *file, int type)
{
	*end = (struct end){ .file = file, .type = type };
	file->status_flags |= O_NONBLOCK;
}

static void forget(struct end *end)
{
	if (!end->file)
		return;
	/* A datagram socket without its peer hears from others. */
	for (int i = 0; i < SOCKETS; i++)
		if (end->type == SOCK_DGRAM && end->out && ends[i].in == end->out)
			ends[i].out = ends[i].in = NULL;
	file_unreference(end->file);
	/* The watch is a part of `end`: it must be out of the list. */
	settle();
	assert_false(end->watched);
	end->file = NULL;
}

static struct end *free_end(void)
{
	struct end *end = &ends[pick(SOCKETS)];

	forget(end);
	return end;
}

static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };

static void make_pair(void)
{
	struct end *a = free_end(), *b = free_end();
	int type = types[pick(3)];
	struct file *files[2];

	if (a == b || ndirections + 2 > array_size(directions) ||
	    unix_socket_create_pair(AF_UNIX, type, 0, 0, files))
		return;
	take(a, files[0], type);
	take(b, files[1], type);
	a->out = b->in = &directions[ndirections++];
	b->out = a->in = &directions[ndirections++];
}

static void make_one(void)
{
	struct end *end = free_end();
	int type = types[pick(3)];
	struct file *file;

	if (unix_socket_create(AF_UNIX, type, 0, 0, &file) == 0)
		take(end, file, type);
}

static struct socket_address some_address(void)
{
	struct socket_address address = { .un.sun_family = AF_UNIX };
	bool path = pick(2);

	address.length = offsetof(struct sockaddr_un, sun_path) + 3;
	address.un.sun_path[0] = path ? '/' : 0;
	address.un.sun_path[1] = (char)('0' + pick(NAMES));
	address.un.sun_path[2] = path ? 0 : 'x';
	return address;
}

/* ---- what is done ---- */

static void send_some(struct end *end)
{
	static unsigned char bytes[40000];
	size_t length = pick(8) ? pick(300) : pick(sizeof(bytes));
	struct iovec iov = { bytes, length };
	struct {
		size_t length;
		int level, type;
		int fds[2];
	} rights = { 16 + 8, SOL_SOCKET, SCM_RIGHTS, { 0, 0 } };
	struct socket_control control = { &rights, sizeof(rights), false };
	struct socket_message message = { &iov, 1, 0, NULL, NULL };
	struct socket_address address;
	bool with_rights = pick(4) == 0;
	ssize_t result;

	for (size_t i = 0; end->out && i < length; i++)
		bytes[i] = (unsigned char)((end->out->sent + i) * 7 >> 2);
	if (with_rights) {
		rights.fds[0] = sent_file_create();
		rights.fds[1] = sent_file_create();
		message.control = &control;
	}
	/* An address makes the receiver another one, which the model does not follow. */
	if (!end->out && pick(2)) {
		address = some_address();
		message.address = &address;
	}
	result = socket_kind_of(end->file)->send(end->file, &message);
	assert_int_not_equal(result, -EINVAL);
	if (result > 0 && end->out)
		end->out->sent += (unsigned)result;
	if (with_rights) {
		fd_forget(rights.fds[0]);
		fd_forget(rights.fds[1]);
	}
}

static void close_received(const struct socket_control *control)
{
	const char *data = control->data;
	size_t length;
	int fd;

	if (!control->length)
		return;
	memcpy(&length, data, sizeof(length));
	for (size_t at = 16; at < length; at += sizeof(fd)) {
		memcpy(&fd, data + at, sizeof(fd));
		fd_forget(fd);
	}
}

static void receive_some(struct end *end)
{
	static unsigned char bytes[50000];
	struct iovec iov = { bytes, pick(2) ? 1 + pick(300) : sizeof(bytes) };
	_Alignas(8) char room[32];
	struct socket_control control = { room, pick(2) ? sizeof(room) : pick(24), false };
	struct socket_address from;
	struct socket_message message = { &iov, 1, 0, &from, &control };
	uint32_t before = events_at_home(end);
	bool packets = end->type != SOCK_STREAM;
	ssize_t result;

	/* A part of a message would be lost to the model. */
	if (packets)
		iov.iov_len = sizeof(bytes);
	if (pick(8) == 0)
		message.flags = MSG_PEEK;
	result = socket_kind_of(end->file)->receive(end->file, &message);
	if (result >= 0)
		close_received(&control);
	if (result > 0 && end->in) {
		assert_true(before & EPOLLIN);
		for (ssize_t i = 0; i < result; i++)
			assert_int_equal(bytes[i],
					 (unsigned char)((end->in->received + i) * 7 >> 2));
		if (!(message.flags & MSG_PEEK))
			end->in->received += (unsigned)result;
		assert_true(end->in->received <= end->in->sent);
	}
}

static void accept_one(struct end *listener)
{
	int type = listener->type;
	struct socket_address peer;
	struct file *file;
	struct end *end;

	if (type == SOCK_DGRAM ||
	    socket_kind_of(listener->file)->accept(listener->file, 0, &peer, &file))
		return;
	assert_true(peer.length >= 2);
	end = free_end();
	take(end, file, type);
}

static void do_something(void)
{
	struct end *end = &ends[pick(SOCKETS)];
	struct socket_address address = some_address();
	const struct socket_kind *kind;

	this_core = pick(CORES);
	if (!end->file) {
		if (pick(3))
			make_pair();
		else
			make_one();
		return;
	}
	kind = socket_kind_of(end->file);
	switch (pick(20)) {
	case 0:
		forget(end);
		break;
	case 1:
		kind->bind(end->file, &address);
		break;
	case 2:
		if (kind->listen)
			kind->listen(end->file, (int)pick(3));
		break;
	case 3:
	case 4:
		if (!end->out)
			kind->connect(end->file, &address);
		break;
	case 5:
	case 6:
		accept_one(end);
		break;
	case 7:
		if (pick(4) == 0)
			kind->shutdown(end->file, (int)pick(3));
		break;
	case 8:
		begin_watch(end);
		break;
	case 9:
		file_bring(end->file, pick(CORES));
		break;
	case 10:
		kind->peer_address(end->file, &address);
		kind->local_address(end->file, &address);
		break;
	case 11:
	case 12:
	case 13:
	case 14:
		send_some(end);
		break;
	default:
		receive_some(end);
	}
}

static void run(unsigned seed, unsigned failing_one_of)
{
	random_state = seed;
	ndirections = 0;
	memset(directions, 0, sizeof(directions));
	failing = failing_one_of;
	for (int i = 0; i < 4000; i++) {
		do_something();
		if (pick(3) == 0)
			safe_point(pick(CORES));
		if (pick(50) == 0) {
			settle();
			for (int j = 0; j < SOCKETS; j++)
				check_watch(&ends[j]);
		}
	}
	failing = 0;
	for (int i = 0; i < SOCKETS; i++) {
		this_core = pick(CORES);
		forget(&ends[i]);
	}
	settle();
	assert_int_equal(unix_files_in_flight(), 0);
	assert_int_equal(sent_files, 0);
	assert_int_equal(unix_socket_count(), 0);
	assert_int_equal(objects, 0);
}

static void any_order_of_events(void **state)
{
	for (unsigned seed = 1; seed <= 60; seed++)
		run(seed, 0);
}

static void allocations_that_fail(void **state)
{
	for (unsigned seed = 1; seed <= 60; seed++)
		run(seed, 3 + seed % 20);
}

/* ---- room at a receiver ---- */

static ssize_t send_one(struct end *end)
{
	struct iovec iov = { "x", 1 };
	struct socket_message message = { &iov, 1, 0, NULL, NULL };

	return socket_kind_of(end->file)->send(end->file, &message);
}

static ssize_t receive_one(struct end *end)
{
	char byte;
	struct iovec iov = { &byte, 1 };
	struct socket_message message = { &iov, 1, 0, NULL, NULL };

	return socket_kind_of(end->file)->receive(end->file, &message);
}

/* A sender that is not its receiver's peer, on another core, has filled the queue, and is watched. */
static void fill(struct end *receiver, struct end *sender)
{
	struct socket_address address = some_address();
	struct file *file;
	unsigned sent = 0;

	this_core = 1;
	assert_int_equal(unix_socket_create(AF_UNIX, SOCK_DGRAM, 0, 0, &file), 0);
	take(receiver, file, SOCK_DGRAM);
	assert_int_equal(socket_kind_of(file)->bind(file, &address), 0);
	this_core = 2;
	assert_int_equal(unix_socket_create(AF_UNIX, SOCK_DGRAM, 0, 0, &file), 0);
	take(sender, file, SOCK_DGRAM);
	assert_int_equal(socket_kind_of(file)->connect(file, &address), 0);
	while (send_one(sender) == 1)
		sent++;
	assert_int_equal(sent, UNIX_QUEUE_MAX + 1);
	assert_int_equal(send_one(sender), -EAGAIN);
	begin_watch(sender);
	settle();
	assert_int_equal(sender->told & EPOLLOUT, 0);
}

static void who_waits_for_room_is_told(void **state)
{
	for (unsigned closes = 0; closes < 2; closes++) {
		struct end *receiver = &ends[0], *sender = &ends[1];

		fill(receiver, sender);
		this_core = 1;
		if (closes) {
			forget(receiver);
			assert_true(sender->told & EPOLLOUT);
			this_core = 2;
			assert_int_equal(send_one(sender), -ECONNREFUSED);
		} else {
			assert_int_equal(receive_one(receiver), 1);
			settle();
			assert_true(sender->told & EPOLLOUT);
			this_core = 2;
			assert_int_equal(send_one(sender), 1);
			forget(receiver);
		}
		forget(sender);
		settle();
		assert_int_equal(unix_socket_count(), 0);
		assert_int_equal(objects, 0);
	}
}

/* The same for what a sender has under way itself. */
static void who_waits_for_a_reader_is_told(void **state)
{
	struct end *a = &ends[0], *b = &ends[1];
	struct file *files[2];

	this_core = 0;
	assert_int_equal(unix_socket_create_pair(AF_UNIX, SOCK_STREAM, 0, 0, files), 0);
	take(a, files[0], SOCK_STREAM);
	take(b, files[1], SOCK_STREAM);
	assert_true(file_bring(b->file, 2));
	while (send_one(a) == 1)
		;
	begin_watch(a);
	begin_watch(b);
	/* The end that is watched stays. */
	assert_false(file_bring(b->file, 1));
	settle();
	assert_int_equal(a->told & EPOLLOUT, 0);
	this_core = 2;
	while (receive_one(b) == 1)
		;
	settle();
	assert_true(a->told & EPOLLOUT);
	this_core = 0;
	assert_int_equal(send_one(a), 1);
	settle();
	assert_true(b->told & EPOLLIN);
	forget(a);
	assert_true(b->told & EPOLLHUP);
	forget(b);
	settle();
	assert_int_equal(objects, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_waits_for_room_is_told),
		cmocka_unit_test(who_waits_for_a_reader_is_told),
		cmocka_unit_test(any_order_of_events),
		cmocka_unit_test(allocations_that_fail),
	};

	ncores = CORES;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
