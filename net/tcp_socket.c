/*
 * TCP sockets: connecting, sending, receiving and closing over lwIP's raw interface.
 *
 * lwIP calls back while it processes a segment or a tick; the callbacks only change the socket and
 * tell its owner. Calls into lwIP come from the socket functions, never from a callback.
 */
#include "net/socket_state.h"

#include "arch/arch.h"
#include "arch/x86_64/user_access.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "mm/object.h"
#include "net/exchange.h"
#include "net/flow.h"
#include "net/interface.h"
#include "net/listener.h"
#include "net/look.h"
#include "net/lwip_address.h"
#include "net/ports.h"
#include "net/pressure.h"
#include "smp/core.h"

#include "lwip/priv/tcp_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

/* Segments up to this length are gathered when the reader is behind, so that tiny segments
 * cannot pin a receive buffer each. */
#define GATHER_MAX 512
#define COLLECTOR_SIZE 1984 /* with its header an object of 2 KiB */
/* Room in the send queue at which a writer that waits is told (Linux: a third). */
#define SEND_ROOM (TCP_SND_BUF / 3)
#define STAGE_MAX (11 * TCP_MSS)
/* While memory is short a connection has this much on its way, so that all of them get on. */
#define PRESSED_CHUNK 4096u

/* ---- the queue of received data ---- */

static void queue_init(struct tcp_socket *tcp)
{
	tcp->first = NULL;
	tcp->last = &tcp->first;
	tcp->collector = NULL;
}

static void queue_append(struct tcp_socket *tcp, struct pbuf *chain)
{
	tcp->received_bytes += chain->tot_len;
	*tcp->last = chain;
	while (chain->next)
		chain = chain->next;
	tcp->last = &chain->next;
	tcp->collector = NULL;
}

/* Returns false if there is no memory for it. */
static bool queue_gather(struct tcp_socket *tcp, struct pbuf *pbuf)
{
	if (!tcp->collector || tcp->collector_room < pbuf->tot_len) {
		struct pbuf *collector = pressure_allows(COLLECTOR_SIZE)
					     ? pbuf_alloc(PBUF_RAW, COLLECTOR_SIZE, PBUF_RAM)
					     : NULL;

		if (!collector)
			return false;
		collector->len = collector->tot_len = 0;
		queue_append(tcp, collector);
		tcp->collector = collector;
		tcp->collector_room = COLLECTOR_SIZE;
	}
	pbuf_copy_partial(pbuf, (uint8_t *)tcp->collector->payload + tcp->collector->len,
			  pbuf->tot_len, 0);
	tcp->collector->len += pbuf->tot_len;
	tcp->collector_room -= pbuf->tot_len;
	tcp->received_bytes += pbuf->tot_len;
	pbuf_free(pbuf);
	return true;
}

static void queue_drop_first(struct tcp_socket *tcp)
{
	struct pbuf *pbuf = tcp->first;

	tcp->first = pbuf->next;
	if (!tcp->first)
		tcp->last = &tcp->first;
	if (pbuf == tcp->collector)
		tcp->collector = NULL;
	pbuf->next = NULL;
	pbuf_free(pbuf);
}

static void queue_free(struct tcp_socket *tcp)
{
	while (tcp->first)
		queue_drop_first(tcp);
	tcp->received_bytes = 0;
}

/* ---- lwIP's callbacks ---- */

/* The control block is gone, or about to be. */
static void pcb_gone(struct socket *socket, int error)
{
	socket->tcp.pcb = NULL;
	socket->tcp.small_outstanding = false;
	if (error)
		socket->error = error;
	if (socket->tcp.state == TCP_SOCKET_CONNECTING)
		socket->tcp.state = TCP_SOCKET_FAILED;
	socket->tcp.peer_finished = true;
	socket_tell(socket, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP | (error ? EPOLLERR : 0));
}

void tcp_socket_lost(struct socket *socket)
{
	struct tcp_socket *tcp = &socket->tcp;

	queue_init(tcp);
	tcp->received_bytes = 0;
	tcp->accepted_by = NULL;
	tcp->left = 0;
	tcp->wants_space = tcp->starved = false;
	if (tcp->pcb)
		pcb_gone(socket, ECONNRESET);
}

