/*
 * The machine around net/ of the host tests.
 */
#include "tests/host/network_model.h"

#include "arch/arch.h"
#include "drivers/virtio/virtio_net.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "net/checksum.h"
#include "net/config.h"
#include "net/interface6.h"
#include "net/net.h"
#include "net/queues.h"
#include "sched/thread.h"
#include "smp/core.h"
#include "smp/epoch.h"
#include "smp/mailbox.h"
#include "smp/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct model model = { .now_ns = 1, .allocations_left = -1 };
void (*model_sniffer)(const uint8_t *frame, uint32_t len);

CORE_LOCAL struct counters counters;
CORE_LOCAL struct thread *current;

const struct address model_address6 = { .bytes = { 0x20, 1, 0xd, 0xb8, [15] = 1 } };
const struct address mirror_address6 = { .bytes = { 0x20, 1, 0xd, 0xb8, [15] = 2 } };
static const struct address link_local = { .bytes = { 0xfe, 0x80, [11] = 0xff, 0xfe, [15] = 1 } };

static uint64_t random_state = 88172645463325252ull;

/* ---- memory, time, chance ---- */

uint32_t model_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16);
}

uint64_t arch_random(void)
{
	return (uint64_t)model_random() << 32 | model_random();
}

uint64_t clock_ns(void)
{
	return model.now_ns;
}

static bool memory_is_out(void)
{
	if (model.allocations_left < 0)
		return false;
	if (model.allocations_left == 0)
		return true;
	model.allocations_left--;
	return false;
}

void *object_alloc(size_t size)
{
	if (memory_is_out())
		return NULL;
	model.objects++;
	return malloc(size);
}

void *object_alloc_zeroed(size_t size)
{
	void *object = object_alloc(size);

	return object ? memset(object, 0, size) : NULL;
}

void object_free(void *object)
{
	if (!object)
		return;
	model.objects--;
	free(object);
}

paddr_t frame_alloc_zeroed(unsigned order)
{
	void *pages = aligned_alloc(PAGE_SIZE, PAGE_SIZE << order);

	return virt_to_phys(memset(pages, 0, PAGE_SIZE << order));
}

size_t frame_total(void)
{
	return 100000;
}

size_t frame_free_count(void)
{
	return model.memory_is_short ? 1000 : 50000;
}

/* ---- other cores ---- */

struct posted {
	struct posted *next;
	void (*handler)(void *argument);
	void *argument;
};
static struct posted *first_posted, **last_posted = &first_posted;

int mailbox_post(core_id_t core, void (*handler)(void *), void *argument)
{
	struct posted *posted;

	if (core != this_core) {
		model.posted_cores[core]++;
		model.last_posted = argument;
		/* Nobody is there: what takes frames has them freed. */
		return -ENOSPC;
	}
	posted = malloc(sizeof(*posted));
	*posted = (struct posted){ NULL, handler, argument };
	*last_posted = posted;
	last_posted = &posted->next;
	return 0;
}

void parcel_init(struct parcel *parcel, void (*handler)(struct parcel *))
{
	*parcel = (struct parcel){ .handler = handler };
}

static void deliver(void *argument)
{
	struct parcel *parcel = argument;

	parcel->in_flight = false;
	parcel->handler(parcel);
}

void parcel_send(core_id_t core, struct parcel *parcel)
{
	assert(!parcel->in_flight && core == this_core);
	parcel->in_flight = true;
	mailbox_post(core, deliver, parcel);
}

long core_call(core_id_t core, long (*function)(void *), void *argument)
{
	return function(argument);
}

void core_call_all(void (*function)(void *), void *argument)
{
	function(argument);
}

void *window_address_of(core_id_t core, const void *variable)
{
	return (void *)variable;
}

void epoch_defer(struct deferred *deferred, void (*release)(struct deferred *))
{
	release(deferred);
}

void thread_prepare_block(void) {}

bool thread_block(uint64_t deadline_ns)
{
	model_run(10);
	return false;
}

void thread_wake(struct thread *thread) {}

/* ---- the device ---- */

#define RING 512

