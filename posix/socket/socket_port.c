/*
 * Socket ports: pumping at home, and what the user's core does with the rings.
 */
#include "posix/socket/socket_port.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/object.h"
#include "net/socket.h"
#include "posix/socket/socket_file.h"
#include "sched/thread.h"
#include "sched/timer.h"

#include <ck_pr.h>
#include <ck_spinlock.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Objects of the rings. The first hold a request and its answer; what streams grows. */
#define RING_FIRST 2048u
#define RING_LIMIT (64u << 10)

/* Among the bits that home tells: nothing can be sent any more. */
#define SENDS_ENDED (1u << 23)
#define ENDED (EPOLLERR | EPOLLHUP | EPOLLRDHUP)
#define READABLE (EPOLLIN | EPOLLRDNORM)
#define WRITABLE (EPOLLOUT | EPOLLWRNORM)

/* A port goes when so many uses in a row were home's own: one that several cores use in turns stays. */
#define USES_AT_HOME 64u

/* A closed connection that does not get rid of what was sent is given up: as long as net/ gives one
 * that has all of it (net/flow.c). */
#define LINGER_NS (60 * NS_PER_S)

struct socket_port {
	struct file_view view; /* first */
	/* Home writes, any core reads. */
	uint32_t state CACHE_ALIGNED; /* ENDED bits as far as they are true, SENDS_ENDED */
	bool more_waits; /* the ring of received data was full, and there is more */
	/* The user's end, and what it has noted. Who holds the lock has it. */
	ck_spinlock_t lock CACHE_ALIGNED;
	unsigned uses_at_home; /* in a row */
	bool dissolved; /* nobody finds the port any more */
	struct byte_ring *received; /* its end of the two rings */
	struct byte_ring *to_send;
	bool wants_room; /* a writer found the ring full: tell when there is room. Any core sets it */
	bool send_more; /* MSG_MORE of the last send */
	struct parcel to_home; /* there is something to do */
	/* Home's own. */
	struct byte_ring *to_receive CACHE_ALIGNED; /* its end of the two rings */
	struct byte_ring *sent;
	struct file *file;
	struct socket *socket;
	uint32_t events; /* told by net/ since the last pump */
	bool shut; /* shutdown(SHUT_WR) was asked for */
	bool shut_done;
	bool closed; /* the file has ended */
	bool finished; /* ... and the socket is closed */
	struct list pump_link; /* in `to_pump` */
	struct timer linger;
	/* Any core: atomic. The file's, and views. */
	uint32_t references CACHE_ALIGNED;
	struct deferred deferred;
};

/* Ports of this core's sockets that net/ told of; a poller pumps them. */
static CORE_LOCAL struct list to_pump;

/* The user's ends as others see them. Acquire: pairs with the releases where they go on to the next
 * ring (here and in smp/byte_ring.c). */
static inline struct byte_ring *received_of(const struct socket_port *port)
{
	return __atomic_load_n(&port->received, __ATOMIC_ACQUIRE);
}

static inline struct byte_ring *to_send_of(const struct socket_port *port)
{
	return __atomic_load_n(&port->to_send, __ATOMIC_ACQUIRE);
}

/* ---- its life ---- */

static void port_reclaim(struct deferred *deferred)
{
	struct socket_port *port = container_of(deferred, struct socket_port, deferred);

	/* A parcel that is still under way is the last: nobody sees the port any more. */
	if (__atomic_load_n(&port->to_home.in_flight, __ATOMIC_ACQUIRE)) {
		epoch_defer(&port->deferred, port_reclaim);
		return;
	}
	byte_ring_free(port->received);
	byte_ring_free(port->sent);
	object_free(port);
}

static void port_unreference(struct socket_port *port)
{
	/* What others did with it comes before its end. */
	if (__atomic_sub_fetch(&port->references, 1, __ATOMIC_ACQ_REL) == 0)
		epoch_defer(&port->deferred, port_reclaim);
}

static uint32_t view_events(struct file_view *view)
{
	return socket_port_events(container_of(view, struct socket_port, view));
}

