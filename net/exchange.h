/*
 * What the kernel and this core's network stack hand each other: with isolation each writes only to memory of
 * its own, and this is the network's, which the kernel may write as well. Between a call and the
 * next only what is left for the next pass is kept (`taken`, `sends`).
 */
#pragma once

#include "lavra/types.h"
#include "net/socket.h"

/* Ancillary data of one message, longer is refused when sent; the value of an option, longer is cut. */
#define EXCHANGE_CONTROL_MAX 1024
#define EXCHANGE_OPTION_MAX 256
/* Of data: the longest datagram. */
#define EXCHANGE_DATA_ORDER 4
#define EXCHANGE_DATA_MAX (PAGE_SIZE << EXCHANGE_DATA_ORDER)
/* Sockets told of before the kernel looks. */
#define EXCHANGE_EVENTS_MAX 128 /* nevents is one more if there were more */

struct network_event {
	struct socket *socket;
	uint32_t events;
};

/* What is left for the next pass (net/look.h): a segment that was read, and bytes to be sent. */
struct network_taken {
	struct socket *socket;
	struct pbuf *pbuf;
};

struct network_send {
	struct socket *socket; /* NULL: it is gone */
	uint32_t at, length; /* in network_sends */
	bool more;
};

#define EXCHANGE_LEFT_MAX 64

struct network_exchange {
	/* Together the first word, which network_gate.S looks at. */
	uint16_t nevents;
	uint16_t
	    kicks; /* of the pair that the core sends on: bit 0: the receive queue's doorbell, bit 1: the other's */
	uint16_t ntaken, nsends;
	uint32_t sends_length; /* used of network_sends */
	bool more;
	bool at_once; /* the kernel: what is sent is told to the device at once (core_computes) */
	int error;
	socklen_t length;
	struct iovec iov;
	struct socket_address address;
	struct socket_control control;
	struct network_event events[EXCHANGE_EVENTS_MAX];
	uint64_t option[EXCHANGE_OPTION_MAX / sizeof(uint64_t)];
	uint64_t control_data[EXCHANGE_CONTROL_MAX / sizeof(uint64_t)];
	struct network_taken taken[EXCHANGE_LEFT_MAX];
	struct network_send sends[EXCHANGE_LEFT_MAX];
};

extern CORE_LOCAL struct network_exchange network_exchange;
/* Bytes on their way in or out: EXCHANGE_DATA_MAX with isolation, else what a full stage needs. */
extern CORE_LOCAL uint8_t *network_data;
/* Of the same length, with isolation: what look_leave() has left. */
extern CORE_LOCAL uint8_t *network_sends;

/* Every core: 0 or -ENOMEM. */
int exchange_init_core(void);
/* With isolation: tell the kernel of a socket (net/domain/tell.c). */
void network_tell(struct socket *socket, uint32_t events);
