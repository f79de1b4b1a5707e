/*
 * Who may have a port, and which core a frame belongs to.
 * links: net/steering.c net/ports.c
 */
#include "net/ports.h"
#include "net/queues.h"
#include "net/steering.h"

#include "arch/arch.h"
#include "mm/object.h"
#include "smp/core.h"

#include "lwip/prot/ip.h"
#include "lwip/prot/tcp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PORT(number) __builtin_bswap16(number)

static uint64_t cores_that_may_have_it;
static struct flow *known;
static unsigned recycled;

static struct flow *buckets[FLOW_BUCKETS];
struct flow **flow_table = buckets;
READ_MOSTLY uint64_t flow_hash_key[2];

bool flow_may_be_on(core_id_t core, uint32_t hash)
{
	return cores_that_may_have_it >> core & 1;
}

struct flow *flow_find6(const struct flow_key *key, uint32_t hash, const uint8_t addresses[32])
{
	return flow_find(key, hash);
}

bool flow_moved(const struct flow *flow, core_id_t *to)
{
	return false;
}

void flow_recycle(struct flow *flow)
{
	recycled++;
}

uint64_t arch_random(void)
{
	return 12345;
}

void *object_alloc_zeroed(size_t size)
{
	return calloc(1, size);
}

void object_free(void *object)
{
	free(object);
}

void epoch_defer(struct deferred *deferred, void (*release)(struct deferred *))
{
	release(deferred);
}

static void machine(unsigned cores_wanted, unsigned pairs, core_id_t core)
{
	ncores = cores_wanted;
	this_core = core;
	for (core_id_t i = 0; i < cores_wanted; i++)
		network_queues.of[i].serves = 1ull << i;
	for (core_id_t i = pairs; i < cores_wanted; i++)
		network_queues.of[i % pairs].serves |= 1ull << i;
	known = NULL;
	cores_that_may_have_it = 0;
	recycled = 0;
}

static core_id_t steer_segment(uint8_t flags, uint32_t hash, uint64_t tried)
{
	struct frame frame = {
		.kind = FRAME_TCP,
		.tcp_flags = flags,
		.hash = hash,
		.sequence = 1000,
		.key = { .local_address = 1, .local_port = PORT(80), .remote_port = PORT(5000) },
	};
	struct flow *flow, **bucket = &buckets[hash % FLOW_BUCKETS];
	core_id_t core;

	if (known)
		known->key = frame.key;
	*bucket = known;
	core = steer(&frame, tried, &flow);
	*bucket = NULL;
	return core;
}

static int bind_any(uint8_t protocol, uint16_t port, bool reuse_port, struct port_binding **binding)
{
	struct address any = address_of_ip4(0);
	struct port_options options = { .reuse_port = reuse_port };

	return ports_bind(protocol, &any, port, options, binding);
}

static struct port_binding *listen_on(uint64_t cores_mask)
{
	struct port_binding *binding;

	assert_int_equal(bind_any(IP_PROTO_TCP, PORT(80), true, &binding), 0);
	assert_int_equal(ports_listen(binding, cores_mask), 0);
	return binding;
}

static void a_known_connection_stays(void **state)
{
	struct tcp_pcb pcb = { .state = ESTABLISHED };
	struct flow flow = { .pcb = &pcb };

	machine(4, 4, 2);
	known = &flow;
	cores_that_may_have_it = 0xf;
	assert_int_equal(steer_segment(TCP_ACK, 7, 0), 2);
	assert_int_equal(steer_segment(TCP_SYN, 7, 0), 2);
	assert_int_equal(recycled, 0);
}

static void a_syn_stays_where_somebody_listens(void **state)
{
	struct port_binding *binding = listen_on(0xf);

	for (core_id_t core = 0; core < 4; core++)
		for (uint32_t hash = 0; hash < 100; hash++) {
			machine(4, 4, core);
			assert_int_equal(steer_segment(TCP_SYN, hash, 0), core);
		}
	ports_release(binding);
}

