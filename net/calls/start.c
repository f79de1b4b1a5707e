/*
 * The network's place among a core's work.
 */
#include "arch/arch.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "lavra/trace.h"
#include "net/calls/entries.h"
#include "net/calls/restart.h"
#include "net/domain/poll.h"
#include "net/net.h"
#include "sched/thread.h"
#include "smp/mailbox.h"

/* A pass of which the host is told what it received and sent. */
static bool poll_traced(uint64_t now_ns)
{
	uint64_t received = network_counters.rx_packets, sent = network_counters.tx_packets;
	bool worked = network_poll(now_ns);

	if (worked)
		TRACE(TRACE_PACKETS, network_counters.rx_packets - received,
		      network_counters.tx_packets - sent);
	return worked;
}

static bool poll(uint64_t now_ns)
{
	if (likely(!arch_network_is_down()))
		return arch_static_branch() ? poll_traced(now_ns) : network_poll(now_ns);
	network_begin_anew();
	return true;
}

static bool prepare_sleep(void)
{
	return !arch_network_is_down() && network_prepare_sleep() && !arch_network_is_down();
}

static struct poller network_poller = {
	.poll = poll,
	.prepare_sleep = prepare_sleep,
	.awake = network_awake,
	.deadline_ns = &network_timer_next_ns,
};

void network_start(void)
{
	arch_network_init();
	network_init();
	mailbox_set_domain(network_text_start, network_text_end, network_run);
	counters_add_domain(&network_counters);
	core_add_poller(&network_poller);
}

void network_start_core(void)
{
	network_init_core();
	if (arch_isolation() && arch_network_start_core() != 0)
		panic("no memory for the network's stack");
	if (!exchange_adopt())
		panic("the network's exchange is not in its memory");
}
