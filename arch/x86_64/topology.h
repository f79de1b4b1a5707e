/*
 * Topology: where a core sits, from its APIC identifier and what CPUID says about the
 * identifier's fields: | package | core | thread |.
 *
 * Pure functions over a CPUID source, so that recorded processors can be tested anywhere.
 */
#pragma once

#include "arch/x86_64/io.h"
#include "smp/core.h"

struct topology_fields {
	unsigned thread_bits; /* the lowest ones */
	unsigned package_shift; /* what is above them and the core's */
};

struct topology_fields topology_read(struct cpuid (*read)(uint32_t leaf, uint32_t subleaf));

/* Give the first `count` cores dense numbers for package, core in package and thread in core, in
 * the order in which they appear. */
void topology_number(struct core *cores, unsigned count, struct topology_fields fields);
