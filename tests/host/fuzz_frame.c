/*
 * Frames from a hostile network: whatever arrives, alone or in parts, with checksums vouched for or
 * not, the stack reads nothing beyond it and keeps nothing of it for ever.
 * links: tests/host/network_model.c sched/timer.c network
 *
 * An input is a row of frames, each behind a byte of flags and two of length. A flag makes a frame
 * begin like one that gets far: addresses and a right IP checksum are filled in.
 */
#include "tests/host/network_model.h"

#include "lavra/console.h"
#include "net/config.h"
#include "net/flow.h"
#include "net/interface6.h"
#include "net/packet_pbuf.h"

#include "lwip/nd6.h"

#include <errno.h>

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	IN_PARTS = 1, /* of what the next bits say */
	TRUSTED = 2, /* the device vouches for the checksum */
	LIKELY_IP = 4, /* to us, right IP checksum */
	LIKELY_FLOW = 8, /* and from the peer of the connection, to it */
	LIKELY_NUMBERS = 16, /* with sequence numbers in its window */
};
/* What the upper bits of an unbroken LIKELY_IP frame make of it. */
enum { AS_IP6 = 32, AS_ICMP6 = 64, AS_LINK_LOCAL = 128 };

static struct socket *listener, *datagrams, *ends[4];
static struct tcp_pcb *pcb, *pcb6;
static struct flow_key key, key6;

static void start(void)
{
	struct socket_address any = model_socket_address6(&(struct address){ 0 }, 80);
	int error;

	model_start(1);
	ethernet_interface.ip6_autoconfig_enabled = 1;
	listener = socket_create(AF_INET6, SOCK_STREAM, 0, &error);
	assert(socket_bind(listener, &any) == 0 && socket_listen(listener, 16) == 0);
}

/* A connection for the input to disturb. */
static void connect_one(struct socket *pair[2], struct tcp_pcb **server_pcb,
			struct flow_key *server_key)
{
	bool ip6 = server_pcb == &pcb6;
	struct socket_address to = model_socket_address6(&mirror_address6, 80);
	int error;

	if (ip6) {
		pair[0] = socket_create(AF_INET6, SOCK_STREAM, 0, &error);
		assert(socket_connect(pair[0], &to) == -EINPROGRESS);
	} else {
		pair[0] = model_connect(MIRROR_ADDRESS, 80);
	}
	/* A neighbor that lied before may cost it its first segment. */
	for (int tries = 0; tries < 100; tries++) {
		model_run(50);
		pair[1] = socket_accept(listener, &error);
		if (pair[1])
			break;
	}
	assert(pair[1]);
	*server_pcb = NULL;
	for (unsigned i = 0; i < FLOW_BUCKETS && !*server_pcb; i++)
		for (const struct flow *flow = flow_table[i]; flow; flow = flow->next)
			if (flow->pcb->local_port == 80 && IP_IS_V6_VAL(flow->pcb->local_ip) == ip6)
				*server_pcb = flow->pcb, *server_key = flow->key;
	assert(*server_pcb);
}

static void connect_both(void)
{
	struct socket_address any = model_socket_address6(&(struct address){ 0 }, 53);
	int error;

	connect_one(ends, &pcb, &key);
	connect_one(ends + 2, &pcb6, &key6);
	datagrams = socket_create(AF_INET6, SOCK_DGRAM, 0, &error);
	assert(socket_bind(datagrams, &any) == 0);
}

