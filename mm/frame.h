/*
 * Page frames: physical memory by the page.
 *
 * A buddy allocator of blocks of 2^order pages (order 0..MAX_ORDER) under one lock, and
 * before it a stack of free pages on every core, so that single pages come and go
 * without the lock. Frames are not cleared unless asked for.
 *
 * When the buddies have nothing left, the failing core gives back what its own caches hold and
 * tries once more; the stacks of other cores (at most 32 pages each) stay out of its reach.
 */
#pragma once

#include "arch/boot_info.h"
#include "lavra/types.h"

#define MAX_ORDER 10 /* 4 MiB */

/* Take over the memory of the boot information. Boot core, once. */
void frame_init(const struct boot_info *info);

/* Memory that was in use when frame_init() was called, of the boot information's modules: it is free
 * now. Page-aligned. Boot core, thread context. */
void frame_add(paddr_t start, paddr_t end);

/* 2^order contiguous pages, aligned to their size. Returns 0 when there are none. Any core, kernel
 * context or fault handler; not from an interrupt handler. */
paddr_t frame_alloc(unsigned order);
paddr_t frame_alloc_zeroed(unsigned order);
/* Give back what frame_alloc(order) returned, or an aligned power-of-two part of it. Any core. A
 * frame that is not allocated, or a larger block than was, is an assertion failure. */
void frame_free(paddr_t frame, unsigned order);

/* Pages in total and free (the per-core stacks counted as free). Any core; a snapshot. */
size_t frame_total(void);
size_t frame_free_count(void);

/* Mark an allocated block as what object_alloc() handed out, or remove the mark (a marked block
 * cannot be freed). Its owner only. */
void frame_mark(paddr_t frame, unsigned order, bool marked);
/* The order of the marked block that starts at `frame`, -1 if none does. Any address. */
int frame_marked_order(paddr_t frame);

/* Blocks that the network has. A lent block cannot be freed, nor a part of it; what is told of one by the network
 * is checked against the states alone, in one step each, so that of two cores that claim a block one is refused.
 *
 * frame_lend(): lend an allocated block; its owner only. frame_take_back(): false unless exactly this is a lent
 * block without a mark; else it is the caller's. frame_mark_lent(): false unless exactly this is a lent block, and
 * the mark changed. Any address, any order, any core. */
void frame_lend(paddr_t frame, unsigned order);
bool frame_take_back(paddr_t frame, unsigned order);
bool frame_mark_lent(paddr_t frame, unsigned order, bool marked);

/* `reclaim` gives back frames that the calling core keeps in reserve and returns true if there were
 * any; called when an allocation would fail, with no lock of mm/frame.c held. Boot core. */
void frame_set_reclaim(bool (*reclaim)(void));
