/*
 * The flow table of a core, its TCP ticks, and what lwIP leaves to be done around it: bounded
 * half-open connections, TIME_WAIT in a queue, recovery from several losses in one window.
 */
#include "net/flow.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "net/interface.h"
#include "net/listener.h"
#include "net/segment.h"
#include "sched/timer.h"
#include "smp/core.h"
#include "smp/mailbox.h"

#include "lwip/priv/tcp_priv.h"

#include <errno.h>
#include <string.h>

#define FAST_TICK_NS (TCP_FAST_INTERVAL * NS_PER_MS)
#define SLOW_TICK_NS (TCP_SLOW_INTERVAL * NS_PER_MS)
/* When nothing but keep-alive and TIME_WAIT is being timed. */
#define LAZY_TICK_NS NS_PER_S
/* How long a closed connection may fail to make progress with what it still has to send. */
#define ORPHAN_TICKS (60000 / TCP_SLOW_INTERVAL)
#define INITIAL_WINDOW_SEGMENTS 10 /* RFC 6928 */
#define INITIAL_TIMEOUT_TICKS (1000 / TCP_SLOW_INTERVAL) /* RFC 6298, 2.1 */

/* Each core's table, outside its window: others look whether a bucket is empty. */
static READ_MOSTLY struct flow **tables[MAX_CORES];
READ_MOSTLY uint64_t flow_hash_key[2];

CORE_LOCAL struct flow **flow_table;
static CORE_LOCAL struct list ticking, keepalive, time_wait, half_open;
static CORE_LOCAL struct timer tick_timer;
static CORE_LOCAL uint64_t tick_period_ns; /* 0: the timer is stopped */
static CORE_LOCAL uint64_t last_slow_ns;
static CORE_LOCAL uint32_t keepalive_ticks;

CORE_LOCAL unsigned flow_count;
CORE_LOCAL unsigned flow_time_wait_count;
CORE_LOCAL unsigned flow_half_open_count;
CORE_LOCAL unsigned flow_ticking_count;

static void flow_destroyed(u8_t id, void *data);
static err_t flow_opened(u8_t id, struct tcp_pcb_listen *listener, struct tcp_pcb *pcb);
static void tick(struct timer *timer);

static const struct tcp_ext_arg_callbacks flow_callbacks = {
	.destroy = flow_destroyed,
	.passive_open = flow_opened,
};

static inline struct flow *flow_of(const struct tcp_pcb *pcb)
{
	return pcb->ext_args[0].data;
}

/* ---- the table ---- */

void flow_init(void)
{
	flow_hash_key[0] = arch_random() | 1;
	flow_hash_key[1] = arch_random() | 1;
}

int flow_init_core(void)
{
	unsigned order = 0;
	paddr_t frames;
	uint8_t id;

	while ((PAGE_SIZE << order) < FLOW_BUCKETS * sizeof(*flow_table))
		order++;
	frames = frame_alloc_zeroed(order);
	if (!frames)
		return -ENOMEM;
	flow_table = phys_to_virt(frames);
	list_init(&ticking);
	list_init(&keepalive);
	list_init(&time_wait);
	list_init(&half_open);
	timer_init(&tick_timer, tick);
	id = tcp_ext_arg_alloc_id();
	assert(id == 0);
	/* Pairs with the load in flow_may_be_on(). */
	__atomic_store_n(&tables[this_core], flow_table, __ATOMIC_RELEASE);
	return 0;
}

bool flow_may_be_on(core_id_t core, uint32_t hash)
{
	/* Pairs with the store in flow_init_core(). */
	struct flow **other = __atomic_load_n(&tables[core], __ATOMIC_ACQUIRE);

	return other && __atomic_load_n(&other[hash % FLOW_BUCKETS], __ATOMIC_RELAXED);
}

/* Multiplications by what nobody outside knows: who cannot see the key cannot choose addresses that
 * meet in one bucket. */
void flow_key6(struct flow_key *key, const uint8_t addresses[32], uint16_t remote_port,
	       uint16_t local_port)
{
	uint64_t words[4], mixed = flow_hash_key[0];

	memcpy(words, addresses, sizeof(words));
	for (int i = 0; i < 4; i++) {
		mixed = (mixed ^ words[i]) * 0x9e3779b97f4a7c15;
		mixed ^= mixed >> 29 ^ flow_hash_key[i & 1];
	}
	*key = (struct flow_key){
		.remote_address = (uint32_t)(mixed ^ mixed >> 32),
		.local_address = FLOW_KEY_IP6,
		.remote_port = remote_port,
		.local_port = local_port,
	};
}