struct sent {
	void (*done)(void *);
	void *argument;
};
static struct sent in_flight[RING];
static unsigned sent_head, sent_tail;

struct arrival {
	struct arrival *next;
	uint64_t at_ns;
	struct packet *packet;
};
static struct arrival *arrivals;
static uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };

unsigned virtio_net_queue_pairs(void)
{
	return model.queue_pairs;
}

const uint8_t *virtio_net_mac(void)
{
	return mac;
}

unsigned virtio_net_mtu(void)
{
	return 1500;
}

unsigned virtio_net_receive_buffers(void)
{
	return 512;
}

bool virtio_net_offloads_tx_checksum(void)
{
	return model.offload;
}

bool virtio_net_offloads_rx_checksum(void)
{
	return model.offload;
}

void virtio_net_kick(unsigned queue) {}

void virtio_net_restart(uint64_t own) {}

bool virtio_net_leave(unsigned queue)
{
	return true;
}

void virtio_net_take_over(unsigned queue) {}

bool virtio_net_enable_interrupt(unsigned queue)
{
	return true;
}

void virtio_net_disable_interrupt(unsigned queue) {}

void packet_release(struct packet *packet)
{
	while (packet) {
		struct packet *next = packet->next;

		model.packets_out--;
		free(packet->data);
		free(packet);
		packet = next;
	}
}

static struct packet *make_part(const uint8_t *data, uint32_t len, uint32_t total_len)
{
	struct packet *packet = malloc(sizeof(*packet));

	/* What the driver does not set is not to be relied on. */
	memset(packet, 0xa5, sizeof(*packet));
	packet->next = NULL;
	packet->data = malloc(len); /* of its own, so that a step beyond is seen */
	memcpy(packet->data, data, len);
	packet->len = len;
	packet->total_len = total_len;
	packet->home_queue = 0;
	packet->checksum_valid = model.offload;
	model.packets_out++;
	return packet;
}

static void arrive(struct packet *packet, uint64_t at_ns)
{
	struct arrival **link = &arrivals, *arrival = malloc(sizeof(*arrival));

	while (*link && (*link)->at_ns <= at_ns)
		link = &(*link)->next;
	*arrival = (struct arrival){ *link, at_ns, packet };
	*link = arrival;
}

void model_inject_parts(const void *frame, uint32_t len, uint32_t part_len)
{
	struct packet *first = NULL, **link = &first;

	for (uint32_t at = 0; at < len; at += part_len) {
		*link = make_part((const uint8_t *)frame + at, min(part_len, len - at), len);
		link = &(*link)->next;
	}
	if (first)
		arrive(first, model.now_ns);
}

void model_inject(const void *frame, uint32_t len)
{
	model_inject_parts(frame, len, len);
}

unsigned virtio_net_receive(unsigned queue, struct packet **packets, unsigned max)
{
	unsigned count = 0;

	while (count < max && arrivals && arrivals->at_ns <= model.now_ns) {
		struct arrival *arrival = arrivals;

		arrivals = arrival->next;
		packets[count++] = arrival->packet;
		free(arrival);
		model.frames_received++;
	}
	return count;
}

static void swap(uint8_t *a, uint8_t *b, size_t len)
{
	uint8_t kept[16];

	memcpy(kept, a, len);
	memcpy(a, b, len);
	memcpy(b, kept, len);
}

static void mirror_ip(uint8_t *frame, uint32_t len)
{
	uint64_t at_ns = model.now_ns + NS_PER_MS;

	/* What is for a group nobody else hears. */
	if (frame[0] & 1)
		return;
	if (frame[12] == 0x86)
		swap(frame + 22, frame + 38, 16);
	else
		swap(frame + 26, frame + 30, 4);
	memcpy(frame + 6, frame, 6);
	memcpy(frame, mac, 6);
	if (model_random() % 1000 < model.delayed_per_1000)
		at_ns += (model_random() % 40) * NS_PER_MS;
	arrive(make_part(frame, len, len), at_ns);
	if (model_random() % 1000 < model.doubled_per_1000)
		arrive(make_part(frame, len, len), at_ns + NS_PER_MS);
}