static void view_release(struct file_view *view)
{
	port_unreference(container_of(view, struct socket_port, view));
}

struct file_view *socket_port_view(struct socket_port *port)
{
	assert_on_core(port->file->home);
	/* Relaxed: at home the port cannot go away meanwhile. */
	__atomic_add_fetch(&port->references, 1, __ATOMIC_RELAXED);
	return &port->view;
}

/* ---- at home: pumping ---- */

/* Out of the socket into the ring. True if there was something. */
static bool pump_received(struct socket_port *port)
{
	bool moved = false;
	int waiting;

	while ((waiting = socket_readable_bytes(port->socket)) > 0) {
		struct iovec space[2];
		unsigned nspace = byte_ring_space(port->to_receive, (size_t)waiting, space);
		struct byte_ring *larger;
		ssize_t length;

		if (!nspace) {
			larger = byte_ring_grow(port->to_receive, RING_LIMIT);
			if (larger) {
				port->to_receive = larger;
				continue;
			}
			__atomic_store_n(&port->more_waits, true, __ATOMIC_RELAXED);
			/* The user's side makes room, then looks whether more waits. */
			ck_pr_fence_memory();
			if (!byte_ring_room(port->to_receive))
				break;
			__atomic_store_n(&port->more_waits, false, __ATOMIC_RELAXED);
			continue;
		}
		length = socket_receive(port->socket, space, nspace, 0, NULL, NULL);
		if (length <= 0)
			break;
		byte_ring_put(port->to_receive, (uint32_t)length);
		moved = true;
	}
	return moved;
}

/* The connection is gone: so is what it did not send. */
static void discard_sent(struct socket_port *port)
{
	struct iovec data[2];
	unsigned ndata;

	while ((ndata = byte_ring_data(&port->sent, data)))
		byte_ring_take(port->sent,
			       (uint32_t)(data[0].iov_len + (ndata > 1 ? data[1].iov_len : 0)));
}

/* Out of the ring into the socket. True if there was something. */
static bool pump_sent(struct socket_port *port)
{
	struct iovec data[2];
	unsigned ndata;
	bool moved = false;

	while ((ndata = byte_ring_data(&port->sent, data))) {
		size_t length = data[0].iov_len + (ndata > 1 ? data[1].iov_len : 0);
		bool more = __atomic_load_n(&port->send_more, __ATOMIC_RELAXED);
		ssize_t done;

		/* The error is for the application: it is not taken here. */
		if (socket_events(port->socket) & (EPOLLERR | EPOLLHUP)) {
			discard_sent(port);
			return true;
		}
		done = socket_send(port->socket, data, ndata, more ? MSG_MORE : 0, NULL, NULL);
		if (done == -EAGAIN)
			break; /* net/ tells when there is room */
		if (done < 0) {
			discard_sent(port);
			return true;
		}
		byte_ring_take(port->sent, (uint32_t)done);
		moved = true;
		if ((size_t)done < length)
			break;
	}
	return moved;
}

static bool sent_is_empty(struct socket_port *port)
{
	struct iovec data[2];

	return byte_ring_data(&port->sent, data) == 0;
}

static void publish_state(struct socket_port *port)
{
	uint32_t events = socket_events(port->socket);
	uint32_t state = events & ENDED;

	if (port->shut || (events & EPOLLHUP))
		state |= SENDS_ENDED;
	/* Release: pairs with the acquire in state_of(): the bytes before the end come first. */
	if (state != port->state)
		__atomic_store_n(&port->state, state, __ATOMIC_RELEASE);
}

static void close_when_done(struct socket_port *port);

