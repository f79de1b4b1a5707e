/*
 * The machine's address at boot: found by core 0's stack, awaited here, and told to all cores.
 */
#include "arch/arch.h"
#include "drivers/virtio/virtio_net.h"
#include "lavra/console.h"
#include "net/config.h"
#include "net/net.h"
#include "sched/thread.h"
#include "smp/core.h"
#include "smp/mailbox.h"

#include <errno.h>

#define ANNOUNCE_AFTER_NS (1 * NS_PER_S) /* say that we wait */
#define GIVE_UP_NS (10 * NS_PER_S)
#define LOOK_NS (1 * NS_PER_MS)

/* Returns whether there is an address, or none is expected. */
static bool wait_for_address(uint64_t deadline_ns)
{
	while (config_waits() && clock_ns() < deadline_ns) {
		thread_prepare_block();
		thread_block(min(deadline_ns, clock_ns() + LOOK_NS));
	}
	return !config_waits();
}

int net_configure(void)
{
	uint64_t start_ns = clock_ns();
	int error;

	if (virtio_net_queue_pairs() == 0)
		return -ENODEV;
	error = config_begin();
	if (!error && !wait_for_address(start_ns + ANNOUNCE_AFTER_NS)) {
		kprintf("net: waiting for an address by DHCP (ip=dhcp)\n");
		if (!wait_for_address(start_ns + GIVE_UP_NS))
			kprintf(
			    "net: warning: no DHCP server answered for 10 s; going on without an "
			    "address\n");
	}
	if (!config_end())
		return error;
	config_announce();
	core_call_all(config_adopt, NULL);
	return 0;
}