static void a_syn_finds_the_cores_that_listen(void **state)
{
	struct port_binding *binding = listen_on(1 << 1 | 1 << 3);
	unsigned count[4] = { 0 };

	for (uint32_t hash = 0; hash < 1000; hash++) {
		machine(4, 4, 0);
		count[steer_segment(TCP_SYN, hash * 2654435761u, 0)]++;
		/* The core that it was sent to keeps it, whatever it thinks. */
		machine(4, 4, 2);
		assert_int_equal(steer_segment(TCP_SYN, hash, 1 << 0), 2);
	}
	assert_int_equal(count[0] + count[2], 0);
	assert_in_range(count[1], 400, 600);
	ports_release(binding);
	/* Nobody: refused where it came in. */
	machine(4, 4, 2);
	assert_int_equal(steer_segment(TCP_SYN, 5, 0), 2);
}

static void a_shared_queue_spreads_over_its_cores(void **state)
{
	struct port_binding *binding = listen_on(0xff);
	unsigned count[8] = { 0 };

	for (uint32_t hash = 0; hash < 4000; hash++) {
		machine(8, 2, 1); /* queue 1 serves cores 1, 3, 5, 7 */
		count[steer_segment(TCP_SYN, hash * 2654435761u, 0)]++;
	}
	for (core_id_t core = 0; core < 8; core++)
		assert_in_range(count[core], core % 2 ? 800 : 0, core % 2 ? 1200 : 0);
	ports_release(binding);
}

static void a_stray_segment_asks_each_core_once(void **state)
{
	uint64_t tried = 0;
	core_id_t core = 1;
	unsigned hops = 0;

	machine(4, 4, core);
	cores_that_may_have_it = 1 << 0 | 1 << 1 | 1 << 3;
	/* Nobody has it in truth: it ends where there is no core left to ask. */
	for (;;) {
		core_id_t next = steer_segment(TCP_ACK, 9, tried);

		if (next == core)
			break;
		assert_true(cores_that_may_have_it >> next & 1);
		assert_false(tried >> next & 1);
		tried |= 1ull << core;
		this_core = core = next;
		hops++;
	}
	assert_int_equal(hops, 2);
	machine(4, 4, 1);
	assert_int_equal(steer_segment(TCP_ACK, 9, 0), 1);
}

static void a_new_connection_may_follow_in_time_wait(void **state)
{
	struct tcp_pcb pcb = { .state = TIME_WAIT, .rcv_nxt = 999 };
	struct flow flow = { .pcb = &pcb };

	machine(1, 1, 0);
	known = &flow;
	assert_int_equal(steer_segment(TCP_SYN, 7, 0), 0);
	assert_int_equal(recycled, 1);
	pcb.rcv_nxt = 1000; /* not above: an old duplicate */
	steer_segment(TCP_SYN, 7, 0);
	steer_segment(TCP_ACK, 7, 0);
	assert_int_equal(recycled, 1);
}

static void datagrams_go_to_the_socket(void **state)
{
	struct frame frame = { .kind = FRAME_UDP, .key.local_port = PORT(53) };
	struct port_binding *a, *b;
	struct flow *flow;

	machine(4, 4, 3);
	assert_int_equal(bind_any(IP_PROTO_UDP, PORT(53), true, &a), 0);
	this_core = 0;
	assert_int_equal(steer(&frame, 0, &flow), 3);
	assert_int_equal(bind_any(IP_PROTO_UDP, PORT(53), true, &b), 0);
	assert_int_equal(steer(&frame, 0, &flow), 0);
	this_core = 1;
	assert_int_equal(steer(&frame, 1 << 0, &flow), 1);
	frame.key.local_port = PORT(68);
	assert_int_equal(steer(&frame, 0, &flow), 0); /* DHCP is core 0's */
	frame.kind = FRAME_FRAGMENT;
	assert_int_equal(steer(&frame, 0, &flow), 0);
	frame.kind = FRAME_OTHER;
	assert_int_equal(steer(&frame, 0, &flow), 1);
	ports_release(a);
	ports_release(b);
}

