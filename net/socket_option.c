/*
 * Socket options: what Linux accepts and reports. What has no effect here is accepted only where
 * that is harmless, and says so.
 */
#include "lavra/console.h"
#include "net/interface.h"
#include "net/listener.h"
#include "net/path_mtu.h"
#include "net/socket_state.h"
#include "smp/core.h"

#include "lwip/opt.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>

#ifndef SO_BUSY_POLL
#define SO_BUSY_POLL 46
#endif
#ifndef SO_INCOMING_CPU
#define SO_INCOMING_CPU 49
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

#define CONGESTION "reno"
#define INTERFACE_NAME "eth0"

#define BUFFER_MIN 2304u
#define BUFFER_MAX (4u << 20)

void socket_options_init(struct socket_options *options)
{
	*options = (struct socket_options){
		.keep_idle_s = 7200,
		.keep_interval_s = 75,
		.keep_count = 9,
		.receive_buffer = TCP_WND,
		.send_buffer = TCP_SND_BUF,
		.low_water = 1,
		.multicast_ttl = 1,
		.multicast_loop = 1,
		.multicast_hops6 = 1,
		.multicast_loop6 = 1,
		.syn_count = TCP_SYNMAXRTX,
		.linger2_s = 60,
	};
}

/* Linux keeps twice the value that was asked for. The window and send queue of TCP are fixed
 * (lwipopts.h); for UDP it is the limit of the queue. */
static uint32_t buffer_size(int value)
{
	uint32_t wanted = value < 0 ? BUFFER_MAX : (uint32_t)value;

	return max(min(wanted, BUFFER_MAX) * 2, BUFFER_MIN);
}

static int set_socket_level(struct socket *socket, int name, int value)
{
	struct socket_options *options = &socket->options;

	switch (name) {
	case SO_REUSEADDR:
		options->reuse_address = value != 0;
		return 0;
	case SO_REUSEPORT:
		options->reuse_port = value != 0;
		return 0;
	case SO_KEEPALIVE:
		options->keepalive = value != 0;
		break;
	case SO_BROADCAST:
		options->broadcast = value != 0;
		return 0;
	case SO_RCVBUF:
	case SO_RCVBUFFORCE:
		options->receive_buffer = buffer_size(value);
		return 0;
	case SO_SNDBUF:
	case SO_SNDBUFFORCE:
		options->send_buffer = buffer_size(value);
		return 0;
	case SO_PRIORITY:
		if (value < 0 || value > 6)
			return -EPERM;
		options->priority = (uint8_t)value;
		return 0;
	/* There is one way out, one way to poll, and no urgent data; a connection's core is where
	 * its frames come in. */
	case SO_DONTROUTE:
	case SO_OOBINLINE:
	case SO_BUSY_POLL:
	case SO_INCOMING_CPU:
	case SO_NO_CHECK:
		return 0;
	case SO_RCVLOWAT:
		options->low_water = value < 0 ? INT32_MAX : value ? (uint32_t)value : 1;
		/* More than a connection ever holds would never come. */
		options->low_water = min(options->low_water, (uint32_t)TCP_WND / 2);
		return 0;
	case SO_MARK:
	case SO_DEBUG:
		return value ? -EPERM : 0;
	default:
		return -ENOPROTOOPT;
	}
	if (socket->type == SOCK_STREAM)
		tcp_socket_apply_options(socket);
	return 0;
}

static int set_linger(struct socket *socket, const void *value, socklen_t len)
{
	struct linger linger;

	if (len < sizeof(linger))
		return -EINVAL;
	memcpy(&linger, value, sizeof(linger));
	socket->options.linger = linger.l_onoff != 0;
	socket->options.linger_s = linger.l_linger < 0 ? 0 : (uint32_t)linger.l_linger;
	return 0;
}

