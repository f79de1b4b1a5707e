/*
 * TCP against a peer that is made by hand and keeps to no rules: nothing that it sends may end the
 * machine (a failed assertion of lwIP does), or reach a stream that it does not belong to.
 * links: tests/host/network_model.c sched/timer.c network
 */
#include "tests/host/network_model.h"

#include "net/checksum.h"
#include "net/flow.h"
#include "net/packet_pbuf.h"
#include "net/pressure.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>

#include <cmocka.h>

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10

#define PEER_START 0xfffff000u /* so that it wraps soon */

/* What the machine sent last, and where its stream stands. */
static struct {
	uint32_t acknowledged; /* of our stream */
	uint32_t next; /* behind the last byte of its stream that we saw */
	uint32_t sequence; /* of the last segment */
	uint16_t window;
	uint8_t flags;
	unsigned segments;
	unsigned largest; /* payload */
} seen;

static uint16_t peer_port = 1000;
static uint32_t peer_at; /* our next sequence number */
static uint16_t peer_window;
static struct socket *listener, *server;

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

static void observe(const uint8_t *frame, uint32_t len)
{
	const uint8_t *tcp = frame + 34;
	uint32_t payload = (uint32_t)(frame[16] << 8 | frame[17]) - 20 - (tcp[12] >> 4) * 4u;

	if (frame[23] != 6 || (tcp[2] << 8 | tcp[3]) != peer_port)
		return;
	seen.segments++;
	seen.flags = tcp[13];
	seen.sequence = get32(tcp + 4);
	seen.acknowledged = get32(tcp + 8);
	seen.window = (uint16_t)(tcp[14] << 8 | tcp[15]);
	seen.largest = max(seen.largest, payload);
	if ((int32_t)(get32(tcp + 4) + payload - seen.next) > 0 || (tcp[13] & SYN))
		seen.next = get32(tcp + 4) + payload + ((tcp[13] & (SYN | FIN)) != 0);
}

