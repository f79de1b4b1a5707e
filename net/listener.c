/*
 * Listeners.
 */
#include "net/listener.h"

#include "lavra/console.h"
#include "lavra/counters.h"
#include "mm/object.h"
#include "net/flow.h"
#include "net/lwip_address.h"
#include "net/ports.h"
#include "net/shared.h"
#include "net/shared_lock.h"
#include "net/socket_state.h"
#include "smp/core.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

/* Where lwIP listens on one core: one control block for an address and port, and the listeners
 * that take turns with its connections. */
struct listen_point {
	struct list link; /* in this core's `points` */
	struct list parts; /* struct listener_part */
	struct tcp_pcb *pcb;
	struct address address;
	uint16_t port;
	bool only_ip6;
};

/* A listener's share of one core; only that core touches it, apart from what is marked. */
struct listener_part {
	struct list link; /* in its listen_point */
	struct listen_point *point;
	struct listener *listener;
	struct socket *first, **last; /* established, not accepted */
	uint32_t waiting; /* how many; others read it */
	int error;
	struct parcel parcel; /* tells the core to stop */
	struct parcel news; /* tells home that there are connections */
	uint32_t untold; /* how many home was not told of; atomic, home takes them */
} CACHE_ALIGNED;

struct listener {
	struct list link; /* in `listeners` */
	struct socket *socket; /* NULL: closed. Home core */
	struct socket_options inherited;
	core_id_t home;
	struct address address;
	uint16_t port;
	uint8_t family;
	bool only_ip6;
	bool all_cores;
	bool ready; /* all its parts are open: until then nobody is answered. Set once, by home */
	core_id_t news_from; /* home core */
	uint32_t backlog; /* written by the home core */
	bool spread; /* connections stay on their cores; set once, by any core */
	uint32_t travelling CACHE_ALIGNED; /* atomic: connections on their way to the home core */
	uint32_t references; /* atomic: parts, connections and news on their way, and views */
	struct listener_part parts[];
};

static CORE_LOCAL struct list points;

/* All there are, of all cores, for a stack that begins anew. Guarded by the lock; taken with no other held. */
static SHARED struct shared_lock listeners_lock;
static SHARED struct list listeners;

static void listeners_add(struct listener *listener)
{
	shared_lock(&listeners_lock);
	if (!listeners.next)
		list_init(&listeners);
	list_push_back(&listeners, &listener->link);
	shared_unlock(&listeners_lock);
}

static void listeners_remove(struct listener *listener)
{
	shared_lock(&listeners_lock);
	list_remove(&listener->link);
	shared_unlock(&listeners_lock);
}

void listener_init_core(void)
{
	list_init(&points);
}

void listener_reference(struct listener *listener)
{
	__atomic_add_fetch(&listener->references, 1, __ATOMIC_RELAXED);
}

