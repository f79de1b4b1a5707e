/*
 * Socket options: what Linux accepts and reports. What has no effect here is accepted only where
 * that is harmless, and says so.
 */
#include "lavra/console.h"
#include "net/listener.h"
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
	/* There is one way out, one priority, and no urgent data. */
	case SO_DONTROUTE:
	case SO_PRIORITY:
	case SO_OOBINLINE:
	case SO_BUSY_POLL:
	case SO_INCOMING_CPU:
	case SO_NO_CHECK:
		return 0;
	case SO_RCVLOWAT:
		return value == 1 ? 0 : -ENOPROTOOPT;
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
		options->keep_idle_s = (uint32_t)value;
		break;
	case TCP_KEEPINTVL:
		if (value < 1 || value > 32767)
			return -EINVAL;
		options->keep_interval_s = (uint32_t)value;
		break;
	case TCP_KEEPCNT:
		if (value < 1 || value > 127)
			return -EINVAL;
		options->keep_count = (uint32_t)value;
		break;
	/* Hints: connections are accepted when they are established, acknowledgements wait 50 ms
	 * at most, and retransmission gives up after lwIP's own time. */
	case TCP_DEFER_ACCEPT:
	case TCP_QUICKACK:
	case TCP_USER_TIMEOUT:
	case TCP_SYNCNT:
	case TCP_LINGER2:
	case TCP_WINDOW_CLAMP:
	case TCP_FASTOPEN:
	case TCP_NOTSENT_LOWAT:
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
	case IP_MTU_DISCOVER: /* there is no path MTU discovery to switch */
		return 0;
	default:
		return -ENOPROTOOPT;
	}
	if (socket->type == SOCK_STREAM)
		tcp_socket_apply_options(socket);
	return 0;
}

int socket_set_option(struct socket *socket, int level, int name, const void *value, socklen_t len)
{
	int number = 0;

	assert_on_core(socket->home);
	if (level == SOL_SOCKET && name == SO_LINGER)
		return set_linger(socket, value, len);
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
		*value = AF_INET;
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
	case SO_DONTROUTE:
	case SO_PRIORITY:
	case SO_OOBINLINE:
	case SO_BUSY_POLL:
	case SO_NO_CHECK:
		*value = 0;
		return 0;
	case SO_RCVLOWAT:
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
		*value = TCP_MSS;
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
	default:
		error = -ENOPROTOOPT;
	}
	return error ? error : give(value, len, &number, sizeof(number));
}
