/*
 * IPv6: sockets of both families, datagrams in pieces, neighbors, router advertisements, path MTUs, and
 * what comes from a hostile network.
 * links: tests/host/network_model.c sched/timer.c network
 */
#include "tests/host/network_model.h"

#include "lavra/console.h"
#include "lavra/counters.h"
#include "net/config.h"
#include "net/flow.h"
#include "net/interface6.h"
#include "net/packet_pbuf.h"
#include "net/path_mtu.h"
#include "net/reassembly.h"

#include "lwip/priv/nd6_priv.h"
#include "lwip/priv/tcp_priv.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>

#include <cmocka.h>

#define SECONDS 1000

static const struct address loopback6 = { .bytes = { [15] = 1 } };
static const struct address any6;
static const struct address all_nodes = { .bytes = { 0xff, 2, [15] = 1 } };
static const struct address router = { .bytes = { 0xfe, 0x80, [15] = 0x99 } };

static void expect_nothing_left(void)
{
	model_run(4 * SECONDS);
	interface_reclaim();
	assert_int_equal(tcp_control_block_count(), 0);
	assert_int_equal(socket_count(), 0);
	assert_int_equal(packets_held, 0);
	assert_int_equal(model.packets_out, 0);
	assert_int_equal(model.objects, 0);
}

static struct socket *make(int family, int type)
{
	int error;
	struct socket *socket = socket_create(family, type, 0, &error);

	assert_non_null(socket);
	return socket;
}

static int bind6(struct socket *socket, const struct address *address, uint16_t port)
{
	struct socket_address in = model_socket_address6(address, port);

	return socket_bind(socket, &in);
}

static int connect6(struct socket *socket, const struct address *address, uint16_t port)
{
	struct socket_address in = model_socket_address6(address, port);

	return socket_connect(socket, &in);
}

static int set(struct socket *socket, int level, int name, int value)
{
	return socket_set_option(socket, level, name, &value, sizeof(value));
}

static struct socket *listen6(uint16_t port, bool only_ip6)
{
	struct socket *socket = make(AF_INET6, SOCK_STREAM);

	assert_int_equal(set(socket, IPPROTO_IPV6, IPV6_V6ONLY, only_ip6), 0);
	assert_int_equal(bind6(socket, &any6, port), 0);
	assert_int_equal(socket_listen(socket, 16), 0);
	return socket;
}

static struct socket *accept_one(struct socket *listener)
{
	int error;
	struct socket *socket = socket_accept(listener, &error);

	if (!socket)
		fail_msg("accept: %d", error);
	return socket;
}

static void expect_address(const struct socket_address *got, const struct address *expected)
{
	assert_int_equal(got->length, sizeof(struct sockaddr_in6));
	assert_int_equal(got->in6.sin6_family, AF_INET6);
	assert_memory_equal(&got->in6.sin6_addr, expected->bytes, 16);
}

/* ---- text ---- */