struct flow *flow_find6(const struct flow_key *key, uint32_t hash, const uint8_t addresses[32])
{
	struct flow *flow = flow_table[hash % FLOW_BUCKETS];

	/* A marker of one that moves has no addresses: who takes it for another is sent on, no more. */
	for (; flow; flow = flow->next)
		if (flow_key_equal(&flow->key, key) &&
		    (flow->is_marker ||
		     (memcmp(ip_2_ip6(&flow->pcb->remote_ip)->addr, addresses, 16) == 0 &&
		      memcmp(ip_2_ip6(&flow->pcb->local_ip)->addr, addresses + 16, 16) == 0)))
			return flow;
	return NULL;
}

static void set_key6(struct flow_key *key, const struct tcp_pcb *pcb)
{
	uint8_t addresses[32];

	memcpy(addresses, ip_2_ip6(&pcb->remote_ip)->addr, 16);
	memcpy(addresses + 16, ip_2_ip6(&pcb->local_ip)->addr, 16);
	flow_key6(key, addresses, lwip_htons(pcb->remote_port), lwip_htons(pcb->local_port));
}

static void hash_insert(struct flow *flow)
{
	const struct tcp_pcb *pcb = flow->pcb;
	struct flow **bucket;

	if (IP_IS_V6_VAL(pcb->remote_ip))
		set_key6(&flow->key, pcb);
	else
		flow->key = (struct flow_key){
			.remote_address = ip_2_ip4(&pcb->remote_ip)->addr,
			.local_address = ip_2_ip4(&pcb->local_ip)->addr,
			.remote_port = lwip_htons(pcb->remote_port),
			.local_port = lwip_htons(pcb->local_port),
		};
	bucket = &flow_table[flow_hash(&flow->key) % FLOW_BUCKETS];
	flow->next = *bucket;
	/* Read by flow_may_be_on() of other cores, as a hint: no order needed. */
	__atomic_store_n(bucket, flow, __ATOMIC_RELAXED);
	flow->hashed = true;
	flow_count++;
}

static void hash_remove(struct flow *flow)
{
	struct flow **link = &flow_table[flow_hash(&flow->key) % FLOW_BUCKETS];

	while (*link != flow)
		link = &(*link)->next;
	__atomic_store_n(link, flow->next, __ATOMIC_RELAXED);
	flow_count--;
}

/* ---- which list a flow is in ---- */

static void set_tick_period(uint64_t period_ns)
{
	uint64_t now_ns = clock_ns();

	/* While it was stopped nothing was being timed: tcp_ticks need not catch up. */
	if (tick_period_ns == 0)
		last_slow_ns = now_ns;
	tick_period_ns = period_ns;
	timer_start(&tick_timer, now_ns + period_ns);
}

static void move_to(struct flow *flow, enum flow_list list)
{
	if (flow->list == list)
		return;
	if (flow->list == FLOW_TICKING)
		flow_ticking_count--;
	else if (flow->list == FLOW_TIME_WAIT)
		flow_time_wait_count--;
	list_remove(&flow->link);
	flow->list = list;
	switch (list) {
	case FLOW_IDLE:
		return;
	case FLOW_TICKING:
		flow_ticking_count++;
		list_push_back(&ticking, &flow->link);
		if (tick_period_ns != FAST_TICK_NS)
			set_tick_period(FAST_TICK_NS);
		return;
	case FLOW_KEEPALIVE:
		list_push_back(&keepalive, &flow->link);
		break;
	case FLOW_TIME_WAIT:
		flow_time_wait_count++;
		flow->expires_ns = clock_ns() + FLOW_TIME_WAIT_NS;
		list_push_back(&time_wait, &flow->link);
		break;
	}
	if (tick_period_ns == 0)
		set_tick_period(LAZY_TICK_NS);
}

/* Would lwIP's timers do anything about it? */
static inline bool needs_ticks(const struct tcp_pcb *pcb)
{
	return pcb->rtime >= 0 || pcb->unsent || pcb->persist_backoff || pcb->ooseq ||
	       pcb->refused_data || pcb->poll ||
	       (pcb->flags & (TF_ACK_DELAY | TF_CLOSEPEND | TF_NAGLEMEMERR)) ||
	       (pcb->state != ESTABLISHED && pcb->state != CLOSE_WAIT);
}

static struct flow *flow_create(struct tcp_pcb *pcb)
{
	struct flow *flow = object_alloc_zeroed(sizeof(*flow));

