/*
 * PCI: which functions there are, and how a driver reaches their registers.
 *
 * Nothing is kept: enumeration walks the buses and shows each function to a visitor. What
 * configuration space says is read with bounds (capability lists and bus numbers may loop, sizes
 * may be nonsense) and refused when it cannot be true. All of it runs on the boot core, before the
 * network is up. Facts: PCI Local Bus 3.0 and PCI Express Base 2.0, 7.
 */
#pragma once

#include "arch/arch.h"
#include "lavra/types.h"

struct pci_function {
	uint8_t bus, device, function;
	uint16_t vendor_id, device_id;
	uint16_t subsystem_id;
	uint8_t revision;
};

#define PCI_CAPABILITY_VENDOR 0x09
#define PCI_CAPABILITY_MSIX 0x11

#define PCI_NBARS 6

/* Aligned or not, but never across a 32-bit word. */
uint8_t pci_read8(const struct pci_function *function, unsigned offset);
uint16_t pci_read16(const struct pci_function *function, unsigned offset);
uint32_t pci_read32(const struct pci_function *function, unsigned offset);
void pci_write16(const struct pci_function *function, unsigned offset, uint16_t value);
void pci_write32(const struct pci_function *function, unsigned offset, uint32_t value);

/* Show every function to `visit`, bus 0 first, through bridges, until it returns true. Returns
 * whether it did. */
bool pci_enumerate(bool (*visit)(const struct pci_function *, void *argument), void *argument);

/* A capability takes at least 4 of the 192 bytes behind the header: a longer list is a loop. */
#define PCI_MAX_CAPABILITIES 48

/* The next capability with `id` in the list behind the one at `previous` (0: the first), or 0. The
 * list may run in a circle: ask at most PCI_MAX_CAPABILITIES times. */
unsigned pci_find_capability(const struct pci_function *function, uint8_t id, unsigned previous);

/* Where memory BAR `bar` lies and how large it is. False: not a memory BAR, unassigned or
 * malformed. */
bool pci_bar(const struct pci_function *function, unsigned bar, paddr_t *address, uint64_t *size);

/* Give addresses to the memory BARs that firmware left without (PCI 3.0, 6.2.5.1), from what the
 * boot option pci= says is free. Memory decoding is then off, until pci_enable(). 0, or after
 * saying why -ENOSPC (one got none: enabled, it would answer at address 0) or -EIO (a bridge). */
int pci_assign(const struct pci_function *function);

/* Map `size` bytes from `offset` of memory BAR `bar`; NULL when they do not lie inside it. */
volatile void *pci_map_bar(const struct pci_function *function, unsigned bar, uint64_t offset,
			   uint64_t size);

/* Let the function answer in memory space and write to memory; its legacy interrupt stays off. */
void pci_enable(const struct pci_function *function);

/* The function's table of message interrupts (MSI-X; PCI 3.0, 6.8.2). */
struct pci_msix {
	volatile uint8_t *table;
	unsigned nvectors;
};

/* Map the table, mask every vector, enable MSI-X. 0; -ENOENT: the function has none; -EIO: it makes
 * no sense; -ENOMEM. */
int pci_msix_enable(const struct pci_function *function, struct pci_msix *msix);
/* Let `vector` raise `message`. */
void pci_msix_set(const struct pci_msix *msix, unsigned vector, const struct msi_message *message);
