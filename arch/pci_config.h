/*
 * PCI configuration space: where it lies in memory, or else the architecture's own way to it.
 */
#pragma once

#include "lavra/types.h"

/* Read or write the aligned 32-bit word at `offset` (0..252, multiple of 4) of function `function`
 * (0..7) of `device` (0..31) on `bus`. Reads of what does not exist are all ones. Boot context:
 * two accesses make one, so only one core does this. */
uint32_t arch_pci_config_read(uint8_t bus, unsigned device, unsigned function, unsigned offset);
void arch_pci_config_write(uint8_t bus, unsigned device, unsigned function, unsigned offset,
			   uint32_t value);

/* Where firmware says the configuration space of buses *first_bus..*last_bus lies in memory
 * (*base is the address of bus 0; PCI firmware 3.2, 4.1.2). False: it does not say. After
 * cores_discover(). */
bool arch_pci_config_memory(paddr_t *base, uint8_t *first_bus, uint8_t *last_bus);
