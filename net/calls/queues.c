#include "net/calls/queues.h"

#include "arch/arch.h"
#include "drivers/virtio/virtio_net.h"
#include "lavra/console.h"
#include "sched/affinity.h"
#include "sched/mutex.h"
#include "sched/thread.h"
#include "smp/mailbox.h"

#include <errno.h>

#define SENT_WITHIN_NS (1 * NS_PER_S)
#define LOOK_NS (1 * NS_PER_MS)

struct queue_map queue_map;

/* One queue moves at a time. A thread that holds it blocks; it takes no other. */
static struct mutex moving;

/* Of this core, or, at boot, of another one. */
static void tell_of(core_id_t core)
{
	network_queues.of[core].owns = queue_map.of[core].owns;
	network_queues.of[core].leaves = queue_map.of[core].leaves;
	network_queues.of[core].sends_on = queue_map.of[core].sends_on;
}

/* Other cores look at these meanwhile. */
static void tell(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

/* Cores with connections and without a queue are served by the core whose queue they send on. */
static void find_served(void)
{
	uint64_t serves[MAX_CORES];

	for (core_id_t core = 0; core < ncores; core++)
		serves[core] = 1ull << core;
	for (core_id_t core = 0; virtio_net_queue_pairs() && core < ncores; core++)
		if (network_cores >> core & 1 && !queue_map.of[core].owns)
			serves[queue_map.owners[queue_map.of[core].sends_on]] |= 1ull << core;
	for (core_id_t core = 0; core < ncores; core++)
		tell(&network_queues.of[core].serves, serves[core]);
	tell(&network_queues.cores, network_cores);
}

/* ---- at boot ---- */

void network_queues_init(void)
{
	core_id_t owners[MAX_CORES];
	unsigned count = 0, pairs;

	if (!(network_cores & online_cores_mask())) {
		kprintf("net: none of the cores of net= is up, using all\n");
		network_cores = ~0ull;
	}
	for (core_id_t core = 0; core < ncores; core++)
		if (network_cores >> core & 1 && core_is_online(core))
			owners[count++] = core;
	virtio_net_init(owners, count);
	pairs = virtio_net_queue_pairs();

	for (unsigned queue = 0; queue < pairs; queue++) {
		queue_map.owners[queue] = network_queues.owners[queue] = owners[queue];
		queue_map.of[owners[queue]].owns = 1ull << queue;
		queue_map.of[owners[queue]].sends_on = queue;
	}
	/* Those that have none, in turns: first the others with connections. */
	for (unsigned i = pairs; pairs && i < count; i++)
		queue_map.of[owners[i]].sends_on = i % pairs;
	for (core_id_t core = 0; pairs && core < ncores; core++)
		if (!(network_cores >> core & 1))
			queue_map.of[core].sends_on = core % pairs;
	for (core_id_t core = 0; core < ncores; core++)
		tell_of(core);
	find_served();
}

/* ---- moving ---- */

/* On the core that has it: whether it is free. Again and again, until it is. */
static long leave(void *argument)
{
	unsigned queue = (unsigned)(uintptr_t)argument;
	struct core_queues *own = &queue_map.of[this_core];
	bool left;

	own->owns &= ~(1ull << queue);
	own->leaves |= 1ull << queue;
	if (own->sends_on == queue && own->owns)
		own->sends_on = (unsigned)__builtin_ctzll(own->owns);
	tell_of(this_core);
	left = interface_leave_queue(queue);
	/* If the network has failed it begins anew, with this queue, and is asked again. */
	if (arch_network_is_down() || !left)
		return false;
	own->leaves &= ~(1ull << queue);
	tell_of(this_core);
	return true;
}

/* On the core that gets it, or keeps it after all. */
static long take_over(void *argument)
{
	unsigned queue = (unsigned)(uintptr_t)argument;
	struct core_queues *own = &queue_map.of[this_core];

	if (!own->owns)
		own->sends_on = queue;
	own->owns |= 1ull << queue;
	own->leaves &= ~(1ull << queue);
	tell_of(this_core);
	queue_map.owners[queue] = this_core;
	__atomic_store_n(&network_queues.owners[queue], this_core, __ATOMIC_RELAXED);
	/* If the network fails here, it begins anew with the queue. */
	interface_take_queue(queue);
	return 0;
}

static int move(unsigned queue, core_id_t from, core_id_t to)
{
	void *argument = (void *)(uintptr_t)queue;
	uint64_t deadline_ns = clock_ns() + SENT_WITHIN_NS;
	uint64_t with_connections = network_cores | 1ull << to;

	while (!core_call(from, leave, argument)) {
		if (clock_ns() >= deadline_ns) {
			core_call(from, take_over, argument);
			return -EBUSY;
		}
		thread_prepare_block();
		thread_block(clock_ns() + LOOK_NS);
	}
	virtio_net_direct_interrupt(queue, to);
	core_call(to, take_over, argument);
	if (!queue_map.of[from].owns)
		with_connections &= ~(1ull << from);
	tell(&network_cores, with_connections);
	find_served();
	return 0;
}

int network_queue_move(unsigned queue, core_id_t core)
{
	int error = 0;

	if (queue >= virtio_net_queue_pairs())
		return -ENODEV;
	if (!core_is_online(core))
		return -EINVAL;
	mutex_lock(&moving);
	if (queue_map.owners[queue] != core) {
		error = virtio_net_prepare_interrupt(core);
		if (!error)
			error = move(queue, queue_map.owners[queue], core);
	}
	mutex_unlock(&moving);
	return error;
}