/* A segment from the mirror's address; `options_len` is a multiple of 4. */
static void inject(uint32_t sequence, uint32_t acknowledgement, unsigned flags,
		   const uint8_t *options, unsigned options_len, unsigned len)
{
	static uint8_t frame[14 + 20 + 60 + 1500];
	uint8_t *ip = frame + 14, *tcp = frame + 34;
	unsigned tcp_len = 20 + options_len + len;
	uint64_t sum;

	memset(frame, 0, sizeof(frame));
	memcpy(frame, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08", 13);
	ip[0] = 0x45;
	put16(ip + 2, 20 + tcp_len);
	ip[8] = 64;
	ip[9] = 6;
	put32(ip + 12, 0x0a000002);
	put32(ip + 16, 0x0a000001);
	put16(ip + 10, __builtin_bswap16(internet_checksum(ip, 20)) ^ 0xffff);
	put16(tcp, peer_port);
	put16(tcp + 2, 80);
	put32(tcp + 4, sequence);
	put32(tcp + 8, acknowledgement);
	tcp[12] = (uint8_t)((20 + options_len) / 4 << 4);
	tcp[13] = (uint8_t)flags;
	put16(tcp + 14, peer_window);
	if (options_len)
		memcpy(tcp + 20, options, options_len);
	for (unsigned i = 0; i < len; i++)
		tcp[20 + options_len + i] = (uint8_t)(sequence + i);
	sum = internet_checksum(tcp, (int)tcp_len);
	sum += internet_checksum(ip + 12, 8);
	sum += __builtin_bswap16((uint16_t)tcp_len) + __builtin_bswap16(6);
	put16(tcp + 16, __builtin_bswap16(checksum_fold(sum)) ^ 0xffff);
	model_inject(frame, 34 + tcp_len);
	model_run(10);
}

static void send_segment(unsigned flags, unsigned len)
{
	inject(peer_at, seen.next, flags, NULL, 0, len);
	peer_at += len;
}

/* A connection from the peer, whose SYN has these options. */
static void begin(uint16_t window, const uint8_t *options, unsigned options_len)
{
	int error;

	memset(&seen, 0, sizeof(seen));
	model_sniffer = observe;
	peer_port++;
	peer_window = window;
	peer_at = PEER_START;
	inject(peer_at++, 0, SYN, options, options_len, 0);
	assert_int_equal(seen.flags, SYN | ACK);
	assert_int_equal(seen.acknowledged, peer_at);
	send_segment(ACK, 0);
	seen.largest = 0;
	server = socket_accept(listener, &error);
	assert_non_null(server);
}

static void end(void)
{
	send_segment(ACK | RST, 0);
	socket_close(server);
	model_run(20);
	assert_int_equal(tcp_control_block_count(), 0);
	assert_int_equal(packets_held, 0);
	model_sniffer = NULL;
}

/* Let `len` bytes wait unread, in segments of at most 1000. */
static void fill(unsigned len)
{
	for (; len; len -= min(len, 1000u))
		send_segment(ACK, min(len, 1000u));
}

static uint8_t bytes[200000];

static void the_segment_size_is_settled_by_the_syn(void **state)
{
	static const uint8_t small[] = { 2, 4, 0, 100 };

	begin(1000, NULL, 0);
	/* More than the window: some of it waits, in segments of the size agreed upon. */
	assert_int_equal(model_send(server, bytes, 20000), 20000);
	inject(peer_at, seen.next, ACK, small, sizeof(small), 0);
	assert_int_equal(model_send(server, bytes, 20000), 20000);
	peer_window = 60000;
	send_segment(ACK, 0);
	model_run(1000);
	assert_true(seen.largest > 100);
	end();
}

static void a_tiny_segment_size_is_not_obeyed(void **state)
{
	static const uint8_t one[] = { 2, 4, 0, 1 };

	begin(60000, one, sizeof(one));
	assert_int_equal(model_send(server, bytes, 2000), 2000);
	model_run(100);
	assert_in_range(seen.largest, 48, 536);
	end();
}

/* lwIP's segments are half the largest window it has seen, which must not shrink. */
static void a_window_that_opens_by_a_few_bytes(void **state)
{
	for (uint16_t window = 0; window <= 40; window += 2) {
		begin(window & 7, NULL, 0);
		assert_int_equal(model_send(server, bytes, 5000), 5000);
		peer_window = window;
		send_segment(ACK, 1);
		assert_int_equal(model_send(server, bytes, 5000), 5000);
		model_run(2000);
		send_segment(ACK, 1);
		assert_int_equal(model_send(server, bytes, 5000), 5000);
		end();
	}
}

static void a_small_window_is_served_in_time(void **state)
{
	uint32_t start;

	begin(1152, NULL, 0);
	start = seen.next;
	assert_int_equal(model_send(server, bytes, 50000), 50000);
	for (int i = 0; i < 200 && seen.next - start < 50000; i++)
		send_segment(ACK, 0);
	assert_int_equal(seen.next - start, 50000);
	end();
}

static void everything_is_acknowledged_after_the_window_closed(void **state)
{
	begin(60000, NULL, 0);
	assert_int_equal(model_send(server, bytes, 3000), 3000);
	model_run(50);
	/* The window closes; what was sent waits for it, after its timeout, as if it were not. */
	peer_window = 0;
	for (int i = 0; i < 2; i++)
		inject(peer_at++, seen.next - 3000, ACK, NULL, 0, 1);
	model_run(5000);
	send_segment(ACK, 0);
	model_run(5000);
	peer_window = 60000;
	send_segment(ACK, 1);
	assert_int_equal(model_send(server, bytes, 3000), 3000);
	end();
}

/* A peer whose window is closed takes only what begins at its edge: acknowledgements must. */
static void a_probe_does_not_move_the_acknowledgements(void **state)
{
	for (int accepted = 0; accepted < 2; accepted++) {
		uint32_t start, edge;

		begin(2000, NULL, 0);
		start = seen.next;
		assert_int_equal(model_send(server, bytes, 20000), 20000);
		model_run(20);
		edge = seen.next;
		peer_window = 0;
		send_segment(ACK, 0);
		model_run(5000);
		assert_int_equal(seen.next, edge + 1); /* the probe */
		/* Data of the peer's is acknowledged where the peer listens. */
		inject(peer_at, edge, ACK, NULL, 0, 100);
		peer_at += 100;
		model_run(500);
		assert_int_equal(seen.acknowledged, peer_at);
		assert_int_equal(seen.sequence, edge);
		/* The window opens, with the probe's byte taken or dropped. */
		if (accepted)
			inject(peer_at, edge + 1, ACK, NULL, 0, 0);
		peer_window = 30000;
		inject(peer_at, edge + (uint32_t)accepted, ACK, NULL, 0, 0);
		for (int i = 0; i < 20; i++) {
			model_run(100);
			send_segment(ACK, 0);
		}
		assert_int_equal(seen.next, start + 20000);
		end();
	}
}

/* How far the peer may send, as it was told. */
static uint32_t right_edge(void)
{
	return seen.acknowledged + seen.window;
}

static void a_segment_out_of_order_beyond_the_window(void **state)
{
	begin(60000, NULL, 0);
	inject(right_edge() - 10, seen.next, ACK, NULL, 0, 1000);
	fill(right_edge() - peer_at - 5);
	send_segment(ACK, 100);
	model_run(1000);
	assert_int_equal(socket_readable_bytes(server), 65535);
	end();
}

/* A FIN in the middle of what came out of order moves to its end, which is the window's. */
static void an_early_end_at_the_edge_of_the_window(void **state)
{
	for (unsigned len = 98; len <= 102; len++) {
		uint32_t edge;

		begin(60000, NULL, 0);
		edge = right_edge();
		fill(edge - peer_at - 100);
		inject(edge - 50, seen.next, ACK | FIN, NULL, 0, 0);
		inject(edge - 90, seen.next, ACK, NULL, 0, len - 10);
		send_segment(ACK, len);
		model_run(1000);
		inject(edge - 100, seen.next, ACK, NULL, 0, 10);
		end();

		begin(60000, NULL, 0);
		edge = right_edge();
		fill(edge - peer_at - 100);
		inject(edge - 50, seen.next, ACK | FIN, NULL, 0, 0);
		send_segment(ACK, len);
		model_run(1000);
		end();
	}
}

static void a_blind_guess_does_not_get_into_the_stream(void **state)
{
	begin(60000, NULL, 0);
	assert_int_equal(model_send(server, bytes, 100), 100);
	model_run(20);
	send_segment(ACK, 0);
	/* RFC 5961, 5.2: the sequence number fits, the acknowledgement tells of other times. */
	inject(peer_at, seen.next - 0x20000000, ACK, NULL, 0, 10);
	inject(peer_at, seen.next + 1, ACK, NULL, 0, 10);
	/* RFC 793: without an acknowledgement it means nothing. */
	inject(peer_at, seen.next, 0, NULL, 0, 10);
	assert_int_equal(socket_readable_bytes(server), 0);
	/* RFC 5961, 3.2 and 4.2: challenged, not obeyed. */
	inject(peer_at + 1, 0, RST, NULL, 0, 0);
	inject(peer_at, 0, SYN, NULL, 0, 0);
	send_segment(ACK, 10);
	assert_int_equal(socket_readable_bytes(server), 10);
	/* An acknowledgement that is merely old comes with data as usual. */
	inject(peer_at, seen.next - 50, ACK, NULL, 0, 10);
	peer_at += 10;
	assert_int_equal(socket_readable_bytes(server), 20);
	end();
}

/* Two such machines would answer each other for ever. */
static void an_acknowledgement_is_not_answered(void **state)
{
	unsigned segments;

	begin(60000, NULL, 0);
	fill(right_edge() - peer_at);
	model_run(200);
	assert_int_equal(seen.window, 0);
	segments = seen.segments;
	for (int i = 0; i < 10; i++)
		send_segment(ACK, 0);
	model_run(200);
	assert_int_equal(seen.segments, segments);
	/* But a probe is: one byte, or none before what was acknowledged. */
	inject(peer_at, seen.next, ACK, NULL, 0, 1);
	assert_int_equal(seen.segments, segments + 1);
	inject(peer_at - 1, seen.next, ACK, NULL, 0, 0);
	assert_int_equal(seen.segments, segments + 2);
	assert_int_equal(socket_readable_bytes(server), 65535);
	assert_int_equal(model_receive(server, bytes, sizeof(bytes)), 65535);
	model_run(50);
	assert_int_equal(right_edge() - peer_at, 65535);
	fill(65535);
	assert_int_equal(socket_readable_bytes(server), 65535);
	end();
}

/* Readers that do not read keep what is left of memory to themselves no longer than it lasts. */
static void short_memory_is_shared(void **state)
{
	uint32_t start;

	begin(60000, NULL, 0);
	start = seen.next;
	model.memory_is_short = true;
	pressure_credit = 0;
	assert_int_equal(model_send(server, bytes, 100000), 4096);
	assert_int_equal(model_send(server, bytes, 100000), -EAGAIN);
	assert_int_equal(socket_events(server), 0);
	model_run(50);
	assert_int_equal(seen.next - start, 4096);
	/* What is acknowledged makes room for as much. */
	send_segment(ACK, 0);
	assert_int_equal(socket_events(server), EPOLLOUT | EPOLLWRNORM);
	assert_int_equal(model_send(server, bytes, 100000), 4096);
	model.memory_is_short = false;
	model_run(1000);
	assert_int_equal(socket_events(server), EPOLLOUT | EPOLLWRNORM);
	assert_in_range(model_send(server, bytes, 100000), 32768, 100000);
	end();
}

/* Anything at all, near the edges where lwIP's arithmetic turns. */
static void random_segments(void **state)
{
	for (int connection = 0; connection < 300; connection++) {
		uint8_t options[4] = { 2, 4, 0, (uint8_t)model_random() };

		begin((uint16_t)(model_random() >> (model_random() % 16)), options,
		      model_random() % 2 * 4);
		for (int i = 0; i < 60; i++) {
			uint32_t bases[] = { peer_at, right_edge(), seen.acknowledged };
			unsigned flags = model_random() % 8 ? ACK : model_random() & 0x13;

			model_send(server, bytes, model_random() % 4000);
			if (model_random() % 8 == 0)
				model_receive(server, bytes, model_random() % 20000);
			if (model_random() % 4 == 0)
				peer_window = (uint16_t)(model_random() >> (model_random() % 16));
			inject(bases[model_random() % 3] + model_random() % 4000 - 2000,
			       seen.next - (model_random() % 3 ? 0 : model_random() % 5000),
			       flags | (model_random() % 30 ? 0 : FIN), options,
			       model_random() % 4 ? 0 : 4, model_random() % 1400);
			if (model_random() % 4 == 0)
				fill(model_random() % 3000);
			model_run(model_random() % 6 ? 10 : 500);
		}
		socket_close(server);
		inject(seen.acknowledged, 0, RST, NULL, 0, 0);
		model_run(20);
		/* What has not understood it gives up by time. */
		if (connection % 50 == 49) {
			model_run(150000);
			assert_int_equal(packets_held, 0);
		}
	}
	model_sniffer = NULL;
}

static int setup(void **state)
{
	model_start(1);
	listener = model_listen(80, 16);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_segment_size_is_settled_by_the_syn),
		cmocka_unit_test(a_tiny_segment_size_is_not_obeyed),
		cmocka_unit_test(a_window_that_opens_by_a_few_bytes),
		cmocka_unit_test(a_small_window_is_served_in_time),
		cmocka_unit_test(everything_is_acknowledged_after_the_window_closed),
		cmocka_unit_test(a_probe_does_not_move_the_acknowledgements),
		cmocka_unit_test(a_segment_out_of_order_beyond_the_window),
		cmocka_unit_test(an_early_end_at_the_edge_of_the_window),
		cmocka_unit_test(a_blind_guess_does_not_get_into_the_stream),
		cmocka_unit_test(an_acknowledgement_is_not_answered),
		cmocka_unit_test(short_memory_is_shared),
		cmocka_unit_test(random_segments),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
