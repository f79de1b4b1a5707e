/*
 * The loader's memory map, made trustworthy: pure functions, tested and fuzzed on the host.
 */
#pragma once

#include "arch/boot_info.h"

/* struct hvm_memmap_table_entry: xen/include/public/arch-x86/hvm/start_info.h */
struct memory_map_entry {
	uint64_t address;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};

#define MEMORY_MAP_RAM 1 /* XEN_HVM_MEMMAP_TYPE_RAM, E820 type 1 */

#define MAX_MAP_ENTRIES 256 /* PC firmware has at most 128 */
#define MAX_TAKEN_RANGES 48

/*
 * The whole pages of RAM that no other entry and none of `taken` touches: sorted, disjoint,
 * not adjacent, below `limit`. Entries may be in any order, overlap (what is not RAM wins) or be
 * nonsense. At most MAX_MEMORY_RANGES come out, the largest; the bytes in those left out are added
 * to *dropped. Returns the number of ranges. `nentries` at most MAX_MAP_ENTRIES, `ntaken` at most
 * MAX_TAKEN_RANGES (`taken` need not be page-aligned).
 */
unsigned memory_map_usable(const struct memory_map_entry *entries, unsigned nentries,
			   const struct memory_range *taken, unsigned ntaken, paddr_t limit,
			   struct memory_range ranges[MAX_MEMORY_RANGES], uint64_t *dropped);
