/*
 * Answers to netlink requests (rtnetlink(7)): the messages that list interfaces and addresses.
 */
#pragma once

#include "lavra/types.h"

#define NLMSG_ERROR 2
#define NLMSG_DONE 3
#define NLM_F_REQUEST 0x1
#define NLM_F_DUMP 0x300
#define RTM_GETLINK 18
#define RTM_GETADDR 22

#define NETLINK_ALIGNED(length) align_up(length, 4u)

struct netlink_header { /* struct nlmsghdr */
	uint32_t length;
	uint16_t type, flags;
	uint32_t sequence, port;
};

#define ANSWER_BYTES 2048u /* more than all interfaces with all addresses take */

struct netlink_answer {
	struct netlink_answer *next;
	size_t length;
	char bytes[ANSWER_BYTES];
};

/* Append to an empty answer what was asked for; `port` is the asking socket's. */
void netlink_put_links(struct netlink_answer *answer, const struct netlink_header *request,
		       uint32_t port);
void netlink_put_addresses(struct netlink_answer *answer, const struct netlink_header *request,
			   uint8_t family, uint32_t port);
/* The end of a list (NLMSG_DONE), or an error (NLMSG_ERROR). */
void netlink_put_end(struct netlink_answer *answer, const struct netlink_header *request, int error,
		     uint16_t type, uint32_t port);
