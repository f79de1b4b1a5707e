/*
 * What a socket is made of; for the files of net/ that implement sockets.
 */
#pragma once

#include "arch/arch.h"
#include "net/address.h"
#include "net/exchange.h"
#include "net/socket.h"
#include "smp/mailbox.h"

struct listener;
struct port_binding;
struct pbuf;
struct tcp_pcb;
struct udp_pcb;

#define SOCKET_MAGIC 0x736f636b /* "sock" */

struct socket_options {
	/* Looked at with each send. */
	bool no_delay, cork;
	bool reuse_address : 1, reuse_port : 1, keepalive : 1, broadcast : 1, linger : 1;
	bool only_ip6 : 1; /* IPV6_V6ONLY */
	/* Ancillary data that is wanted with datagrams. */
	bool packet_info : 1, packet_info6 : 1, receive_ttl : 1, receive_hop_limit : 1;
	bool receive_tos : 1, receive_traffic_class : 1;
	bool multicast_loop : 1, multicast_loop6 : 1;
	uint8_t type_of_service, time_to_live; /* 0: lwIP's default */
	uint8_t traffic_class, hop_limit; /* of IPv6; 0: lwIP's default */
	uint8_t multicast_ttl, multicast_hops6;
	uint16_t maximum_segment; /* TCP_MAXSEG; 0: what the path carries */
	uint32_t low_water; /* SO_RCVLOWAT: what makes a connection readable */
	uint32_t linger_s;
	uint16_t keep_idle_s, keep_interval_s, keep_count;
	uint32_t receive_buffer, send_buffer; /* as Linux reports them: twice what was asked for */
	/* Kept to be told again, and otherwise without effect. */
	uint8_t priority, syn_count;
	uint16_t defer_accept_s, fast_open;
	int user_timeout_ms, linger2_s, window_clamp, not_sent_low_water;
};

enum tcp_socket_state {
	TCP_SOCKET_NEW, /* perhaps bound */
	TCP_SOCKET_LISTENING,
	TCP_SOCKET_CONNECTING,
	TCP_SOCKET_CONNECTED, /* was connected: what still is, the flags below tell */
	TCP_SOCKET_FAILED, /* could not connect; may try again */
};

struct tcp_socket {
	struct tcp_pcb *pcb; /* NULL: none yet, or lwIP has ended it */
	struct listener *listener; /* of a listening socket */
	struct listener *accepted_by; /* of one on its way to be accepted */
	struct pbuf *first, **last; /* received, linked by `next` (tot_len means nothing here) */
	uint32_t received_bytes;
	uint32_t left; /* bytes to be sent that the kernel has left with the exchange (net/look.h) */
	uint32_t small_end; /* where the last segment below the MSS ended */
	struct pbuf *collector; /* the last of the queue, if it is ours to fill up */
	uint16_t collector_room;
	uint8_t state; /* enum tcp_socket_state */
	bool got_fin; /* the stream is complete */
	bool peer_finished; /* nothing more will come: that, or the connection is gone */
	bool receive_shut, send_shut;
	bool small_outstanding; /* `small_end` means something */
	bool wants_space; /* a send fell short: tell when there is room */
	bool starved; /* it did for want of memory; until lwIP calls back */
	bool incoming; /* the other side opened it */
	bool moved; /* to another core: once is enough */
};

struct datagram {
	struct datagram *next;
	struct pbuf *pbuf;
	struct address source, destination;
	uint16_t port; /* network order */
	uint8_t ttl, tos; /* as received: also IPv6's hop limit and traffic class */
};

struct udp_socket {
	struct udp_pcb *pcb;
	struct datagram *first, **last;
	uint32_t queued_bytes;
	bool connected, receive_shut, send_shut;
};

struct socket {
	uint32_t magic;
	uint8_t type; /* SOCK_STREAM or SOCK_DGRAM */
	uint8_t family; /* AF_INET or AF_INET6 */
	uint16_t generation; /* of its home's stack (net/restart.h) */
	core_id_t home;
	socket_notify *notify; /* written last by socket_set_notify(), from any core */
	void *owner;
	int error; /* SO_ERROR: a positive errno */
	struct address local_address, peer_address; /* any of its family: none */
	uint16_t local_port, peer_port;
	struct port_binding *binding;
	struct socket_options options;
	union {
		struct tcp_socket tcp;
		struct udp_socket udp;
	};
	struct parcel parcel; /* from where it was established to where it is accepted */
	struct socket *next; /* in a listener's queue */
};

static inline void socket_tell(struct socket *socket, uint32_t events)
{
	/* Pairs with the store in socket_set_notify(). */
	socket_notify *notify = __atomic_load_n(&socket->notify, __ATOMIC_ACQUIRE);

	if (!notify)
		return;
#ifndef LAVRA_HOST_TEST
	if (arch_isolation()) {
		network_tell(socket, events);
		return;
	}
#endif
	notify(socket->owner, events);
}

