/*
 * Which cores this machine has: ACPI's list and CPUID's topology, put into cores[].
 */
#include "arch/arch.h"
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/topology.h"
#include "lavra/console.h"
#include "smp/core.h"

struct acpi_info acpi;

/* Tables lie where the firmware put them, mostly in reserved memory. */
static const void *map_physical(void *argument, paddr_t address, size_t size)
{
	(void)argument;
	return paging_map_firmware(address, size);
}

/* Without x2APIC mode a message names its destination in eight bits, all ones for every core (SDM
 * volume 3, 11.6.1): one for a larger identifier would reach another core. */
static bool is_reachable(uint32_t id)
{
	return cpu_features.x2apic || id < 0xff;
}

unsigned arch_discover_cores(paddr_t rsdp)
{
	const struct acpi_memory memory = { .map = map_physical };
	unsigned count = 0;

	if (!rsdp)
		rsdp = acpi_find_rsdp(&memory);
	acpi_parse(&memory, rsdp, apic_id(), &acpi);
	if (acpi.problem)
		kprintf("acpi: %s\n", acpi.problem);
	if (!acpi.madt_found)
		kprintf("acpi: no list of cores, so the boot core alone is used\n");
	if (acpi.cores_surplus)
		kprintf("acpi: %u cores are left out: Lavra uses at most %d\n", acpi.cores_surplus,
			MAX_CORES);
	for (unsigned i = 0; i < acpi.ncores; i++) {
		if (i != 0 && !is_reachable(acpi.cores[i].apic_id)) {
			kprintf("smp: the core with apic id %u cannot be reached; left out\n",
				acpi.cores[i].apic_id);
			continue;
		}
		cores[count].apic_id = acpi.cores[i].apic_id;
		cores[count++].acpi_uid = acpi.cores[i].uid;
	}
	topology_number(cores, count, topology_read(cpuid));
	return count;
}
