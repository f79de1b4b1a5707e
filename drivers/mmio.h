/*
 * Device registers: one access of exactly the width that is written here, in program order among
 * themselves. Uncached (kva_map_device()), so x86 orders them after earlier stores to memory.
 */
#pragma once

#include "lavra/types.h"

static inline uint8_t mmio_read8(const volatile void *address)
{
	return *(const volatile uint8_t *)address;
}

static inline uint16_t mmio_read16(const volatile void *address)
{
	return *(const volatile uint16_t *)address;
}

static inline uint32_t mmio_read32(const volatile void *address)
{
	return *(const volatile uint32_t *)address;
}

static inline void mmio_write8(volatile void *address, uint8_t value)
{
	*(volatile uint8_t *)address = value;
}

static inline void mmio_write16(volatile void *address, uint16_t value)
{
	*(volatile uint16_t *)address = value;
}

static inline void mmio_write32(volatile void *address, uint32_t value)
{
	*(volatile uint32_t *)address = value;
}

/* Two halves, low first: a 64-bit access is not something every device understands. */
static inline void mmio_write64(volatile void *address, uint64_t value)
{
	mmio_write32(address, (uint32_t)value);
	mmio_write32((volatile char *)address + 4, (uint32_t)(value >> 32));
}