/* Everything that can be done at home now. */
static void pump(struct socket_port *port)
{
	uint32_t events = port->events;

	port->events = 0;
	/* The other side's parcel was taken, or its flags are looked at: then its bytes are seen. Pairs
	 * with the fence in tell_home() and in socket_port_events(). */
	ck_pr_fence_memory();
	if (pump_sent(port) && __atomic_load_n(&port->wants_room, __ATOMIC_RELAXED) &&
	    byte_ring_has_room(port->sent)) {
		__atomic_store_n(&port->wants_room, false, __ATOMIC_RELAXED);
		events |= WRITABLE;
	}
	if (port->closed) {
		close_when_done(port);
		return;
	}
	if (port->shut && !port->shut_done && sent_is_empty(port)) {
		port->shut_done = true;
		socket_shutdown(port->socket, SHUT_WR);
	}
	if (pump_received(port))
		events |= READABLE;
	publish_state(port);
	if (events & ENDED)
		events |= events & EPOLLRDHUP ? READABLE : READABLE | WRITABLE;
	if (events)
		file_notify(port->file, events);
}

static void to_home_arrived(struct parcel *parcel)
{
	struct socket_port *port = container_of(parcel, struct socket_port, to_home);

	if (!port->finished)
		pump(port);
}

/* net/ tells of the socket; it must not be called from here. */
static void port_notify(void *owner, uint32_t events)
{
	struct socket_port *port = owner;

	/* Of data and room is told when the rings have them. */
	port->events |= events & ENDED;
	if (!list_is_linked(&port->pump_link))
		list_push_back(&to_pump, &port->pump_link);
}

static bool nothing_to_pump(void)
{
	return !to_pump.next || list_is_empty(&to_pump);
}

/* After the network's poller, which fills the list. */
static bool pump_all(uint64_t now_ns)
{
	struct list now, *link;

	if (nothing_to_pump())
		return false;
	/* What is told meanwhile is for the next pass. */
	list_init(&now);
	list_append(&now, &to_pump);
	while ((link = list_pop_front(&now)))
		pump(list_entry(link, struct socket_port, pump_link));
	return true;
}

/* Images whose sockets stay at home never have it. */
static void begin_pumping(void)
{
	static struct poller poller = { .poll = pump_all, .prepare_sleep = nothing_to_pump };
	static bool begun;

	if (!to_pump.next)
		list_init(&to_pump);
	if (!__atomic_load_n(&begun, __ATOMIC_RELAXED) &&
	    !__atomic_exchange_n(&begun, true, __ATOMIC_RELAXED))
		core_add_poller(&poller);
}

/* ---- at home: the ends ---- */

struct socket_port *socket_port_open(struct file *file, struct socket *socket)
{
	struct socket_port *port = object_alloc_zeroed(sizeof(*port));

	assert_on_core(file->home);
	if (!port)
		return NULL;
	port->received = byte_ring_create(RING_FIRST);
	port->sent = byte_ring_create(RING_FIRST);
	if (!port->received || !port->sent) {
		object_free(port->received);
		object_free(port->sent);
		object_free(port);
		return NULL;
	}
	port->view = (struct file_view){ view_events, view_release };
	port->to_receive = port->received;
	port->to_send = port->sent;
	ck_spinlock_init(&port->lock);
	port->file = file;
	port->socket = socket;
	port->references = 1;
	parcel_init(&port->to_home, to_home_arrived);
	list_init(&port->pump_link);
	begin_pumping();
	socket_set_owner(socket, &socket_file_of(file)->owner, port_notify, port);
	pump_received(port);
	publish_state(port);
	return port;
}

unsigned socket_port_readable_bytes(struct socket_port *port)
{
	return byte_ring_length(received_of(port)) + (unsigned)socket_readable_bytes(port->socket);
}

bool socket_port_flush_received(struct socket_port *port)
{
	pump(port);
	return byte_ring_is_empty(received_of(port));
}

bool socket_port_flush_sent(struct socket_port *port)
{
	pump(port);
	return sent_is_empty(port);
}

int socket_port_shutdown(struct socket_port *port, int how)
{
	int result = 0;

	pump(port);
	if (how == SHUT_RD || sent_is_empty(port)) {
		result = socket_shutdown(port->socket, how);
		if (how != SHUT_RD && result == 0)
			port->shut = port->shut_done = true;
	} else {
		if (how == SHUT_RDWR)
			result = socket_shutdown(port->socket, SHUT_RD);
		port->shut = true;
	}
	pump(port);
	return result;
}