static void on_error(void *argument, err_t error)
{
	struct socket *socket = argument;
	int code;

	switch (error) {
	case ERR_CLSD: /* both sides have finished */
		code = 0;
		break;
	case ERR_RST:
		/* As on Linux: who had all of the stream reads its end, not an error. */
		code = socket->tcp.state == TCP_SOCKET_CONNECTING ? ECONNREFUSED
		       : socket->tcp.got_fin			  ? EPIPE
								  : ECONNRESET;
		break;
	default: /* lwIP gave up: no answer to what was sent, or to probes */
		code = ETIMEDOUT;
		break;
	}
	pcb_gone(socket, code);
}

static err_t on_receive(void *argument, struct tcp_pcb *pcb, struct pbuf *pbuf, err_t error)
{
	struct socket *socket = argument;
	struct tcp_socket *tcp = &socket->tcp;

	if (!pbuf) {
		tcp->peer_finished = tcp->got_fin = true;
		socket_tell(socket, EPOLLIN | EPOLLRDHUP);
		return ERR_OK;
	}
	if (tcp->receive_shut) { /* Linux, too, acknowledges it and forgets it */
		tcp_recved(pcb, pbuf->tot_len);
		pbuf_free(pbuf);
		return ERR_OK;
	}
	if (tcp->received_bytes && pbuf->tot_len <= GATHER_MAX) {
		if (!queue_gather(tcp, pbuf))
			return ERR_MEM; /* lwIP keeps it and tries again */
	} else {
		queue_append(tcp, pbuf);
	}
	if (likely(tcp->received_bytes >= socket->options.low_water))
		socket_tell(socket, EPOLLIN);
	return ERR_OK;
}

static inline bool has_send_room(const struct tcp_socket *tcp, const struct tcp_pcb *pcb)
{
	return tcp_sndbuf(pcb) >= SEND_ROOM + tcp->left && pcb->snd_queuelen < TCP_SND_QUEUELEN / 2;
}

static void tell_send_room(struct socket *socket, const struct tcp_pcb *pcb)
{
	socket->tcp.starved = false;
	if (socket->tcp.wants_space && has_send_room(&socket->tcp, pcb)) {
		socket->tcp.wants_space = false;
		socket_tell(socket, EPOLLOUT);
	}
}

static err_t on_sent(void *argument, struct tcp_pcb *pcb, u16_t len)
{
	tell_send_room(argument, pcb);
	return ERR_OK;
}

/* A send found no memory; perhaps there is some now. */
static err_t on_poll(void *argument, struct tcp_pcb *pcb)
{
	tcp_poll(pcb, NULL, 0);
	tell_send_room(argument, pcb);
	return ERR_OK;
}

/* TCP_MAXSEG. Nothing is queued yet. */
static void limit_segments(const struct socket *socket, struct tcp_pcb *pcb)
{
	if (socket->options.maximum_segment)
		pcb->mss = min(pcb->mss, socket->options.maximum_segment);
}

static err_t on_connected(void *argument, struct tcp_pcb *pcb, err_t error)
{
	struct socket *socket = argument;

	limit_segments(socket, pcb);
	socket->tcp.state = TCP_SOCKET_CONNECTED;
	socket_tell(socket, EPOLLOUT);
	return ERR_OK;
}

/* ---- beginning ---- */

void tcp_socket_apply_options(struct socket *socket)
{
	struct tcp_pcb *pcb = socket->tcp.pcb;
	const struct socket_options *options = &socket->options;

	if (!pcb)
		return;
	/* Nagle's algorithm is ours (below): lwIP's would hold the last segment of every
	 * response that is longer than one segment until the others are acknowledged. */
	tcp_set_flags(pcb, TF_NODELAY);
	if (options->keepalive)
		ip_set_option(pcb, SOF_KEEPALIVE);
	else
		ip_reset_option(pcb, SOF_KEEPALIVE);
	pcb->keep_idle = options->keep_idle_s * 1000u;
	pcb->keep_intvl = options->keep_interval_s * 1000u;
	pcb->keep_cnt = options->keep_count;
	if (IP_IS_V6_VAL(pcb->remote_ip)) {
		pcb->tos = options->traffic_class;
		pcb->ttl = options->hop_limit ? options->hop_limit : TCP_TTL;
	} else {
		pcb->tos = options->type_of_service;
		pcb->ttl = options->time_to_live ? options->time_to_live : TCP_TTL;
	}
	flow_touch(pcb); /* the next tick puts it on the list of its kind */
}

static void take_pcb(struct socket *socket, struct tcp_pcb *pcb)
{
	socket->tcp.pcb = pcb;
	tcp_arg(pcb, socket);
	tcp_recv(pcb, on_receive);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_error);
	tcp_socket_apply_options(socket);
}

