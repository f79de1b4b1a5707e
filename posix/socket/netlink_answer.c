/*
 * What netlink tells of interfaces and their addresses.
 */
#include "posix/socket/netlink_answer.h"

#include "posix/socket/interface_list.h"

#include <string.h>
#include <sys/socket.h>

#define NLM_F_MULTI 0x2
#define RTM_NEWLINK 16
#define RTM_NEWADDR 20

struct link_message { /* struct ifinfomsg */
	uint8_t family, padding;
	uint16_t type;
	int32_t index;
	uint32_t flags, change;
};

struct address_message { /* struct ifaddrmsg */
	uint8_t family, prefix, flags, scope;
	uint32_t index;
};

enum { IFLA_ADDRESS = 1, IFLA_BROADCAST = 2, IFLA_IFNAME = 3, IFLA_MTU = 4, IFLA_TXQLEN = 13 };
enum { IFA_ADDRESS = 1, IFA_LOCAL = 2, IFA_LABEL = 3, IFA_BROADCAST = 4, IFA_FLAGS = 8 };

static void *put(struct netlink_answer *answer, size_t length)
{
	char *place = answer->bytes + answer->length;

	if (answer->length + NETLINK_ALIGNED(length) > sizeof(answer->bytes))
		return NULL;
	memset(place, 0, NETLINK_ALIGNED(length));
	answer->length += NETLINK_ALIGNED(length);
	return place;
}

static struct netlink_header *begin(struct netlink_answer *answer,
				    const struct netlink_header *request, uint16_t type,
				    uint16_t flags, uint32_t port)
{
	struct netlink_header *header = put(answer, sizeof(*header));

	if (header)
		*header = (struct netlink_header){ 0, type, flags, request->sequence, port };
	return header;
}

static void finish(struct netlink_answer *answer, struct netlink_header *header)
{
	header->length = (uint32_t)(answer->bytes + answer->length - (char *)header);
}

static void attribute(struct netlink_answer *answer, uint16_t type, const void *value,
		      size_t length)
{
	char *place = put(answer, 4 + length);
	uint16_t head[2] = { (uint16_t)(4 + length), type };

	if (!place)
		return;
	memcpy(place, head, sizeof(head));
	memcpy(place + sizeof(head), value, length);
}

void netlink_put_links(struct netlink_answer *answer, const struct netlink_header *request,
		       uint32_t port)
{
	struct interface_entry entries[INTERFACES_MAX];
	unsigned n = interface_entries(entries);

	for (unsigned i = 0; i < n; i++) {
		const struct interface_entry *entry = &entries[i];
		struct netlink_header *header =
		    begin(answer, request, RTM_NEWLINK, NLM_F_MULTI, port);
		struct link_message *link = put(answer, sizeof(*link));
		uint32_t queue = 1000;

		if (!header || !link)
			return;
		link->type = entry->hardware_type;
		link->index = entry->index;
		link->flags = entry->flags;
		attribute(answer, IFLA_IFNAME, entry->name, strlen(entry->name) + 1);
		attribute(answer, IFLA_TXQLEN, &queue, sizeof(queue));
		attribute(answer, IFLA_MTU, &entry->mtu, sizeof(entry->mtu));
		attribute(answer, IFLA_ADDRESS, entry->hardware_address, 6);
		attribute(answer, IFLA_BROADCAST, entry->hardware_broadcast, 6);
		finish(answer, header);
	}
}

static void put_address(struct netlink_answer *answer, const struct netlink_header *request,
			uint32_t port, const struct interface_address *own)
{
	struct netlink_header *header = begin(answer, request, RTM_NEWADDR, NLM_F_MULTI, port);
	struct address_message *message = put(answer, sizeof(*message));
	size_t length = own->family == AF_INET ? 4 : 16;
	uint32_t flags = own->flags;

	if (!header || !message)
		return;
	*message = (struct address_message){ (uint8_t)own->family, (uint8_t)own->prefix, own->flags,
					     own->scope, (uint32_t)own->index };
	attribute(answer, IFA_ADDRESS, own->bytes, length);
	if (own->family == AF_INET) {
		attribute(answer, IFA_LOCAL, own->bytes, length);
		if (own->index != 1)
			attribute(answer, IFA_BROADCAST, own->broadcast, sizeof(own->broadcast));
		attribute(answer, IFA_LABEL, own->name, strlen(own->name) + 1);
	}
	attribute(answer, IFA_FLAGS, &flags, sizeof(flags));
	finish(answer, header);
}

void netlink_put_addresses(struct netlink_answer *answer, const struct netlink_header *request,
			   uint8_t family, uint32_t port)
{
	struct interface_address addresses[INTERFACE_ADDRESSES_MAX];
	unsigned n = interface_addresses(addresses);

	for (unsigned i = 0; i < n; i++)
		if (family == AF_UNSPEC || family == addresses[i].family)
			put_address(answer, request, port, &addresses[i]);
}

void netlink_put_end(struct netlink_answer *answer, const struct netlink_header *request, int error,
		     uint16_t type, uint32_t port)
{
	bool done = type == NLMSG_DONE;
	struct netlink_header *header = begin(answer, request, type, done ? NLM_F_MULTI : 0, port);
	int32_t *code = put(answer, sizeof(*code));

	if (!header || !code)
		return;
	*code = error;
	/* With an error goes what it is about. */
	if (!done) {
		struct netlink_header *copy = put(answer, sizeof(*copy));

		if (copy)
			*copy = *request;
	}
	finish(answer, header);
}