bool socket_port_is_shut(const struct socket_port *port)
{
	return port->shut;
}

bool socket_port_wants_home(const struct socket_port *port)
{
	return port->file->home == this_core &&
	       __atomic_load_n(&port->uses_at_home, __ATOMIC_RELAXED) >= USES_AT_HOME;
}

bool socket_port_dissolve(struct socket_port *port)
{
	bool unused;

	assert_on_core(port->file->home);
	/* Somebody watches by its view. */
	if (__atomic_load_n(&port->references, __ATOMIC_RELAXED) != 1)
		return false;
	pump(port);
	if (port->shut != port->shut_done)
		return false;
	/* Who comes later finds it dissolved, and looks for the port again. */
	ck_spinlock_lock(&port->lock);
	unused = byte_ring_is_empty(port->received) && sent_is_empty(port);
	port->dissolved = unused;
	ck_spinlock_unlock(&port->lock);
	if (!unused)
		return false;
	port->finished = true;
	list_remove(&port->pump_link);
	port_unreference(port);
	return true;
}

/* The socket ends, by a reset if not all that was received was read, or sent. */
static void finish(struct socket_port *port, bool reset)
{
	struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
	struct file *file = port->file;

	if (reset)
		socket_set_option(port->socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	timer_stop(&port->linger);
	list_remove(&port->pump_link);
	port->finished = true;
	socket_close(port->socket);
	port_unreference(port);
	file_free(file);
}

static void close_when_done(struct socket_port *port)
{
	if (socket_readable_bytes(port->socket) > 0)
		finish(port, true);
	else if (sent_is_empty(port))
		finish(port, false);
	else
		timer_start(&port->linger, clock_ns() + LINGER_NS);
}

static void linger_expired(struct timer *timer)
{
	finish(container_of(timer, struct socket_port, linger), true);
}

void socket_port_close(struct socket_port *port)
{
	bool unread = !byte_ring_is_empty(received_of(port));

	assert_on_core(port->file->home);
	timer_init(&port->linger, linger_expired);
	port->closed = true;
	if (unread)
		finish(port, true);
	else
		pump(port);
}

/* ---- the user's core ---- */

static inline uint32_t state_of(const struct socket_port *port)
{
	/* Pairs with the release in publish_state(). */
	return __atomic_load_n(&port->state, __ATOMIC_ACQUIRE);
}

/* Home has something to do. One parcel for all that is there when it arrives. */
static void tell_home(struct socket_port *port)
{
	if (port->file->home == this_core) {
		pump(port);
		return;
	}
	/* What is in the rings before the look at the parcel; pairs with the fence in pump(). */
	ck_pr_fence_memory();
	if (!__atomic_load_n(&port->to_home.in_flight, __ATOMIC_ACQUIRE)) {
		bool away = core_is_away(port->file->home);

		parcel_send(port->file->home, &port->to_home);
		if (away)
			arch_send_ipi(port->file->home);
	}
}

/* The user's end is this core's until it is let go: false if the port is no more. */
static bool hold(struct socket_port *port)
{
	unsigned uses;

	ck_spinlock_lock(&port->lock);
	if (unlikely(port->dissolved)) {
		ck_spinlock_unlock(&port->lock);
		return false;
	}
	uses = port->file->home == this_core ? port->uses_at_home + 1 : 0;
	if (uses != port->uses_at_home)
		__atomic_store_n(&port->uses_at_home, uses, __ATOMIC_RELAXED);
	return true;
}

static void let_go(struct socket_port *port)
{
	ck_spinlock_unlock(&port->lock);
}

/* With the lock. *tell: home shall be told. */
static ssize_t take_received(struct socket_port *port, const struct iovec *iov, unsigned niov,
			     int flags, bool *tell)
{
	ssize_t done;

again:
	done = byte_ring_copy_out(&port->received, iov, niov, flags & MSG_PEEK, flags & MSG_TRUNC);
	if (likely(done != 0)) {
		if (done < 0 || flags & MSG_PEEK)
			return done;
		/* The room first; pairs with the fence in pump_received(). */
		ck_pr_fence_memory();
		if (unlikely(__atomic_load_n(&port->more_waits, __ATOMIC_RELAXED)) &&
		    byte_ring_has_room(port->received)) {
			__atomic_store_n(&port->more_waits, false, __ATOMIC_RELAXED);
			*tell = true;
		}
		return done;
	}
	if (!byte_ring_is_empty(port->received)) {
		for (unsigned i = 0; i < niov; i++)
			if (iov[i].iov_len)
				goto again; /* it came since the look: 0 would be the end */
		return 0; /* no room was given */
	}
	return state_of(port) & ENDED ? -EXDEV : -EAGAIN;
}

ssize_t socket_port_receive(struct socket_port *port, const struct iovec *iov, unsigned niov,
			    int flags)
{
	bool tell = false;
	ssize_t done;

	if (flags & (MSG_OOB | MSG_ERRQUEUE))
		return -EXDEV;
	if (port->file->home == this_core)
		pump(port);
	if (unlikely(!hold(port)))
		return -EXDEV;
	done = take_received(port, iov, niov, flags, &tell);
	let_go(port);
	if (unlikely(tell))
		tell_home(port);
	return done;
}

/* With the lock. Returns how much was put into the ring; 0 also if none could be, then *error is set. */
static size_t put_sent(struct socket_port *port, const struct iovec *iov, unsigned niov,
		       size_t total, ssize_t *error)
{
	size_t done = 0;

	while (done < total) {
		ssize_t put = byte_ring_copy_in(port->to_send, iov, niov, done);
		struct byte_ring *larger;

		*error = put < 0 ? put : -EAGAIN;
		if (unlikely(put < 0))
			break;
		done += (size_t)put;
		if (likely(done == total))
			break;
		larger = byte_ring_grow(port->to_send, RING_LIMIT);
		if (larger) {
			__atomic_store_n(&port->to_send, larger, __ATOMIC_RELEASE);
			continue;
		}
		if (__atomic_load_n(&port->wants_room, __ATOMIC_RELAXED) &&
		    !byte_ring_room(port->to_send))
			break;
		__atomic_store_n(&port->wants_room, true, __ATOMIC_RELAXED);
		/* Home makes room, then looks who wants it. */
		ck_pr_fence_memory();
		if (!byte_ring_room(port->to_send))
			break;
	}
	return done;
}

ssize_t socket_port_send(struct socket_port *port, const struct iovec *iov, unsigned niov,
			 int flags)
{
	size_t total = 0, done;
	ssize_t error = 0;

	if ((state_of(port) & (EPOLLERR | EPOLLHUP | SENDS_ENDED)) || (flags & MSG_OOB))
		return -EXDEV;
	for (unsigned i = 0; i < niov; i++)
		total += iov[i].iov_len;
	if (unlikely(!hold(port)))
		return -EXDEV;
	if (unlikely(port->send_more != ((flags & MSG_MORE) != 0)))
		__atomic_store_n(&port->send_more, (flags & MSG_MORE) != 0, __ATOMIC_RELAXED);
	done = put_sent(port, iov, niov, total, &error);
	let_go(port);
	if (done)
		tell_home(port);
	return done || !total ? (ssize_t)done : error;
}

/* ---- any core ---- */

uint32_t socket_port_events(struct socket_port *port)
{
	uint32_t state = state_of(port), events = state & ENDED;

	if ((state & (EPOLLRDHUP | EPOLLHUP)) || !byte_ring_is_empty(received_of(port)))
		events |= READABLE;
	if ((state & SENDS_ENDED) || byte_ring_has_room(to_send_of(port)))
		return events | WRITABLE;
	__atomic_store_n(&port->wants_room, true, __ATOMIC_RELAXED);
	/* Who asked is told later, or sees the room now. Pairs with the fence in pump(). */
	ck_pr_fence_memory();
	return byte_ring_has_room(to_send_of(port)) ? events | WRITABLE : events;
}