static void ports_are_shared_as_on_linux(void **state)
{
	static const struct {
		bool reuse_address, reuse_port, listening;
		bool second_reuse_address, second_reuse_port;
		uint32_t address, second_address;
		int error;
	} cases[] = {
		{ 0, 0, 0, 0, 0, 0, 0, -EADDRINUSE }, { 0, 0, 0, 0, 0, 1, 2, 0 },
		{ 0, 0, 0, 0, 0, 1, 0, -EADDRINUSE }, { 1, 0, 0, 1, 0, 0, 0, 0 },
		{ 1, 0, 0, 0, 0, 0, 0, -EADDRINUSE }, { 1, 0, 1, 1, 0, 0, 0, -EADDRINUSE },
		{ 0, 1, 1, 0, 1, 0, 0, 0 },	      { 0, 1, 1, 0, 0, 0, 0, -EADDRINUSE },
		{ 0, 1, 1, 1, 0, 0, 0, -EADDRINUSE },
	};

	machine(2, 2, 0);
	for (unsigned i = 0; i < array_size(cases); i++) {
		struct address first = address_of_ip4(cases[i].address);
		struct address second = address_of_ip4(cases[i].second_address);
		struct port_binding *a, *b = NULL;

		assert_int_equal(ports_bind(IP_PROTO_TCP, &first, PORT(80),
					    (struct port_options){ cases[i].reuse_address,
								   cases[i].reuse_port, false },
					    &a),
				 0);
		if (cases[i].listening)
			assert_int_equal(ports_listen(a, 3), 0);
		if (ports_bind(IP_PROTO_TCP, &second, PORT(80),
			       (struct port_options){ cases[i].second_reuse_address,
						      cases[i].second_reuse_port, false },
			       &b) != cases[i].error)
			fail_msg("case %u", i);
		ports_release(a);
		if (b)
			ports_release(b);
	}
}

/* A port of both families, of one, or of single addresses. */
static void families_conflict_as_on_linux(void **state)
{
	enum { ANY6, ONLY6, ONE6, OTHER6, ANY4, ONE4 };
	static const struct {
		struct address address;
		bool only_ip6;
	} kinds[] = {
		[ANY6] = { { .words = { 0 } }, false },
		[ONLY6] = { { .words = { 0 } }, true },
		[ONE6] = { { .bytes = { 0x20, [15] = 1 } }, false },
		[OTHER6] = { { .bytes = { 0x20, [15] = 2 } }, true },
		[ANY4] = { { .words = { 0, 0, ADDRESS_MAPPED, 0 } }, false },
		[ONE4] = { { .words = { 0, 0, ADDRESS_MAPPED, 1 } }, false },
	};
	/* Bits: those that the kind cannot share its port with. */
	static const uint8_t excludes[] = {
		[ANY6] = 0x3f,
		[ONLY6] = 1 << ANY6 | 1 << ONLY6 | 1 << ONE6 | 1 << OTHER6,
		[ONE6] = 1 << ANY6 | 1 << ONLY6 | 1 << ONE6,
		[OTHER6] = 1 << ANY6 | 1 << ONLY6 | 1 << OTHER6,
		[ANY4] = 1 << ANY6 | 1 << ANY4 | 1 << ONE4,
		[ONE4] = 1 << ANY6 | 1 << ANY4 | 1 << ONE4,
	};

	machine(2, 2, 0);
	for (unsigned i = 0; i < array_size(kinds); i++)
		for (unsigned j = 0; j < array_size(kinds); j++) {
			struct port_options options = { .only_ip6 = kinds[i].only_ip6 };
			struct port_binding *a, *b = NULL;
			int error;

			assert_int_equal(
			    ports_bind(IP_PROTO_TCP, &kinds[i].address, PORT(80), options, &a), 0);
			options.only_ip6 = kinds[j].only_ip6;
			error = ports_bind(IP_PROTO_TCP, &kinds[j].address, PORT(80), options, &b);
			if (error != (excludes[i] >> j & 1 ? -EADDRINUSE : 0))
				fail_msg("%u and %u: %d", i, j, error);
			/* Who excludes others hears what is sent to them. */
			assert_int_equal(ports_listen(a, 1), 0);
			if (j >= ONE6 && j != ANY4 && j != i)
				assert_int_equal(ports_listeners(IP_PROTO_TCP, &kinds[j].address,
								 PORT(80)),
						 (i == ANY6 || (i == ONLY6 && j < ANY4) ||
						  (i == ANY4 && j == ONE4)));
			ports_release(a);
			if (b)
				ports_release(b);
		}
}

