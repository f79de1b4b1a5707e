/*
 * Calls of the network for sockets. Arguments in memory go through the exchange (net/exchange.h): the network
 * reads and writes nothing of the kernel's or the application's. What it answers is limited here to what a
 * call can answer; what lies in its memory is read once.
 */
#include "net/calls/entries.h"

#include "arch/arch.h"
#include "arch/x86_64/user_access.h"
#include "lavra/counters.h"
#include "mm/frame.h"
#include "net/exchange.h"
#include "net/look.h"
#include "sched/thread.h"
#include "smp/core.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Where the network said at first that its areas are: what it says later is not believed. */
static CORE_LOCAL uint8_t *data_area, *sends_area;

/* A block that the network got, which it may use from now on but cannot give back. */
static bool adopt(const uint8_t *area)
{
	return frame_take_back(virt_to_phys(area), EXCHANGE_DATA_ORDER);
}

bool exchange_adopt(void)
{
	data_area = network_data;
	sends_area = network_sends;
	return !arch_isolation() || (adopt(data_area) && adopt(sends_area));
}

/* A socket is used by its address, and so it has to be the network's; or there is an error. */
static struct socket *checked(struct socket *socket, int *error)
{
	int said = __atomic_load_n(&network_exchange.error, __ATOMIC_RELAXED);

	*error = 0;
	if (socket && likely(arch_is_networks(socket)))
		return socket;
	*error = !socket && said < 0 ? (int)network_answer(said) : -ENETDOWN;
	return NULL;
}

struct socket *socket_create(int family, int type, int protocol, int *error)
{
	return checked(enter_socket_create(family, type, protocol, &network_exchange.error), error);
}

struct socket *socket_accept(struct socket *socket, int *error)
{
	counters.socket_requests++;
	return checked(enter_socket_accept(socket, &network_exchange.error), error);
}

core_id_t socket_home(const struct socket *socket)
{
	core_id_t home = enter_socket_home(socket);

	return core_is_online(home) ? home : this_core;
}

int socket_accept_where(struct socket *socket)
{
	int core = enter_socket_accept_where(socket);

	return core_is_online((core_id_t)core) ? core : -1;
}

int socket_shutdown(struct socket *socket, int how)
{
	return (int)network_answer(enter_socket_shutdown(socket, how));
}

int socket_readable_bytes(struct socket *socket)
{
	int length = enter_socket_readable_bytes(socket);

	return max(length, 0);
}

/* ---- addresses ---- */

int socket_bind(struct socket *socket, const struct socket_address *address)
{
	network_exchange.address = *address;
	return (int)network_answer(enter_socket_bind(socket, &network_exchange.address));
}

int socket_connect(struct socket *socket, const struct socket_address *address)
{
	network_exchange.address = *address;
	return (int)network_answer(enter_socket_connect(socket, &network_exchange.address));
}

/* What came back is as long as it can be at most. */
static void take_address(struct socket_address *address)
{
	*address = network_exchange.address;
	address->length = min(address->length, (socklen_t)sizeof(address->in6));
}

int socket_local_address(struct socket *socket, struct socket_address *address)
{
	int error = enter_socket_local_address(socket, &network_exchange.address);

	take_address(address);
	return (int)network_answer(error);
}

int socket_peer_address(struct socket *socket, struct socket_address *address)
{
	int error = enter_socket_peer_address(socket, &network_exchange.address);

	take_address(address);
	return (int)network_answer(error);
}

void socket_accepted_address(const struct socket *socket, struct socket_address *address)
{
	enter_socket_accepted_address(socket, &network_exchange.address);
	take_address(address);
}

/* ---- options ---- */

int socket_set_option(struct socket *socket, int level, int name, const void *value, socklen_t len)
{
	/* No option is longer, and Linux takes longer values than it needs. */
	len = min(len, (socklen_t)EXCHANGE_OPTION_MAX);
	memcpy(network_exchange.option, value, len);
	return (int)network_answer(
	    enter_socket_set_option(socket, level, name, network_exchange.option, len));
}

int socket_get_option(struct socket *socket, int level, int name, void *value, socklen_t *len)
{
	socklen_t room = *len;
	int error;

	network_exchange.length = min(room, (socklen_t)EXCHANGE_OPTION_MAX);
	error = enter_socket_get_option(socket, level, name, network_exchange.option,
					&network_exchange.length);
	if (!error) {
		*len = min(min(network_exchange.length, room), (socklen_t)EXCHANGE_OPTION_MAX);
		memcpy(value, network_exchange.option, *len);
	}
	return (int)network_answer(error);
}