static void addresses_as_text(void **state)
{
	static const struct {
		const char *text, *printed; /* NULL: refused */
	} cases[] = {
		{ "::", "::" },
		{ "::1", "::1" },
		{ "1::", "1::" },
		{ "2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
		{ "fe80::0204:61ff:fe9d:f156", "fe80::204:61ff:fe9d:f156" },
		{ "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8" },
		{ "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" },
		{ "::ffff:10.0.0.1", "10.0.0.1" },
		{ "64:ff9b::10.0.0.1", "64:ff9b::a00:1" },
		{ "192.168.1.255", "192.168.1.255" },
		{ "1:2:3:4:5:6:7:8::", NULL },
		{ "1::2::3", NULL },
		{ "12345::", NULL },
		{ ":1::2", NULL },
		{ "1:2:3", NULL },
		{ "1:", NULL },
		{ "::1.2.3", NULL },
		{ "1.2.3.256", NULL },
		{ "", NULL },
		{ "x", NULL },
	};

	for (unsigned i = 0; i < array_size(cases); i++) {
		const char *text = cases[i].text;
		char printed[ADDRESS_TEXT_MAX];
		struct address address;
		bool read = address_parse(&text, &address) && *text == '\0';
		unsigned len;

		if (read != (cases[i].printed != NULL))
			fail_msg("%s is %s", cases[i].text, read ? "read" : "refused");
		if (!read)
			continue;
		len = address_print(&address, printed);
		assert_int_equal(len, strlen(printed));
		assert_string_equal(printed, cases[i].printed);
	}
}

/* ---- connections ---- */

static void a_request_and_its_response(void **state)
{
	const struct address *ways[] = { &mirror_address6, &loopback6, &model_address6 };
	char buffer[16];

	for (unsigned i = 0; i < array_size(ways); i++)
		for (unsigned offload = 0; offload < 2; offload++) {
			struct socket *listener = listen6(80, false), *server;
			struct socket *client = make(AF_INET6, SOCK_STREAM);
			struct socket_address address;

			model.offload = offload;
			assert_int_equal(connect6(client, ways[i], 80), -EINPROGRESS);
			model_run(50);
			assert_int_equal(socket_events(client) & EPOLLOUT, EPOLLOUT);
			server = accept_one(listener);
			socket_peer_address(client, &address);
			expect_address(&address, ways[i]);
			socket_peer_address(server, &address);
			expect_address(&address, ways[i]);
			socket_local_address(server, &address);
			expect_address(&address, i == 0 ? &model_address6 : ways[i]);
			assert_int_equal(model_send(client, "hello", 5), 5);
			model_run(20);
			assert_int_equal(model_receive(server, buffer, sizeof(buffer)), 5);
			assert_int_equal(model_send(server, "world!", 6), 6);
			model_run(20);
			assert_int_equal(model_receive(client, buffer, sizeof(buffer)), 6);
			socket_close(client);
			socket_close(server);
			socket_close(listener);
			expect_nothing_left();
		}
	model.offload = false;
}

static void a_stream_survives_the_wire(void **state)
{
	static uint8_t out[200000], in[200000];
	struct socket *listener = listen6(80, true), *client = make(AF_INET6, SOCK_STREAM), *server;
	size_t sent = 0, received = 0;

	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 13 + (i >> 9));
	assert_int_equal(connect6(client, &mirror_address6, 80), -EINPROGRESS);
	model_run(50);
	server = accept_one(listener);
	model.loss_per_1000 = 20;
	model.doubled_per_1000 = 20;
	model.delayed_per_1000 = 50;
	for (unsigned pass = 0; pass < 20000 && received < sizeof(in); pass++) {
		ssize_t moved = model_send(client, out + sent, sizeof(out) - sent);

		sent += moved > 0 ? (size_t)moved : 0;
		model_run(10);
		moved = model_receive(server, in + received, sizeof(in) - received);
		received += moved > 0 ? (size_t)moved : 0;
	}
	model.loss_per_1000 = model.doubled_per_1000 = model.delayed_per_1000 = 0;
	assert_int_equal(received, sizeof(in));
	assert_memory_equal(in, out, sizeof(in));
	socket_close(client);
	socket_close(server);
	socket_close(listener);
	expect_nothing_left();
}

static void a_listener_of_both_families(void **state)
{
	struct socket *listener = listen6(80, false), *client, *server;
	struct address mapped = address_of_ip4(MIRROR_ADDRESS);
	struct socket_address address;

	client = model_connect(MIRROR_ADDRESS, 80);
	model_run(50);
	server = accept_one(listener);
	socket_peer_address(server, &address);
	expect_address(&address, &mapped);
	socket_close(client);
	socket_close(server);
	/* And a socket of IPv6 that speaks IPv4. */
	client = make(AF_INET6, SOCK_STREAM);
	assert_int_equal(connect6(client, &mapped, 80), -EINPROGRESS);
	model_run(50);
	server = accept_one(listener);
	socket_local_address(client, &address);
	mapped = address_of_ip4(MODEL_ADDRESS);
	expect_address(&address, &mapped);
	socket_close(client);
	socket_close(server);
	socket_close(listener);
	/* One that wants IPv6 alone. */
	listener = listen6(80, true);
	client = model_connect(MIRROR_ADDRESS, 80);
	model_run(50);
	assert_int_equal(model_receive(client, &(char){ 0 }, 1), -ECONNREFUSED);
	socket_close(client);
	socket_close(listener);
	expect_nothing_left();
}