/* Whoever is asked for, it is the mirror. */
static void answer_arp(uint8_t *frame)
{
	uint8_t asked[4], reply_mac[6] = { 2, 0, 0, 0, 0, 2 };

	if (frame[21] != 1 || memcmp(frame + 28, frame + 38, 4) == 0)
		return;
	memcpy(asked, frame + 38, 4);
	memcpy(frame, frame + 6, 6);
	memcpy(frame + 6, reply_mac, 6);
	frame[21] = 2;
	memcpy(frame + 32, frame + 22, 10);
	memcpy(frame + 22, reply_mac, 6);
	memcpy(frame + 28, asked, 4);
	model_inject(frame, 42);
}

uint32_t model_icmp6_frame(uint8_t *frame, const struct address *source,
			   const struct address *destination, uint8_t hop_limit,
			   const void *message, uint32_t len)
{
	static const uint8_t ethernet[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd };
	uint8_t *ip = frame + sizeof(ethernet), *icmp = ip + 40;
	uint16_t sum;

	memcpy(frame, ethernet, sizeof(ethernet));
	memset(ip, 0, 40);
	ip[0] = 0x60;
	ip[4] = (uint8_t)(len >> 8);
	ip[5] = (uint8_t)len;
	ip[6] = 58;
	ip[7] = hop_limit;
	memcpy(ip + 8, source->bytes, 16);
	memcpy(ip + 24, destination->bytes, 16);
	memcpy(icmp, message, len);
	memset(icmp + 2, 0, 2);
	sum = (uint16_t)~checksum_fold((uint64_t)internet_checksum(ip + 8, 32) +
				       internet_checksum(icmp, (int)len) +
				       __builtin_bswap16((uint16_t)len) + __builtin_bswap16(58));
	memcpy(icmp + 2, &sum, 2);
	return (uint32_t)sizeof(ethernet) + 40 + len;
}

/* The same for IPv6; who only tries an address hears nothing. */
static bool answer_solicitation(const uint8_t *frame, uint32_t len)
{
	uint8_t answer[128], message[32] = { 136, 0, 0, 0, 0x60 };
	static const uint8_t option[] = { 2, 1, 2, 0, 0, 0, 0, 2 };
	struct address asker, target;

	if (len < 78 || frame[12] != 0x86 || frame[20] != 58 || frame[54] != 135)
		return false;
	memcpy(&asker, frame + 22, 16);
	memcpy(&target, frame + 62, 16);
	if (address_is_any6(&asker) || model.neighbors_silent)
		return true;
	memcpy(message + 8, &target, 16);
	memcpy(message + 24, option, 8);
	model_inject(answer, model_icmp6_frame(answer, &target, &asker, 255, message, 32));
	return true;
}

static void transmit(uint8_t *frame, uint32_t len)
{
	model.frames_sent++;
	if (answer_solicitation(frame, len))
		return;
	if (frame[12] == 8 && frame[13] == 6)
		answer_arp(frame);
	else if (model_sniffer)
		model_sniffer(frame, len);
	else if (!model.wire_cut && model_random() % 1000 >= model.loss_per_1000)
		mirror_ip(frame, len);
}

/* The device's part of an offloaded checksum (virtio 1.2, 5.1.6.2). */
static void complete_checksum(uint8_t *frame, uint32_t len, const struct tx_offload *offload)
{
	uint16_t sum = (uint16_t)~internet_checksum(frame + offload->checksum_start,
						    (int)(len - offload->checksum_start));

	memcpy(frame + offload->checksum_start + offload->checksum_offset, &sum, 2);
}

int virtio_net_send(unsigned queue, const struct tx_segment *segments, unsigned nsegments,
		    const struct tx_offload *offload, void (*done)(void *), void *argument)
{
	uint32_t len = 0, at = 0;
	uint8_t *frame;

	if (sent_head - sent_tail == RING || model.ring_is_full)
		return -ENOBUFS;
	for (unsigned i = 0; i < nsegments; i++)
		len += segments[i].len;
	frame = malloc(len);
	for (unsigned i = 0; i < nsegments; i++) {
		memcpy(frame + at, segments[i].data, segments[i].len);
		at += segments[i].len;
	}
	if (offload->needs_checksum)
		complete_checksum(frame, len, offload);
	transmit(frame, len);
	free(frame);
	if (len <= 128)
		done(argument);
	else
		in_flight[sent_head++ % RING] = (struct sent){ done, argument };
	return 0;
}

