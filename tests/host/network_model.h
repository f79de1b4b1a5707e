/*
 * A machine around net/: one core that runs, a clock that is set, memory that may run out, and a
 * network device whose wire is a mirror.
 *
 * The mirror swaps the addresses of each IP packet and sends it back, so that the one lwIP
 * speaks with itself: whoever connects from 10.0.0.1 to 10.0.0.2 reaches 10.0.0.1's own
 * listener and is seen there as 10.0.0.2. Likewise 2001:db8::1 and 2001:db8::2. The wire loses,
 * doubles and delays what it is told to.
 */
#pragma once

#include "lavra/types.h"
#include "net/address.h"
#include "net/socket.h"

#define MODEL_ADDRESS 0x0100000a /* 10.0.0.1 in network order */
#define MIRROR_ADDRESS 0x0200000a /* 10.0.0.2 */
extern const struct address model_address6, mirror_address6; /* 2001:db8::1 and ::2 */

struct model {
	uint64_t now_ns;
	unsigned queue_pairs;
	unsigned loss_per_1000, doubled_per_1000, delayed_per_1000;
	bool wire_cut;
	bool neighbors_silent; /* nobody answers an IPv6 solicitation */
	bool ring_is_full; /* the device takes no frame */
	bool offload; /* checksums: the device's business */
	long allocations_left; /* fail when it reaches 0; negative: never */
	long objects; /* alive */
	bool memory_is_short; /* as frame_free_count() has it */
	unsigned frames_sent, frames_received, packets_out;
	uint64_t posted_cores[64]; /* messages posted to other cores, by core */
	void *last_posted;
};
extern struct model model;

/* The network is up, with its address. Once in a program. */
void model_start(unsigned queue_pairs);
/* The same without an address. */
void model_start_unconfigured(unsigned queue_pairs);
/* Let `ms` milliseconds pass, in steps of 10. */
void model_run(unsigned ms);
/* One pass over the core's work. */
bool model_poll(void);
/* Put a frame into the receive queue. */
void model_inject(const void *frame, uint32_t len);
void model_inject_parts(const void *frame, uint32_t len, uint32_t part_len);
/* An IPv6 packet to us with a right ICMPv6 checksum, Ethernet header first; `len` of the message.
 * Returns the frame's length. */
uint32_t model_icmp6_frame(uint8_t *frame, const struct address *source,
			   const struct address *destination, uint8_t hop_limit,
			   const void *message, uint32_t len);
/* Frames other than ARP and neighbor solicitations are given to this, if set, instead of the wire. */
extern void (*model_sniffer)(const uint8_t *frame, uint32_t len);
uint32_t model_random(void);

struct socket_address model_socket_address6(const struct address *address, uint16_t port);

/* Sockets, with what a test usually wants of them; they assert that it worked. */
struct socket *model_listen(uint16_t port, int backlog);
struct socket *model_connect(uint32_t address, uint16_t port);
struct socket_address model_address(uint32_t address, uint16_t port);
ssize_t model_send(struct socket *socket, const void *data, size_t len);
ssize_t model_receive(struct socket *socket, void *data, size_t len);
