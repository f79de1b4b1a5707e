/*
 * Sockets beyond TCP's data: options, errors, UDP, several listeners, frames in parts.
 * links: tests/host/network_model.c sched/timer.c network
 */
#include "tests/host/network_model.h"

#include "lavra/counters.h"
#include "net/packet_pbuf.h"
#include "smp/core.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>

#include <cmocka.h>

static struct socket *make(int type)
{
	int error;
	struct socket *socket = socket_create(AF_INET, type, 0, &error);

	assert_non_null(socket);
	return socket;
}

static int bind_to(struct socket *socket, uint32_t address, uint16_t port)
{
	struct socket_address in = model_address(address, port);

	return socket_bind(socket, &in);
}

static int connect_to(struct socket *socket, uint32_t address, uint16_t port)
{
	struct socket_address in = model_address(address, port);

	return socket_connect(socket, &in);
}

static int set(struct socket *socket, int level, int name, int value)
{
	return socket_set_option(socket, level, name, &value, sizeof(value));
}

static int get(struct socket *socket, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);
	int error = socket_get_option(socket, level, name, &value, &len);

	return error ? error : value;
}

static void what_cannot_be_made(void **state)
{
	static const struct {
		int family, type, protocol, error;
	} cases[] = {
		{ AF_APPLETALK, SOCK_STREAM, 0, -EAFNOSUPPORT },
		{ AF_INET6, SOCK_RAW, 0, -ESOCKTNOSUPPORT },
		{ AF_UNIX, SOCK_STREAM, 0, -EAFNOSUPPORT },
		{ AF_INET, SOCK_RAW, 0, -ESOCKTNOSUPPORT },
		{ AF_INET, SOCK_STREAM, IPPROTO_UDP, -EPROTONOSUPPORT },
		{ AF_INET, SOCK_DGRAM, IPPROTO_TCP, -EPROTONOSUPPORT },
	};
	int error;

	for (unsigned i = 0; i < array_size(cases); i++) {
		assert_null(
		    socket_create(cases[i].family, cases[i].type, cases[i].protocol, &error));
		assert_int_equal(error, cases[i].error);
	}
}