static void datagrams_of_ip6_go_to_the_socket(void **state)
{
	struct address addresses[2] = { { .bytes = { 0x20 } }, { .bytes = { 0x20, [15] = 1 } } };
	struct frame frame = { .kind = FRAME_UDP,
			       .key = { .local_address = FLOW_KEY_IP6, .local_port = PORT(53) },
			       .addresses = addresses[0].bytes };
	struct address other = { .bytes = { 0x20, [15] = 2 } };
	struct port_options options = { false };
	struct port_binding *binding;
	struct flow *flow;

	machine(4, 4, 3);
	assert_int_equal(ports_bind(IP_PROTO_UDP, &addresses[1], PORT(53), options, &binding), 0);
	this_core = 1;
	assert_int_equal(steer(&frame, 0, &flow), 3);
	ports_release(binding);
	this_core = 3;
	assert_int_equal(ports_bind(IP_PROTO_UDP, &other, PORT(53), options, &binding), 0);
	this_core = 1;
	assert_int_equal(steer(&frame, 0, &flow), 1);
	ports_release(binding);
	/* One core answers neighbors; what they advertise stays where it comes in. */
	frame.kind = FRAME_CORE_0;
	assert_int_equal(steer(&frame, 0, &flow), 0);
	frame.kind = FRAME_ADVERTISEMENT;
	assert_int_equal(steer(&frame, 0, &flow), 1);
}

static void only_one_of_two_listens(void **state)
{
	struct port_options reuse = { .reuse_address = true };
	struct address any = address_of_ip4(0), one = address_of_ip4(1);
	struct port_binding *a, *b;

	machine(2, 2, 0);
	assert_int_equal(ports_bind(IP_PROTO_TCP, &any, PORT(80), reuse, &a), 0);
	assert_int_equal(ports_bind(IP_PROTO_TCP, &any, PORT(80), reuse, &b), 0);
	assert_int_equal(ports_listen(a, 3), 0);
	assert_int_equal(ports_listen(b, 3), -EADDRINUSE);
	ports_release(a);
	assert_int_equal(ports_listen(b, 3), 0);
	ports_release(b);
	assert_int_equal(ports_listeners(IP_PROTO_TCP, &one, PORT(80)), 0);
}

static void ephemeral_ports_tell_their_core(void **state)
{
	static uint8_t seen[65536];

	memset(seen, 0, sizeof(seen));
	ncores = 3;
	for (core_id_t core = 0; core < 3; core++) {
		unsigned count;

		machine(3, 3, core);
		count = ports_ephemeral_count();
		for (unsigned i = 0; i < count; i++) {
			uint16_t port = PORT(ports_next_ephemeral());

			assert_in_range(port, 32768, 60999);
			assert_int_equal(ports_ephemeral_core(port), core);
			seen[port]++;
		}
	}
	for (unsigned port = 32768; port <= 60999; port++)
		assert_int_equal(seen[port], 1);
}

static void ephemeral_ports_run_out_and_come_back(void **state)
{
	enum { MOST = 30000 };
	static struct port_binding *bindings[MOST];
	unsigned count = 0;
	struct port_binding *more;

	machine(4, 4, 1);
	while (bind_any(IP_PROTO_UDP, 0, false, &bindings[count]) == 0)
		count++;
	assert_int_equal(count, ports_ephemeral_count());
	assert_int_equal(bind_any(IP_PROTO_UDP, 0, false, &more), -EADDRINUSE);
	while (count)
		ports_release(bindings[--count]);
	assert_int_equal(bind_any(IP_PROTO_UDP, 0, false, &more), 0);
	ports_release(more);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_known_connection_stays),
		cmocka_unit_test(a_syn_stays_where_somebody_listens),
		cmocka_unit_test(a_syn_finds_the_cores_that_listen),
		cmocka_unit_test(a_shared_queue_spreads_over_its_cores),
		cmocka_unit_test(a_stray_segment_asks_each_core_once),
		cmocka_unit_test(a_new_connection_may_follow_in_time_wait),
		cmocka_unit_test(datagrams_go_to_the_socket),
		cmocka_unit_test(ports_are_shared_as_on_linux),
		cmocka_unit_test(families_conflict_as_on_linux),
		cmocka_unit_test(datagrams_of_ip6_go_to_the_socket),
		cmocka_unit_test(only_one_of_two_listens),
		cmocka_unit_test(ephemeral_ports_tell_their_core),
		cmocka_unit_test(ephemeral_ports_run_out_and_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
