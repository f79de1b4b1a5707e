/*
 * Ports under ThreadSanitizer: one thread is the home core with a connection that a model stands for,
 * two are cores that both use it, one only looks at its readiness. Every byte must arrive, in
 * order, both ways, and nobody may wait for ever.
 *
 * links: posix/socket/socket_port.c smp/byte_ring.c
 */
#include "posix/socket/socket_file.h"
#include "posix/socket/socket_port.h"
#include "sched/thread.h"
#include "sched/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <cmocka.h>

#include "mm/object.h"
#include "net/socket.h"

#define CORES 4 /* 0: home; 1, 2: users; 3: looks */
#define STREAM (300u << 10)
#define SENT (60u << 10) /* less, so that in the end only reading makes home go on */
#define QUEUE (16u << 10) /* the model's window, and its queue of what is to be sent */

/* ---- the machine ---- */

static struct core_queue {
	pthread_mutex_t lock;
	struct parcel *first;
} queues[CORES];

static long objects;
static struct deferred *deferred_list;
static pthread_mutex_t deferred_lock = PTHREAD_MUTEX_INITIALIZER;
static struct poller *the_poller;

void *object_alloc(size_t size)
{
	void *object = NULL;

	__atomic_add_fetch(&objects, 1, __ATOMIC_RELAXED);
	return posix_memalign(&object, CACHE_LINE, size) == 0 ? object : NULL;
}

void *object_alloc_zeroed(size_t size)
{
	void *object = object_alloc(size);

	memset(object, 0, size);
	return object;
}

void object_free(void *object)
{
	if (object)
		__atomic_sub_fetch(&objects, 1, __ATOMIC_RELAXED);
	free(object);
}

/* Until all threads have ended. */
void epoch_defer(struct deferred *deferred, void (*release)(struct deferred *))
{
	pthread_mutex_lock(&deferred_lock);
	deferred->release = release;
	deferred->entry.stack_entry.next = (void *)deferred_list;
	deferred_list = deferred;
	pthread_mutex_unlock(&deferred_lock);
}

void parcel_init(struct parcel *parcel, void (*handler)(struct parcel *))
{
	*parcel = (struct parcel){ .handler = handler };
}

void parcel_send(core_id_t core, struct parcel *parcel)
{
	struct parcel **last = &queues[core].first;

	assert_false(__atomic_exchange_n(&parcel->in_flight, true, __ATOMIC_ACQUIRE));
	pthread_mutex_lock(&queues[core].lock);
	while (*last)
		last = &(*last)->next;
	parcel->next = NULL;
	*last = parcel;
	pthread_mutex_unlock(&queues[core].lock);
}

/* A safe point of this thread. */
static void safe_point(void)
{
	struct core_queue *queue = &queues[this_core];
	struct parcel *parcel;

	for (;;) {
		pthread_mutex_lock(&queue->lock);
		parcel = queue->first;
		if (parcel)
			queue->first = parcel->next;
		pthread_mutex_unlock(&queue->lock);
		if (!parcel)
			break;
		__atomic_store_n(&parcel->in_flight, false, __ATOMIC_RELEASE);
		parcel->handler(parcel);
	}
}

void core_add_poller(struct poller *poller)
{
	the_poller = poller;
}

bool core_is_away(core_id_t core)
{
	return true;
}

void arch_send_ipi(core_id_t core) {}

void timer_init(struct timer *timer, void (*expired)(struct timer *))
{
	timer->expired = expired;
}

void timer_start(struct timer *timer, uint64_t deadline_ns) {}

void timer_stop(struct timer *timer) {}

uint64_t clock_ns(void)
{
	return 0;
}

/* ---- the connection: core 0 only ---- */

static struct model {
	size_t arrived; /* from the peer */
	size_t read; /* taken by the port */
	size_t sent; /* given by the port */
	size_t gone; /* acknowledged by the peer */
	bool wants_room;
	unsigned wrong;
	bool closed;
	bool ended; /* the peer has said all, or is gone */
} model;

static socket_notify *notify;
static void *owner;

static uint8_t to_user(size_t at)
{
	return (uint8_t)(at * 11 + (at >> 9));
}

static uint8_t from_user(size_t at)
{
	return (uint8_t)(at * 29 + (at >> 7));
}