static void calls_that_linux_refuses(void **state)
{
	static const struct address link_local = { .bytes = { 0xfe, 0x80, [15] = 7 } };
	static const struct address elsewhere = { .bytes = { 0x20, 1, 0xd, 0xb8, [7] = 9 } };
	struct address mapped = address_of_ip4(MODEL_ADDRESS);
	struct socket *socket = make(AF_INET6, SOCK_STREAM), *other = make(AF_INET, SOCK_STREAM);
	struct socket *only = make(AF_INET6, SOCK_DGRAM);
	struct socket_address ip4 = model_address(MIRROR_ADDRESS, 80);
	struct socket_address ip6 = model_socket_address6(&mirror_address6, 80);
	struct socket_address odd;

	assert_int_equal(socket_bind(socket, &ip4), -EINVAL); /* shorter than sockaddr_in6 */
	ip4.length = sizeof(struct sockaddr_in6);
	assert_int_equal(socket_bind(socket, &ip4), -EAFNOSUPPORT);
	assert_int_equal(socket_connect(socket, &ip4), -EAFNOSUPPORT);
	assert_int_equal(socket_bind(other, &ip6), -EAFNOSUPPORT);
	assert_int_equal(socket_connect(other, &ip6), -EAFNOSUPPORT);
	ip6.length = 23;
	assert_int_equal(socket_connect(socket, &ip6), -EINVAL);
	assert_int_equal(bind6(socket, &elsewhere, 80), -EADDRNOTAVAIL);
	assert_int_equal(bind6(socket, &all_nodes, 80), -EINVAL);
	assert_int_equal(connect6(socket, &all_nodes, 80), -ENETUNREACH);
	/* No router is known. */
	assert_int_equal(connect6(socket, &elsewhere, 80), -ENETUNREACH);
	odd = model_socket_address6(&link_local, 80);
	odd.in6.sin6_scope_id = 0;
	assert_int_equal(socket_bind(socket, &odd), -EINVAL);
	assert_int_equal(socket_connect(socket, &odd), -EINVAL);
	odd.in6.sin6_scope_id = 9;
	assert_int_equal(socket_bind(socket, &odd), -ENODEV);
	assert_int_equal(set(only, IPPROTO_IPV6, IPV6_V6ONLY, 1), 0);
	assert_int_equal(bind6(only, &mapped, 80), -EINVAL);
	assert_int_equal(connect6(only, &mapped, 80), -ENETUNREACH);
	assert_int_equal(bind6(only, &any6, 80), 0);
	assert_int_equal(set(only, IPPROTO_IPV6, IPV6_V6ONLY, 0), -EINVAL);
	assert_int_equal(set(other, IPPROTO_IPV6, IPV6_V6ONLY, 1), -ENOPROTOOPT);
	socket_close(socket);
	socket_close(other);
	socket_close(only);
	expect_nothing_left();
}

/* ---- datagrams ---- */

static void datagrams_of_every_size_cross_the_wire(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 1232, 1452, 1453, 9000, 65487 };
	static uint8_t out[65488], in[65488];
	const struct address *ways[] = { &mirror_address6, &loopback6, &model_address6 };
	struct socket *server = make(AF_INET6, SOCK_DGRAM), *client = make(AF_INET6, SOCK_DGRAM);
	struct socket_address to;

	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + (i >> 8));
	assert_int_equal(bind6(server, &any6, 53), 0);
	for (unsigned way = 0; way < array_size(ways) * 2; way++)
		for (unsigned i = 0; i < array_size(sizes); i++) {
			struct iovec iov = { out, sizes[i] };

			model.offload = way & 1;
			to = model_socket_address6(ways[way / 2], 53);
			assert_int_equal(socket_send(client, &iov, 1, 0, &to, NULL), sizes[i]);
			model_run(50);
			assert_int_equal(model_receive(server, in, sizeof(in)), sizes[i]);
			assert_memory_equal(in, out, sizes[i]);
		}
	model.offload = false;
	assert_int_equal(socket_send(client, &(struct iovec){ out, 65488 }, 1, 0, &to, NULL),
			 -EMSGSIZE);
	socket_close(client);
	socket_close(server);
	expect_nothing_left();
}

