/*
 * Kernel virtual memory: stacks with guard pages, and device registers.
 */
#pragma once

#include "lavra/types.h"

void kva_init(void);

/* A kernel stack of `npages` mapped pages above one unmapped guard page. Returns its top (16-byte
 * aligned, exclusive) or NULL. Any core, thread or boot context. */
void *kva_stack_alloc(unsigned npages);
void kva_stack_free(void *top, unsigned npages);
/* Is `address` in the guard page of some kernel stack? Any context (fault reports). */
bool kva_is_guard(vaddr_t address);

/* Map device memory, uncached. NULL when space or memory is out. Boot or thread context. */
volatile void *kva_map_device(paddr_t physical, size_t size);
