/*
 * Ancillary data of datagrams: which of our addresses is meant, and the numbers in the IP header.
 */
#include "lavra/console.h"
#include "net/interface6.h"
#include "net/socket_state.h"

#include "lwip/def.h"

#include <errno.h>
#include <string.h>

#define INTERFACE_LOOPBACK 1
#define INTERFACE_ETHERNET 2

/* As Linux lays it out; what follows each is aligned to 8 bytes. */
struct header {
	size_t len;
	int level, type;
};
#define ALIGNED(len) (((len) + sizeof(size_t) - 1) & ~(sizeof(size_t) - 1))

struct writer {
	uint8_t *to;
	size_t room, used;
	bool truncated;
};

static void put(struct writer *writer, int level, int type, const void *data, size_t len)
{
	struct header header = { .len = sizeof(header) + len, .level = level, .type = type };
	size_t left = writer->room - writer->used;

	if (header.len > left) {
		writer->truncated = true;
		return;
	}
	memcpy(writer->to + writer->used, &header, sizeof(header));
	memcpy(writer->to + writer->used + sizeof(header), data, len);
	writer->used += min(ALIGNED(header.len), left);
}

static void put_number(struct writer *writer, int level, int type, int number)
{
	put(writer, level, type, &number, sizeof(number));
}

static unsigned interface_of(const struct address *destination)
{
	return address_is_loopback(destination) ? INTERFACE_LOOPBACK : INTERFACE_ETHERNET;
}

static void put_ip4(struct writer *writer, const struct socket_options *options,
		    const struct datagram *datagram)
{
	uint32_t destination = address_ip4(&datagram->destination);

	if (options->packet_info) {
		struct in_pktinfo info = {
			.ipi_ifindex = (int)interface_of(&datagram->destination),
			.ipi_addr.s_addr = destination,
			.ipi_spec_dst.s_addr =
			    interface_is_local(destination)
				? destination
				: interface_source_address(address_ip4(&datagram->source)),
		};

		put(writer, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	}
	if (options->receive_ttl)
		put_number(writer, IPPROTO_IP, IP_TTL, datagram->ttl);
	if (options->receive_tos)
		put(writer, IPPROTO_IP, IP_TOS, &datagram->tos, sizeof(datagram->tos));
}

void socket_control_give(const struct socket *socket, const struct datagram *datagram,
			 struct socket_control *control)
{
	const struct socket_options *options = &socket->options;
	struct writer writer = { .to = control->data, .room = control->length };

	if (address_is_ip4(&datagram->destination))
		put_ip4(&writer, options, datagram);
	if (socket->family == AF_INET6) {
		if (options->packet_info6) {
			struct in6_pktinfo info = {
				.ipi6_ifindex = interface_of(&datagram->destination),
			};

			memcpy(&info.ipi6_addr, datagram->destination.bytes, 16);
			put(&writer, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
		}
		if (!address_is_ip4(&datagram->destination)) {
			if (options->receive_hop_limit)
				put_number(&writer, IPPROTO_IPV6, IPV6_HOPLIMIT, datagram->ttl);
			if (options->receive_traffic_class)
				put_number(&writer, IPPROTO_IPV6, IPV6_TCLASS, datagram->tos);
		}
	}
	control->length = writer.used;
	control->truncated = writer.truncated;
}

/* The address that the application wants to speak from has to be ours. */
static int take_source(const struct address *wanted, struct address *source)
{
	if (address_is_any(wanted))
		return 0;
	if (address_is_ip4(wanted) ? !interface_is_local(address_ip4(wanted))
				   : !interface_is_local6(wanted))
		return -EINVAL;
	*source = *wanted;
	return 0;
}

static int take_ip4(int type, const uint8_t *data, size_t len, struct address *source, int *ttl,
		    int *tos)
{
	struct in_pktinfo info;
	struct address wanted;
	int number;

	if (type == IP_PKTINFO) {
		if (len != sizeof(info))
			return -EINVAL;
		memcpy(&info, data, sizeof(info));
		wanted = address_of_ip4(info.ipi_spec_dst.s_addr);
		return take_source(&wanted, source);
	}
	if (len == 1)
		number = *data;
	else if (len == sizeof(number))
		memcpy(&number, data, sizeof(number));
	else
		return -EINVAL;
	if (number < 0 || number > 255 || (type == IP_TTL && number == 0))
		return -EINVAL;
	if (type != IP_TTL && type != IP_TOS)
		return -EINVAL;
	*(type == IP_TTL ? ttl : tos) = number;
	return 0;
}

static int take_ip6(int type, const uint8_t *data, size_t len, struct address *source, int *ttl,
		    int *tos)
{
	struct in6_pktinfo info;
	struct address wanted;
	int number;

	if (type == IPV6_PKTINFO) {
		if (len != sizeof(info))
			return -EINVAL;
		memcpy(&info, data, sizeof(info));
		memcpy(wanted.bytes, &info.ipi6_addr, 16);
		return take_source(&wanted, source);
	}
	if (len != sizeof(number) || (type != IPV6_HOPLIMIT && type != IPV6_TCLASS))
		return -EINVAL;
	memcpy(&number, data, sizeof(number));
	if (number < -1 || number > 255)
		return -EINVAL;
	if (number >= 0)
		*(type == IPV6_HOPLIMIT ? ttl : tos) = number;
	return 0;
}

int socket_control_take(const struct socket *socket, const struct socket_control *control,
			struct address *source, int *ttl, int *tos)
{
	const uint8_t *data = control->data;
	bool ip4 = address_is_ip4(source);
	size_t at = 0;

	while (control->length - at >= sizeof(struct header)) {
		struct header header;
		const uint8_t *body;
		int error = 0;

		memcpy(&header, data + at, sizeof(header));
		if (header.len < sizeof(header) || header.len > control->length - at)
			return -EINVAL;
		body = data + at + sizeof(header);
		if (header.level == IPPROTO_IP)
			error = take_ip4(header.type, body, header.len - sizeof(header), source,
					 ttl, tos);
		else if (header.level == IPPROTO_IPV6 && socket->family == AF_INET6)
			error = take_ip6(header.type, body, header.len - sizeof(header), source,
					 ttl, tos);
		else if (header.level == SOL_SOCKET)
			error = -EINVAL;
		if (error)
			return error;
		at += min(ALIGNED(header.len), control->length - at);
	}
	/* From an address of one family to one of the other there is no way. */
	return address_is_ip4(source) == ip4 ? 0 : -EINVAL;
}
