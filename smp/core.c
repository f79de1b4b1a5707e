#include "smp/core.h"

#include "arch/arch.h"
#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "smp/epoch.h"
#include "smp/mailbox.h"
#include "smp/window.h"

#include <ck_pr.h>

VISIBLE unsigned ncores = 1;
VISIBLE struct core cores[MAX_CORES];
CORE_LOCAL_VISIBLE core_id_t this_core;

static unsigned cores_wanted = MAX_CORES;

static const char *parse_cores(const char *value)
{
	uint64_t number;

	if (!boot_parse_number(value, &number) || number < 1 || number > MAX_CORES)
		return "not a number of cores from 1 to 64";
	cores_wanted = (unsigned)number;
	return NULL;
}
BOOT_OPTION(cores, "cores=N: use at most N cores", parse_cores);

void cores_discover(paddr_t rsdp)
{
	ncores = min(arch_discover_cores(rsdp), cores_wanted);
	cores[0].online = true;
}

void core_came_online(void)
{
	cores[this_core].online = true;
	/* Before anything of a removed mapping can be in our TLB. Pairs with the fence in
	 * tlb_shootdown(): either it sees us online, or this flush comes after its change. */
	ck_pr_fence_memory();
	/* From the kernel's addresses on: their entries are global, others go along. */
	arch_tlb_flush_local(KVA_START, SIZE_MAX >> PAGE_SHIFT);
}

/* Windows for cores 0..ncores-1; fewer cores if memory does not suffice. */
static void create_windows(void)
{
	for (core_id_t core = 0; core < ncores; core++) {
		if (window_create(core) == 0)
			continue;
		if (core == 0)
			panic("smp: the boot core's window is not mapped");
		kprintf("smp: no memory for core %u and those after it\n", core);
		ncores = core;
	}
}

void smp_start(void)
{
	create_windows();
	if (mailbox_init() != 0 || epoch_init() != 0)
		panic("smp: no memory for the mailboxes of %u cores", ncores);
	epoch_online();
	arch_start_cores();
	for (core_id_t core = 0; core < ncores; core++)
		kprintf("core %u: apic %u, package %u, core %u, thread %u\n", core,
			cores[core].apic_id, cores[core].package, cores[core].physical,
			cores[core].thread);
}
