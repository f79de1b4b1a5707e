/*
 * TCP over a mirror: connections with themselves, with loss, in every way of ending.
 * links: tests/host/network_model.c sched/timer.c network
 */
#include "tests/host/network_model.h"

#include "lavra/counters.h"
#include "net/flow.h"
#include "net/net.h"
#include "net/packet_pbuf.h"
#include "smp/core.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>

#include <cmocka.h>

#define SECONDS 1000

/* Everything that a test opened is gone again. */
static void expect_nothing_left(void)
{
	model_run(4 * SECONDS);
	assert_int_equal(tcp_control_block_count(), 0);
	assert_int_equal(tcp_time_wait_count(), 0);
	assert_int_equal(flow_half_open_count, 0);
	assert_int_equal(flow_ticking_count, 0);
	assert_int_equal(socket_count(), 0);
	assert_int_equal(packets_held, 0);
	assert_int_equal(model.packets_out, 0);
	/* ARP: the timers of its entries need no memory. */
	assert_int_equal(model.objects, 0);
}

static struct socket *accept_one(struct socket *listener)
{
	int error;
	struct socket *socket = socket_accept(listener, &error);

	if (!socket)
		fail_msg("accept: %d", error);
	return socket;
}

static void open_pair(struct socket *listener, uint16_t port, uint32_t address,
		      struct socket **client, struct socket **server)
{
	*client = model_connect(address, port);
	model_run(50);
	assert_int_equal(socket_events(*client), EPOLLOUT | EPOLLWRNORM);
	*server = accept_one(listener);
}

static void a_request_and_its_response(void **state)
{
	struct socket *listener = model_listen(80, 16), *client, *server;
	char buffer[100];
	unsigned frames;

	open_pair(listener, 80, MIRROR_ADDRESS, &client, &server);
	frames = model.frames_sent;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(model_send(client, "request", 7), 7);
		model.now_ns += 2 * NS_PER_MS;
		model_poll();
		assert_int_equal(socket_readable_bytes(server), 7);
		assert_int_equal(model_receive(server, buffer, sizeof(buffer)), 7);
		assert_memory_equal(buffer, "request", 7);
		assert_int_equal(model_send(server, "response!", 9), 9);
		model.now_ns += 2 * NS_PER_MS;
		model_poll();
		assert_int_equal(model_receive(client, buffer, sizeof(buffer)), 9);
	}
	/* The acknowledgements travel with the data: two frames an exchange. */
	assert_int_equal(model.frames_sent - frames, 20);
	assert_int_equal(model_receive(client, buffer, sizeof(buffer)), -EAGAIN);
	socket_close(client);
	model_run(50);
	assert_true(socket_events(server) & EPOLLRDHUP);
	assert_int_equal(model_receive(server, buffer, sizeof(buffer)), 0);
	socket_close(server);
	socket_close(listener);
	expect_nothing_left();
}

/* As if the mirror said that it has the address of a group: what is sent there reaches nobody. */
static void a_neighbor_is_no_group(void **state)
{
	static const uint8_t announcement[] = {
		2,    0,    0,	  0,	0,    1,    2,	0, 0, 0, 0, 2, 8, 6, /* Ethernet */
		0,    1,    8,	  0,	6,    4,    0,	2, /* a reply */
		0xfd, 0xff, 0xff, 0xff, 0xff, 0xf4, 10, 0, 0, 2, /* sender */
		2,    0,    0,	  0,	0,    1,    10, 0, 0, 1,
	};
	struct socket *listener = model_listen(80, 16), *client, *server;
	uint64_t errors = counters.rx_errors;

	model_inject(announcement, sizeof(announcement));
	model_poll();
	assert_int_equal(counters.rx_errors, errors + 1);
	open_pair(listener, 80, MIRROR_ADDRESS, &client, &server);
	socket_close(client);
	socket_close(server);
	socket_close(listener);
	expect_nothing_left();
}