static void options_are_kept(void **state)
{
	static const struct {
		int level, name, set, get;
	} cases[] = {
		{ SOL_SOCKET, SO_REUSEADDR, 1, 1 },   { SOL_SOCKET, SO_REUSEPORT, 1, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 5, 1 },   { SOL_SOCKET, SO_RCVBUF, 10000, 20000 },
		{ SOL_SOCKET, SO_SNDBUF, 1, 2304 },   { IPPROTO_TCP, TCP_NODELAY, 1, 1 },
		{ IPPROTO_TCP, TCP_CORK, 1, 1 },      { IPPROTO_TCP, TCP_KEEPIDLE, 60, 60 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 7, 7 }, { IPPROTO_TCP, TCP_KEEPCNT, 3, 3 },
		{ IPPROTO_IP, IP_TTL, 9, 9 },	      { IPPROTO_IP, IP_TOS, 16, 16 },
	};
	struct socket *socket = make(SOCK_STREAM);
	struct linger linger = { 1, 20 }, got = { 0 };
	socklen_t len = sizeof(got);

	for (unsigned i = 0; i < array_size(cases); i++) {
		assert_int_equal(set(socket, cases[i].level, cases[i].name, cases[i].set), 0);
		if (get(socket, cases[i].level, cases[i].name) != cases[i].get)
			fail_msg("option %d of level %d", cases[i].name, cases[i].level);
	}
	assert_int_equal(socket_set_option(socket, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)),
			 0);
	assert_int_equal(socket_get_option(socket, SOL_SOCKET, SO_LINGER, &got, &len), 0);
	assert_int_equal(got.l_onoff, 1);
	assert_int_equal(got.l_linger, 20);
	assert_int_equal(get(socket, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
	assert_int_equal(get(socket, SOL_SOCKET, SO_DOMAIN), AF_INET);
	assert_int_equal(get(socket, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
	assert_int_equal(get(socket, SOL_SOCKET, SO_ACCEPTCONN), 0);
	assert_int_equal(set(socket, IPPROTO_TCP, TCP_KEEPCNT, 0), -EINVAL);
	assert_int_equal(set(socket, SOL_SOCKET, 9999, 1), -ENOPROTOOPT);
	assert_int_equal(set(socket, 9999, 1, 1), -ENOPROTOOPT);
	assert_int_equal(socket_set_option(socket, SOL_SOCKET, SO_REUSEADDR, "x", 1), -EINVAL);
	socket_close(socket);
}

static void calls_out_of_place(void **state)
{
	struct socket *listener = model_listen(80, 4), *client = make(SOCK_STREAM), *other;
	struct socket_address address;
	char byte;
	int error;

	assert_int_equal(model_receive(client, &byte, 1), -ENOTCONN);
	assert_int_equal(model_send(client, "x", 1), -EPIPE);
	assert_int_equal(socket_events(client), EPOLLOUT | EPOLLHUP);
	assert_int_equal(socket_peer_address(client, &address), -ENOTCONN);
	assert_int_equal(socket_shutdown(client, SHUT_WR), -ENOTCONN);
	assert_int_equal(socket_shutdown(client, 9), -EINVAL);
	assert_null(socket_accept(client, &error));
	assert_int_equal(error, -EINVAL);
	assert_int_equal(connect_to(client, MIRROR_ADDRESS, 0), -ECONNREFUSED);
	assert_int_equal(connect_to(client, 0xffffffff, 80), -ENETUNREACH);
	assert_int_equal(bind_to(client, 0x08080808, 80), -EADDRNOTAVAIL);
	assert_int_equal(bind_to(client, 0, 80), -EADDRINUSE);
	assert_int_equal(bind_to(client, 0, 8080), 0);
	assert_int_equal(bind_to(client, 0, 8081), -EINVAL);
	assert_int_equal(connect_to(client, MIRROR_ADDRESS, 80), -EINPROGRESS);
	assert_int_equal(connect_to(client, MIRROR_ADDRESS, 80), -EALREADY);
	assert_int_equal(model_receive(client, &byte, 1), -EAGAIN);
	assert_int_equal(model_send(client, "x", 1), -EAGAIN);
	assert_int_equal(socket_events(client), 0);
	model_run(50);
	assert_int_equal(connect_to(client, MIRROR_ADDRESS, 80), -EISCONN);
	assert_int_equal(socket_local_address(client, &address), 0);
	assert_int_equal(address.in.sin_addr.s_addr, MODEL_ADDRESS);
	assert_int_equal(address.in.sin_port, __builtin_bswap16(8080));
	assert_int_equal(socket_listen(client, 1), -EINVAL);
	assert_int_equal(get(listener, SOL_SOCKET, SO_ACCEPTCONN), 1);
	assert_int_equal(connect_to(listener, MIRROR_ADDRESS, 80), -EISCONN);
	assert_int_equal(socket_listen(listener, 100), 0);
	other = socket_accept(listener, &error);
	assert_non_null(other);
	assert_null(socket_accept(listener, &error));
	assert_int_equal(error, -EAGAIN);
	socket_close(other);
	socket_close(client);
	socket_close(listener);
	model_run(5000);
}

static void listeners_of_one_core_take_turns(void **state)
{
	struct socket *listeners[3], *clients[30], *accepted;
	unsigned count[3] = { 0 };
	int error;

	for (int i = 0; i < 3; i++) {
		listeners[i] = make(SOCK_STREAM);
		set(listeners[i], SOL_SOCKET, SO_REUSEPORT, 1);
		assert_int_equal(bind_to(listeners[i], 0, 80), 0);
		assert_int_equal(socket_listen(listeners[i], 64), 0);
	}
	for (int i = 0; i < 30; i++)
		clients[i] = model_connect(MIRROR_ADDRESS, 80);
	model_run(200);
	socket_close(listeners[2]); /* what waits there is reset */
	for (int i = 0; i < 2; i++)
		while ((accepted = socket_accept(listeners[i], &error))) {
			count[i]++;
			socket_close(accepted);
		}
	assert_int_equal(count[0], 10);
	assert_int_equal(count[1], 10);
	socket_close(listeners[0]);
	model_run(50);
	/* The last of them still answers. */
	accepted = model_connect(MIRROR_ADDRESS, 80);
	model_run(50);
	assert_int_equal(socket_events(accepted), EPOLLOUT | EPOLLWRNORM);
	socket_close(accepted);
	for (int i = 0; i < 30; i++)
		socket_close(clients[i]);
	socket_close(listeners[1]);
	model_run(5000);
	assert_int_equal(tcp_control_block_count(), 0);
	assert_int_equal(socket_count(), 0);
	assert_int_equal(model.objects, 0);
}

static void a_listener_closes_under_half_open_connections(void **state)
{
	struct socket *listener = model_listen(80, 16), *clients[8];

	for (int i = 0; i < 8; i++)
		clients[i] = model_connect(MIRROR_ADDRESS, 80);
	model_poll();
	model.now_ns += NS_PER_MS + NS_PER_MS / 10; /* the SYNs arrive, the rest is on its way */
	model_poll();
	socket_close(listener);
	model_run(5000);
	for (int i = 0; i < 8; i++) {
		assert_true(socket_events(clients[i]) & EPOLLERR);
		socket_close(clients[i]);
	}
	model_run(5000);
	assert_int_equal(tcp_control_block_count(), 0);
	assert_int_equal(model.objects, 0);
}

static void a_corked_response_is_one_segment(void **state)
{
	struct socket *listener = model_listen(80, 16), *client, *server;
	unsigned sent;
	char buffer[64];
	int error;

	client = model_connect(MIRROR_ADDRESS, 80);
	model_run(50);
	server = socket_accept(listener, &error);
	model_run(200);
	set(server, IPPROTO_TCP, TCP_CORK, 1);
	sent = model.frames_sent;
	model_send(server, "head", 4);
	model_send(server, "body", 4);
	assert_int_equal(model.frames_sent, sent);
	set(server, IPPROTO_TCP, TCP_CORK, 0);
	assert_int_equal(model.frames_sent, sent + 1);
	/* Forgotten, it goes out by itself. */
	set(server, IPPROTO_TCP, TCP_CORK, 1);
	model_send(server, "tail", 4);
	model_run(250);
	assert_int_equal(model_receive(client, buffer, sizeof(buffer)), 12);
	socket_close(client);
	socket_close(server);
	socket_close(listener);
	model_run(5000);
}

/* The last segment of a longer response waits for no acknowledgement. */
static void nagle_does_not_hold_the_end_of_a_response(void **state)
{
	struct socket *listener = model_listen(80, 16), *client, *server;
	static char response[2000];
	unsigned sent;
	int error;

	client = model_connect(MIRROR_ADDRESS, 80);
	model_run(50);
	server = socket_accept(listener, &error);
	model_run(200);
	sent = model.frames_sent;
	model_send(server, response, sizeof(response));
	assert_int_equal(model.frames_sent, sent + 2);
	/* But many small ones gather behind the first. */
	for (int i = 0; i < 10; i++)
		model_send(server, response, 10);
	assert_int_equal(model.frames_sent, sent + 2);
	model_run(100);
	assert_int_equal(socket_readable_bytes(client), 2100);
	socket_close(client);
	socket_close(server);
	socket_close(listener);
	model_run(5000);
}

static void datagrams(void **state)
{
	struct socket *server = make(SOCK_DGRAM), *client = make(SOCK_DGRAM);
	struct socket_address to = model_address(MIRROR_ADDRESS, 53), from;
	char buffer[8];
	struct iovec iov = { "question", 8 }, in = { buffer, 4 };

	assert_int_equal(bind_to(server, 0, 53), 0);
	assert_int_equal(socket_send(client, &iov, 1, 0, NULL, NULL), -EDESTADDRREQ);
	assert_int_equal(socket_send(client, &iov, 1, 0, &to, NULL), 8);
	model_run(20);
	assert_int_equal(socket_events(server), EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM);
	assert_int_equal(socket_readable_bytes(server), 8);
	assert_int_equal(socket_receive(server, &in, 1, MSG_PEEK | MSG_TRUNC, NULL, NULL), 8);
	assert_int_equal(socket_receive(server, &in, 1, 0, &from, NULL), 4);
	assert_memory_equal(buffer, "ques", 4);
	assert_int_equal(from.in.sin_addr.s_addr, MIRROR_ADDRESS);
	assert_int_equal(socket_receive(server, &in, 1, 0, NULL, NULL), -EAGAIN);
	assert_int_equal(socket_send(server, &iov, 1, 0, &from, NULL), 8);
	model_run(20);
	assert_int_equal(model_receive(client, buffer, sizeof(buffer)), 8);
	/* Connected, it hears nobody else. */
	assert_int_equal(connect_to(client, MIRROR_ADDRESS, 54), 0);
	assert_int_equal(socket_send(server, &iov, 1, 0, &from, NULL), 8);
	model_run(20);
	assert_int_equal(model_receive(client, buffer, sizeof(buffer)), -EAGAIN);
	socket_close(client);
	socket_close(server);
	assert_int_equal(model.packets_out, 0);
}

static void datagrams_of_every_size_cross_the_wire(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 1472, 1473, 9000, 65507 };
	static uint8_t out[65508], in[65508];
	struct socket *server = make(SOCK_DGRAM), *client = make(SOCK_DGRAM);
	struct socket_address to;

	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + (i >> 8));
	assert_int_equal(bind_to(server, 0, 53), 0);
	for (unsigned loop = 0; loop < 2; loop++)
		for (unsigned i = 0; i < array_size(sizes); i++) {
			struct iovec iov = { out, sizes[i] };

			to = model_address(loop ? 0x0100007f : MIRROR_ADDRESS, 53);
			assert_int_equal(socket_send(client, &iov, 1, 0, &to, NULL), sizes[i]);
			model_run(50);
			assert_int_equal(model_receive(server, in, sizeof(in)), sizes[i]);
			assert_memory_equal(in, out, sizes[i]);
		}
	assert_int_equal(socket_send(client, &(struct iovec){ out, 65508 }, 1, 0, &to, NULL),
			 -EMSGSIZE);
	socket_close(client);
	socket_close(server);
	model_run(1000);
	assert_int_equal(model.packets_out, 0);
}

static void a_full_queue_drops_and_counts(void **state)
{
	struct socket *server = make(SOCK_DGRAM), *client = make(SOCK_DGRAM);
	uint64_t drops = counters.rx_drops;
	unsigned received = 0;
	char buffer[100] = "";

	assert_int_equal(bind_to(server, 0, 53), 0);
	assert_int_equal(set(server, SOL_SOCKET, SO_RCVBUF, 5000), 0);
	assert_int_equal(connect_to(client, MIRROR_ADDRESS, 53), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(model_send(client, buffer, 100), 100);
	model_run(50);
	while (model_receive(server, buffer, 100) == 100)
		received++;
	assert_in_range(received, 20, 40);
	assert_int_equal(counters.rx_drops - drops, 100 - received);
	socket_close(client);
	socket_close(server);
	assert_int_equal(model.packets_out, 0);
}

static uint8_t sniffed[2000];
static uint32_t sniffed_len;

static void sniff(const uint8_t *frame, uint32_t len)
{
	memcpy(sniffed, frame, min(len, (uint32_t)sizeof(sniffed)));
	sniffed_len = len;
}

/* Whole, and cut into parts of every size: the same answer. */
static void an_echo_request_in_parts(void **state)
{
	uint8_t request[] = {
		2,    0,   0,	0,   0,	  1,   2, 0,	0,    0,    0,	  2,	8,  0, /* Ethernet */
		0x45, 0,   0,	36,  0,	  1,   0, 0,	64,   1,    0x66, 0xd6, 10, 0,	 0,
		2,    10,  0,	0,   1,	  8,   0, 0xc4, 0xb7, 0x12, 0x34, 0,	1,  'p', 'i',
		'n',  'g', '!', '!', '!', '!',
	};

	/* lwIP wants the ICMP header in the first part. */
	for (uint32_t part = 42; part <= sizeof(request); part++) {
		model_sniffer = sniff;
		sniffed_len = 0;
		model_inject_parts(request, sizeof(request), part);
		model_poll();
		model_sniffer = NULL;
		if (sniffed_len != sizeof(request))
			fail_msg("parts of %u: answer of %u bytes", part, sniffed_len);
		assert_int_equal(sniffed[34], 0);
		assert_memory_equal(sniffed + 38, request + 38, 12);
	}
	assert_int_equal(model.packets_out, 0);
}

static void offloaded_checksums_are_right_on_the_wire(void **state)
{
	struct socket *listener, *client, *server;
	char buffer[3000] = "offloaded";
	int error;

	/* What arrives is checked in software: only right checksums pass. */
	listener = model_listen(80, 4);
	client = model_connect(MIRROR_ADDRESS, 80);
	model_run(50);
	server = socket_accept(listener, &error);
	assert_non_null(server);
	assert_int_equal(model_send(server, buffer, sizeof(buffer)), sizeof(buffer));
	model_run(50);
	assert_int_equal(model_receive(client, buffer, sizeof(buffer)), sizeof(buffer));
	socket_close(client);
	socket_close(server);
	socket_close(listener);
	model_run(5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_cannot_be_made),
		cmocka_unit_test(options_are_kept),
		cmocka_unit_test(calls_out_of_place),
		cmocka_unit_test(listeners_of_one_core_take_turns),
		cmocka_unit_test(a_listener_closes_under_half_open_connections),
		cmocka_unit_test(a_corked_response_is_one_segment),
		cmocka_unit_test(nagle_does_not_hold_the_end_of_a_response),
		cmocka_unit_test(datagrams),
		cmocka_unit_test(datagrams_of_every_size_cross_the_wire),
		cmocka_unit_test(a_full_queue_drops_and_counts),
		cmocka_unit_test(an_echo_request_in_parts),
		cmocka_unit_test(offloaded_checksums_are_right_on_the_wire),
	};

	/* The device computes checksums on sending; on receiving we verify them. */
	model.offload = true;
	model_start(1);
	model.offload = false;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
