/*
 * What this processor can do, and switching it on.
 *
 * Found out once, on the boot core; all cores of a machine are taken to be alike, and a
 * core that lacks what the boot core has is refused (cpu_enable_core).
 */
#pragma once

#include "lavra/types.h"

struct cpu_features {
	bool huge_1g; /* 1 GiB pages */
	bool global_pages;
	bool fsgsbase;
	bool protection_keys;
	bool xsave; /* else FXSAVE */
	bool rdrand, rdseed;
	bool smep, smap, umip;
	bool x2apic, tsc_deadline, invariant_tsc;
	bool hypervisor;
	unsigned physical_bits;
	uint64_t xcr0; /* extended state components that are switched on */
	uint32_t xsave_size; /* bytes of the save area of those, 64-byte multiple */
};

/* Constant after cpu_detect(). */
extern struct cpu_features cpu_features;

/* Fill cpu_features. Boot core, before anything else. */
void cpu_detect(void);

/* Switch on, in this core's control registers, what cpu_features says; sets the page attribute
 * table, too. Every core, once, on its own page tables, interrupts off. Returns NULL or the name of
 * a feature that this core lacks. */
const char *cpu_enable_core(void);