void socket_set_owner(struct socket *socket, struct socket_owner *record, socket_notify *function,
		      void *new_owner)
{
	notify = function;
	owner = new_owner;
}

int socket_readable_bytes(struct socket *socket)
{
	return (int)(model.arrived - model.read);
}

ssize_t socket_receive(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
		       struct socket_address *from, struct socket_control *control)
{
	ssize_t done = 0;

	for (unsigned i = 0; i < niov; i++)
		for (size_t j = 0; j < iov[i].iov_len && model.read < model.arrived; j++, done++)
			((uint8_t *)iov[i].iov_base)[j] = to_user(model.read++);
	return done ? done : model.ended ? 0 : -EAGAIN;
}

ssize_t socket_send(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
		    const struct socket_address *to, const struct socket_control *control)
{
	ssize_t done = 0;

	for (unsigned i = 0; i < niov; i++)
		for (size_t j = 0; j < iov[i].iov_len && model.sent - model.gone < QUEUE;
		     j++, done++)
			model.wrong += ((uint8_t *)iov[i].iov_base)[j] != from_user(model.sent++);
	model.wants_room |= model.sent - model.gone >= QUEUE;
	return done ? done : -EAGAIN;
}

uint32_t socket_events(struct socket *socket)
{
	return (model.arrived > model.read || model.ended ? EPOLLIN : 0) |
	       (model.ended ? EPOLLRDHUP : 0) | EPOLLOUT;
}

int socket_shutdown(struct socket *socket, int how)
{
	return 0;
}

int socket_set_option(struct socket *socket, int level, int name, const void *value, socklen_t len)
{
	return 0;
}

void socket_close(struct socket *socket)
{
	model.closed = true;
}

/* ---- the file ---- */

static struct socket_file file;
static unsigned told; /* grows with each event; any core waits for it */
static bool file_ended;

void file_notify(struct file *notified, uint32_t events)
{
	__atomic_add_fetch(&told, 1, __ATOMIC_RELEASE);
}

void file_free(struct file *freed)
{
	file_ended = true;
}

/* ---- the cores ---- */

static struct file_view *view;
static size_t user_read, user_sent; /* guarded by the directions' turns */
static bool users_done;
static unsigned user_wrong;

static void *home(void *argument)
{
	pthread_barrier_t *begun = argument;
	unsigned random = 1;

	this_core = 0;
	file.port = socket_port_open(&file.file, NULL);
	view = socket_port_view(file.port);
	pthread_barrier_wait(begun);
	while (!__atomic_load_n(&users_done, __ATOMIC_ACQUIRE)) {
		size_t room = QUEUE - (model.arrived - model.read), more;

		random = random * 1103515245 + 12345;
		more = (random >> 16) % 3000;
		more = min(more, min(room, STREAM - model.arrived));
		model.arrived += more;
		if (model.arrived == STREAM)
			model.ended = true;
		if (more)
			notify(owner, model.ended ? EPOLLIN | EPOLLRDHUP : EPOLLIN);
		if (model.sent > model.gone && random % 3) {
			model.gone +=
			    min(model.sent - model.gone, (size_t)(random >> 8) % 5000 + 1);
			if (model.wants_room) {
				model.wants_room = false;
				notify(owner, EPOLLOUT);
			}
		}
		safe_point();
		the_poller->poll(0);
		sched_yield();
	}
	/* What is still in the ring leaves after the file's end. */
	socket_port_close(file.port);
	for (int i = 0; i < 1000 && !file_ended; i++) {
		model.gone = model.sent;
		notify(owner, EPOLLOUT);
		safe_point();
		the_poller->poll(0);
	}
	return NULL;
}

/* Wait until something was told since `seen`, or a while has passed: a lost wake-up shows as a limit
 * reached. */
static void wait_for_news(unsigned seen)
{
	for (unsigned i = 0; __atomic_load_n(&told, __ATOMIC_ACQUIRE) == seen; i++) {
		if (i > 3000000) {
			fprintf(stderr, "core %u waits for ever: read %zu, sent %zu\n", this_core,
				user_read, user_sent);
			abort();
		}
		safe_point();
		sched_yield();
	}
}

