/*
 * The sockets of this core that somebody owns, by their address.
 */
#include "net/socket_owner.h"

#include "arch/arch.h"
#include "drivers/virtio/virtio_net.h"
#include "lavra/console.h"
#include "net/calls/entries.h"
#include "net/calls/queues.h"
#include "net/calls/restart.h"
#include "net/exchange.h"
#include "net/socket_move.h"
#include "sched/thread.h"
#include "smp/core.h"

#include <string.h>
#include <sys/epoll.h>

#define BUCKETS 1024

static CORE_LOCAL struct socket_owner *owners[BUCKETS];

static struct socket_owner **bucket_of(const struct socket *socket)
{
	/* Objects of the allocator: what is below 64 bytes says little. */
	uintptr_t address = (uintptr_t)socket / 64;

	return &owners[(address ^ address / BUCKETS) % BUCKETS];
}

static struct socket_owner **find(const struct socket *socket)
{
	struct socket_owner **link = bucket_of(socket);

	while (*link && (*link)->socket != socket)
		link = &(*link)->next;
	return link;
}

/* A socket has one owner: who gets it besides is told nothing, so that an owner that ends is the one that is found. */
static void insert(struct socket_owner *record)
{
	struct socket_owner **link = find(record->socket);

	if (unlikely(*link)) {
		record->socket = NULL;
		return;
	}
	record->next = NULL;
	*link = record;
}

static struct socket_owner *take_out(const struct socket *socket)
{
	struct socket_owner **link = find(socket), *record = *link;

	if (record)
		*link = record->next;
	return record;
}

void socket_set_owner(struct socket *socket, struct socket_owner *record, socket_notify *notify,
		      void *owner)
{
	record->notify = notify;
	record->owner = owner;
	if (arch_isolation() && !record->socket) {
		record->socket = socket;
		insert(record);
	}
	socket_set_notify(socket, notify, owner);
}

void socket_owner_arrived(struct socket_owner *record)
{
	if (record->socket)
		insert(record);
}

void socket_close(struct socket *socket)
{
	struct socket_owner *record = take_out(socket);

	if (record)
		record->socket = NULL;
	enter_socket_close(socket);
}

struct flow_marker *socket_leave(struct socket *socket, core_id_t to)
{
	struct socket_owner *record = take_out(socket);
	struct flow_marker *marker = enter_socket_leave(socket, to);

	if (!arch_is_networks(marker))
		marker = NULL;
	if (!marker && record)
		insert(record);
	return marker;
}

void owners_tell_all(void)
{
	uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP | EPOLLERR;

	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct socket_owner *record = owners[i]; record; record = record->next)
			record->notify(record->owner, events);
}

static void kick(void)
{
	unsigned kicks = __atomic_load_n(&network_exchange.kicks, __ATOMIC_RELAXED);

	network_exchange.kicks = 0;
	if (kicks & 1)
		virtio_net_notify(2 * queue_map.of[this_core].sends_on);
	if (kicks & 2)
		virtio_net_notify(2 * queue_map.of[this_core].sends_on + 1);
}

static void tell(void)
{
	struct network_event events[EXCHANGE_EVENTS_MAX];
	unsigned nevents = __atomic_load_n(&network_exchange.nevents, __ATOMIC_RELAXED);

	network_exchange.nevents = 0;
	if (unlikely(nevents > EXCHANGE_EVENTS_MAX)) {
		owners_tell_all();
		return;
	}
	/* Who is told may call the network. */
	memcpy(events, network_exchange.events, nevents * sizeof(*events));
	for (unsigned i = 0; i < nevents; i++) {
		struct socket_owner *record = *find(events[i].socket);

		if (record)
			record->notify(record->owner, events[i].events & SOCKET_EVENTS);
	}
}

void network_attend(void)
{
	static CORE_LOCAL bool telling;

	kick();
	if (telling) {
		/* Whoever is being told has called the network: what that has to tell waits for its next call. */
		poll_wanted = true;
		return;
	}
	telling = true;
	tell();
	telling = false;
}