static void control_information(void **state)
{
	struct socket *server = make(AF_INET6, SOCK_DGRAM), *client = make(AF_INET6, SOCK_DGRAM);
	struct socket_address to = model_socket_address6(&mirror_address6, 53), from;
	char buffer[8], room[128];
	struct iovec iov = { "question", 8 }, in = { buffer, 8 };
	struct socket_control control = { room, sizeof(room), false };
	struct msghdr message;
	struct cmsghdr *header;
	struct in6_pktinfo info;

	assert_int_equal(bind6(server, &any6, 53), 0);
	assert_int_equal(set(server, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1), 0);
	assert_int_equal(set(server, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1), 0);
	assert_int_equal(set(client, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 33), 0);
	assert_int_equal(socket_send(client, &iov, 1, 0, &to, NULL), 8);
	model_run(20);
	assert_int_equal(socket_receive(server, &in, 1, 0, &from, &control), 8);
	message = (struct msghdr){ .msg_control = room, .msg_controllen = control.length };
	header = CMSG_FIRSTHDR(&message);
	assert_non_null(header);
	assert_int_equal(header->cmsg_level, IPPROTO_IPV6);
	assert_int_equal(header->cmsg_type, IPV6_PKTINFO);
	memcpy(&info, CMSG_DATA(header), sizeof(info));
	assert_memory_equal(&info.ipi6_addr, model_address6.bytes, 16);
	assert_int_equal(info.ipi6_ifindex, 2);
	header = CMSG_NXTHDR(&message, header);
	assert_non_null(header);
	assert_int_equal(header->cmsg_type, IPV6_HOPLIMIT);
	assert_int_equal(*(int *)CMSG_DATA(header), 33);
	/* What came in is what a server sends back; an address of others is refused. */
	control.length = CMSG_SPACE(sizeof(info));
	assert_int_equal(socket_send(server, &iov, 1, 0, &from, &control), 8);
	model_run(20);
	assert_int_equal(model_receive(client, buffer, 8), 8);
	memcpy(&info.ipi6_addr, mirror_address6.bytes, 16);
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &info, sizeof(info));
	assert_int_equal(socket_send(server, &iov, 1, 0, &from, &control), -EINVAL);
	/* No room: said, and nothing written beyond it. */
	assert_int_equal(socket_send(client, &iov, 1, 0, &to, NULL), 8);
	model_run(20);
	control = (struct socket_control){ room, 16, false };
	assert_int_equal(socket_receive(server, &in, 1, 0, &from, &control), 8);
	assert_true(control.truncated && control.length == 0);
	socket_close(client);
	socket_close(server);
	expect_nothing_left();
}

/* ---- the network speaks ---- */

static void inject_icmp6(const struct address *source, const struct address *destination,
			 uint8_t hop_limit, const void *message, uint32_t len)
{
	uint8_t frame[2048];

	model_inject(frame, model_icmp6_frame(frame, source, destination, hop_limit, message, len));
	model_run(10);
}

static unsigned echoes;

static void count_echoes(const uint8_t *frame, uint32_t len)
{
	if (frame[12] == 0x86 && frame[20] == 58 && frame[54] == 129)
		echoes++;
}

static void pings_are_answered(void **state)
{
	uint8_t request[64] = { 128, 0, 0, 0, 1, 2, 3, 4 };

	echoes = 0;
	model_sniffer = count_echoes;
	inject_icmp6(&mirror_address6, &model_address6, 64, request, sizeof(request));
	model_run(50);
	assert_int_equal(echoes, 1);
	inject_icmp6(&mirror_address6, &all_nodes, 64, request, sizeof(request));
	inject_icmp6(&all_nodes, &model_address6, 64, request, sizeof(request));
	inject_icmp6(&loopback6, &model_address6, 64, request, sizeof(request));
	inject_icmp6(&model_address6, &model_address6, 64, request, sizeof(request));
	assert_int_equal(echoes, 1);
	model_sniffer = NULL;
	expect_nothing_left();
}

static uint32_t prefix_advertisement(uint8_t *message, const struct address *prefix, uint8_t bits,
				     uint32_t valid, uint32_t preferred)
{
	uint8_t *option = message + 16;

	memset(message, 0, 48);
	message[0] = 134;
	message[4] = 64;
	message[6] = 0x07; /* the router's lifetime: 1,800 s */
	message[7] = 0x08;
	option[0] = 3;
	option[1] = 4;
	option[2] = bits;
	option[3] = 0xc0; /* on the link, autonomous */
	valid = __builtin_bswap32(valid);
	preferred = __builtin_bswap32(preferred);
	memcpy(option + 4, &valid, 4);
	memcpy(option + 8, &preferred, 4);
	memcpy(option + 16, prefix->bytes, 16);
	return 48;
}

static unsigned addresses_known(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < NETWORK_ADDRESSES_MAX; i++)
		count += network_config.addresses6[i].valid;
	return count;
}