bool virtio_net_has_room(unsigned queue)
{
	return !model.ring_is_full;
}

void virtio_net_reclaim(unsigned queue)
{
	while (sent_tail != sent_head) {
		struct sent *sent = &in_flight[sent_tail++ % RING];

		sent->done(sent->argument);
	}
}

/* ---- running ---- */

bool model_poll(void)
{
	bool worked = false;

	while (first_posted) {
		struct posted *posted = first_posted;

		first_posted = posted->next;
		if (!first_posted)
			last_posted = &first_posted;
		posted->handler(posted->argument);
		free(posted);
		worked = true;
	}
	worked |= timers_run(model.now_ns) != 0;
	worked |= interface_poll();
	return worked;
}

void model_run(unsigned ms)
{
	for (unsigned passed = 0; passed < ms; passed += 10) {
		model.now_ns += 10 * NS_PER_MS;
		for (int i = 0; i < 100 && model_poll(); i++)
			model.now_ns += NS_PER_MS / 20;
	}
}

void model_start_unconfigured(unsigned queue_pairs)
{
	model.queue_pairs = queue_pairs;
	/* Core 0 has the first, and whoever else there may be has none. */
	network_queues.cores = ~0ull;
	network_queues.of[0].owns = queue_pairs ? 1 : 0;
	network_queues.of[0].serves = 1;
	cores[0].online = true;
	net_init();
	net_init_core();
}

void model_start(unsigned queue_pairs)
{
	model_start_unconfigured(queue_pairs);
	interface_set_address(MODEL_ADDRESS, 0x00ffffff, MIRROR_ADDRESS);
	network_config.static_address6 = model_address6;
	network_config.static_prefix6 = 64;
	network_config.addresses6[0] = (struct network_address6){ link_local, true, false };
	network_config.addresses6[1] = (struct network_address6){ model_address6, true, false };
	interface_set_addresses6(&network_config);
	model_run(100);
	model.objects = 0; /* the groups of our addresses stay */
}

/* ---- sockets ---- */

struct socket_address model_address(uint32_t address, uint16_t port)
{
	return (struct socket_address){
		.length = sizeof(struct sockaddr_in),
		.in = { .sin_family = AF_INET,
			.sin_addr.s_addr = address,
			.sin_port = __builtin_bswap16(port) },
	};
}

struct socket_address model_socket_address6(const struct address *address, uint16_t port)
{
	struct socket_address result = {
		.length = sizeof(struct sockaddr_in6),
		.in6 = { .sin6_family = AF_INET6,
			 .sin6_port = __builtin_bswap16(port),
			 .sin6_scope_id = address_is_link_local(address) ? 2 : 0 },
	};

	memcpy(&result.in6.sin6_addr, address->bytes, 16);
	return result;
}

struct socket *model_listen(uint16_t port, int backlog)
{
	struct socket_address address = model_address(0, port);
	int error;
	struct socket *socket = socket_create(AF_INET, SOCK_STREAM, 0, &error);

	assert(socket);
	assert(socket_bind(socket, &address) == 0);
	assert(socket_listen(socket, backlog) == 0);
	return socket;
}

struct socket *model_connect(uint32_t address, uint16_t port)
{
	struct socket_address to = model_address(address, port);
	int error;
	struct socket *socket = socket_create(AF_INET, SOCK_STREAM, 0, &error);

	assert(socket);
	error = socket_connect(socket, &to);
	assert(error == -EINPROGRESS);
	return socket;
}

ssize_t model_send(struct socket *socket, const void *data, size_t len)
{
	struct iovec iov = { (void *)data, len };

	return socket_send(socket, &iov, 1, 0, NULL, NULL);
}

ssize_t model_receive(struct socket *socket, void *data, size_t len)
{
	struct iovec iov = { data, len };

	return socket_receive(socket, &iov, 1, 0, NULL, NULL);
}
