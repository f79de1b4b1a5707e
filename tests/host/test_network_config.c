/*
 * Where the address comes from: the boot option, a DHCP server, or nowhere.
 * links: tests/host/network_model.c sched/timer.c lwip net/checksum.c net/config.c net/flow.c
 * links: net/frame.c net/interface.c net/isn.c net/listener.c net/loopback.c net/neighbor.c
 * links: net/net.c net/packet_pbuf.c net/ports.c net/pressure.c net/segment.c net/socket.c
 * links: net/socket_option.c net/steering.c net/tcp_socket.c net/udp_socket.c
 */
#include "tests/host/network_model.h"

#include "lavra/boot_option.h"
#include "net/checksum.h"
#include "net/config.h"
#include "net/interface.h"
#include "net/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

extern const struct boot_option __start_boot_options[], __stop_boot_options[];

static const char *parse(const char *value)
{
	for (const struct boot_option *option = __start_boot_options; option < __stop_boot_options;
	     option++)
		if (strcmp(option->name, "ip") == 0)
			return option->parse(value);
	return "there is no such option";
}

static void wrong_values_are_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"10.0.0.1",
		"10.0.0.1/",
		"10.0.0.1/33",
		"10.0.0/8",
		"10.0.0.256/8",
		"10.0.0.1/24,",
		"10.0.0.1/24,10.0.0",
		"10.0.0.1/24,10.0.0.2 ",
		"10.0.0.1/24x",
		"127.0.0.1/8",
		"0.0.0.0/0",
		"10..0.1/8",
		"1000.0.0.1/8",
		"DHCP",
		"10.0.0.1/244",
	};

	for (unsigned i = 0; i < array_size(wrong); i++)
		if (!parse(wrong[i]))
			fail_msg("ip=%s was taken", wrong[i]);
}

static void without_an_answer_it_goes_on(void **state)
{
	uint64_t start_ns = model.now_ns;

	model_start_unconfigured(1);
	assert_null(parse("dhcp"));
	model.wire_cut = true;
	assert_int_equal(net_configure(), 0);
	assert_int_equal(network_config.address, 0);
	assert_in_range((model.now_ns - start_ns) / NS_PER_MS, 10000, 10500);
	model.wire_cut = false;
}

/* ---- a DHCP server (RFC 2131) for 10.0.0.77/24, router .2, name server .3 ---- */

static unsigned offers, acknowledgements;

static void put(uint8_t *frame, const void *bytes, unsigned at, unsigned len)
{
	memcpy(frame + at, bytes, len);
}

static void dhcp_server(const uint8_t *request, uint32_t len)
{
	static const uint8_t options[] = {
		54,  4, 10,  0,	  0,	2, /* server */
		51,  4, 0,   0,	  0x0e, 0x10, /* lease: 3600 s */
		1,   4, 255, 255, 255,	0, /* netmask */
		3,   4, 10,  0,	  0,	2, /* router */
		6,   4, 10,  0,	  0,	3, /* name server */
		255,
	};
	uint8_t frame[400] = { 0 };
	uint16_t sum;

	/* UDP to port 67: an IP header of 20 bytes, the message type is the first option. */
	if (len < 285 || request[23] != 17 || request[37] != 67 || request[282] != 53)
		return;
	put(frame, request + 6, 0, 6);
	put(frame, "\2\0\0\0\0\2\x08\0\x45\0\1\x82\0\0\0\0\x40\x11", 6, 18);
	put(frame, "\x0a\0\0\2\x0a\0\0\x4d", 26, 8);
	sum = (uint16_t)~internet_checksum(frame + 14, 20);
	put(frame, &sum, 24, 2);
	put(frame, "\0\x43\0\x44\1\x6e\0\0", 34, 8); /* ports 67, 68; length 366; no checksum */
	put(frame, "\2\1\6\0", 42, 4);
	put(frame, request + 46, 46, 4); /* the transaction */
	put(frame, "\x0a\0\0\x4d", 58, 4);
	put(frame, request + 70, 70, 16);
	put(frame, "\x63\x82\x53\x63\x35\1", 278, 6);
	if (request[284] == 1) { /* discover, offer */
		frame[284] = 2;
		offers++;
	} else {
		frame[284] = 5;
		acknowledgements++;
	}
	put(frame, options, 285, sizeof(options));
	model_inject(frame, sizeof(frame));
}

static void an_address_by_dhcp(void **state)
{
	struct in_addr address;

	model_sniffer = dhcp_server;
	/* It has been asking all the time: the answer to the next request counts. */
	model_run(60 * 1000);
	model_sniffer = NULL;
	assert_in_range(offers, 1, 3);
	assert_in_range(acknowledgements, 1, 3);
	address.s_addr = network_config.address;
	assert_int_equal(address.s_addr, 0x4d00000a);
	assert_int_equal(network_config.netmask, 0x00ffffff);
	assert_int_equal(network_config.gateway, 0x0200000a);
	assert_int_equal(network_config.name_servers[0], 0x0300000a);
	assert_true(interface_is_local(0x4d00000a));
}

/* Half of the lease is over after 30 minutes. */
static void the_lease_is_renewed(void **state)
{
	unsigned before = acknowledgements;

	model_sniffer = dhcp_server;
	model_run(20 * 60 * 1000);
	assert_int_equal(acknowledgements, before);
	model_run(20 * 60 * 1000);
	model_sniffer = NULL;
	assert_int_equal(acknowledgements, before + 1);
	assert_int_equal(network_config.address, 0x4d00000a);
}

static void a_static_address(void **state)
{
	assert_null(parse("192.168.7.9/20,192.168.0.1"));
	assert_int_equal(net_configure(), 0);
	assert_int_equal(network_config.address, 0x0907a8c0);
	assert_int_equal(network_config.netmask, 0x00f0ffff);
	assert_int_equal(network_config.gateway, 0x0100a8c0);
	assert_true(interface_is_local(0x0907a8c0));
	assert_false(interface_is_local(0x4d00000a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_values_are_refused),
		cmocka_unit_test(without_an_answer_it_goes_on),
		cmocka_unit_test(an_address_by_dhcp),
		cmocka_unit_test(the_lease_is_renewed),
		cmocka_unit_test(a_static_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