static void routers_give_addresses(void **state)
{
	struct address prefix = { .bytes = { 0x20, 1, 0xd, 0xb8, [5] = 1 } };
	struct address expected = prefix, far = { .bytes = { 0x2a, 1 } }, source;
	uint8_t message[128];
	uint32_t len;

	netif_set_status_callback(&ethernet_interface, NULL);
	ethernet_interface.ip6_autoconfig_enabled = 1;
	len = prefix_advertisement(message, &prefix, 64, 3600, 1800);
	/* A name server comes along. */
	memcpy(message + len, (uint8_t[]){ 25, 3, 0, 0, 0, 0, 1, 0, 0x20, 1, 0xd, 0xb8 }, 12);
	memset(message + len + 12, 0, 12);
	message[len + 23] = 0x53;
	inject_icmp6(&router, &all_nodes, 255, message, len + 24);
	model_run(3 * SECONDS);
	config_addresses6_changed();
	memcpy(expected.bytes + 8, (uint8_t[]){ 0, 0, 0, 0xff, 0xfe, 0, 0, 1 }, 8);
	assert_int_equal(addresses_known(), 3);
	assert_true(interface_has_address6(&expected));
	assert_int_equal(interface_source_address6(&far, &source), 0);
	assert_int_equal(network_config.name_servers[0].bytes[15], 0x53);
	/* Its time passes. */
	for (int i = 0; i < 3700 / 10; i++)
		model_run(10 * SECONDS);
	config_addresses6_changed();
	assert_int_equal(addresses_known(), 2);
	assert_int_equal(interface_source_address6(&far, &source), -ENETUNREACH);
	ethernet_interface.ip6_autoconfig_enabled = 0;
}

/* Nothing of it may give us an address. */
static void absurd_advertisements(void **state)
{
	static const struct address prefixes[] = {
		{ .bytes = { 0x2a, 2 } },
		{ .bytes = { 0xfe, 0x80 } },
		{ .bytes = { 0xff, 0x0e } },
		{ .bytes = { 0 } },
	};
	static const uint8_t bits[] = { 0, 1, 63, 65, 128, 129, 255 };
	uint8_t message[256];
	uint32_t len;

	ethernet_interface.ip6_autoconfig_enabled = 1;
	for (unsigned i = 0; i < array_size(prefixes); i++)
		for (unsigned j = 0; j < array_size(bits); j++) {
			len = prefix_advertisement(message, &prefixes[i], bits[j], UINT32_MAX,
						   UINT32_MAX);
			inject_icmp6(&router, &all_nodes, 255, message, len);
		}
	for (unsigned i = 1; i < array_size(prefixes); i++) {
		len = prefix_advertisement(message, &prefixes[i], 64, 100, 100);
		inject_icmp6(&router, &all_nodes, 255, message, len);
	}
	len = prefix_advertisement(message, &prefixes[0], 64, 10, 20); /* preferred for longer */
	inject_icmp6(&router, &all_nodes, 255, message, len);
	len = prefix_advertisement(message, &prefixes[0], 64, 0, 0);
	inject_icmp6(&router, &all_nodes, 255, message, len);
	len = prefix_advertisement(message, &prefixes[0], 64, 100, 100);
	inject_icmp6(&router, &all_nodes, 254, message, len); /* forwarded */
	inject_icmp6(&mirror_address6, &all_nodes, 255, message, len); /* not link-local */
	message[17] = 0; /* an option without length */
	inject_icmp6(&router, &all_nodes, 255, message, len);
	message[17] = 5; /* or beyond the end */
	inject_icmp6(&router, &all_nodes, 255, message, len);
	model_run(3 * SECONDS);
	config_addresses6_changed();
	assert_int_equal(addresses_known(), 2);
	/* Many right ones are as many as there is room for. */
	for (unsigned i = 0; i < 50; i++) {
		struct address prefix = { .bytes = { 0x2a, 3, 0, (uint8_t)i } };

		len = prefix_advertisement(message, &prefix, 64, 20, 20);
		inject_icmp6(&router, &all_nodes, 255, message, len);
	}
	model_run(3 * SECONDS);
	config_addresses6_changed();
	assert_int_equal(addresses_known(), NETWORK_ADDRESSES_MAX);
	for (int i = 0; i < 10; i++)
		model_run(10 * SECONDS);
	config_addresses6_changed();
	assert_int_equal(addresses_known(), 2);
	ethernet_interface.ip6_autoconfig_enabled = 0;
}

static void nobody_talks_us_out_of_our_address(void **state)
{
	uint8_t message[32] = { 136, 0, 0, 0, 0x20 };
	uint64_t errors = counters.rx_errors;

	memcpy(message + 8, model_address6.bytes, 16);
	memcpy(message + 24, (uint8_t[]){ 2, 1, 2, 0, 0, 0, 0, 9 }, 8);
	inject_icmp6(&router, &all_nodes, 255, message, 32);
	assert_true(interface_has_address6(&model_address6));
	assert_int_equal(counters.rx_errors, errors + 1);
	/* One that is still being tried is given up. */
	netif_ip6_addr_set_state(&ethernet_interface, 1, IP6_ADDR_TENTATIVE);
	inject_icmp6(&router, &all_nodes, 255, message, 32);
	model_run(3 * SECONDS);
	assert_false(interface_has_address6(&model_address6));
	netif_ip6_addr_set_state(&ethernet_interface, 1, IP6_ADDR_INVALID);
	netif_ip6_addr_set_state(&ethernet_interface, 1, IP6_ADDR_TENTATIVE);
	model_run(3 * SECONDS);
	assert_true(interface_has_address6(&model_address6));
}