struct socket *tcp_socket_accepted(struct tcp_pcb *pcb, int family,
				   const struct socket_options *inherited)
{
	struct socket *socket = socket_allocate(family, SOCK_STREAM);

	if (!socket)
		return NULL;
	queue_init(&socket->tcp);
	socket->tcp.state = TCP_SOCKET_CONNECTED;
	socket->tcp.incoming = true;
	socket->options = *inherited;
	socket->local_address = address_of_lwip(&pcb->local_ip);
	socket->local_port = lwip_htons(pcb->local_port);
	socket->peer_address = address_of_lwip(&pcb->remote_ip);
	socket->peer_port = lwip_htons(pcb->remote_port);
	take_pcb(socket, pcb);
	limit_segments(socket, pcb);
	return socket;
}

static struct flow *find_flow(const struct address *local, uint16_t local_port,
			      const struct address *remote, uint16_t remote_port)
{
	struct flow_key key = {
		.remote_address = address_ip4(remote),
		.local_address = address_ip4(local),
		.remote_port = remote_port,
		.local_port = local_port,
	};
	struct address addresses[2] = { *remote, *local };

	if (address_is_ip4(remote))
		return flow_find(&key, flow_hash(&key));
	flow_key6(&key, addresses[0].bytes, remote_port, local_port);
	return flow_find6(&key, flow_hash(&key), addresses[0].bytes);
}

/* A local port with which the connection is unique: connections of this core's ephemeral ports
 * are all on this core. 0 if all are taken. */
static uint16_t choose_local_port(const struct address *local, const struct address *remote,
				  uint16_t remote_port)
{
	for (unsigned left = ports_ephemeral_count(); left; left--) {
		uint16_t port = ports_next_ephemeral();

		if (!find_flow(local, port, remote, remote_port) &&
		    !ports_in_use(IP_PROTO_TCP, port))
			return port;
	}
	return 0;
}

int tcp_socket_connect(struct socket *socket, const struct address *address, uint16_t port)
{
	struct tcp_socket *tcp = &socket->tcp;
	ip_addr_t remote = address_to_lwip(address);
	struct address local;
	struct tcp_pcb *pcb;
	err_t error;
	int refused;

	switch (tcp->state) {
	case TCP_SOCKET_CONNECTING:
		return -EALREADY;
	case TCP_SOCKET_CONNECTED:
	case TCP_SOCKET_LISTENING:
		return -EISCONN;
	}
	refused = socket_source(socket, address, &local);
	if (refused)
		return refused;
	if (socket->binding)
		socket->local_port = socket->binding->port;
	else
		socket->local_port = choose_local_port(&local, address, port);
	if (!socket->local_port || find_flow(&local, socket->local_port, address, port))
		return -EADDRNOTAVAIL;
	pcb = tcp_new_ip_type(IP_GET_TYPE(&remote));
	if (!pcb)
		return -ENOBUFS;
	if (flow_prepare(pcb) != 0) {
		tcp_abort(pcb);
		return -ENOBUFS;
	}
	queue_init(tcp);
	tcp->peer_finished = tcp->got_fin = tcp->receive_shut = tcp->send_shut = false;
	socket->error = 0;
	pcb->local_ip = address_to_lwip(&local);
	ip_addr_copy(pcb->remote_ip, remote);
	take_pcb(socket, pcb);
	pcb->local_port = lwip_htons(socket->local_port);
	socket->local_address = local;
	socket->peer_address = *address;
	socket->peer_port = port;
	tcp->state = TCP_SOCKET_CONNECTING;
	error = tcp_connect(pcb, &remote, lwip_htons(port), on_connected);
	flow_detach();
	if (error != ERR_OK) {
		tcp->state = TCP_SOCKET_FAILED;
		tcp->pcb = NULL;
		tcp_err(pcb, NULL);
		tcp_abort(pcb);
		return error_of_lwip(error);
	}
	return -EINPROGRESS;
}

/* ---- receiving ---- */

/* Copy (or, with `discard`, drop) what fits out of the queue. A segment for which memory of the
 * application is not there stays as it was, as on Linux: what came before it, or -EFAULT. */
