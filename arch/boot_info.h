/*
 * What the loader told us, checked and in our own words.
 */
#pragma once

#include "lavra/types.h"

struct memory_range {
	paddr_t start; /* page-aligned, inside usable RAM, the image and loader data taken out */
	paddr_t end;
};

#define MAX_MEMORY_RANGES 32
#define MAX_MODULES 16

struct boot_info {
	const char *command_line; /* NUL-terminated, direct map */
	paddr_t acpi_rsdp; /* 0: none, look for it as ACPI 6.4, 5.2.5.1 says */
	unsigned nranges;
	struct memory_range ranges[MAX_MEMORY_RANGES]; /* usable, sorted, disjoint */
	/* What the loader brought along (initial ramdisks), byte by byte: in RAM, disjoint, in the direct
	 * map; not in `ranges`. */
	unsigned nmodules;
	struct memory_range modules[MAX_MODULES];
	uint64_t ram_bytes;
};