static void silent_neighbors_cost_no_memory(void **state)
{
	struct socket *client = make(AF_INET6, SOCK_DGRAM);
	struct iovec iov = { "x", 1 };
	long most = 0;

	model.neighbors_silent = true;
	for (unsigned i = 0; i < 2000; i++) {
		struct address neighbor = mirror_address6;
		struct socket_address to;

		neighbor.bytes[13] = (uint8_t)(1 + (i >> 8));
		neighbor.bytes[14] = (uint8_t)i;
		to = model_socket_address6(&neighbor, 9);
		socket_send(client, &iov, 1, 0, &to, NULL);
		most = max(most, model.objects);
	}
	assert_in_range(most, 1, 4 * LWIP_ND6_NUM_NEIGHBORS);
	model_run(20 * SECONDS);
	model.neighbors_silent = false;
	socket_close(client);
	expect_nothing_left();
}

/* ---- pieces and extension headers ---- */

/* A UDP packet to us with what is put between the headers; `next` is the first header's kind. */
static uint32_t udp_frame(uint8_t *frame, uint8_t next, const uint8_t *between,
			  uint32_t between_len, const uint8_t *payload, uint32_t len)
{
	uint8_t *ip = frame + 14;

	memcpy(frame, (uint8_t[]){ 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd }, 14);
	memset(ip, 0, 40);
	ip[0] = 0x60;
	ip[4] = (uint8_t)((between_len + len) >> 8);
	ip[5] = (uint8_t)(between_len + len);
	ip[6] = next;
	ip[7] = 64;
	memcpy(ip + 8, mirror_address6.bytes, 16);
	memcpy(ip + 24, model_address6.bytes, 16);
	memcpy(ip + 40, between, between_len);
	memcpy(ip + 40 + between_len, payload, len);
	return 14 + 40 + between_len + len;
}

static const uint8_t datagram[24] = { 0x10, 0,	 0,   53,  0,	24,  1,	  1,   'h', 'e', 'l', 'l',
				      'o',  ' ', 't', 'h', 'e', 'r', 'e', '!', '!', '!', '!', '!' };

static void extension_headers(void **state)
{
	static const struct {
		uint8_t next;
		uint8_t bytes[48];
		uint8_t len;
		bool passes;
	} cases[] = {
		{ 17, { 0 }, 0, true },
		{ 0, { 17, 0, 1, 4 }, 8, true }, /* padding */
		{ 60, { 17, 0, 1, 4 }, 8, true },
		{ 0, { 60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4 }, 16, true },
		{ 44, { 17, 0, 0, 0, 1, 2, 3, 4 }, 8, true }, /* a "piece" that is all */
		{ 0, { 17, 0, 0x1e, 4 }, 8, true }, /* an option to skip */
		{ 0, { 17, 0, 0x5e, 4 }, 8, false }, /* one to drop the packet for */
		{ 0, { 17, 0, 0xde, 4 }, 8, false },
		{ 0, { 17, 0, 1, 5 }, 8, false }, /* beyond the header */
		{ 0, { 17, 0, 1, 3, 0, 0, 0, 7 }, 8, false },
		{ 0, { 17, 20, 1, 4 }, 8, false }, /* beyond the packet */
		{ 60, { 0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4 }, 16, false }, /* not the first */
		{ 43, { 17, 0, 0, 0 }, 8, false }, /* routing */
		{ 43, { 17, 0, 2, 1 }, 8, false },
		{ 60,
		  { 60, 0, 1, 4, 0, 0, 0,  0, 60, 0, 1, 4, 0, 0, 0,  0, 60, 0,
		    1,	4, 0, 0, 0, 0, 60, 0, 1,  4, 0, 0, 0, 0, 17, 0, 1,  4 },
		  40,
		  false }, /* too many */
	};
	struct socket *server = make(AF_INET6, SOCK_DGRAM);
	uint8_t frame[256], in[64];

	assert_int_equal(bind6(server, &any6, 53), 0);
	model.offload = true; /* the checksum is not what is tried */
	for (unsigned i = 0; i < array_size(cases); i++) {
		uint64_t errors = counters.rx_errors;
		ssize_t got;

		model_inject(frame, udp_frame(frame, cases[i].next, cases[i].bytes, cases[i].len,
					      datagram, sizeof(datagram)));
		model_run(10);
		got = model_receive(server, in, sizeof(in));
		if (got != (cases[i].passes ? 16 : -EAGAIN) ||
		    counters.rx_errors != errors + !cases[i].passes)
			fail_msg("case %u: received %zd, errors %u", i, got,
				 (unsigned)(counters.rx_errors - errors));
	}
	model.offload = false;
	socket_close(server);
	expect_nothing_left();
}

