/*
 * What becomes of a core's network that has failed: it begins anew. Its connections are closed; who has their
 * sockets is told. Listening and datagram sockets go on.
 */
#include "net/calls/restart.h"

#include "arch/arch.h"
#include "drivers/virtio/virtio_net.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "net/calls/entries.h"
#include "net/calls/queues.h"
#include "net/domain/poll.h"
#include "smp/core.h"

#include <signal.h>

/* One that fails so often in so short a time is beyond help, and nobody is served. */
#define RESTARTS_MAX 30
#define RESTARTS_NS (10 * NS_PER_S)

CORE_LOCAL unsigned network_recent_restarts;
static CORE_LOCAL uint64_t since_ns; /* they are counted */

static bool too_often(void)
{
	uint64_t now_ns = clock_ns();

	if (now_ns - since_ns > RESTARTS_NS) {
		since_ns = now_ns;
		network_recent_restarts = 0;
	}
	return ++network_recent_restarts > RESTARTS_MAX;
}

void network_begin_anew(void)
{
	struct counters kept = network_counters;
	unsigned connections = flow_count;

	if (too_often()) {
		kprintf("network: core %u has failed %u times in 10 s: the image ends\n", this_core,
			network_recent_restarts);
		machine_exit(128 + SIGSEGV);
	}
	arch_network_restart();
	network_counters = kept;
	network_counters.connections_closed += connections;
	counters.network_restarts++;
	network_restart_core();
	/* What was queued when it failed, the device may not have been told of. */
	for (uint64_t left = queue_map.of[this_core].owns; left; left &= left - 1) {
		unsigned queue = (unsigned)__builtin_ctzll(left);

		virtio_net_notify(2 * queue);
		virtio_net_notify(2 * queue + 1);
	}
	if (arch_network_is_down())
		return;
	if (!exchange_adopt()) {
		kprintf("network: core %u: its exchange is not in its memory\n", this_core);
		machine_exit(128 + SIGSEGV);
	}
	kprintf("network: core %u has begun anew; connections closed: %u\n", this_core,
		connections);
	owners_tell_all();
}
