/*
 * What the network says: the kernel takes it for no more than it can be.
 */
#include "tests/guest/network_domain.h"
#include "tests/guest/test.h"

#include "arch/arch.h"
#include "net/calls/entries.h"
#include "net/exchange.h"
#include "net/socket_owner.h"
#include "net/socket_state.h"
#include "posix/file/file.h"
#include "posix/socket/socket_file.h"
#include "sched/thread.h"
#include "smp/core.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#ifndef ISOLATION_NONE

/* The gates of the services. */
void service_ring_doorbell(unsigned queue);
void service_say(const char *text);

static IN_NETWORK long say_it(uintptr_t text, uint8_t unused)
{
	service_say((const char *)text);
	return 0;
}

static IN_NETWORK long ring(uintptr_t unused, uint8_t queue)
{
	service_ring_doorbell(queue);
	return 0;
}

/* Of a socket: with every bit. */
static IN_NETWORK long tell_all_bits(uintptr_t socket, uint8_t unused)
{
	network_exchange.events[0] = (struct network_event){ (struct socket *)socket, UINT32_MAX };
	network_exchange.nevents = 1;
	return 0;
}

static const network_try says = say_it, rings = ring, tells_all_bits = tell_all_bits;

static struct socket *stream_socket(void)
{
	int error = 0;
	struct socket *socket = socket_create(AF_INET, SOCK_STREAM, 0, &error);

	CHECK(socket);
	CHECK_EQ(error, 0);
	return socket;
}

KERNEL_TEST(a_text_at_no_address_is_refused)
{
	NEEDS_ISOLATION;
	CHECK(is_refused(&says, (uintptr_t)&network_exchange & 0xffffffffffff, 0));
	CHECK(is_refused(&says, 0, 0));
	CHECK(is_refused(&says, (uintptr_t)&current, 0));
}

KERNEL_TEST(a_doorbell_of_no_queue_is_silent)
{
	NEEDS_ISOLATION;
	for (unsigned queue = 0; queue < 256; queue++)
		CHECK_EQ(in_network(0, (uint8_t)queue, &rings), 0);
}

struct told {
	unsigned times, depth, deepest;
	uint32_t events;
	struct socket *tell_again;
};

static void note(void *owner, uint32_t events)
{
	struct told *told = owner;

	told->times++;
	told->events |= events;
	if (++told->depth > told->deepest)
		told->deepest = told->depth;
	if (told->tell_again && told->times < 1000)
		in_network((uintptr_t)told->tell_again, 0, &tells_all_bits);
	told->depth--;
}

static struct socket *socket_of_owner(struct socket_owner *record, struct told *told)
{
	struct socket *socket = stream_socket();

	socket_set_owner(socket, record, note, told);
	return socket;
}

KERNEL_TEST(an_owner_is_told_of_what_sockets_have_alone)
{
	struct told told = { 0 };
	struct socket_owner record = { 0 };
	struct socket *socket;

	NEEDS_ISOLATION;
	socket = socket_of_owner(&record, &told);
	in_network((uintptr_t)socket, 0, &tells_all_bits);
	CHECK_EQ(told.times, 1);
	CHECK_EQ(told.events, SOCKET_EVENTS);
	/* What is not a socket has no owner. */
	in_network((uintptr_t)socket + 8, 0, &tells_all_bits);
	in_network(0, 0, &tells_all_bits);
	CHECK_EQ(told.times, 1);
	socket_close(socket);
}

/* Who is told calls the network, and that tells again: in the passes that follow, not within each other. */
KERNEL_TEST(telling_does_not_nest)
{
	struct told told = { 0 };
	struct socket_owner record = { 0 };
	struct socket *socket;

	NEEDS_ISOLATION;
	socket = socket_of_owner(&record, &told);
	told.tell_again = socket;
	in_network((uintptr_t)socket, 0, &tells_all_bits);
	for (int i = 0; i < 2000 && told.times < 1000; i++)
		thread_yield();
	CHECK_EQ(told.times, 1000);
	CHECK_EQ(told.deepest, 1);
	socket_close(socket);
}

/* The same socket twice: the second owner is told nothing, and each ends without the other. */
KERNEL_TEST(a_socket_has_one_owner)
{
	struct told first = { 0 }, second = { 0 };
	struct socket_owner first_record = { 0 }, second_record = { 0 };
	struct socket *socket;

	NEEDS_ISOLATION;
	socket = socket_of_owner(&first_record, &first);
	socket_set_owner(socket, &second_record, note, &second);
	in_network((uintptr_t)socket, 0, &tells_all_bits);
	CHECK_EQ(first.times, 1);
	CHECK_EQ(second.times, 0);
	socket_close(socket);
	in_network((uintptr_t)socket, 0, &tells_all_bits);
	CHECK_EQ(first.times, 1);
	CHECK_EQ(second.times, 0);
}

static long receive_attempt(struct file *file, void *argument)
{
	return socket_receive(socket_of(file), argument, 1, 0, NULL, NULL);
}

/* A connection that says it can be read and cannot: who waits for bytes gives up at the end of the time. */
KERNEL_TEST(waiting_for_what_only_seems_to_be_there_ends)
{
	struct socket_address address = {
		.length = sizeof(address.in),
		.in = { .sin_family = AF_INET, .sin_addr.s_addr = 0x0100007f },
	};
	struct socket *listening = stream_socket(), *client = stream_socket(), *accepted = NULL;
	uint8_t byte;
	struct iovec iov = { &byte, 1 };
	struct file *file;
	uint64_t before_ns;
	int error;

	NEEDS_ISOLATION;
	CHECK_EQ(socket_bind(listening, &address), 0);
	CHECK_EQ(socket_listen(listening, 8), 0);
	CHECK_EQ(socket_local_address(listening, &address), 0);
	CHECK_EQ(socket_connect(client, &address), -EINPROGRESS);
	for (int i = 0; i < 1000 && !accepted; i++) {
		thread_yield();
		accepted = socket_accept(listening, &error);
	}
	CHECK(accepted);
	file = socket_file_create(client, true, 0);
	CHECK(file);
	CHECK_EQ(socket_events(client) & EPOLLIN, 0);
	client->options.low_water = 0;
	CHECK_EQ(socket_events(client) & EPOLLIN, EPOLLIN);
	before_ns = clock_ns();
	CHECK_EQ(file_operate(file, receive_attempt, &iov, EPOLLIN, false, 20 * NS_PER_MS),
		 -EAGAIN);
	CHECK(clock_ns() - before_ns >= 20 * NS_PER_MS);
	file_unreference(file);
	socket_close(accepted);
	socket_close(listening);
}

KERNEL_TEST(errors_that_mean_something_inside_are_none_of_the_networks)
{
	CHECK_EQ(network_answer(0), 0);
	CHECK_EQ(network_answer(65536), 65536);
	CHECK_EQ(network_answer(-EAGAIN), -EAGAIN);
	CHECK_EQ(network_answer(-ECONNRESET), -ECONNRESET);
	CHECK_EQ(network_answer(NOT_HERE), -ENETDOWN);
	CHECK_EQ(network_answer(NOT_TRIED), -ENETDOWN);
	CHECK_EQ(network_answer(-EINTR), -ENETDOWN);
	CHECK_EQ(network_answer(-4096), -ENETDOWN);
	CHECK_EQ(network_answer(INT64_MIN), -ENETDOWN);
}

#endif