static ssize_t queue_read(struct tcp_socket *tcp, const struct iovec *iov, unsigned niov, bool peek,
			  bool discard)
{
	struct pbuf *pbuf = tcp->first;
	uint32_t moved = 0, at = 0;
	bool there = true;

	for (unsigned i = 0; i < niov && pbuf && there; i++) {
		uint8_t *to = iov[i].iov_base;
		size_t room = iov[i].iov_len;

		while (room && pbuf) {
			uint32_t here = (uint32_t)min(room, (size_t)pbuf->len - at);

			there = discard || user_copy(to, (uint8_t *)pbuf->payload + at, here);
			if (unlikely(!there)) {
				moved -= at;
				at = 0;
				break;
			}
			to += here;
			room -= here;
			moved += here;
			at += here;
			if (at < pbuf->len)
				continue;
			at = 0;
			if (peek) {
				pbuf = pbuf->next;
			} else {
				queue_drop_first(tcp);
				pbuf = tcp->first;
			}
		}
	}
	if (unlikely(!there && !moved))
		return -EFAULT;
	if (peek)
		return moved;
	if (at) { /* the first is read in part */
		pbuf->payload = (uint8_t *)pbuf->payload + at;
		pbuf->len = (u16_t)(pbuf->len - at);
		if (pbuf == tcp->collector)
			pbuf->tot_len = pbuf->len;
	}
	tcp->received_bytes -= moved;
	return moved;
}

/* Open the window again. lwIP counts in 16 bits. */
void tcp_socket_acknowledge(struct tcp_pcb *pcb, uint32_t len)
{
	flow_touch(pcb);
	while (len) {
		uint16_t part = (uint16_t)min(len, 0xffffu);

		tcp_recved(pcb, part);
		len -= part;
	}
}

static int take_error(struct socket *socket)
{
	int error = socket->error;

	socket->error = 0;
	return -error;
}

/* The usual read: all of the one segment that waits. */
static inline bool read_whole(struct tcp_socket *tcp, const struct iovec *iov, unsigned niov)
{
	struct pbuf *pbuf = tcp->first;

	if (niov != 1 || pbuf->next || iov->iov_len < pbuf->len)
		return false;
	if (unlikely(!user_copy(iov->iov_base, pbuf->payload, pbuf->len)))
		return false;
	queue_init(tcp);
	tcp->received_bytes = 0;
	pbuf_free(pbuf);
	return true;
}

ssize_t tcp_socket_receive(struct socket *socket, const struct iovec *iov, unsigned niov, int flags)
{
	struct tcp_socket *tcp = &socket->tcp;
	ssize_t moved;

	if (flags & (MSG_OOB | MSG_ERRQUEUE))
		return flags & MSG_OOB ? -EINVAL : -EAGAIN;
	moved = tcp->received_bytes;
	if (likely(moved != 0)) {
		if (unlikely((flags & (MSG_PEEK | MSG_TRUNC)) || !read_whole(tcp, iov, niov)))
			moved = queue_read(tcp, iov, niov, flags & MSG_PEEK, flags & MSG_TRUNC);
		if (unlikely(moved < 0))
			return moved;
		if (!(flags & MSG_PEEK) && tcp->pcb)
			tcp_socket_acknowledge(tcp->pcb, (uint32_t)moved);
		return moved;
	}
	if (tcp->got_fin)
		return 0;
	if (socket->error)
		return take_error(socket);
	if (tcp->state == TCP_SOCKET_CONNECTING)
		return -EAGAIN;
	if (tcp->state != TCP_SOCKET_CONNECTED)
		return -ENOTCONN;
	if (tcp->peer_finished || tcp->receive_shut)
		return 0;
	return -EAGAIN;
}

/* The window has been opened for them already: it is too wide by as much. */
void tcp_socket_unread(struct socket *socket, const uint8_t *data, size_t length)
{
	struct tcp_socket *tcp = &socket->tcp;
	struct pbuf *pbuf = pbuf_alloc(PBUF_RAW, (u16_t)length, PBUF_RAM);

	if (!pbuf)
		return;
	pbuf_take(pbuf, data, (u16_t)length);
	pbuf->next = tcp->first;
	if (!tcp->first)
		tcp->last = &pbuf->next;
	tcp->first = pbuf;
	tcp->received_bytes += (uint32_t)length;
}

/* ---- sending ---- */

/*
 * Nagle's algorithm as Minshall modified it: a segment below the MSS waits only while another such
 * segment is not acknowledged. An acknowledgement makes lwIP send what waits.
 */
static bool hold_back(const struct tcp_socket *tcp, const struct tcp_pcb *pcb)
{
	return tcp->small_outstanding && TCP_SEQ_LT(pcb->lastack, tcp->small_end) &&
	       pcb->snd_lbb - pcb->snd_nxt < pcb->mss;
}