/* This core's sockets: allocated and counted. */
extern CORE_LOCAL int sockets_here;
struct socket *socket_allocate(int family, int type);
void socket_deallocate(struct socket *socket);

/* The negative errno for what lwIP answered to a call. */
int error_of_lwip(int error);

/* An address for the application, in the form of the socket's family. */
void socket_fill_address(const struct socket *socket, struct socket_address *out,
			 const struct address *address, uint16_t port);
/* The address to speak from to `destination`: the one the socket is bound to, or the way's.
 * 0, -ENETUNREACH, -EADDRNOTAVAIL, -EINVAL. */
int socket_source(const struct socket *socket, const struct address *destination,
		  struct address *source);
/* What is asked for to bind a port. */
struct port_options socket_port_options(const struct socket *socket);
/* "Any" in lwIP's words: of one family or of both. */
struct ip_addr socket_any(const struct address *address, bool only_ip6);

/* ---- net/tcp_socket.c ---- */
/* The socket of a connection that was opened by the other side to a socket of `family`; NULL if memory
 * is out. */
struct socket *tcp_socket_accepted(struct tcp_pcb *pcb, int family,
				   const struct socket_options *inherited);
void tcp_socket_close(struct socket *socket);
int tcp_socket_connect(struct socket *socket, const struct address *address, uint16_t port);
int tcp_socket_shutdown(struct socket *socket, int how);
ssize_t tcp_socket_receive(struct socket *socket, const struct iovec *iov, unsigned niov,
			   int flags);
void tcp_socket_unread(struct socket *socket, const uint8_t *data, size_t length);
ssize_t tcp_socket_send(struct socket *socket, const struct iovec *iov, unsigned niov, int flags);
uint32_t tcp_socket_events(struct socket *socket);
/* The same of one that is TCP_SOCKET_CONNECTED, by who has read `tcp.pcb`: nothing else is followed. */
uint32_t tcp_connection_events(struct socket *socket, const struct tcp_pcb *pcb);
/* Tell lwIP the options that it implements. */
void tcp_socket_apply_options(struct socket *socket);
bool tcp_socket_is_sending(const struct socket *socket);
/* TCP_MAXSEG, TCP_INFO. */
int tcp_socket_segment(const struct socket *socket);
struct tcp_info;
void tcp_socket_info(const struct socket *socket, struct tcp_info *info);
/* Send what TCP_CORK or MSG_MORE held back. */
void tcp_socket_push(struct socket *socket);

/* Bytes were read: open the window again. */
void tcp_socket_acknowledge(struct tcp_pcb *pcb, uint32_t len);
/* What look_leave() left: how much of it is done with. */
uint32_t tcp_socket_send_left(struct socket *socket, const uint8_t *data, uint32_t len, bool more);
/* Its stack has begun anew: the connection is gone. */
void tcp_socket_lost(struct socket *socket);

/* ---- net/udp_socket.c ---- */
/* Its stack has begun anew, without what was queued; it gets a control block of that. */
void udp_socket_lost(struct socket *socket);
int udp_socket_open(struct socket *socket);
void udp_socket_close(struct socket *socket);
int udp_socket_bound(struct socket *socket);
int udp_socket_connect(struct socket *socket, const struct address *address, uint16_t port);
int udp_socket_disconnect(struct socket *socket);
int udp_socket_shutdown(struct socket *socket, int how);
ssize_t udp_socket_receive(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
			   struct socket_address *from, struct socket_control *control);
ssize_t udp_socket_send(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
			const struct socket_address *to, const struct socket_control *control);
uint32_t udp_socket_events(struct socket *socket);
int udp_socket_readable_bytes(struct socket *socket);
/* IPV6_V6ONLY has changed. */
void udp_socket_set_families(struct socket *socket);
/* Take a port for a socket that has none. */
int socket_bind_ephemeral(struct socket *socket);
/* The destination of a datagram as the application says it: 0, -EINVAL, -EAFNOSUPPORT, -ENETUNREACH. */
int socket_destination(const struct socket *socket, const struct socket_address *to,
		       struct address *address, uint16_t *port);

/* ---- net/socket_control.c ---- */
/* The ancillary data that the socket asked for with a datagram. */
void socket_control_give(const struct socket *socket, const struct datagram *datagram,
			 struct socket_control *control);
/* What the application sends along: the address to speak from. 0 or -EINVAL. `source` and the numbers
 * stay as they are if nothing is said of them. */
int socket_control_take(const struct socket *socket, const struct socket_control *control,
			struct address *source, int *ttl, int *tos);

/* ---- net/socket_option.c ---- */
void socket_options_init(struct socket_options *options);