/* Whose frames found the device's ring full goes on when there is room, and not when a timer of lwIP's ends. */
static void a_full_ring_costs_no_timeout(void **state)
{
	static char bytes[8000];
	struct socket *listener = model_listen(80, 16), *client, *server;

	open_pair(listener, 80, MIRROR_ADDRESS, &client, &server);
	model.ring_is_full = true;
	assert_int_equal(model_send(client, bytes, sizeof(bytes)), sizeof(bytes));
	model.now_ns += 2 * NS_PER_MS;
	model_poll();
	assert_int_equal(socket_readable_bytes(server), 0);
	assert_true(interface_waits_for_room());
	model.ring_is_full = false;
	for (int i = 0; i < 5; i++) {
		model.now_ns += 2 * NS_PER_MS;
		model_poll();
	}
	assert_false(interface_waits_for_room());
	assert_int_equal(socket_readable_bytes(server), sizeof(bytes));
	socket_close(client);
	socket_close(server);
	socket_close(listener);
	expect_nothing_left();
}

static void loopback_reaches_the_same_machine(void **state)
{
	struct socket *listener = model_listen(80, 16), *client, *server;
	uint32_t addresses[] = { 0x0100007f, MODEL_ADDRESS };
	char buffer[16];

	for (unsigned i = 0; i < 2; i++) {
		struct socket_address peer;
		unsigned sent = model.frames_sent;

		open_pair(listener, 80, addresses[i], &client, &server);
		assert_int_equal(socket_peer_address(server, &peer), 0);
		assert_int_equal(peer.in.sin_addr.s_addr, addresses[i]);
		assert_int_equal(model_send(client, "hello", 5), 5);
		model_run(20);
		assert_int_equal(model_receive(server, buffer, sizeof(buffer)), 5);
		assert_int_equal(model.frames_sent, sent);
		socket_close(client);
		socket_close(server);
	}
	socket_close(listener);
	expect_nothing_left();
}

/* Bytes that tell their place in the stream. */
static uint8_t pattern(uint32_t at)
{
	return (uint8_t)(at * 7 + (at >> 8) * 13 + (at >> 16));
}

static void transfer(struct socket *from, struct socket *to, uint32_t total)
{
	static uint8_t out[40000], in[50000];
	uint32_t sent = 0, received = 0, idle_ms = 0;

	while (received < total) {
		uint32_t before = sent + received;
		ssize_t n;

		for (uint32_t len = min(total - sent, 1 + model_random() % (uint32_t)sizeof(out));
		     len; len = min(total - sent, 1 + model_random() % (uint32_t)sizeof(out))) {
			for (uint32_t i = 0; i < len; i++)
				out[i] = pattern(sent + i);
			n = model_send(from, out, len);
			if (n == -EAGAIN)
				break;
			assert_true(n > 0);
			sent += (uint32_t)n;
		}
		while ((n = model_receive(to, in, 1 + model_random() % sizeof(in))) > 0)
			for (ssize_t i = 0; i < n; i++, received++)
				if (in[i] != pattern(received))
					fail_msg("byte %u is wrong", received);
		assert_int_equal(n, -EAGAIN);
		model_run(10);
		idle_ms = before == sent + received ? idle_ms + 10 : 0;
		if (idle_ms > 60 * SECONDS)
			fail_msg("stuck after %u of %u bytes", received, total);
	}
}

static void a_stream_survives_the_wire(void **state)
{
	static const struct {
		unsigned loss, doubled, delayed;
	} wires[] = {
		{ 0, 0, 0 },
		{ 10, 10, 50 },
		{ 50, 20, 100 },
		{ 0, 0, 500 },
	};
	struct socket *listener = model_listen(80, 16), *client, *server;

	for (unsigned i = 0; i < array_size(wires); i++) {
		open_pair(listener, 80, MIRROR_ADDRESS, &client, &server);
		model.loss_per_1000 = wires[i].loss;
		model.doubled_per_1000 = wires[i].doubled;
		model.delayed_per_1000 = wires[i].delayed;
		transfer(client, server, 1 << 20);
		transfer(server, client, 1 << 20);
		socket_close(client);
		socket_close(server);
		model_run(5 * SECONDS);
		model.loss_per_1000 = model.doubled_per_1000 = model.delayed_per_1000 = 0;
		model_run(130 * SECONDS);
	}
	socket_close(listener);
	expect_nothing_left();
}

