/*
 * Frames from a hostile network: whatever arrives, alone or in parts, with checksums vouched for or
 * not, the stack reads nothing beyond it and keeps nothing of it for ever.
 * links: tests/host/network_model.c sched/timer.c lwip net/checksum.c net/config.c net/flow.c
 * links: net/frame.c net/interface.c net/isn.c net/listener.c net/loopback.c net/neighbor.c
 * links: net/net.c net/packet_pbuf.c net/ports.c net/pressure.c net/segment.c net/socket.c
 * links: net/socket_option.c net/steering.c net/tcp_socket.c net/udp_socket.c
 *
 * An input is a row of frames, each behind a byte of flags and two of length. A flag makes a frame
 * begin like one that gets far: addresses and a right IP checksum are filled in.
 */
#include "tests/host/network_model.h"

#include "lavra/console.h"
#include "net/flow.h"
#include "net/packet_pbuf.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	IN_PARTS = 1, /* of what the next bits say */
	TRUSTED = 2, /* the device vouches for the checksum */
	LIKELY_IP = 4, /* to us, right IP checksum */
	LIKELY_FLOW = 8, /* and from the peer of the connection, to it */
	LIKELY_NUMBERS = 16, /* with sequence numbers in its window */
};

static struct socket *listener, *client, *server;
static struct tcp_pcb *pcb;
static struct flow_key key;

static void start(void)
{
	model_start(1);
	listener = model_listen(80, 16);
	client = NULL;
}

/* A connection for the input to disturb. */
static void connect_both(void)
{
	int error;

	client = model_connect(MIRROR_ADDRESS, 80);
	model_run(50);
	server = socket_accept(listener, &error);
	assert(server);
	pcb = NULL;
	for (unsigned i = 0; i < FLOW_BUCKETS && !pcb; i++)
		for (const struct flow *flow = flow_table[i]; flow; flow = flow->next)
			if (flow->pcb->local_port == 80)
				pcb = flow->pcb, key = flow->key;
	assert(pcb);
}

static void disconnect(void)
{
	struct linger reset = { 1, 0 };
	struct socket *other;
	char buffer[4096];
	int error;

	model_receive(server, buffer, sizeof(buffer));
	model_receive(client, buffer, sizeof(buffer));
	socket_set_option(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	socket_set_option(server, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	socket_close(client);
	socket_close(server);
	while ((other = socket_accept(listener, &error)))
		socket_close(other);
}

static void put32(uint8_t *at, uint32_t value)
{
	value = __builtin_bswap32(value);
	memcpy(at, &value, 4);
}

static void dress(uint8_t *frame, uint32_t len, uint8_t flags)
{
	static const uint8_t ethernet[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45 };
	uint32_t ip_len = len - 14, sum = 0;

	if (!(flags & LIKELY_IP) || len < 34)
		return;
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
static bool alive(void)
{
	struct flow *flow = flow_find(&key, flow_hash(&key));

	return flow && flow->pcb == pcb;
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
		if (!alive())
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
	model_run(40 * 1000);
	assert(tcp_control_block_count() == 0);
	assert(packets_held == 0 && model.packets_out == 0);
	return 0;
}