	if (!flow)
		return NULL;
	flow->pcb = pcb;
	/* lwIP begins with 3 s, by the book of 1988. */
	pcb->rto = pcb->sv = INITIAL_TIMEOUT_TICKS;
	list_init(&flow->link);
	list_init(&flow->half_open_link);
	tcp_ext_arg_set(pcb, 0, flow);
	tcp_ext_arg_set_callbacks(pcb, 0, &flow_callbacks);
	return flow;
}

static void no_longer_half_open(struct flow *flow)
{
	list_remove(&flow->half_open_link);
	flow_half_open_count--;
}

/* lwIP frees the control block. */
static void flow_destroyed(u8_t id, void *data)
{
	struct flow *flow = data;

	if (!flow)
		return;
	if (flow->hashed)
		hash_remove(flow);
	if (list_is_linked(&flow->half_open_link))
		no_longer_half_open(flow);
	move_to(flow, FLOW_IDLE);
	if (flow->established)
		counters.connections_closed++;
	object_free(flow);
}

/* lwIP made a control block for a SYN. */
static err_t flow_opened(u8_t id, struct tcp_pcb_listen *listener, struct tcp_pcb *pcb)
{
	struct flow *flow;

	if (!listener_answers(listener->callback_arg)) {
		/* As where nobody listens. */
		tcp_rst(pcb, 0, pcb->rcv_nxt, &pcb->local_ip, &pcb->remote_ip, pcb->local_port,
			pcb->remote_port);
		return ERR_CLSD;
	}
	if (!listener_admits(listener->callback_arg)) {
		counters.connections_refused++;
		return ERR_MEM;
	}
	if (flow_half_open_count >= FLOW_HALF_OPEN_MAX) {
		counters.connections_refused++;
		tcp_abandon(list_first(&half_open, struct flow, half_open_link)->pcb, 0);
	}
	flow = flow_create(pcb);
	if (!flow) {
		counters.connections_refused++;
		return ERR_MEM;
	}
	hash_insert(flow);
	list_push_back(&half_open, &flow->half_open_link);
	flow_half_open_count++;
	return ERR_OK;
}

int flow_prepare(struct tcp_pcb *pcb)
{
	return flow_create(pcb) ? 0 : -ENOMEM;
}

void flow_listen(struct tcp_pcb *listener)
{
	tcp_ext_arg_set_callbacks(listener, 0, &flow_callbacks);
}

void flow_begin_ticking(struct flow *flow)
{
	/* One that only now connects is not on any list; what is in TIME_WAIT stays there. */
	if (flow->hashed && flow->list != FLOW_TIME_WAIT)
		move_to(flow, FLOW_TICKING);
}

void flow_recycle(struct flow *flow)
{
	assert(flow->pcb->state == TIME_WAIT);
	tcp_abandon(flow->pcb, 0);
}

/* ---- after lwIP had a control block ---- */

/*
 * NewReno (RFC 6582). lwIP leaves fast recovery at the first new acknowledgement, so a second
 * loss in the same window waits for the retransmission timer. As long as not everything is
 * acknowledged that was sent before the first loss, a partial acknowledgement means that the
 * next segment is lost too: send it now.
 */
static void recover_losses(struct flow *flow, struct tcp_pcb *pcb)
{
	if (!flow->recovering) {
		flow->recovering = true;
		flow->recover = pcb->snd_nxt;
		flow->recovery_ack = pcb->lastack;
		return;
	}
	if (TCP_SEQ_GEQ(pcb->lastack, flow->recover) || (pcb->flags & TF_RTO)) {
		flow->recovering = false;
		return;
	}
	if (pcb->lastack == flow->recovery_ack || (pcb->flags & TF_INFR))
		return;
	flow->recovery_ack = pcb->lastack;
	interface_reclaim();
	if (tcp_rexmit(pcb) != ERR_OK)
		return;
	pcb->nrtx = 0;
	tcp_set_flags(pcb, TF_INFR);
	pcb->dupacks = 3;
	pcb->rtime = 0;
	pcb->cwnd = max(pcb->cwnd, pcb->ssthresh);
	tcp_output(pcb);
}

/*
 * A connection that its socket has left. lwIP gives up FIN_WAIT_2 and LAST_ACK by the time of the
 * last segment before the close, which would cut off a slow reader; and FIN_WAIT_1 with a closed
 * window never. Instead: progress is what keeps it alive. Returns false if it was ended.
 */
static bool watch_orphan(struct flow *flow, struct tcp_pcb *pcb)
{
	if (pcb->state < FIN_WAIT_1 || pcb->state == CLOSE_WAIT)
		return true;
	if (flow->orphan_ticks == 0 || pcb->lastack != flow->orphan_ack) {
		flow->orphan_ack = pcb->lastack;
		flow->orphan_ticks = tcp_ticks | 1;
		pcb->tmr = tcp_ticks;
	} else if (pcb->state != FIN_WAIT_2 &&
		   (int32_t)(tcp_ticks - flow->orphan_ticks) > (int32_t)ORPHAN_TICKS) {
		tcp_abort(pcb);
		return false;
	}
	return true;
}