/* ---- data ---- */

static size_t length_of(const struct iovec *iov, unsigned niov)
{
	size_t length = 0;

	for (unsigned i = 0; i < niov; i++)
		length += min(iov[i].iov_len, SSIZE_MAX - length);
	return length;
}

/* Out of the exchange into the caller's memory: how much of it was there. */
static size_t scatter(const struct iovec *iov, unsigned niov, size_t length)
{
	size_t done = 0;

	for (unsigned i = 0; i < niov && done < length; i++) {
		size_t here = min(iov[i].iov_len, length - done);

		if (unlikely(!user_copy(iov[i].iov_base, data_area + done, here)))
			break;
		done += here;
	}
	return done;
}

static void begin_control(const struct socket_control *control)
{
	network_exchange.control = (struct socket_control){
		.data = network_exchange.control_data,
		.length = min(control->length, (size_t)EXCHANGE_CONTROL_MAX),
	};
}

static void end_control(struct socket_control *control)
{
	control->length = min(network_exchange.control.length,
			      min(control->length, (size_t)EXCHANGE_CONTROL_MAX));
	control->truncated = network_exchange.control.truncated;
	memcpy(control->data, network_exchange.control_data, control->length);
}

/* As much as there was room for, with MSG_TRUNC more: that counts what was not copied. */
static ssize_t take_received(struct socket *socket, const struct iovec *iov, unsigned niov,
			     int flags, size_t received, size_t room)
{
	size_t length = min(received, room), done;
	size_t told = flags & MSG_TRUNC ? min(received, EXCHANGE_DATA_MAX) : length;

	if (flags & MSG_TRUNC && !socket_is_datagram(socket))
		return (ssize_t)told; /* thrown away */
	done = scatter(iov, niov, length);
	if (likely(done == length))
		return (ssize_t)told;
	if (socket_is_datagram(socket))
		return -EFAULT;
	if (!(flags & MSG_PEEK))
		socket_unread(socket, data_area + done, length - done);
	return done ? (ssize_t)done : -EFAULT;
}

/* Without entering the network: the one segment that waits, or that none does. */
static ssize_t receive_by_looking(struct socket *socket, const struct iovec *iov, unsigned niov)
{
	ssize_t length = look_received(socket);
	struct iovec segment = {
		__atomic_load_n(&network_exchange.iov.iov_base, __ATOMIC_RELAXED),
		__atomic_load_n(&network_exchange.iov.iov_len, __ATOMIC_RELAXED),
	};

	if (length <= 0)
		return length;
	if (niov != 1 || iov->iov_len < segment.iov_len || segment.iov_len > PAGE_SIZE ||
	    !look_is_networks(segment.iov_base, segment.iov_len) ||
	    unlikely(!user_copy(iov->iov_base, segment.iov_base, segment.iov_len)))
		return LOOK_ASK;
	look_take(socket);
	return (ssize_t)segment.iov_len;
}

ssize_t socket_receive(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
		       struct socket_address *from, struct socket_control *control)
{
	ssize_t result;
	size_t room;

	counters.socket_requests++;
	if (!arch_isolation())
		return enter_socket_receive(socket, iov, niov, flags, from, control);
	if (likely(!(flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL)) && !from && !control)) {
		result = receive_by_looking(socket, iov, niov);
		if (likely(result != LOOK_ASK))
			return result;
	}
	room = min(length_of(iov, niov), EXCHANGE_DATA_MAX);
	network_exchange.iov = (struct iovec){ data_area, room };
	if (control)
		begin_control(control);
	result = enter_socket_receive(socket, &network_exchange.iov, 1, flags,
				      from ? &network_exchange.address : NULL,
				      control ? &network_exchange.control : NULL);
	if (from)
		take_address(from);
	if (control)
		end_control(control);
	return result > 0 ? take_received(socket, iov, niov, flags, (size_t)result, room)
			  : network_answer(result);
}

/* Into the exchange, up to its end, from byte `skip` on. False: some of it is not there, and what came
 * before is in *length. */