static void inject_piece(uint32_t identification, uint16_t offset, bool more, uint32_t len)
{
	uint8_t frame[512],
	    header[8] = { 17, 0, (uint8_t)(offset >> 8), (uint8_t)(offset | (uint16_t)more) };

	memcpy(header + 4, &identification, 4);
	model_inject(frame, udp_frame(frame, 44, header, 8, datagram + offset, len));
	model_run(10);
}

static void pieces_that_overlap_end_the_packet(void **state)
{
	struct socket *server = make(AF_INET6, SOCK_DGRAM);
	uint8_t in[64];

	assert_int_equal(bind6(server, &any6, 53), 0);
	/* In turn, in order and not: they come together. The checksum is wrong, which counts. */
	inject_piece(1, 0, true, 8);
	inject_piece(1, 16, false, 8);
	assert_true(reassembly_has_work());
	inject_piece(1, 0, true, 8); /* again: no harm */
	inject_piece(1, 8, true, 8);
	assert_false(reassembly_has_work());
	assert_int_equal(model_receive(server, in, sizeof(in)), -EAGAIN); /* the checksum */
	/* Overlap. */
	inject_piece(2, 0, true, 16);
	inject_piece(2, 8, true, 8);
	assert_false(reassembly_has_work());
	inject_piece(3, 8, true, 8);
	inject_piece(3, 0, true, 16);
	assert_false(reassembly_has_work());
	/* Beyond the end, two ends, an end before what is there. */
	inject_piece(4, 8, false, 8);
	inject_piece(4, 16, true, 8);
	assert_false(reassembly_has_work());
	inject_piece(5, 16, false, 8);
	inject_piece(5, 8, false, 8);
	assert_false(reassembly_has_work());
	inject_piece(6, 16, true, 8);
	inject_piece(6, 8, false, 8);
	assert_false(reassembly_has_work());
	/* Not a multiple of 8; nothing at all. */
	inject_piece(7, 0, true, 7);
	inject_piece(8, 8, true, 0);
	assert_false(reassembly_has_work());
	/* Many that never end are bounded, and forgotten. */
	for (uint32_t i = 100; i < 300; i++)
		inject_piece(i, 8, true, 8);
	assert_in_range(model.objects, 3, 2 * 16 + 3); /* the socket is three */
	model_run(62 * SECONDS);
	assert_false(reassembly_has_work());
	socket_close(server);
	expect_nothing_left();
}

/* ---- path MTU ---- */

static unsigned pieces_seen;
static uint32_t longest_seen;

static void look_at_lengths(const uint8_t *frame, uint32_t len)
{
	if (frame[12] != 0x86 || (frame[0] & 1))
		return;
	pieces_seen += frame[20] == 44;
	longest_seen = max(longest_seen, len - 14);
}

static void too_big(const uint8_t *quoted, uint32_t mtu)
{
	uint8_t message[8 + 60] = { 2 };

	mtu = __builtin_bswap32(mtu);
	memcpy(message + 4, &mtu, 4);
	memcpy(message + 8, quoted, 60);
	inject_icmp6(&router, &model_address6, 64, message, sizeof(message));
}