static int set_tcp_level(struct socket *socket, int name, int value)
{
	struct socket_options *options = &socket->options;

	switch (name) {
	case TCP_NODELAY:
		options->no_delay = value != 0;
		if (value)
			tcp_socket_push(socket);
		return 0;
	case TCP_CORK:
		options->cork = value != 0;
		if (!value)
			tcp_socket_push(socket);
		return 0;
	case TCP_KEEPIDLE:
		if (value < 1 || value > 32767)
			return -EINVAL;
		options->keep_idle_s = (uint16_t)value;
		break;
	case TCP_KEEPINTVL:
		if (value < 1 || value > 32767)
			return -EINVAL;
		options->keep_interval_s = (uint16_t)value;
		break;
	case TCP_KEEPCNT:
		if (value < 1 || value > 127)
			return -EINVAL;
		options->keep_count = (uint16_t)value;
		break;
	case TCP_MAXSEG:
		/* As Linux: for connections to come. What a peer may send stays 1,460 bytes. */
		if (value && (value < 88 || value > 32767))
			return -EINVAL;
		options->maximum_segment = (uint16_t)value;
		return 0;
	/* Hints: connections are accepted when they are established, acknowledgements wait 50 ms
	 * at most, and retransmission gives up after lwIP's own time. */
	case TCP_QUICKACK:
		return 0;
	case TCP_DEFER_ACCEPT:
		options->defer_accept_s = (uint16_t)min(max(value, 0), UINT16_MAX);
		return 0;
	case TCP_USER_TIMEOUT:
		if (value < 0)
			return -EINVAL;
		options->user_timeout_ms = value;
		return 0;
	case TCP_SYNCNT:
		if (value < 1 || value > 127)
			return -EINVAL;
		options->syn_count = (uint8_t)value;
		return 0;
	case TCP_LINGER2:
		options->linger2_s = value;
		return 0;
	case TCP_WINDOW_CLAMP:
		options->window_clamp = value;
		return 0;
	case TCP_FASTOPEN:
		if (value < 0)
			return -EINVAL;
		options->fast_open = (uint16_t)min(value, UINT16_MAX);
		return 0;
	case TCP_NOTSENT_LOWAT:
		options->not_sent_low_water = value;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
	tcp_socket_apply_options(socket);
	return 0;
}

static int set_ip_level(struct socket *socket, int name, int value)
{
	switch (name) {
	case IP_TOS:
		socket->options.type_of_service = (uint8_t)value;
		break;
	case IP_TTL:
		if (value != -1 && (value < 1 || value > 255))
			return -EINVAL;
		socket->options.time_to_live = value == -1 ? 0 : (uint8_t)value;
		break;
	case IP_PKTINFO:
		socket->options.packet_info = value != 0;
		return 0;
	case IP_RECVTTL:
		socket->options.receive_ttl = value != 0;
		return 0;
	case IP_RECVTOS:
		socket->options.receive_tos = value != 0;
		return 0;
	case IP_MULTICAST_TTL:
		if (value < -1 || value > 255)
			return -EINVAL;
		socket->options.multicast_ttl = value == -1 ? 1 : (uint8_t)value;
		return 0;
	case IP_MULTICAST_LOOP:
		socket->options.multicast_loop = value != 0;
		return 0;
	/* IPv4's path MTU is not looked for; errors are not queued; there is one interface, and a
	 * bound port is chosen when it is bound. */
	case IP_MTU_DISCOVER:
	case IP_RECVERR:
	case IP_MULTICAST_ALL:
	case IP_BIND_ADDRESS_NO_PORT:
		return 0;
	/* Addresses of others are for those who may administer the network. */
	case IP_FREEBIND:
	case IP_TRANSPARENT:
		return value ? -EPERM : 0;
	default:
		return -ENOPROTOOPT;
	}
	if (socket->type == SOCK_STREAM)
		tcp_socket_apply_options(socket);
	return 0;
}

static int set_ip6_level(struct socket *socket, int name, int value)
{
	struct socket_options *options = &socket->options;

	switch (name) {
	case IPV6_V6ONLY:
		if (socket->binding)
			return -EINVAL;
		options->only_ip6 = value != 0;
		if (socket->type == SOCK_DGRAM)
			udp_socket_set_families(socket);
		return 0;
	case IPV6_UNICAST_HOPS:
		if (value < -1 || value > 255)
			return -EINVAL;
		options->hop_limit = value == -1 ? 0 : (uint8_t)value;
		break;
	case IPV6_TCLASS:
		if (value < -1 || value > 255)
			return -EINVAL;
		options->traffic_class = value == -1 ? 0 : (uint8_t)value;
		break;
	case IPV6_MULTICAST_HOPS:
		if (value < -1 || value > 255)
			return -EINVAL;
		options->multicast_hops6 = value == -1 ? 1 : (uint8_t)value;
		return 0;
	case IPV6_MULTICAST_LOOP:
		if (value != 0 && value != 1)
			return -EINVAL;
		options->multicast_loop6 = value;
		return 0;
	case IPV6_RECVPKTINFO:
		options->packet_info6 = value != 0;
		return 0;
	case IPV6_RECVHOPLIMIT:
		options->receive_hop_limit = value != 0;
		return 0;
	case IPV6_RECVTCLASS:
		options->receive_traffic_class = value != 0;
		return 0;
	/* Errors are not queued, path MTUs are always followed, addresses are not temporary. */
	case IPV6_RECVERR:
	case IPV6_MTU_DISCOVER:
	case IPV6_DONTFRAG:
	case IPV6_ADDR_PREFERENCES:
	case IPV6_AUTOFLOWLABEL:
		return 0;
	case IPV6_FREEBIND:
	case IPV6_TRANSPARENT:
		return value ? -EPERM : 0;
	default:
		return -ENOPROTOOPT;
	}
	if (socket->type == SOCK_STREAM)
		tcp_socket_apply_options(socket);
	return 0;
}

/* Options whose value is a name. */
static int set_named(int level, const void *value, socklen_t len)
{
	char name[16] = "";

	memcpy(name, value, min((size_t)len, sizeof(name) - 1));
	if (level == IPPROTO_TCP)
		return strcmp(name, CONGESTION) == 0 ? 0 : -ENOENT;
	/* There is one interface to the outside, and everything goes there; what is bound to the
	 * loopback would still hear the outside. */
	if (name[0] == '\0' || strcmp(name, INTERFACE_NAME) == 0)
		return 0;
	return strcmp(name, "lo") == 0 ? -EPERM : -ENODEV;
}

static bool is_named(int level, int name)
{
	return (level == SOL_SOCKET && name == SO_BINDTODEVICE) ||
	       (level == IPPROTO_TCP && name == TCP_CONGESTION);
}

int socket_set_option(struct socket *socket, int level, int name, const void *value, socklen_t len)
{
	int number = 0;

	assert_on_core(socket->home);
	if (level == SOL_SOCKET && name == SO_LINGER)
		return set_linger(socket, value, len);
	if (is_named(level, name) && (level == SOL_SOCKET || socket->type == SOCK_STREAM))
		return set_named(level, value, len);
	/* IP options are bytes to some programs. */
	if (level == IPPROTO_IP && len == 1) {
		number = *(const uint8_t *)value;
	} else {
		if (len < sizeof(number))
			return -EINVAL;
		memcpy(&number, value, sizeof(number));
	}
	switch (level) {
	case SOL_SOCKET:
		return set_socket_level(socket, name, number);
	case IPPROTO_TCP:
		return socket->type == SOCK_STREAM ? set_tcp_level(socket, name, number)
						   : -EOPNOTSUPP;
	case IPPROTO_IP:
		return set_ip_level(socket, name, number);
	case IPPROTO_IPV6:
		return socket->family == AF_INET6 ? set_ip6_level(socket, name, number)
						  : -ENOPROTOOPT;
	default:
		return -ENOPROTOOPT;
	}
}

static int get_socket_level(struct socket *socket, int name, int *value)
{
	const struct socket_options *options = &socket->options;

	switch (name) {
	case SO_REUSEADDR:
		*value = options->reuse_address;
		return 0;
	case SO_REUSEPORT:
		*value = options->reuse_port;
		return 0;
	case SO_KEEPALIVE:
		*value = options->keepalive;
		return 0;
	case SO_BROADCAST:
		*value = options->broadcast;
		return 0;
	case SO_RCVBUF:
		*value = (int)options->receive_buffer;
		return 0;
	case SO_SNDBUF:
		*value = (int)options->send_buffer;
		return 0;
	case SO_ERROR:
		*value = socket->error;
		socket->error = 0;
		return 0;
	case SO_TYPE:
		*value = socket->type;
		return 0;
	case SO_DOMAIN:
		*value = socket->family;
		return 0;
	case SO_PROTOCOL:
		*value = socket->type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
		return 0;
	case SO_ACCEPTCONN:
		*value = socket->type == SOCK_STREAM && socket->tcp.state == TCP_SOCKET_LISTENING;
		return 0;
	case SO_INCOMING_CPU:
		*value = (int)socket->home;
		return 0;
	case SO_PRIORITY:
		*value = options->priority;
		return 0;
	case SO_DONTROUTE:
	case SO_OOBINLINE:
	case SO_BUSY_POLL:
	case SO_NO_CHECK:
	case SO_MARK:
	case SO_DEBUG:
		*value = 0;
		return 0;
	case SO_RCVLOWAT:
		*value = (int)options->low_water;
		return 0;
	case SO_SNDLOWAT:
		*value = 1;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

static int get_tcp_level(struct socket *socket, int name, int *value)
{
	const struct socket_options *options = &socket->options;

	switch (name) {
	case TCP_NODELAY:
		*value = options->no_delay;
		return 0;
	case TCP_CORK:
		*value = options->cork;
		return 0;
	case TCP_MAXSEG:
		*value = tcp_socket_segment(socket);
		return 0;
	case TCP_DEFER_ACCEPT:
		*value = options->defer_accept_s;
		return 0;
	case TCP_USER_TIMEOUT:
		*value = options->user_timeout_ms;
		return 0;
	case TCP_SYNCNT:
		*value = options->syn_count;
		return 0;
	case TCP_LINGER2:
		*value = options->linger2_s;
		return 0;
	case TCP_WINDOW_CLAMP:
		*value = options->window_clamp;
		return 0;
	case TCP_FASTOPEN:
		*value = options->fast_open;
		return 0;
	case TCP_NOTSENT_LOWAT:
		*value = options->not_sent_low_water;
		return 0;
	case TCP_QUICKACK:
		*value = 1;
		return 0;
	case TCP_KEEPIDLE:
		*value = (int)options->keep_idle_s;
		return 0;
	case TCP_KEEPINTVL:
		*value = (int)options->keep_interval_s;
		return 0;
	case TCP_KEEPCNT:
		*value = (int)options->keep_count;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

/* As the way to the peer is known. */
static int socket_path_mtu(const struct socket *socket, int *value)
{
	if (socket->type == SOCK_STREAM ? socket->tcp.state != TCP_SOCKET_CONNECTED
					: !socket->udp.connected)
		return -ENOTCONN;
	*value = address_is_loopback(&socket->peer_address) ? LOOPBACK_MTU
		 : address_is_ip4(&socket->peer_address)    ? ethernet_interface.mtu
							    : path_mtu(&socket->peer_address);
	return 0;
}

static int get_ip_level(struct socket *socket, int name, int *value)
{
	switch (name) {
	case IP_TOS:
		*value = socket->options.type_of_service;
		return 0;
	case IP_TTL:
		*value = socket->options.time_to_live ? socket->options.time_to_live
						      : IP_DEFAULT_TTL;
		return 0;
	case IP_PKTINFO:
		*value = socket->options.packet_info;
		return 0;
	case IP_RECVTTL:
		*value = socket->options.receive_ttl;
		return 0;
	case IP_RECVTOS:
		*value = socket->options.receive_tos;
		return 0;
	case IP_MULTICAST_TTL:
		*value = socket->options.multicast_ttl;
		return 0;
	case IP_MULTICAST_LOOP:
		*value = socket->options.multicast_loop;
		return 0;
	case IP_MTU_DISCOVER:
	case IP_RECVERR:
	case IP_BIND_ADDRESS_NO_PORT:
	case IP_FREEBIND:
	case IP_TRANSPARENT:
		*value = 0;
		return 0;
	case IP_MTU:
		return socket_path_mtu(socket, value);
	default:
		return -ENOPROTOOPT;
	}
}

static int get_ip6_level(struct socket *socket, int name, int *value)
{
	const struct socket_options *options = &socket->options;

	switch (name) {
	case IPV6_V6ONLY:
		*value = options->only_ip6;
		return 0;
	case IPV6_UNICAST_HOPS:
		*value = options->hop_limit ? options->hop_limit : IP_DEFAULT_TTL;
		return 0;
	case IPV6_TCLASS:
		*value = options->traffic_class;
		return 0;
	case IPV6_MULTICAST_HOPS:
		*value = options->multicast_hops6;
		return 0;
	case IPV6_MULTICAST_LOOP:
		*value = options->multicast_loop6;
		return 0;
	case IPV6_RECVPKTINFO:
		*value = options->packet_info6;
		return 0;
	case IPV6_RECVHOPLIMIT:
		*value = options->receive_hop_limit;
		return 0;
	case IPV6_RECVTCLASS:
		*value = options->receive_traffic_class;
		return 0;
	case IPV6_RECVERR:
	case IPV6_MTU_DISCOVER:
	case IPV6_DONTFRAG:
	case IPV6_FREEBIND:
	case IPV6_TRANSPARENT:
		*value = 0;
		return 0;
	case IPV6_MTU:
		return socket_path_mtu(socket, value);
	default:
		return -ENOPROTOOPT;
	}
}

static int give(void *value, socklen_t *len, const void *from, socklen_t size)
{
	*len = min(*len, size);
	memcpy(value, from, *len);
	return 0;
}

int socket_get_option(struct socket *socket, int level, int name, void *value, socklen_t *len)
{
	int number = 0, error;

	assert_on_core(socket->home);
	if (level == SOL_SOCKET && name == SO_LINGER) {
		struct linger linger = { .l_onoff = socket->options.linger,
					 .l_linger = (int)socket->options.linger_s };

		return give(value, len, &linger, sizeof(linger));
	}
	if (level == IPPROTO_TCP && name == TCP_INFO && socket->type == SOCK_STREAM) {
		struct tcp_info info;

		tcp_socket_info(socket, &info);
		return give(value, len, &info, sizeof(info));
	}
	if (level == IPPROTO_TCP && name == TCP_CONGESTION && socket->type == SOCK_STREAM)
		return give(value, len, CONGESTION, sizeof(CONGESTION));
	if (level == SOL_SOCKET && name == SO_BINDTODEVICE) {
		*len = 0;
		return 0;
	}
	switch (level) {
	case SOL_SOCKET:
		error = get_socket_level(socket, name, &number);
		break;
	case IPPROTO_TCP:
		error = socket->type == SOCK_STREAM ? get_tcp_level(socket, name, &number)
						    : -EOPNOTSUPP;
		break;
	case IPPROTO_IP:
		error = get_ip_level(socket, name, &number);
		break;
	case IPPROTO_IPV6:
		error = socket->family == AF_INET6 ? get_ip6_level(socket, name, &number)
						   : -ENOPROTOOPT;
		break;
	default:
		error = -ENOPROTOOPT;
	}
	return error ? error : give(value, len, &number, sizeof(number));
}