static void begin_connection(struct flow *flow, struct tcp_pcb *pcb)
{
	flow->established = true;
	counters.connections_opened++;
	segment_settle_size(pcb);
	pcb->cwnd = max(pcb->cwnd, (tcpwnd_size_t)INITIAL_WINDOW_SEGMENTS * pcb->mss);
}

/* Both sides have said all. What is left is lwIP's and ours; the socket lets go of it. */
static void enter_time_wait(struct flow *flow, struct tcp_pcb *pcb)
{
	if (flow->list == FLOW_TIME_WAIT)
		return;
	if (pcb->callback_arg && pcb->errf)
		pcb->errf(pcb->callback_arg, ERR_CLSD);
	pcb->callback_arg = NULL;
	move_to(flow, FLOW_TIME_WAIT);
	if (flow_time_wait_count > FLOW_TIME_WAIT_MAX)
		flow_recycle(list_first(&time_wait, struct flow, link));
}

static void settle(struct tcp_pcb *pcb)
{
	struct flow *flow = flow_of(pcb);

	segment_done(flow, pcb);
	if (unlikely(!flow->established)) {
		if (!flow->hashed)
			hash_insert(flow);
		if (list_is_linked(&flow->half_open_link) && pcb->state != SYN_RCVD)
			no_longer_half_open(flow);
		if (pcb->state >= ESTABLISHED)
			begin_connection(flow, pcb);
	}
	if (unlikely(flow->recovering || (pcb->flags & TF_INFR)))
		recover_losses(flow, pcb);
	if (unlikely(pcb->state != ESTABLISHED)) {
		if (pcb->state == TIME_WAIT) {
			enter_time_wait(flow, pcb);
			return;
		}
		if (!pcb->callback_arg && !watch_orphan(flow, pcb))
			return;
	}
	if (needs_ticks(pcb))
		move_to(flow, FLOW_TICKING);
	else if (pcb->so_options & SOF_KEEPALIVE)
		move_to(flow, FLOW_KEEPALIVE);
	else
		move_to(flow, FLOW_IDLE);
}

void flow_attach(struct flow *flow)
{
	struct tcp_pcb *pcb;

	if (!flow)
		return;
	pcb = flow->pcb;
	pcb->next = NULL;
	if (unlikely(pcb->state == TIME_WAIT))
		tcp_tw_pcbs = pcb;
	else
		tcp_active_pcbs = pcb;
}

static void detach_list(struct tcp_pcb **list)
{
	struct tcp_pcb *pcb = *list;

	*list = NULL;
	while (pcb) {
		struct tcp_pcb *next = pcb->next;

		pcb->next = NULL;
		settle(pcb); /* may free it */
		pcb = next;
	}
}

void flow_detach(void)
{
	if (tcp_active_pcbs)
		detach_list(&tcp_active_pcbs);
	if (unlikely(tcp_tw_pcbs))
		detach_list(&tcp_tw_pcbs);
}

static void attach_list(const struct list *flows)
{
	list_for_each(link, flows) {
		struct tcp_pcb *pcb = list_entry(link, struct flow, link)->pcb;

		pcb->next = tcp_active_pcbs;
		tcp_active_pcbs = pcb;
	}
}

void flow_resume_sending(void)
{
	/* Whoever has something to send ticks. */
	attach_list(&ticking);
	tcp_txnow();
	flow_detach();
}

void flow_attach_all(void)
{
	for (unsigned i = 0; i < FLOW_BUCKETS; i++)
		for (struct flow *flow = flow_table[i]; flow; flow = flow->next) {
			if (flow->is_marker)
				continue;
			struct tcp_pcb **list = flow->pcb->state == TIME_WAIT ? &tcp_tw_pcbs
									      : &tcp_active_pcbs;

			flow->pcb->next = *list;
			*list = flow->pcb;
		}
}

void flow_close_listener(struct tcp_pcb *listener)
{
	/* lwIP makes what points to the listener forget it; it looks on its lists only. */
	list_for_each(link, &half_open) {
		struct tcp_pcb *pcb = list_entry(link, struct flow, half_open_link)->pcb;

		pcb->next = tcp_active_pcbs;
		tcp_active_pcbs = pcb;
	}
	tcp_close(listener);
	flow_detach();
}

/* ---- moving to another core ---- */

