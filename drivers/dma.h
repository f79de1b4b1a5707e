/*
 * What a device is told about memory: physical addresses of what both it and we touch.
 *
 * Memory for devices comes from the direct map, where translation is one subtraction, or from the
 * image outside the core window (constants that are sent as they are). Nothing else has one place
 * in physical memory for all of its bytes and all cores.
 */
#pragma once

#include "arch/arch.h"
#include "lavra/types.h"

/* As dma_address(), for what is not in the direct map; panics if it is not in the image either. */
paddr_t dma_image_address(const void *memory);

#ifdef LAVRA_HOST_TEST
/* A simulated device runs in the test's address space. */
static inline paddr_t dma_address(const void *memory)
{
	return (paddr_t)memory;
}

static inline paddr_t dma_direct_address(const void *memory)
{
	return (paddr_t)memory;
}

static inline void *dma_memory(paddr_t address)
{
	return (void *)address;
}
#else
/* As dma_address(), for what is known to come from dma_memory(). */
static inline paddr_t dma_direct_address(const void *memory)
{
	return virt_to_phys(memory);
}

static inline paddr_t dma_address(const void *memory)
{
	if (likely((vaddr_t)memory - DIRECT_MAP < KVA_START - DIRECT_MAP))
		return virt_to_phys(memory);
	return dma_image_address(memory);
}

/* What frame_alloc() returned, to read and write. */
static inline void *dma_memory(paddr_t address)
{
	return phys_to_virt(address);
}
#endif
