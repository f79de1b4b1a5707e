/*
 * What the boot option pci= tells about a machine whose firmware does not: where configuration
 * space lies, and which addresses are free for the memory BARs that nobody assigned.
 *
 * QEMU's microvm is such a machine: its firmware sets up no PCI, and no ACPI table (MCFG) says
 * where configuration space is. Boot core only.
 */
#pragma once

#include "lavra/types.h"

/* Where the option says that the configuration space of buses 0..255 lies; 0: it does not say. */
paddr_t pci_window_config(void);

/* Cut `size` bytes (a power of two), aligned to their size and to pages, off the free addresses.
 * They lie below 4 GiB, so that every BAR can hold them. 0: so many are not left, or none were
 * told. */
paddr_t pci_window_take(uint64_t size);
