/*
 * What a socket is made of; for the files of net/ that implement sockets.
 */
#pragma once

#include "net/socket.h"
#include "smp/mailbox.h"

#include "lwip/err.h"

struct listener;
struct port_binding;
struct pbuf;
struct tcp_pcb;
struct udp_pcb;

#define SOCKET_MAGIC 0x736f636b /* "sock" */

struct socket_options {
	bool reuse_address, reuse_port, keepalive, no_delay, cork, broadcast, linger;
	uint8_t type_of_service, time_to_live; /* 0: lwIP's default */
	uint32_t linger_s;
	uint32_t keep_idle_s, keep_interval_s, keep_count;
	uint32_t receive_buffer, send_buffer; /* as Linux reports them: twice what was asked for */
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
};

struct datagram {
	struct datagram *next;
	struct pbuf *pbuf;
	uint32_t address;
	uint16_t port; /* network order */
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
	core_id_t home;
	socket_notify *notify; /* written last by socket_set_owner(), from any core */
	void *owner;
	int error; /* SO_ERROR: a positive errno */
	uint32_t local_address, peer_address; /* network order */
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
	/* Pairs with the store in socket_set_owner(). */
	socket_notify *notify = __atomic_load_n(&socket->notify, __ATOMIC_ACQUIRE);

	if (notify)
		notify(socket->owner, events);
}

/* This core's sockets: allocated and counted. */
struct socket *socket_allocate(int type);
void socket_deallocate(struct socket *socket);

/* The negative errno for what lwIP answered to a call. */
int error_of_lwip(err_t error);

/* ---- net/tcp_socket.c ---- */
/* The socket of a connection that was opened by the other side; NULL if memory is out. */
struct socket *tcp_socket_accepted(struct tcp_pcb *pcb, const struct socket_options *inherited);
void tcp_socket_close(struct socket *socket);
int tcp_socket_connect(struct socket *socket, uint32_t address, uint16_t port);
int tcp_socket_shutdown(struct socket *socket, int how);
ssize_t tcp_socket_receive(struct socket *socket, const struct iovec *iov, unsigned niov,
			   int flags);
ssize_t tcp_socket_send(struct socket *socket, const struct iovec *iov, unsigned niov, int flags);
uint32_t tcp_socket_events(struct socket *socket);
/* Tell lwIP the options that it implements. */
void tcp_socket_apply_options(struct socket *socket);
/* Send what TCP_CORK or MSG_MORE held back. */
void tcp_socket_push(struct socket *socket);

/* ---- net/udp_socket.c ---- */
int udp_socket_open(struct socket *socket);
void udp_socket_close(struct socket *socket);
int udp_socket_bound(struct socket *socket);
int udp_socket_connect(struct socket *socket, uint32_t address, uint16_t port);
int udp_socket_disconnect(struct socket *socket);
int udp_socket_shutdown(struct socket *socket, int how);
ssize_t udp_socket_receive(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
			   struct sockaddr_in *from);
ssize_t udp_socket_send(struct socket *socket, const struct iovec *iov, unsigned niov, int flags,
			const struct sockaddr_in *to);
uint32_t udp_socket_events(struct socket *socket);
int udp_socket_readable_bytes(struct socket *socket);
/* Take a port for a socket that has none. */
int socket_bind_ephemeral(struct socket *socket);

/* ---- net/socket_option.c ---- */
void socket_options_init(struct socket_options *options);