static void disconnect(void)
{
	struct linger reset = { 1, 0 };
	struct socket *other;
	char buffer[4096];
	int error;

	for (unsigned i = 0; i < array_size(ends); i++) {
		model_receive(ends[i], buffer, sizeof(buffer));
		socket_set_option(ends[i], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		socket_close(ends[i]);
	}
	socket_close(datagrams);
	while ((other = socket_accept(listener, &error)))
		socket_close(other);
}

static void put32(uint8_t *at, uint32_t value)
{
	value = __builtin_bswap32(value);
	memcpy(at, &value, 4);
}

/* An IPv6 header to us; as ICMPv6 with a right checksum, from a neighbor or from a router. */
static void dress_ip6(uint8_t *frame, uint32_t len, uint8_t flags)
{
	static const struct address router = { .bytes = { 0xfe, 0x80, [15] = 0x99 } };
	static const struct address all_nodes = { .bytes = { 0xff, 2, [15] = 1 } };
	bool local = flags & AS_LINK_LOCAL;
	uint8_t copy[4096], next = frame[20], hop_limit = frame[21];

	if (len < 54)
		return;
	memcpy(copy, frame + 54, len - 54);
	model_icmp6_frame(frame, local ? &router : &mirror_address6,
			  local ? &all_nodes : &model_address6, flags & AS_ICMP6 ? 255 : hop_limit,
			  copy, flags & AS_ICMP6 ? len - 54 : 0);
	frame[18] = (uint8_t)((len - 54) >> 8);
	frame[19] = (uint8_t)(len - 54);
	if (!(flags & AS_ICMP6)) {
		memcpy(frame + 54, copy, len - 54);
		frame[20] = next;
	}
	if ((flags & LIKELY_FLOW) && len >= 74) {
		frame[20] = 6;
		memcpy(frame + 54, &key6.remote_port, 2);
		memcpy(frame + 56, &key6.local_port, 2);
	}
	if ((flags & LIKELY_NUMBERS) && len >= 74) {
		put32(frame + 58, pcb6->rcv_nxt + frame[58]);
		put32(frame + 62, pcb6->snd_nxt - (frame[62] & 3));
		frame[66] = (uint8_t)(0x50 + (frame[66] & 0x30));
	}
}

static void dress(uint8_t *frame, uint32_t len, uint8_t flags)
{
	static const uint8_t ethernet[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45 };
	uint32_t ip_len = len - 14, sum = 0;

	if (!(flags & LIKELY_IP) || len < 34)
		return;
	if (!(flags & IN_PARTS) && (flags & AS_IP6)) {
		dress_ip6(frame, len, flags);
		return;
	}
	memcpy(frame, ethernet, sizeof(ethernet));
	frame[16] = (uint8_t)(ip_len >> 8);
	frame[17] = (uint8_t)ip_len;
	memcpy(frame + 26, &(uint32_t){ MIRROR_ADDRESS }, 4);
	memcpy(frame + 30, &(uint32_t){ MODEL_ADDRESS }, 4);
	if ((flags & LIKELY_FLOW) && len >= 54) {
		frame[20] = frame[21] = 0;
		frame[23] = 6;
		memcpy(frame + 34, &key.remote_port, 2);
		memcpy(frame + 36, &key.local_port, 2);
	}
	if ((flags & LIKELY_NUMBERS) && len >= 54) {
		put32(frame + 38, pcb->rcv_nxt + frame[38]);
		put32(frame + 42, pcb->snd_nxt - (frame[42] & 3));
		frame[46] = (uint8_t)(0x50 + (frame[46] & 0x30));
	}
	frame[24] = frame[25] = 0;
	for (int i = 14; i < 34; i += 2)
		sum += (uint32_t)frame[i] << 8 | frame[i + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	sum = ~(sum + (sum >> 16)) & 0xffff;
	frame[24] = (uint8_t)(sum >> 8);
	frame[25] = (uint8_t)sum;
}

/* Does the connection's control block live? Its number is stale if not. */
static bool alive(const struct flow_key *flow_key, const struct tcp_pcb *flow_pcb)
{
	struct flow *flow = flow_find(flow_key, flow_hash(flow_key));

	return flow && flow->pcb == flow_pcb;
}

/* Addresses that routers gave, and neighbors that lie, are forgotten between inputs. */
static void forget_routers(void)
{
	for (s8_t i = 2; i < LWIP_IPV6_NUM_ADDRESSES; i++)
		netif_ip6_addr_set_state(&ethernet_interface, i, IP6_ADDR_INVALID);
	nd6_cleanup_netif(&ethernet_interface);
	interface_set_addresses6(&network_config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t frame[4096];

	if (!listener)
		start();
	connect_both();
	while (size >= 3) {
		uint8_t flags = data[0];
		uint32_t len = (uint32_t)(data[1] << 8 | data[2]) % sizeof(frame);

		data += 3;
		size -= 3;
		len = (uint32_t)min((size_t)len, size);
		memcpy(frame, data, len);
		data += len;
		size -= len;
		if (!alive(&key, pcb) || !alive(&key6, pcb6))
			flags &= (uint8_t)~LIKELY_NUMBERS;
		dress(frame, len, flags);
		model.offload = flags & TRUSTED;
		if (len)
			model_inject_parts(
			    frame, len, flags & IN_PARTS ? 14 + (uint32_t)(flags >> 5) * 20 : len);
		model_poll();
	}
	model.offload = false;
	disconnect();
	/* Reassembly and half-open connections give up by then. */
	model_run(64 * 1000);
	forget_routers();
	interface_reclaim();
	assert(tcp_control_block_count() == 0);
	assert(packets_held == 0 && model.packets_out == 0);
	return 0;
}