static void push(struct socket *socket, struct tcp_pcb *pcb, bool more)
{
	struct tcp_socket *tcp = &socket->tcp;

	/* Not for ever: lwIP's slow tick sends what is queued, after 100 ms at most. */
	if (more && pcb->snd_lbb - pcb->snd_nxt < pcb->mss)
		return;
	if (!socket->options.no_delay) {
		if (hold_back(tcp, pcb))
			return;
		if ((pcb->snd_lbb - pcb->snd_nxt) % pcb->mss) {
			tcp->small_outstanding = true;
			tcp->small_end = pcb->snd_lbb;
		}
	}
	tcp_output(pcb);
}

#define ERR_FAULT ERR_ARG /* some of the application's memory is not there */

/* lwIP does not see the application's memory, and is not called before all of that has been found to be
 * there. With isolation the kernel has done so. NULL: it is not. */
static inline const uint8_t *staged(const uint8_t *data, uint32_t len)
{
	if (arch_isolation())
		return data;
	return likely(user_copy(network_data, data, len)) ? network_data : NULL;
}

/* Queue `len` bytes, as far as there is room; `accounted`: memory was found for them before. Returns how many;
 * *error tells why not all. */
static size_t write_some(struct tcp_pcb *pcb, const uint8_t *data, size_t len, bool more,
			 bool accounted, err_t *error)
{
	size_t written = 0;

	while (written < len) {
		uint32_t part = (uint32_t)min(len - written, (size_t)STAGE_MAX);

		part = min(part, tcp_sndbuf(pcb));
		if (part == 0 || pcb->snd_queuelen >= TCP_SND_QUEUELEN) {
			*error = ERR_BUF;
			break;
		}
		if (unlikely(!accounted && !pressure_allows(part))) {
			*error = ERR_MEM;
			if (pcb->snd_queuelen)
				break;
			part = min(part, PRESSED_CHUNK);
		}
		const uint8_t *from = staged(data + written, part);

		if (unlikely(!from)) {
			*error = ERR_FAULT;
			break;
		}
		*error = tcp_write(pcb, from, (u16_t)part,
				   TCP_WRITE_FLAG_COPY |
				       (more || written + part < len ? TCP_WRITE_FLAG_MORE : 0));
		if (*error != ERR_OK)
			break;
		written += part;
	}
	return written;
}

/* Why nothing can be sent, or 0. */
static int send_error(struct socket *socket)
{
	struct tcp_socket *tcp = &socket->tcp;

	if (socket->error)
		return take_error(socket);
	if (tcp->state == TCP_SOCKET_CONNECTING)
		return -EAGAIN;
	if (tcp->state != TCP_SOCKET_CONNECTED || tcp->send_shut || !tcp->pcb)
		return -EPIPE;
	return 0;
}

ssize_t tcp_socket_send(struct socket *socket, const struct iovec *iov, unsigned niov, int flags)
{
	struct tcp_socket *tcp = &socket->tcp;
	struct tcp_pcb *pcb = tcp->pcb;
	int refused = send_error(socket);
	err_t error = ERR_OK;
	size_t sent = 0;

	if (refused)
		return refused;
	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	flow_touch(pcb);
	for (unsigned i = 0; i < niov && error == ERR_OK; i++)
		sent +=
		    write_some(pcb, iov[i].iov_base, iov[i].iov_len, i + 1 < niov, false, &error);
	if (error != ERR_OK && error != ERR_FAULT) {
		tcp->wants_space = true;
		/* Out of memory, perhaps with nothing on its way whose acknowledgement would
		 * wake the writer. */
		if (error != ERR_BUF) {
			tcp->starved = true;
			tcp_poll(pcb, on_poll, 1);
		}
	}
	if (sent)
		push(socket, pcb, (flags & MSG_MORE) || socket->options.cork);
	if (likely(sent || error == ERR_OK))
		return (ssize_t)sent;
	return error == ERR_FAULT ? -EFAULT : -EAGAIN;
}

uint32_t tcp_socket_send_left(struct socket *socket, const uint8_t *data, uint32_t len, bool more)
{
	struct tcp_pcb *pcb = socket->tcp.pcb;
	err_t error = ERR_OK;
	uint32_t sent;

	if (!pcb || socket->tcp.send_shut || socket->tcp.state != TCP_SOCKET_CONNECTED)
		return len; /* as what was sent before the connection ended */
	flow_touch(pcb);
	sent = (uint32_t)write_some(pcb, data, len, more, true, &error);
	if (sent)
		push(socket, pcb, more || socket->options.cork);
	return sent;
}