void listener_release(struct listener *listener)
{
	/* The last one sees what all others did. */
	if (__atomic_sub_fetch(&listener->references, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	listeners_remove(listener);
	object_free(listener);
}

/* ---- connections ---- */

static void close_here(struct parcel *parcel)
{
	socket_close(container_of(parcel, struct socket, parcel));
}

/* Close a connection that nobody will accept, on its home core. */
static void discard(struct socket *socket)
{
	/* To the other side it was never there. */
	socket->options.linger = true;
	socket->options.linger_s = 0;
	if (socket->home == this_core) {
		socket_close(socket);
		return;
	}
	parcel_init(&socket->parcel, close_here);
	parcel_send(socket->home, &socket->parcel);
}

static void enqueue(struct listener_part *part, struct socket *socket)
{
	socket->next = NULL;
	*part->last = socket;
	part->last = &socket->next;
	/* Release: pairs with the load in listener_find_waiting(). */
	__atomic_store_n(&part->waiting, part->waiting + 1, __ATOMIC_RELEASE);
}

/* At home: who waits for the socket hears of each connection, so that each wakes one. */
static void tell(struct listener *listener, core_id_t from, uint32_t connections)
{
	listener->news_from = from;
	/* More at once than can be waiting are no more news. */
	for (connections = min(connections, MAX_CORES); connections; connections--)
		if (listener->socket)
			socket_tell(listener->socket, EPOLLIN);
}

core_id_t listener_news_from(const struct listener *listener)
{
	return listener->news_from;
}

static void news_arrived(struct parcel *parcel)
{
	struct listener_part *part = container_of(parcel, struct listener_part, news);
	struct listener *listener = part->listener;
	/* Pairs with the addition in keep_here(): who finds 0 sends the parcel again. */
	uint32_t connections = __atomic_exchange_n(&part->untold, 0, __ATOMIC_ACQ_REL);

	tell(listener, (core_id_t)(part - listener->parts), connections);
	listener_release(listener);
}

/* A connection of this core waits here. */
static void keep_here(struct listener *listener, struct socket *socket)
{
	struct listener_part *part = &listener->parts[this_core];

	enqueue(part, socket);
	if (listener->home == this_core) {
		tell(listener, this_core, 1);
	} else if (__atomic_fetch_add(&part->untold, 1, __ATOMIC_ACQ_REL) == 0) {
		listener_reference(listener);
		parcel_send(listener->home, &part->news);
	}
}

/* A connection that was established on another core comes to be accepted. */
static void connection_arrived(struct parcel *parcel)
{
	struct socket *socket = container_of(parcel, struct socket, parcel);
	struct listener *listener = socket->tcp.accepted_by;

	socket->tcp.accepted_by = NULL;
	__atomic_sub_fetch(&listener->travelling, 1, __ATOMIC_RELAXED);
	if (listener->socket) {
		enqueue(&listener->parts[this_core], socket);
		tell(listener, socket->home, 1);
	} else {
		discard(socket);
	}
	listener_release(listener);
}

static bool is_spread(const struct listener *listener)
{
	return __atomic_load_n(&listener->spread, __ATOMIC_RELAXED);
}

static uint32_t waiting_on(const struct listener *listener, core_id_t core)
{
	/* Acquire: pairs with the release in enqueue(). */
	return __atomic_load_n(&listener->parts[core].waiting, __ATOMIC_ACQUIRE);
}

static bool is_ready(const struct listener *listener)
{
	return __atomic_load_n(&listener->ready, __ATOMIC_RELAXED);
}

static bool is_full(const struct listener *listener)
{
	uint32_t waiting = waiting_on(listener, this_core);

	if (!is_ready(listener))
		return true;
	if (listener->home != this_core && !is_spread(listener))
		waiting += waiting_on(listener, listener->home) +
			   __atomic_load_n(&listener->travelling, __ATOMIC_RELAXED);
	return waiting >= __atomic_load_n(&listener->backlog, __ATOMIC_RELAXED);
}

bool listener_answers(void *argument)
{
	struct listen_point *point = argument;

	list_for_each(link, &point->parts)
		if (is_ready(list_entry(link, struct listener_part, link)->listener))
			return true;
	return false;
}

bool listener_admits(void *argument)
{
	struct listen_point *point = argument;

	list_for_each(link, &point->parts)
		if (!is_full(list_entry(link, struct listener_part, link)->listener))
			return true;
	return false;
}

/* The next in turn; one whose backlog is full lets others go first. */
static struct listener *next_listener(struct listen_point *point)
{
	struct list *chosen = point->parts.next;

	list_for_each(link, &point->parts)
		if (!is_full(list_entry(link, struct listener_part, link)->listener)) {
			chosen = link;
			break;
		}
	list_remove(chosen);
	list_push_back(&point->parts, chosen);
	return list_entry(chosen, struct listener_part, link)->listener;
}

/* lwIP has established a connection, or (without a control block) had no memory for one. */
static err_t on_accept(void *argument, struct tcp_pcb *pcb, err_t error)
{
	struct listener *listener;
	struct socket *socket;

	if (!pcb || error != ERR_OK) {
		counters.connections_refused++;
		return ERR_VAL;
	}
	listener = next_listener(argument);
	socket = tcp_socket_accepted(pcb, listener->family, &listener->inherited);
	if (!socket) {
		counters.connections_refused++;
		return ERR_MEM; /* lwIP resets it */
	}
	if (listener->home == this_core || is_spread(listener)) {
		keep_here(listener, socket);
		return ERR_OK;
	}
	__atomic_add_fetch(&listener->travelling, 1, __ATOMIC_RELAXED);
	listener_reference(listener);
	socket->tcp.accepted_by = listener;
	parcel_init(&socket->parcel, connection_arrived);
	parcel_send(listener->home, &socket->parcel);
	return ERR_OK;
}

struct socket *listener_take(struct listener *listener)
{
	struct listener_part *part = &listener->parts[this_core];
	struct socket *socket = part->first;

	if (!socket)
		return NULL;
	part->first = socket->next;
	if (!part->first)
		part->last = &part->first;
	socket->next = NULL;
	__atomic_store_n(&part->waiting, part->waiting - 1, __ATOMIC_RELAXED);
	return socket;
}

int listener_find_waiting(const struct listener *listener)
{
	core_id_t core = this_core;

	if (likely(waiting_on(listener, core)))
		return (int)core;
	if (!is_spread(listener))
		return waiting_on(listener, listener->home) ? (int)listener->home : -1;
	for (unsigned left = ncores - 1; left; left--) {
		core = core + 1 < ncores ? core + 1 : 0;
		if (waiting_on(listener, core))
			return (int)core;
	}
	return -1;
}

void listener_spread(struct listener *listener)
{
	if (listener->all_cores && !is_spread(listener))
		__atomic_store_n(&listener->spread, true, __ATOMIC_RELAXED);
}

void listener_set_backlog(struct listener *listener, int backlog)
{
	uint32_t limit = backlog < 0 || backlog > SOMAXCONN_LIMIT ? SOMAXCONN_LIMIT
								  : (uint32_t)backlog;

	/* As Linux: one more than asked for. */
	__atomic_store_n(&listener->backlog, limit + 1, __ATOMIC_RELAXED);
}

/* ---- on each core ---- */

static struct listen_point *point_create(const struct listener *listener)
{
	struct listen_point *point = object_alloc_zeroed(sizeof(*point));
	ip_addr_t ip = socket_any(&listener->address, listener->only_ip6);
	struct tcp_pcb *pcb = NULL, *listening = NULL;

	if (!point)
		return NULL;
	pcb = tcp_new_ip_type(IP_GET_TYPE(&ip));
	if (pcb) {
		/* Who may bind what is decided already (net/ports.c). */
		ip_set_option(pcb, SOF_REUSEADDR);
		if (tcp_bind(pcb, &ip, lwip_htons(listener->port)) == ERR_OK)
			listening = tcp_listen_with_backlog(pcb, 0);
		if (!listening)
			tcp_abort(pcb);
	}
	if (!listening) {
		object_free(point);
		return NULL;
	}
	point->pcb = listening;
	point->address = listener->address;
	point->port = listener->port;
	point->only_ip6 = listener->only_ip6;
	list_init(&point->parts);
	list_push_back(&points, &point->link);
	tcp_arg(listening, point);
	tcp_accept(listening, on_accept);
	flow_listen(listening);
	return point;
}

static struct listen_point *point_find(const struct listener *listener)
{
	list_for_each(link, &points) {
		struct listen_point *point = list_entry(link, struct listen_point, link);

		if (address_equal(&point->address, &listener->address) &&
		    point->port == listener->port && point->only_ip6 == listener->only_ip6)
			return point;
	}
	return NULL;
}

void listener_open_part(struct listener *listener)
{
	struct listener_part *part = &listener->parts[this_core];
	struct listen_point *point = point_find(listener);

	if (!point)
		point = point_create(listener);
	if (!point) {
		part->error = -ENOMEM;
		return;
	}
	part->point = point;
	list_push_back(&point->parts, &part->link);
	if (this_core == listener->home) {
		listener->socket->tcp.listener = listener;
		listener->socket->tcp.state = TCP_SOCKET_LISTENING;
	}
}

static void part_close(struct listener_part *part)
{
	struct listen_point *point = part->point;
	struct socket *socket;

	while ((socket = listener_take(part->listener)))
		discard(socket);

	if (point) {
		list_remove(&part->link);
		if (list_is_empty(&point->parts)) {
			list_remove(&point->link);
			flow_close_listener(point->pcb);
			object_free(point);
		}
	}
	listener_release(part->listener);
}

static void part_close_parcel(struct parcel *parcel)
{
	part_close(container_of(parcel, struct listener_part, parcel));
}

/* ---- the whole ---- */

static bool has_part_on(const struct listener *listener, core_id_t core)
{
	return listener->all_cores ? core_is_online(core) : core == listener->home;
}

void listener_close(struct listener *listener)
{
	/* Other cores may look for it until they are told; pairs with the load in socket_accept(). */
	__atomic_store_n(&listener->socket->tcp.listener, NULL, __ATOMIC_RELAXED);
	listener->socket = NULL;
	/* The last release frees it: ours is the part of this core, closed at the end. */
	for (core_id_t core = 0; core < ncores; core++)
		if (core != this_core && has_part_on(listener, core))
			parcel_send(core, &listener->parts[core].parcel);
	part_close(&listener->parts[this_core]);
}

static struct listener *listener_create(struct socket *socket, int backlog)
{
	struct listener *listener = object_alloc_zeroed(
	    sizeof(*listener) + ncores * sizeof(struct listener_part) + CACHE_LINE);

	if (!listener)
		return NULL;
	listener->socket = socket;
	listener->inherited = socket->options;
	listener->home = this_core;
	listener->address = socket->binding->address;
	listener->port = socket->binding->port;
	listener->family = socket->family;
	listener->only_ip6 = socket->options.only_ip6;
	listener->all_cores = !socket->options.reuse_port;
	listener_set_backlog(listener, backlog);
	for (core_id_t core = 0; core < ncores; core++) {
		struct listener_part *part = &listener->parts[core];

		list_init(&part->link);
		part->listener = listener;
		part->last = &part->first;
		parcel_init(&part->parcel, part_close_parcel);
		parcel_init(&part->news, news_arrived);
		if (has_part_on(listener, core))
			listener->references++;
	}
	listeners_add(listener);
	return listener;
}

struct listener *listener_begin(struct socket *socket, int backlog, int *error)
{
	struct listener *listener = NULL;

	/* Nobody is sent here before all are ready. */
	*error = ports_listen(socket->binding, 0);
	if (*error)
		return NULL;
	listener = listener_create(socket, backlog);
	if (!listener)
		*error = -ENOMEM;
	return listener;
}

bool listener_is_everywhere(const struct listener *listener)
{
	return listener->all_cores;
}

int listener_end(struct listener *listener)
{
	uint64_t cores = 0;
	int error = 0;

	for (core_id_t core = 0; core < ncores; core++) {
		if (!has_part_on(listener, core))
			continue;
		cores |= 1ull << core;
		if (listener->parts[core].error)
			error = listener->parts[core].error;
	}
	if (!error)
		error = ports_listen(listener->socket->binding, cores);
	if (!error) {
		/* On all cores at the same time, as if there was one. */
		__atomic_store_n(&listener->ready, true, __ATOMIC_RELAXED);
		return 0;
	}
	listener->socket->tcp.state = TCP_SOCKET_NEW;
	listener_close(listener);
	return error;
}

/* Connections that waited here are lost, as all of this core's. */
static void part_restart(struct listener *listener)
{
	struct listener_part *part = &listener->parts[this_core];

	list_init(&part->link);
	part->point = NULL;
	part->first = NULL;
	part->last = &part->first;
	__atomic_store_n(&part->waiting, 0, __ATOMIC_RELAXED);
	/* One that is being closed gets a parcel for this part yet. */
	if (__atomic_load_n(&listener->socket, __ATOMIC_RELAXED))
		listener_open_part(listener);
}

void listeners_restart(void)
{
	shared_lock_restart(&listeners_lock);
	shared_lock(&listeners_lock);
	if (listeners.next)
		list_for_each(link, &listeners) {
			struct listener *listener = list_entry(link, struct listener, link);

			if (has_part_on(listener, this_core))
				part_restart(listener);
		}
	shared_unlock(&listeners_lock);
}