/* NewReno: several losses in one window cost no retransmission timeout each. */
static void several_losses_cost_no_timeout_each(void **state)
{
	struct socket *listener = model_listen(80, 16), *client, *server;
	uint64_t start_ns;

	open_pair(listener, 80, MIRROR_ADDRESS, &client, &server);
	transfer(client, server, 512 << 10); /* opens the congestion window */
	model.loss_per_1000 = 20;
	start_ns = model.now_ns;
	transfer(client, server, 2 << 20);
	model.loss_per_1000 = 0;
	/* 1,436 segments, about 29 of them lost; a timeout for each would be 9 s and more. */
	assert_in_range((model.now_ns - start_ns) / NS_PER_MS, 1, 7000);
	socket_close(client);
	socket_close(server);
	socket_close(listener);
	expect_nothing_left();
}

/* Connections in every state, closed and aborted at random while the wire loses frames. */
static void nothing_is_left_after_chaos(void **state)
{
	enum { MANY = 60 };
	struct socket *listener = model_listen(80, 64), *sockets[MANY] = { NULL };
	struct linger reset = { 1, 0 };
	char buffer[3000];
	int error;

	model.loss_per_1000 = 60;
	model.delayed_per_1000 = 100;
	for (int round = 0; round < 6000; round++) {
		struct socket **slot = &sockets[model_random() % MANY];
		struct socket *accepted;

		if (!*slot) {
			*slot = model_connect(MIRROR_ADDRESS, 80);
		} else {
			switch (model_random() % 8) {
			case 0:
				socket_close(*slot);
				*slot = NULL;
				break;
			case 1:
				socket_set_option(*slot, SOL_SOCKET, SO_LINGER, &reset,
						  sizeof(reset));
				socket_close(*slot);
				*slot = NULL;
				break;
			case 2:
				socket_shutdown(*slot, SHUT_WR);
				break;
			case 3:
				socket_shutdown(*slot, SHUT_RDWR);
				break;
			case 4:
			case 5:
				model_send(*slot, buffer, 1 + model_random() % sizeof(buffer));
				break;
			default:
				model_receive(*slot, buffer, sizeof(buffer));
			}
		}
		accepted = socket_accept(listener, &error);
		if (accepted) {
			struct socket **other = &sockets[model_random() % MANY];

			if (*other)
				socket_close(*other);
			*other = accepted;
		}
		if (model_random() % 4 == 0)
			model_run(10);
	}
	for (int i = 0; i < MANY; i++)
		if (sockets[i])
			socket_close(sockets[i]);
	model_run(20 * SECONDS);
	socket_close(listener);
	model.loss_per_1000 = model.delayed_per_1000 = 0;
	model_run(200 * SECONDS);
	expect_nothing_left();
}

static uint32_t told;
static void remember(void *owner, uint32_t events)
{
	told |= events;
}