struct flow_marker {
	struct flow flow;
	core_id_t from, to;
	struct parcel parcel; /* takes it home, where it ends */
};

/* What markers have for a control block, so that they cost the usual segment no look. */
static READ_MOSTLY struct tcp_pcb moved_pcb = { .state = TIME_WAIT };

bool flow_may_move(const struct tcp_pcb *pcb)
{
	return pcb->state == ESTABLISHED && !pcb->unsent && !pcb->unacked && !pcb->ooseq &&
	       !pcb->refused_data && !pcb->persist_backoff && pcb->rtime < 0 && !pcb->poll &&
	       !(pcb->flags & ~(TF_ACK_DELAY | TF_ACK_NOW | TF_NODELAY | TF_WND_SCALE | TF_SACK)) &&
	       !flow_of(pcb)->recovering && flow_of(pcb)->hashed && ncores > 1;
}

bool flow_moved(const struct flow *flow, core_id_t *to)
{
	if (!flow->is_marker)
		return false;
	*to = container_of(flow, struct flow_marker, flow)->to;
	return true;
}

static void insert_at(struct flow *flow)
{
	struct flow **bucket = &flow_table[flow_hash(&flow->key) % FLOW_BUCKETS];

	flow->next = *bucket;
	/* As in hash_insert(). */
	__atomic_store_n(bucket, flow, __ATOMIC_RELAXED);
	flow_count++;
}

/* At the old core: the new one has it, and shows so in its table. */
static void marker_arrived(struct parcel *parcel)
{
	struct flow_marker *marker = container_of(parcel, struct flow_marker, parcel);

	hash_remove(&marker->flow);
	object_free(marker);
}

struct flow_marker *flow_leave(struct tcp_pcb *pcb, core_id_t to)
{
	struct flow_marker *marker = object_alloc_zeroed(sizeof(*marker));
	struct flow *flow = flow_of(pcb);

	if (!marker)
		return NULL;
	marker->flow.pcb = &moved_pcb;
	marker->flow.key = flow->key;
	marker->flow.is_marker = true;
	marker->from = this_core;
	marker->to = to;
	parcel_init(&marker->parcel, marker_arrived);
	/* The bucket is not empty in between: others look at it. */
	insert_at(&marker->flow);
	hash_remove(flow);
	move_to(flow, FLOW_IDLE);
	/* As an age: every core counts its own ticks. */
	pcb->tmr = tcp_ticks - pcb->tmr;
	pcb->rttest = 0;
	return marker;
}

void flow_arrive(struct tcp_pcb *pcb, struct flow_marker *marker)
{
	struct flow *flow = flow_of(pcb);

	pcb->tmr = tcp_ticks - pcb->tmr;
	insert_at(flow);
	if (needs_ticks(pcb))
		move_to(flow, FLOW_TICKING);
	else if (pcb->so_options & SOF_KEEPALIVE)
		move_to(flow, FLOW_KEEPALIVE);
	parcel_send(marker->from, &marker->parcel);
}

/* ---- ticks ---- */

static void expire_time_wait(uint64_t now_ns)
{
	while (!list_is_empty(&time_wait)) {
		struct flow *oldest = list_first(&time_wait, struct flow, link);

		if (oldest->expires_ns > now_ns)
			break;
		flow_recycle(oldest);
	}
}

static void tick(struct timer *timer)
{
	uint64_t now_ns = clock_ns();
	uint64_t slow_ticks = (now_ns - last_slow_ns) / SLOW_TICK_NS;

	/* A segment that the device still holds cannot be sent again. */
	interface_reclaim();
	expire_time_wait(now_ns);
	attach_list(&ticking);
	if (tcp_active_pcbs)
		tcp_fasttmr();
	if (slow_ticks) {
		last_slow_ns += slow_ticks * SLOW_TICK_NS;
		keepalive_ticks += (uint32_t)slow_ticks;
		if (keepalive_ticks >= LAZY_TICK_NS / SLOW_TICK_NS) {
			keepalive_ticks = 0;
			attach_list(&keepalive);
		}
		/* Ages are differences of tcp_ticks; one of them tcp_slowtmr() counts itself. */
		tcp_ticks += (uint32_t)slow_ticks - 1;
		tcp_slowtmr();
		for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
			segment_take_back_probe(pcb);
	}
	flow_detach();
	if (!list_is_empty(&ticking))
		set_tick_period(FAST_TICK_NS);
	else if (!list_is_empty(&keepalive) || !list_is_empty(&time_wait))
		set_tick_period(LAZY_TICK_NS);
	else
		tick_period_ns = 0;
}
