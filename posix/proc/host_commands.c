#include "posix/proc/host_commands.h"

#include "arch/arch.h"
#include "drivers/virtio/virtio_net.h"
#include "lavra/console.h"
#include "lavra/monitor.h"
#include "net/calls/queues.h"
#include "posix/syscall.h"
#include "sched/affinity.h"
#include "sched/thread.h"
#include "smp/core.h"
#include "smp/monitor.h"
#include "smp/trace.h"

#include <errno.h>
#include <string.h>

#define LOOK_NS (100 * NS_PER_MS)

_Static_assert(MONITOR_IDLE_HALT == (int)IDLE_HALT && MONITOR_IDLE_POLL == (int)IDLE_POLL &&
		   MONITOR_IDLE_ADAPTIVE == (int)IDLE_ADAPTIVE,
	       "lavra/monitor.h");
_Static_assert(MONITOR_THREAD_NAME_SIZE == THREAD_NAME_SIZE, "lavra/monitor.h");

static void list_thread(struct thread *thread, void *unused)
{
	struct monitor_thread *to;

	if (!thread->tid)
		return;
	if (monitor_threads->count++ >= MONITOR_THREADS_MAX)
		return;
	to = &monitor_threads->threads[monitor_threads->count - 1];
	*to = (struct monitor_thread){
		.tid = (uint32_t)thread->tid,
		.core = __atomic_load_n(&thread->core, __ATOMIC_RELAXED),
		.affinity = __atomic_load_n(&thread->affinity, __ATOMIC_RELAXED) &
			    online_cores_mask(),
		.cpu_ns = thread_cpu_ns(thread),
	};
	memcpy(to->name, thread->name, sizeof(to->name) - 1);
}

static void list_queues(void)
{
	monitor_queues->count = virtio_net_queue_pairs();
	for (unsigned queue = 0; queue < virtio_net_queue_pairs(); queue++)
		monitor_queues->cores[queue] = (uint8_t)queue_map.owners[queue];
}

static long list_threads(void)
{
	monitor_threads->count = 0;
	for (core_id_t core = 0; core < ncores; core++)
		monitor_threads->idle[core] = (uint8_t)core_idle_mode(core);
	thread_for_each(list_thread, NULL);
	list_queues();
	return 0;
}

static long set_idle(uint64_t mask, uint64_t mode)
{
	if (mode > IDLE_ADAPTIVE || !(mask & online_cores_mask()))
		return -EINVAL;
	for (core_id_t core = 0; core < ncores; core++)
		if (mask >> core & 1 && core_is_online(core))
			core_set_idle_mode(core, (enum idle_mode)mode);
	return 0;
}

static long switch_trace(bool on)
{
	if (on)
		syscall_for_each(trace_call_name);
	return trace_switch(on);
}

/* The host may be anybody: the numbers are checked by who takes them. */
static long obey(const struct monitor_command *command)
{
	const uint64_t *arguments = command->arguments;

	switch (command->kind) {
	case MONITOR_TRACE:
		return switch_trace(arguments[0] != 0);
	case MONITOR_LIST_THREADS:
		return list_threads();
	case MONITOR_SET_AFFINITY:
		if (arguments[0] == 0 || arguments[0] > INT32_MAX)
			return -ESRCH;
		return thread_set_affinity((int)arguments[0], arguments[1]);
	case MONITOR_SET_IDLE:
		return set_idle(arguments[0], arguments[1]);
	case MONITOR_MOVE_QUEUE:
		if (arguments[0] >= MAX_CORES || arguments[1] >= MAX_CORES)
			return -EINVAL;
		return network_queue_move((unsigned)arguments[0], (core_id_t)arguments[1]);
	}
	return -ENOSYS;
}

static void look(void *unused)
{
	uint64_t answered = 0;

	for (;;) {
		/* Acquire: the rest of it was written before. */
		uint64_t asked = __atomic_load_n(&monitor_command->asked, __ATOMIC_ACQUIRE);

		if (asked != answered) {
			/* As it was when it was looked at, whatever the host writes meanwhile. */
			const struct monitor_command command = *monitor_command;

			monitor_command->result = obey(&command);
			__atomic_store_n(&monitor_command->answered, asked, __ATOMIC_RELEASE);
			answered = asked;
		}
		thread_prepare_block();
		thread_block(clock_ns() + LOOK_NS);
	}
}

void host_commands_start(void)
{
	if (monitor_command && !thread_create("host commands", this_core, look, NULL))
		kprintf("monitor: no memory for the thread that does what the host asks\n");
}