static void paths_may_be_narrow(void **state)
{
	static char data[4000];
	struct socket *client = make(AF_INET6, SOCK_DGRAM);
	struct socket_address to = model_socket_address6(&mirror_address6, 53);
	struct iovec iov = { data, 1400 };
	uint8_t quoted[60] = { 0x60, [6] = 17 };
	struct socket_address own;

	assert_int_equal(socket_send(client, &iov, 1, 0, &to, NULL), 1400);
	model_run(20);
	socket_local_address(client, &own);
	memcpy(quoted + 8, model_address6.bytes, 16);
	memcpy(quoted + 24, mirror_address6.bytes, 16);
	memcpy(quoted + 40, &own.in6.sin6_port, 2);
	model_sniffer = look_at_lengths;
	/* What nobody can mean: below the minimum, not our port, from nowhere. */
	too_big(quoted, 600);
	assert_int_equal(path_mtu(&mirror_address6), 1500);
	quoted[40] ^= 0x55;
	too_big(quoted, 1300);
	quoted[40] ^= 0x55;
	quoted[23] ^= 1;
	too_big(quoted, 1300);
	quoted[23] ^= 1;
	assert_int_equal(path_mtu(&mirror_address6), 1500);
	too_big(quoted, 1300);
	assert_int_equal(path_mtu(&mirror_address6), 1300);
	too_big(quoted, 1400); /* it does not grow by that */
	assert_int_equal(path_mtu(&mirror_address6), 1300);
	pieces_seen = longest_seen = 0;
	assert_int_equal(socket_send(client, &iov, 1, 0, &to, NULL), 1400);
	model_run(20);
	assert_int_equal(pieces_seen, 2);
	assert_in_range(longest_seen, 1000, 1300);
	model_sniffer = NULL;
	for (int i = 0; i < 61; i++)
		model_run(10 * SECONDS);
	assert_int_equal(path_mtu(&mirror_address6), 1500);
	socket_close(client);
	expect_nothing_left();
}

static void a_connection_over_a_narrow_path(void **state)
{
	static uint8_t out[20000], in[20000];
	struct socket *listener = listen6(80, true), *client = make(AF_INET6, SOCK_STREAM), *server;
	uint8_t quoted[60] = { 0x60, [6] = 6 };
	struct socket_address own;
	const struct tcp_pcb *pcb = NULL;
	uint32_t sequence;
	size_t received = 0;

	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 11);
	assert_int_equal(connect6(client, &mirror_address6, 80), -EINPROGRESS);
	model_run(50);
	server = accept_one(listener);
	for (unsigned i = 0; i < FLOW_BUCKETS; i++)
		for (const struct flow *flow = flow_table[i]; flow; flow = flow->next)
			if (flow->pcb->remote_port == 80)
				pcb = flow->pcb;
	assert_non_null(pcb);
	assert_int_equal(pcb->mss, 1440);
	/* A segment is on its way when the message comes that it is too long. */
	model.wire_cut = true;
	assert_int_equal(model_send(client, out, 1440), 1440);
	model_run(20);
	socket_local_address(client, &own);
	memcpy(quoted + 8, model_address6.bytes, 16);
	memcpy(quoted + 24, mirror_address6.bytes, 16);
	memcpy(quoted + 40, &own.in6.sin6_port, 2);
	quoted[43] = 80;
	sequence = __builtin_bswap32(pcb->lastack - 5000);
	memcpy(quoted + 44, &sequence, 4);
	too_big(quoted, 1280); /* a number that we never sent */
	assert_int_equal(path_mtu(&mirror_address6), 1500);
	sequence = __builtin_bswap32(pcb->lastack);
	memcpy(quoted + 44, &sequence, 4);
	too_big(quoted, 1280);
	assert_int_equal(path_mtu(&mirror_address6), 1280);
	assert_int_equal(pcb->mss, 1220);
	model.wire_cut = false;
	assert_int_equal(model_send(client, out + 1440, sizeof(out) - 1440), sizeof(out) - 1440);
	for (int i = 0; i < 500 && received < sizeof(in); i++) {
		ssize_t moved;

		model_run(10);
		moved = model_receive(server, in + received, sizeof(in) - received);
		received += moved > 0 ? (size_t)moved : 0;
	}
	assert_int_equal(received, sizeof(in));
	assert_memory_equal(in, out, sizeof(in));
	socket_close(client);
	socket_close(server);
	socket_close(listener);
	for (int i = 0; i < 61; i++)
		model_run(10 * SECONDS);
	expect_nothing_left();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_as_text),
		cmocka_unit_test(a_request_and_its_response),
		cmocka_unit_test(a_stream_survives_the_wire),
		cmocka_unit_test(a_listener_of_both_families),
		cmocka_unit_test(calls_that_linux_refuses),
		cmocka_unit_test(datagrams_of_every_size_cross_the_wire),
		cmocka_unit_test(control_information),
		cmocka_unit_test(pings_are_answered),
		cmocka_unit_test(routers_give_addresses),
		cmocka_unit_test(absurd_advertisements),
		cmocka_unit_test(nobody_talks_us_out_of_our_address),
		cmocka_unit_test(silent_neighbors_cost_no_memory),
		cmocka_unit_test(extension_headers),
		cmocka_unit_test(pieces_that_overlap_end_the_packet),
		cmocka_unit_test(paths_may_be_narrow),
		cmocka_unit_test(a_connection_over_a_narrow_path),
	};

	model_start(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
