/*
 * Physical memory and page tables for host tests of mm/: RAM is a piece of the host's memory, at
 * the "physical" address that puts it at its place in the direct map; page tables are arrays,
 * which take a frame each, as the real ones do.
 *
 * The fake TLB is strict: it holds every page that was ever mapped until it is shot down, and a
 * frame that is freed while it can still be reached fails the test.
 */
#pragma once

#include "arch/boot_info.h"
#include "lavra/types.h"
#include "mm/frame.h"
#include "mm/object.h"

/* `bytes` of RAM (a multiple of 4 MiB), cleared, as one range from the start of a 4 MiB block. */
void fake_memory_init(struct boot_info *info, size_t bytes);

/* Make CORE_LOCAL variables of this thread reachable as those of `core`. */
void fake_core_register(core_id_t core);

/* What every test of mm/ begins with: core 0, `bytes` of RAM, and the allocators over it. */
static inline void fake_memory_boot(size_t bytes)
{
	struct boot_info info;

	fake_core_register(0);
	fake_memory_init(&info, bytes);
	frame_init(&info);
	object_init();
}

/* Entries that were unmapped or narrowed and not yet shot down. */
size_t fake_stale_entries(void);
extern size_t fake_shootdowns;
/* Tables that exist. An empty one goes when the range around it is unmapped. */
size_t fake_tables(void);
/* Is there isolation (arch_isolation())? */
#define fake_isolation isolation_on
/* Where the memory mapped at `address` can be reached; NULL if nothing is mapped. */
void *fake_pointer(vaddr_t address);
