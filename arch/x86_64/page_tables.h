/*
 * Entries of x86-64 page tables, and the pages that tables are made of.
 */
#pragma once

#include "arch/boot_info.h"
#include "arch/x86_64/registers.h"

#define ENTRIES_PER_TABLE 512

/* Levels, from the leaf up: 1 maps 4 KiB pages, 2 maps 2 MiB, 3 maps 1 GiB, 4 is the top. */
#define LEVEL_SHIFT(level) (12 + 9 * ((level)-1))
#define LEVEL_SIZE(level) (1ul << LEVEL_SHIFT(level))

#define PTE_NX (1ul << 63)
/* Ours, in a bit that the processor ignores: the entry holds a frame that may not be touched
 * (protection 0), so it is not present. */
#define PTE_HELD (1ul << 9)
#define PTE_BORROWED (1ul << 10) /* likewise ours: PAGE_BORROWED, PAGE_COPIED_FIRST */
#define PTE_COPIED_FIRST (1ul << 11)
#define PTE_KEY_SHIFT 59 /* SDM volume 3, 4.6.2 */
#define PTE_KEY_MASK 15
#define PTE_FRAME 0x000ffffffffff000ul

static inline unsigned table_index(vaddr_t address, unsigned level)
{
	return address >> LEVEL_SHIFT(level) & (ENTRIES_PER_TABLE - 1);
}

static inline bool entry_is_leaf(uint64_t entry, unsigned level)
{
	return level == 1 || (entry & PTE_LARGE);
}

/* The first page for tables is taken off the end of a range below 4 GiB of `info`. Boot core. */
void table_pages_init(struct boot_info *info);

/* A cleared page for a table; 0 if memory is out. */
paddr_t table_page_alloc(void);

/* Give back a table that no entry points to any more. It stays untouched until every core has
 * dropped cached translations since, because a core may still walk through it. */
void table_page_retire(paddr_t table);

/* Around an instruction that drops all of this core's cached upper-level entries: any INVLPG or
 * load of CR3 does (SDM volume 3, 4.10.4.1). */
void table_pages_flush_begin(void);
void table_pages_flush_end(void);