void tcp_socket_push(struct socket *socket)
{
	if (!socket->tcp.pcb || socket->tcp.state != TCP_SOCKET_CONNECTED)
		return;
	flow_touch(socket->tcp.pcb);
	tcp_output(socket->tcp.pcb);
}

/* ---- ending ---- */

int tcp_socket_shutdown(struct socket *socket, int how)
{
	struct tcp_socket *tcp = &socket->tcp;

	if (tcp->state == TCP_SOCKET_CONNECTING && tcp->pcb) {
		/* Linux: the attempt ends as if it had failed. */
		struct tcp_pcb *pcb = tcp->pcb;

		tcp_err(pcb, NULL);
		tcp_abort(pcb);
		pcb_gone(socket, ECONNABORTED);
		return 0;
	}
	if (tcp->state != TCP_SOCKET_CONNECTED || !tcp->pcb)
		return -ENOTCONN;
	if (how != SHUT_WR)
		tcp->receive_shut = true;
	/* Memory is out for what was sent before: better no end than a wrong one. */
	if (how != SHUT_RD && unlikely(tcp->left))
		return -ENOBUFS;
	if (how != SHUT_RD && !tcp->send_shut) {
		tcp->send_shut = true;
		flow_touch(tcp->pcb);
		tcp_shutdown(tcp->pcb, 0, 1);
	}
	socket_tell(socket, tcp_socket_events(socket));
	return 0;
}

bool tcp_socket_is_sending(const struct socket *socket)
{
	const struct tcp_pcb *pcb = socket->tcp.pcb;

	return pcb && (pcb->unsent || pcb->unacked || pcb->state == FIN_WAIT_1 ||
		       pcb->state == CLOSING || pcb->state == LAST_ACK);
}

void tcp_socket_close(struct socket *socket)
{
	struct tcp_socket *tcp = &socket->tcp;
	struct tcp_pcb *pcb = tcp->pcb;
	/* What the application did not read it must not seem to have got. */
	bool reset = tcp->received_bytes || tcp->left ||
		     (socket->options.linger && socket->options.linger_s == 0);

	if (tcp->listener)
		listener_close(tcp->listener);
	if (unlikely(tcp->left))
		look_forget(socket);
	if (pcb) {
		flow_touch(pcb);
		tcp_arg(pcb, NULL);
		tcp_recv(pcb, NULL);
		tcp_sent(pcb, NULL);
		tcp_err(pcb, NULL);
		tcp_poll(pcb, NULL, 0);
		if (reset && pcb->state != SYN_SENT)
			tcp_abort(pcb);
		else
			tcp_close(pcb);
		tcp->pcb = NULL;
	}
	queue_free(tcp);
}

uint32_t tcp_socket_events(struct socket *socket)
{
	struct tcp_socket *tcp = &socket->tcp;

	switch (tcp->state) {
	case TCP_SOCKET_NEW:
		return EPOLLOUT | EPOLLHUP;
	case TCP_SOCKET_LISTENING:
		return listener_has_waiting(tcp->listener) ? EPOLLIN | EPOLLRDNORM : 0;
	case TCP_SOCKET_CONNECTING:
		return 0;
	case TCP_SOCKET_CONNECTED:
		break;
	}
	return tcp_connection_events(socket, tcp->pcb);
}

uint32_t tcp_connection_events(struct socket *socket, const struct tcp_pcb *pcb)
{
	struct tcp_socket *tcp = &socket->tcp;
	bool receive_ended = tcp->peer_finished || tcp->receive_shut;
	uint32_t events = 0;

	if (socket->error)
		events |= EPOLLERR;
	if (!pcb || (receive_ended && tcp->send_shut))
		events |= EPOLLHUP;
	if (receive_ended)
		events |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
	if (tcp->received_bytes >= socket->options.low_water)
		events |= EPOLLIN | EPOLLRDNORM;
	if (!pcb || tcp->send_shut) {
		events |= EPOLLOUT | EPOLLWRNORM;
	} else if (has_send_room(tcp, pcb) && !tcp->starved) {
		events |= EPOLLOUT | EPOLLWRNORM;
	} else {
		tcp->wants_space = true; /* who asked wants to be told */
	}
	return events;
}
