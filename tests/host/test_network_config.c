/*
 * Where the address comes from: the boot option, a DHCP server, or nowhere.
 * links: tests/host/network_model.c sched/timer.c network
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

static const char *parse_option(const char *name, const char *value)
{
	for (const struct boot_option *option = __start_boot_options; option < __stop_boot_options;
	     option++)
		if (strcmp(option->name, name) == 0)
			return option->parse(value);
	return "there is no such option";
}

static const char *parse(const char *value)
{
	return parse_option("ip", value);
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

static unsigned offers, acknowledgements, refusals;
static uint8_t given = 0x4d; /* the last byte of the address */
static bool refuse; /* the next request */

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
		15,  5, 'a', '.', 'b',	'.',  'c', /* domain */
		255,
	};
	uint8_t frame[400] = { 0 };
	uint16_t sum;

	/* UDP to port 67: an IP header of 20 bytes, the message type is the first option. */
	if (len < 285 || request[23] != 17 || request[37] != 67 || request[282] != 53)
		return;
	put(frame, request + 6, 0, 6);
	put(frame, "\2\0\0\0\0\2\x08\0\x45\0\1\x82\0\0\0\0\x40\x11", 6, 18);
	put(frame, "\x0a\0\0\2\x0a\0\0\0", 26, 8);
	frame[33] = request[29]; /* to the address that asks, or to 255.255.255.255 */
	if (request[26] == 0)
		put(frame, "\xff\xff\xff\xff", 30, 4);
	sum = (uint16_t)~internet_checksum(frame + 14, 20);
	put(frame, &sum, 24, 2);
	put(frame, "\0\x43\0\x44\1\x6e\0\0", 34, 8); /* ports 67, 68; length 366; no checksum */
	put(frame, "\2\1\6\0", 42, 4);
	put(frame, request + 46, 46, 4); /* the transaction */
	put(frame, "\x0a\0\0\0", 58, 4);
	frame[61] = given;
	put(frame, request + 70, 70, 16);
	put(frame, "\x63\x82\x53\x63\x35\1", 278, 6);
	if (request[284] == 1) { /* discover, offer */
		frame[284] = 2;
		offers++;
	} else if (refuse) {
		frame[284] = 6;
		refusals++;
		refuse = false;
	} else {
		frame[284] = 5;
		acknowledgements++;
	}
	put(frame, options, 285, sizeof(options));
	model_inject(frame, sizeof(frame));
}

static void an_address_by_dhcp(void **state)
{
	char text[RESOLV_CONF_MAX];
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
	assert_true(address_is_ip4(&network_config.name_servers[0]));
	assert_int_equal(address_ip4(&network_config.name_servers[0]), 0x0300000a);
	assert_int_equal(network_resolv_conf(text), strlen("nameserver 10.0.0.3\nsearch a.b.c\n"));
	assert_string_equal(text, "nameserver 10.0.0.3\nsearch a.b.c\n");
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

/* Nobody answers any more: after the lease the address is somebody else's. Then there is a server
 * again. */
static void the_lease_ends(void **state)
{
	model_sniffer = NULL;
	model.wire_cut = true;
	model_run(30 * 60 * 1000);
	assert_int_equal(network_config.address, 0x4d00000a);
	model_run(50 * 60 * 1000);
	assert_int_equal(network_config.address, 0);
	assert_false(interface_is_local(0x4d00000a));
	model.wire_cut = false;
	model_sniffer = dhcp_server;
	model_run(10 * 60 * 1000);
	assert_int_equal(network_config.address, 0x4d00000a);
	assert_true(interface_is_local(0x4d00000a));
}

/* The server says no when the lease is to be renewed, and gives another address. */
static void the_server_changes_its_mind(void **state)
{
	unsigned before = refusals;

	refuse = true;
	given = 0x4e;
	model_run(40 * 60 * 1000);
	model_sniffer = NULL;
	assert_int_equal(refusals, before + 1);
	assert_int_equal(network_config.address, 0x4e00000a);
	assert_false(interface_is_local(0x4d00000a));
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

static void wrong_values_of_other_options(void **state)
{
	static const struct {
		const char *name, *value;
		bool right;
	} cases[] = {
		{ "ip6", "auto", true },
		{ "ip6", "2001:db8::2/64", true },
		{ "ip6", "2001:db8::2/128,fe80::1", true },
		{ "ip6", "2001:db8::2/64,2001:db8::1", true },
		{ "ip6", "2001:db8::2", false },
		{ "ip6", "2001:db8::2/48", false },
		{ "ip6", "2001:db8::2/129", false },
		{ "ip6", "10.0.0.1/64", false },
		{ "ip6", "::1/128", false },
		{ "ip6", "ff02::1/64", false },
		{ "ip6", "2001:db8::2/64,2001:db9::1", false },
		{ "ip6", "2001:db8::2/64,10.0.0.1", false },
		{ "ip6", "2001:db8::2/64 ", false },
		{ "ip6", "on", false },
		{ "dns", "10.0.0.3", true },
		{ "dns", "10.0.0.3,2001:db8::53,::1", true },
		{ "dns", "1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4", false },
		{ "dns", "10.0.0.3,", false },
		{ "dns", "0.0.0.0", false },
		{ "dns", "name", false },
		{ "dns", "10.0.0.3x", false },
	};

	for (unsigned i = 0; i < array_size(cases); i++)
		if (!parse_option(cases[i].name, cases[i].value) != cases[i].right)
			fail_msg("%s=%s was %s", cases[i].name, cases[i].value,
				 cases[i].right ? "refused" : "taken");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_values_are_refused),
		cmocka_unit_test(without_an_answer_it_goes_on),
		cmocka_unit_test(an_address_by_dhcp),
		cmocka_unit_test(the_lease_is_renewed),
		cmocka_unit_test(the_lease_ends),
		cmocka_unit_test(the_server_changes_its_mind),
		cmocka_unit_test(a_static_address),
		cmocka_unit_test(wrong_values_of_other_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