/* True if there is no need to wait. Readers are slower than the peer, so that the ring gets full. */
static bool read_once(unsigned random)
{
	struct socket_port *port = socket_file_port(&file.file);
	uint8_t bytes[2500];
	size_t first = (random >> 8) % 300;
	struct iovec iov[2] = { { bytes, first }, { bytes + 300, 2200 } };
	bool takes = random & 1 << 20;
	ssize_t n;

	if (user_read == STREAM || random % 8)
		return true;
	n = socket_port_receive(port, iov, 2, takes ? 0 : MSG_PEEK);
	for (ssize_t i = 0; i < n; i++)
		user_wrong += bytes[(size_t)i < first ? (size_t)i : 300 + (size_t)i - first] !=
			      to_user(user_read + (size_t)i);
	if (n > 0 && takes)
		user_read += (size_t)n;
	return n > 0;
}

static bool send_once(unsigned random)
{
	struct socket_port *port = socket_file_port(&file.file);
	uint8_t bytes[2500];
	size_t length = min((size_t)(random >> 5) % 2200 + 1, SENT - user_sent);
	struct iovec iov = { bytes, length };
	ssize_t n;

	if (!length)
		return true;
	for (size_t i = 0; i < length; i++)
		bytes[i] = from_user(user_sent + i);
	n = socket_port_send(port, &iov, 1, 0);
	assert_true(n > 0 || n == -EAGAIN);
	if (n > 0)
		user_sent += (size_t)n;
	return n > 0;
}

static bool all_is_read(void)
{
	return user_read == STREAM;
}

static bool all_is_sent(void)
{
	return user_sent == SENT;
}

/* Each direction is one user's at a time, so that there is an order; both directions are used at once. */
static struct direction {
	pthread_mutex_t turn;
	bool (*once)(unsigned random);
	bool (*all)(void);
} directions[2] = { { PTHREAD_MUTEX_INITIALIZER, read_once, all_is_read },
		    { PTHREAD_MUTEX_INITIALIZER, send_once, all_is_sent } };

static void *user(void *argument)
{
	unsigned random = (unsigned)(size_t)argument * 7919;
	bool done[2] = { false, false };

	this_core = (core_id_t)(size_t)argument;
	while (!done[0] || !done[1]) {
		unsigned seen = __atomic_load_n(&told, __ATOMIC_ACQUIRE);
		unsigned which;
		bool moved;

		random = random * 1103515245 + 12345;
		which = random >> 24 & 1;
		if (pthread_mutex_trylock(&directions[which].turn) == 0) {
			moved = directions[which].once(random);
			done[which] = directions[which].all();
			pthread_mutex_unlock(&directions[which].turn);
			if (!moved && !done[which])
				wait_for_news(seen);
		}
		safe_point();
		sched_yield();
	}
	return NULL;
}

static void *look(void *argument)
{
	uint32_t seen = 0;

	this_core = 3;
	while (!__atomic_load_n(&users_done, __ATOMIC_ACQUIRE)) {
		seen |= view->events(view);
		safe_point();
		sched_yield();
	}
	seen |= view->events(view);
	assert_int_equal(seen & ~(EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM | EPOLLRDHUP), 0);
	assert_int_equal(seen & EPOLLRDHUP, EPOLLRDHUP);
	view->release(view);
	return NULL;
}

static void both_streams_arrive(void **state)
{
	pthread_t threads[CORES];
	pthread_barrier_t begun;

	pthread_barrier_init(&begun, NULL, 2);
	for (int i = 0; i < CORES; i++)
		pthread_mutex_init(&queues[i].lock, NULL);
	pthread_create(&threads[0], NULL, home, &begun);
	pthread_barrier_wait(&begun);
	pthread_create(&threads[1], NULL, user, (void *)1);
	pthread_create(&threads[2], NULL, user, (void *)2);
	pthread_create(&threads[3], NULL, look, NULL);
	pthread_join(threads[1], NULL);
	pthread_join(threads[2], NULL);
	__atomic_store_n(&users_done, true, __ATOMIC_RELEASE);
	pthread_join(threads[0], NULL);
	pthread_join(threads[3], NULL);
	assert_int_equal(user_wrong, 0);
	assert_int_equal(model.wrong, 0);
	assert_int_equal(model.read, STREAM);
	assert_true(file_ended && model.closed);
	assert_int_equal(model.sent, SENT);
	while (deferred_list) {
		struct deferred *first = deferred_list;

		deferred_list = (void *)first->entry.stack_entry.next;
		first->release(first);
	}
	assert_int_equal(objects, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(both_streams_arrive) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