static bool gather(const struct iovec *iov, unsigned niov, size_t skip, size_t *length)
{
	size_t room = EXCHANGE_DATA_MAX;

	*length = 0;
	for (unsigned i = 0; i < niov && *length < room; i++) {
		size_t here;

		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		here = min(iov[i].iov_len - skip, room - *length);
		if (unlikely(!user_copy(data_area + *length,
					(const uint8_t *)iov[i].iov_base + skip, here)))
			return false;
		*length += here;
		skip = 0;
	}
	return true;
}

/* Left for the network's next pass, if there is room for all of it. */
static ssize_t send_by_leaving(struct socket *socket, const struct iovec *iov, unsigned niov,
			       int flags)
{
	long room = look_room(socket);
	size_t total = length_of(iov, niov), length = 0;
	uint32_t at = network_exchange.sends_length;

	if (room <= 0 || total == 0 || total > (size_t)room || at + total > EXCHANGE_DATA_MAX)
		return LOOK_ASK;
	for (unsigned i = 0; i < niov; i++) {
		if (unlikely(!user_copy(sends_area + at + length, iov[i].iov_base, iov[i].iov_len)))
			return LOOK_ASK;
		length += iov[i].iov_len;
	}
	network_exchange.iov.iov_len = length;
	network_exchange.more = flags & MSG_MORE;
	look_leave(socket);
	return (ssize_t)length;
}

/* One that failed has nothing to tell until it has begun anew, and then all owners are told. */
static uint32_t ask_for_events(struct socket *socket)
{
	uint32_t events = enter_socket_events(socket);

	return likely(!arch_network_is_down()) ? events & SOCKET_EVENTS : 0;
}

uint32_t socket_events(struct socket *socket)
{
	long events;

	if (!arch_isolation())
		return enter_socket_events(socket);
	events = look_events(socket);
	return likely(events != LOOK_ASK) ? (uint32_t)events & SOCKET_EVENTS
					  : ask_for_events(socket);
}

ssize_t socket_send(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
		    const struct socket_address *to, const struct socket_control *control)
{
	const struct socket_address *address = NULL;
	const struct socket_control *with = NULL;
	size_t total, sent = 0;

	counters.socket_requests++;
	network_exchange.at_once = core_computes;
	if (!arch_isolation())
		return enter_socket_send(socket, iov, niov, flags, to, control);
	if (likely(!(flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE)) && !to && !control &&
		   !core_computes)) {
		ssize_t left = send_by_leaving(socket, iov, niov, flags);

		if (likely(left != LOOK_ASK))
			return left;
	}
	if (to) {
		network_exchange.address = *to;
		address = &network_exchange.address;
	}
	if (control) {
		if (control->length > EXCHANGE_CONTROL_MAX)
			return -ENOBUFS;
		begin_control(control);
		memcpy(network_exchange.control_data, control->data, control->length);
		with = &network_exchange.control;
	}
	total = length_of(iov, niov);
	do {
		size_t length;
		bool there = gather(iov, niov, sent, &length);
		bool more = sent + length < total;
		ssize_t result;

		/* A datagram goes as a whole or not at all. */
		if (socket_is_datagram(socket) && (!there || more))
			return there ? -EMSGSIZE : -EFAULT;
		if (!there && !length)
			return sent ? (ssize_t)sent : -EFAULT;
		network_exchange.iov = (struct iovec){ data_area, length };
		result = enter_socket_send(socket, &network_exchange.iov, 1,
					   more ? flags | MSG_MORE : flags, address, with);
		if (result < 0)
			return sent ? (ssize_t)sent : network_answer(result);
		sent += min((size_t)result, length);
		if ((size_t)result < length)
			break;
	} while (sent < total);
	return (ssize_t)sent;
}

/* ---- texts ---- */

unsigned network_resolv_conf(char text[RESOLV_CONF_MAX])
{
	unsigned length = enter_network_resolv_conf((char *)data_area);

	length = min(length, RESOLV_CONF_MAX + 0u);
	memcpy(text, data_area, length);
	return length;
}

unsigned network_hosts(char text[HOSTS_MAX], const char *name)
{
	char *copy = (char *)data_area + HOSTS_MAX;
	unsigned length;

	memcpy(copy, name, strlen(name) + 1);
	length = enter_network_hosts((char *)data_area, copy);
	length = min(length, HOSTS_MAX + 0u);
	memcpy(text, data_area, length);
	return length;
}