static void a_refused_connection(void **state)
{
	struct socket *client = model_connect(MIRROR_ADDRESS, 81);
	int error = 0;
	socklen_t len = sizeof(error);

	told = 0;
	socket_set_notify(client, remember, NULL);
	model_run(50);
	assert_true((told & (EPOLLERR | EPOLLHUP | EPOLLOUT)) == (EPOLLERR | EPOLLHUP | EPOLLOUT));
	assert_int_equal(socket_get_option(client, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	assert_int_equal(error, ECONNREFUSED);
	assert_int_equal(model_send(client, "x", 1), -EPIPE);
	socket_close(client);
	expect_nothing_left();
}

static void nobody_answers(void **state)
{
	struct socket *client;
	char byte;

	model.wire_cut = true;
	client = model_connect(MIRROR_ADDRESS, 80);
	model_run(120 * SECONDS);
	assert_int_equal(model_receive(client, &byte, 1), -ETIMEDOUT);
	socket_close(client);
	model.wire_cut = false;
	expect_nothing_left();
}

static void closing_with_unread_data_resets(void **state)
{
	struct socket *listener = model_listen(80, 16), *client, *server;
	char byte;

	open_pair(listener, 80, MIRROR_ADDRESS, &client, &server);
	model_send(client, "unread", 6);
	model_run(20);
	socket_close(server);
	model_run(20);
	assert_true(socket_events(client) & EPOLLERR);
	assert_int_equal(model_receive(client, &byte, 1), -ECONNRESET);
	socket_close(client);
	socket_close(listener);
	expect_nothing_left();
}

static void a_half_closed_connection_still_answers(void **state)
{
	struct socket *listener = model_listen(80, 16), *client, *server;
	char buffer[16];

	open_pair(listener, 80, MIRROR_ADDRESS, &client, &server);
	model_send(client, "last words", 10);
	assert_int_equal(socket_shutdown(client, SHUT_WR), 0);
	assert_int_equal(model_send(client, "x", 1), -EPIPE);
	model_run(50);
	assert_int_equal(model_receive(server, buffer, sizeof(buffer)), 10);
	assert_int_equal(model_receive(server, buffer, sizeof(buffer)), 0);
	assert_int_equal(model_send(server, "answer", 6), 6);
	model_run(50);
	assert_int_equal(model_receive(client, buffer, sizeof(buffer)), 6);
	socket_close(server);
	/* Both have finished: the client's socket outlives TIME_WAIT. */
	model_run(5 * SECONDS);
	assert_int_equal(model_receive(client, buffer, sizeof(buffer)), 0);
	assert_true(socket_events(client) & EPOLLHUP);
	socket_close(client);
	socket_close(listener);
	expect_nothing_left();
}

/* A reader that is slower than any of lwIP's limits on closed connections. */
static void a_closed_sender_still_delivers_to_a_slow_reader(void **state)
{
	enum { TOTAL = 100000 };
	static uint8_t data[TOTAL];
	struct socket *listener = model_listen(80, 16), *client, *server;
	uint32_t received = 0;
	ssize_t n;

	open_pair(listener, 80, MIRROR_ADDRESS, &client, &server);
	for (uint32_t i = 0; i < TOTAL; i++)
		data[i] = pattern(i);
	assert_int_equal(model_send(server, data, TOTAL), TOTAL);
	socket_close(server);
	do {
		model_run(3 * SECONDS);
		memset(data, 0, 1000);
		n = model_receive(client, data, 1000);
		for (ssize_t i = 0; i < n; i++, received++)
			if (data[i] != pattern(received))
				fail_msg("byte %u is wrong", received);
	} while (n > 0);
	assert_int_equal(n, 0);
	assert_int_equal(received, TOTAL);
	socket_close(client);
	socket_close(listener);
	expect_nothing_left();
}

/* Whatever the clock shows when it is closed, and whatever else happens in that moment. */
static void a_closed_sender_survives_a_moment_without_progress(void **state)
{
	static uint8_t out[100000], in[100000];

	for (unsigned offset = 0; offset < 8; offset++) {
		struct socket *listener = model_listen(80, 16), *client, *server;
		size_t received = 0;
		ssize_t moved = 0;

		open_pair(listener, 80, MIRROR_ADDRESS, &client, &server);
		model_run(offset * 30);
		model.wire_cut = true;
		assert_int_equal(model_send(server, out, sizeof(out)), sizeof(out));
		socket_close(server);
		for (int i = 0; i < 20; i++)
			model_run(10);
		model.wire_cut = false;
		for (int i = 0; i < 1000 && received < sizeof(in) && moved != -ECONNRESET; i++) {
			model_run(10);
			moved = model_receive(client, in, sizeof(in));
			received += moved > 0 ? (size_t)moved : 0;
		}
		assert_int_equal(received, sizeof(in));
		socket_close(client);
		socket_close(listener);
		expect_nothing_left();
	}
}

static void the_backlog_is_a_limit(void **state)
{
	enum { BACKLOG = 4, MORE = 12 };
	struct socket *listener = model_listen(80, BACKLOG), *clients[MORE], *accepted;
	uint64_t refused = counters.connections_refused;
	unsigned connected = 0;
	int error;

	for (int i = 0; i < MORE; i++) {
		clients[i] = model_connect(MIRROR_ADDRESS, 80);
		model_run(20);
	}
	for (int i = 0; i < MORE; i++)
		connected += socket_events(clients[i]) == (EPOLLOUT | EPOLLWRNORM);
	assert_int_equal(connected, BACKLOG + 1); /* as Linux */
	assert_in_range(counters.connections_refused - refused, MORE - BACKLOG - 1, 1000);
	/* Room again: those that wait come in when they ask again. */
	while ((accepted = socket_accept(listener, &error)))
		socket_close(accepted);
	model_run(2 * SECONDS);
	accepted = accept_one(listener);
	socket_close(accepted);
	for (int i = 0; i < MORE; i++)
		socket_close(clients[i]);
	socket_close(listener); /* what waits in it is reset */
	expect_nothing_left();
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* A SYN from an address that does not answer. */
static void inject_syn(uint32_t source, uint16_t port)
{
	uint8_t frame[54] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0, 0x45 };
	uint64_t sum = 0;

	put16(frame + 16, 40);
	frame[22] = 64;
	frame[23] = 6;
	memcpy(frame + 26, &source, 4);
	memcpy(frame + 30, &(uint32_t){ MODEL_ADDRESS }, 4);
	for (int i = 14; i < 34; i += 2)
		sum += (unsigned)frame[i] << 8 | frame[i + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	put16(frame + 24, (unsigned)~(sum + (sum >> 16)) & 0xffff);
	put16(frame + 34, port);
	put16(frame + 36, 80);
	frame[46] = 0x50;
	frame[47] = 2;
	put16(frame + 48, 1000);
	model_inject(frame, sizeof(frame));
}

static void no_answer(const uint8_t *frame, uint32_t len) {}

static void a_flood_of_syns_keeps_nobody_out(void **state)
{
	struct socket *listener = model_listen(80, 64), *client, *server;

	model.offload = true; /* the checksums are vouched for */
	model_sniffer = no_answer;
	for (unsigned i = 0; i < 5 * FLOW_HALF_OPEN_MAX; i++) {
		inject_syn(0x4000000a + (i % 128 << 24), (uint16_t)(1000 + i / 128));
		if (i % 64 == 0)
			model_poll();
		assert_in_range(flow_half_open_count, 0, FLOW_HALF_OPEN_MAX);
	}
	model_poll();
	assert_int_equal(flow_half_open_count, FLOW_HALF_OPEN_MAX);
	model.offload = false;
	model_sniffer = NULL;
	open_pair(listener, 80, MIRROR_ADDRESS, &client, &server);
	socket_close(client);
	socket_close(server);
	socket_close(listener);
	model_run(60 * SECONDS);
	expect_nothing_left();
}

static void idle_connections_cost_nothing(void **state)
{
	enum { MANY = 4000 };
	static struct socket *clients[MANY], *servers[MANY];
	struct socket *listener = model_listen(80, 4096);
	unsigned longest = 0;

	for (int i = 0; i < MANY; i++) {
		clients[i] = model_connect(MIRROR_ADDRESS, 80);
		if (i % 32 == 31)
			model_run(10);
	}
	model_run(500);
	for (int i = 0; i < MANY; i++)
		servers[i] = accept_one(listener);
	model_run(1 * SECONDS);
	assert_int_equal(tcp_control_block_count(), 2 * MANY);
	/* No tick looks at any of them. */
	assert_int_equal(flow_ticking_count, 0);
	/* And a segment finds its own among few. */
	for (uint32_t bucket = 0; bucket < FLOW_BUCKETS; bucket++) {
		unsigned length = 0;

		for (const struct flow *flow = flow_table[bucket]; flow; flow = flow->next)
			length++;
		longest = max(longest, length);
	}
	assert_in_range(longest, 1, 10);
	for (int i = 0; i < MANY; i++) {
		socket_close(clients[i]);
		socket_close(servers[i]);
		if (i % 32 == 31)
			model_run(10);
	}
	model_run(1 * SECONDS);
	assert_in_range(tcp_time_wait_count(), 1, FLOW_TIME_WAIT_MAX);
	socket_close(listener);
	expect_nothing_left();
}

static void keepalive_ends_a_dead_connection(void **state)
{
	struct socket *listener = model_listen(80, 16), *client, *server;
	int on = 1, idle = 5, interval = 2, count = 3;
	char byte;

	open_pair(listener, 80, MIRROR_ADDRESS, &client, &server);
	socket_set_option(client, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	socket_set_option(client, IPPROTO_TCP, 4 /* TCP_KEEPIDLE */, &idle, sizeof(idle));
	socket_set_option(client, IPPROTO_TCP, 5 /* TCP_KEEPINTVL */, &interval, sizeof(interval));
	socket_set_option(client, IPPROTO_TCP, 6 /* TCP_KEEPCNT */, &count, sizeof(count));
	model_run(60 * SECONDS); /* probes are answered */
	assert_int_equal(model_receive(client, &byte, 1), -EAGAIN);
	assert_int_equal(flow_ticking_count, 0);
	model.wire_cut = true;
	model_run(20 * SECONDS);
	assert_int_equal(model_receive(client, &byte, 1), -ETIMEDOUT);
	model.wire_cut = false;
	socket_close(client);
	socket_close(server);
	socket_close(listener);
	expect_nothing_left();
}

static void unread_segments_do_not_pin_the_receive_buffers(void **state)
{
	struct socket *listener = model_listen(80, 16), *client, *server;
	int on = 1;
	char byte;

	open_pair(listener, 80, MIRROR_ADDRESS, &client, &server);
	socket_set_option(client, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof(on));
	for (int i = 0; i < 2000; i++) {
		byte = (char)i;
		assert_int_equal(model_send(client, &byte, 1), 1);
		model.now_ns += 2 * NS_PER_MS;
		model_poll();
	}
	model_run(50);
	assert_int_equal(socket_readable_bytes(server), 2000);
	assert_in_range(model.packets_out, 0, 4);
	for (int i = 0; i < 2000; i++) {
		assert_int_equal(model_receive(server, &byte, 1), 1);
		assert_int_equal(byte, (char)i);
	}
	socket_close(client);
	socket_close(server);
	socket_close(listener);
	expect_nothing_left();
}

/* Each allocation fails in turn, and so do all after it: nothing is lost, nothing crashes, and with
 * memory it works again. */
static void every_allocation_may_fail(void **state)
{
	for (int last = 0; last < 120; last++) {
		struct socket *listener, *client, *server = NULL;
		struct socket_address to = model_address(MIRROR_ADDRESS, 80);
		char buffer[4000] = "";
		int error;

		listener = model_listen(80, 16);
		model.allocations_left = last;
		client = socket_create(AF_INET, SOCK_STREAM, 0, &error);
		if (client) {
			socket_connect(client, &to);
			model_run(100);
			server = socket_accept(listener, &error);
			for (int i = 0; i < 3; i++) {
				model_send(client, buffer, sizeof(buffer));
				if (server)
					model_send(server, buffer, 100);
				model_run(100);
			}
		}
		model.allocations_left = -1;
		if (client)
			socket_close(client);
		if (server)
			socket_close(server);
		model_run(30 * SECONDS);
		while ((server = socket_accept(listener, &error)))
			socket_close(server);
		open_pair(listener, 80, MIRROR_ADDRESS, &client, &server);
		assert_int_equal(model_send(client, "fine", 4), 4);
		model_run(50);
		assert_int_equal(model_receive(server, buffer, sizeof(buffer)), 4);
		socket_close(client);
		socket_close(server);
		socket_close(listener);
		expect_nothing_left();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_and_its_response),
		cmocka_unit_test(a_full_ring_costs_no_timeout),
		cmocka_unit_test(a_neighbor_is_no_group),
		cmocka_unit_test(loopback_reaches_the_same_machine),
		cmocka_unit_test(a_stream_survives_the_wire),
		cmocka_unit_test(several_losses_cost_no_timeout_each),
		cmocka_unit_test(nothing_is_left_after_chaos),
		cmocka_unit_test(a_refused_connection),
		cmocka_unit_test(nobody_answers),
		cmocka_unit_test(closing_with_unread_data_resets),
		cmocka_unit_test(a_half_closed_connection_still_answers),
		cmocka_unit_test(a_closed_sender_still_delivers_to_a_slow_reader),
		cmocka_unit_test(a_closed_sender_survives_a_moment_without_progress),
		cmocka_unit_test(the_backlog_is_a_limit),
		cmocka_unit_test(a_flood_of_syns_keeps_nobody_out),
		cmocka_unit_test(idle_connections_cost_nothing),
		cmocka_unit_test(keepalive_ends_a_dead_connection),
		cmocka_unit_test(unread_segments_do_not_pin_the_receive_buffers),
		cmocka_unit_test(every_allocation_may_fail),
	};

	model_start(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
