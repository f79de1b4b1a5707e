/*
 * Cores: which there are, where they sit, and which one this is.
 */
#pragma once

#include "lavra/types.h"

struct core {
	uint32_t apic_id; /* x2APIC id where the CPU has them */
	uint32_t acpi_uid;
	uint16_t package; /* topology, decoded from CPUID: dense numbers from 0 */
	uint16_t physical; /* core within the package */
	uint16_t thread; /* hardware thread within the core */
	volatile bool online;
};

extern unsigned ncores; /* constant after ACPI was read; cores 0..ncores-1 */
extern struct core cores[MAX_CORES];

/* The core that runs this. A constant of the core window: one load. */
extern CORE_LOCAL_VISIBLE core_id_t this_core;

#define assert_on_core(core) assert(this_core == (core))

static inline uint64_t all_cores_mask(void)
{
	return ncores == 64 ? ~0ull : (1ull << ncores) - 1;
}

/* Read the ACPI tables, fill cores[] and ncores (at most the boot option `cores=`). Boot core,
 * before memory exists. Without usable tables: one core, and says why. */
void cores_discover(paddr_t rsdp);

/* Windows for all cores, mailboxes, epochs, then start the others, wait, one line per core on the
 * console. A core that does not come up is reported and left out (cores stay dense). Boot core,
 * after mm_init(). */
void smp_start(void);

/* This core takes part from now on: it has its window and tables, and answers interrupts as soon as
 * it enables them. Arch calls it on each core but the boot core. */
void core_came_online(void);

static inline bool core_is_online(core_id_t core)
{
	return core < ncores && cores[core].online;
}
