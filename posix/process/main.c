/*
 * The boot sequence: every folder in its order, from the first instruction in C to the application.
 */
#include "posix/process/start.h"
#include "posix/thread/thread_calls.h"

#include "arch/arch.h"
#include "arch/boot_info.h"
#include "drivers/ivshmem.h"
#include "drivers/virtio/virtio_net.h"
#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "mm/frame.h"
#include "mm/mm.h"
#include "net/calls/queues.h"
#include "net/net.h"
#include "posix/fs/archive.h"
#include "posix/fs/fs.h"
#include "posix/proc/host_commands.h"
#include "posix/proc/metrics.h"
#include "sched/affinity.h"
#include "sched/thread.h"
#include "smp/core.h"
#include "smp/epoch.h"
#include "smp/mailbox.h"
#include "smp/window.h"

/* The other cores wait with what needs the network device until it is there. */
static bool devices_are_ready;

static void release_other_cores(void)
{
	/* Pairs with the load in wait_for_devices(). */
	__atomic_store_n(&devices_are_ready, true, __ATOMIC_RELEASE);
	for (core_id_t core = 1; core < ncores; core++)
		arch_send_ipi(core);
}

static void wait_for_devices(void)
{
	for (;;) {
		/* Off for the look, so that the interrupt that follows the store ends the halt. */
		arch_irq_disable();
		if (__atomic_load_n(&devices_are_ready, __ATOMIC_ACQUIRE))
			break;
		arch_wait_for_interrupt();
	}
	arch_irq_enable();
}

static void seal_core(void *unused)
{
	arch_seal();
}

/* The last steps may wait, so a thread takes them. */
static void boot_thread(void *unused)
{
	net_configure();
	fs_init();
	metrics_start();
	host_commands_start();
	kprintf("lavra: ready in %lu ms, %zu of %zu KiB free\n",
		(unsigned long)(clock_ns() / NS_PER_MS), frame_free_count() * (PAGE_SIZE / 1024),
		frame_total() * (PAGE_SIZE / 1024));
	core_call_all(seal_core, NULL);
	boot_arguments_complete(
	    (unsigned)__builtin_popcountll(affinity_default & online_cores_mask()));
	start_application();
}

void lavra_main(const struct boot_info *info)
{
	window_save_template();
	kprintf("Lavra, %lu MiB\n", info->ram_bytes >> 20);
	boot_options_parse(info->command_line);
	kprintf("isolation: %s\n",
		arch_isolation() ? "application, kernel and network, by protection keys" : "none");

	cores_discover(info->acpi_rsdp);
	mm_init(info);
	archive_note_modules(info);
	clock_init();

	sched_init();
	smp_start();
	sched_init_core();

	network_start();
	network_queues_init();
	ivshmem_init();
	network_start_core();
	thread_calls_init();
	release_other_cores();

	if (!thread_create("boot", this_core, boot_thread, NULL))
		panic("no memory for the first thread");
	sched_run();
}

void lavra_main_secondary(void)
{
	mm_init_core();
	epoch_online();
	sched_init_core();
	wait_for_devices();
	network_start_core();
	sched_run();
}
