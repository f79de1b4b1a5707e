/*
 * Flows: how a core finds a TCP connection, and which of them its timers look at.
 *
 * lwIP finds a connection by walking a list, and its timers walk all of it. Here both lists
 * (tcp_active_pcbs, tcp_tw_pcbs) are empty between calls. A segment's connection is found in a
 * hash table and given to lwIP as a list of one; a tick gives it those that have something to
 * time. So no cost depends on the number of connections.
 *
 * Rules:
 * - Everything is of one core; others read only whether a bucket is empty, and the counts.
 * - tcp_input() and lwIP's timers are called between flow_attach() and flow_detach() only.
 * - Before an API call on a control block (tcp_write, tcp_close, ...) flow_touch() it, so that
 *   the next tick looks at it; without that a lost FIN would never be sent again.
 * - After tcp_connect() flow_detach().
 */
#pragma once

#include "lavra/list.h"
#include "lavra/types.h"

#include "lwip/tcp.h"

/* What a received segment is looked up by. Network byte order. Of an IPv6 connection this is a digest:
 * the local address is FLOW_KEY_IP6, the remote one a keyed hash of both addresses. */
struct flow_key {
	uint32_t remote_address, local_address;
	uint16_t remote_port, local_port;
};
/* The broadcast address, which no IPv4 connection has (lwIP refuses it). */
#define FLOW_KEY_IP6 0xffffffffu

enum flow_list { FLOW_IDLE, FLOW_TICKING, FLOW_KEEPALIVE, FLOW_TIME_WAIT };

struct flow {
	struct flow *next; /* in its bucket */
	struct tcp_pcb *pcb;
	struct flow_key key;
	uint8_t list; /* enum flow_list: which list `link` is in */
	bool hashed;
	bool established; /* was, at some time */
	bool window_lent; /* by net/segment.c: the receive window is one byte too large */
	bool is_marker; /* of a connection that moved: `pcb` is nobody's */
	bool recovering; /* NewReno: from the third duplicate ACK until `recover` is acknowledged */
	struct list link;
	struct list half_open_link; /* in state SYN_RCVD: oldest first */
	uint32_t recover;
	uint32_t recovery_ack; /* what was acknowledged when we last sent again */
	uint32_t orphan_ack; /* no socket any more: what was acknowledged at `orphan_ticks` */
	uint32_t orphan_ticks;
	uint64_t expires_ns; /* in TIME_WAIT */
};

#define FLOW_BUCKETS 8192
/* Half-open connections of a core: the oldest makes room, so that a flood of SYNs fills
 * neither memory nor the way in for others. */
#define FLOW_HALF_OPEN_MAX 1024
/* Connections in TIME_WAIT of a core (about 430 bytes each), for 2 s: longer than a segment lives
 * in a data centre; the oldest makes room. */
#define FLOW_TIME_WAIT_MAX 4096
#define FLOW_TIME_WAIT_NS (2 * NS_PER_S)

void flow_init(void); /* boot core, once */
int flow_init_core(void); /* every core; -ENOMEM */

static inline uint32_t flow_hash(const struct flow_key *key);
static inline struct flow *flow_find(const struct flow_key *key, uint32_t hash);
/* Of IPv6: the key, and the connection. `addresses` are the remote and the local one, as they follow
 * each other in a received header. */
void flow_key6(struct flow_key *key, const uint8_t addresses[32], uint16_t remote_port,
	       uint16_t local_port);
struct flow *flow_find6(const struct flow_key *key, uint32_t hash, const uint8_t addresses[32]);
/* May `core` have a flow of this hash? A hint: false positives happen. Any core. */
bool flow_may_be_on(core_id_t core, uint32_t hash);

/* Give `flow` (or nothing) to lwIP / take back what is on its lists. */
void flow_attach(struct flow *flow);
void flow_detach(void);

/* Make a flow for a control block that will connect. 0 or -ENOMEM. */
int flow_prepare(struct tcp_pcb *pcb);
/* Connections to this listening control block become flows. */
void flow_listen(struct tcp_pcb *listener);
/* Close it, with the half-open connections that point to it on lwIP's list. */
void flow_close_listener(struct tcp_pcb *listener);
static inline void flow_touch(struct tcp_pcb *pcb);
/* Forget a connection in TIME_WAIT: a new one with the same addresses and ports begins. */
void flow_recycle(struct flow *flow);
/* A connection moves to another core (net/socket_move.h). May it, now: is nothing on its way? */
bool flow_may_move(const struct tcp_pcb *pcb);
/* Take it off this core; a marker stays. NULL without memory. Then on `to`: it is there, and the
 * marker goes. */
struct flow_marker *flow_leave(struct tcp_pcb *pcb, core_id_t to);
void flow_arrive(struct tcp_pcb *pcb, struct flow_marker *marker);
/* Of what flow_find() gave, with a control block in TIME_WAIT: is it a marker, and for which core? */
bool flow_moved(const struct flow *flow, core_id_t *to);
/* Put every flow on lwIP's list; before an interface changes its address. */
void flow_attach_all(void);

/* This core's. */
extern CORE_LOCAL unsigned flow_count;
extern CORE_LOCAL unsigned flow_time_wait_count;
extern CORE_LOCAL unsigned flow_half_open_count;
extern CORE_LOCAL unsigned flow_ticking_count; /* what a tick looks at */

extern CORE_LOCAL struct flow **flow_table; /* this core's buckets */
extern uint64_t flow_hash_key[2];

/* Keyed, so that nobody outside can choose connections that share a bucket; the same on all cores,
 * so that one can look into another's table. */
static inline uint32_t flow_hash(const struct flow_key *key)
{
	uint64_t addresses;
	uint32_t ports;

	__builtin_memcpy(&addresses, key, 8);
	__builtin_memcpy(&ports, &key->remote_port, 4);
	addresses = (addresses ^ flow_hash_key[0]) * 0x9e3779b97f4a7c15;
	return (uint32_t)((((ports ^ flow_hash_key[1] ^ addresses >> 32) * 0xd6e8feb86659fd93) ^
			   addresses) >>
			  32);
}

void flow_begin_ticking(struct flow *flow);
/* Send what lwIP has kept because it could not be sent. No flow is attached. */
void flow_resume_sending(void);

static inline void flow_touch(struct tcp_pcb *pcb)
{
	struct flow *flow = pcb->ext_args[0].data;

	if (unlikely(flow->list != FLOW_TICKING))
		flow_begin_ticking(flow);
}

static inline bool flow_key_equal(const struct flow_key *a, const struct flow_key *b)
{
	return a->remote_port == b->remote_port && a->remote_address == b->remote_address &&
	       a->local_port == b->local_port && a->local_address == b->local_address;
}

static inline struct flow *flow_find(const struct flow_key *key, uint32_t hash)
{
	struct flow *flow = flow_table[hash % FLOW_BUCKETS];

	while (flow && !flow_key_equal(&flow->key, key))
		flow = flow->next;
	return flow;
}
