/*
 * What the kernel and this core's network stack hand each other: with isolation each writes only to memory of
 * its own, and this is the network's, which the kernel may write as well. Between a call and the
 * next nothing in here is kept.
 */
#pragma once

#include "lavra/types.h"
#include "net/socket.h"

/* Ancillary data of one message, and the value of an option: longer ones are refused. */
#define EXCHANGE_CONTROL_MAX 1024
#define EXCHANGE_OPTION_MAX 256
/* Of data: the longest datagram. */
#define EXCHANGE_DATA_ORDER 4
#define EXCHANGE_DATA_MAX (PAGE_SIZE << EXCHANGE_DATA_ORDER)
/* Sockets told of before the kernel looks. */
#define EXCHANGE_EVENTS_MAX 128

struct network_event {
	struct socket *socket;
	uint32_t events;
};

struct network_exchange {
	unsigned nevents; /* first: network_gate.S */
	bool at_once; /* the kernel: what is sent is told to the device at once (core_computes) */
	int error;
	socklen_t length;
	struct iovec iov;
	struct socket_address address;
	struct socket_control control;
	struct network_event events[EXCHANGE_EVENTS_MAX];
	uint64_t option[EXCHANGE_OPTION_MAX / sizeof(uint64_t)];
	uint64_t control_data[EXCHANGE_CONTROL_MAX / sizeof(uint64_t)];
};

extern CORE_LOCAL struct network_exchange network_exchange;
/* Bytes on their way in or out: EXCHANGE_DATA_MAX with isolation, else what a full stage needs. */
extern CORE_LOCAL uint8_t *network_data;

/* Every core: 0 or -ENOMEM. */
int exchange_init_core(void);
/* With isolation: tell the kernel of a socket (net/domain/tell.c). */
void network_tell(struct socket *socket, uint32_t events);
