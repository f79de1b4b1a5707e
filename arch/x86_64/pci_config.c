/*
 * PCI configuration through the ports 0xcf8 (address) and 0xcfc (data): configuration mechanism 1,
 * PCI 3.0, 3.2.2.3.2. It reaches the first 256 bytes of every function.
 */
#include "arch/pci_config.h"

#include "arch/x86_64/acpi.h"
#include "arch/x86_64/io.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define CONFIG_ENABLE (1u << 31)

static void select_word(uint8_t bus, unsigned device, unsigned function, unsigned offset)
{
	outl(CONFIG_ADDRESS, CONFIG_ENABLE | (uint32_t)bus << 16 | (device & 31) << 11 |
				 (function & 7) << 8 | (offset & 0xfc));
}

uint32_t arch_pci_config_read(uint8_t bus, unsigned device, unsigned function, unsigned offset)
{
	select_word(bus, device, function, offset);
	return inl(CONFIG_DATA);
}

void arch_pci_config_write(uint8_t bus, unsigned device, unsigned function, unsigned offset,
			   uint32_t value)
{
	select_word(bus, device, function, offset);
	outl(CONFIG_DATA, value);
}

bool arch_pci_config_memory(paddr_t *base, uint8_t *first_bus, uint8_t *last_bus)
{
	for (unsigned i = 0; i < acpi.npci_segments; i++) {
		const struct acpi_pci_segment *segment = &acpi.pci_segments[i];

		if (segment->segment != 0)
			continue;
		*base = segment->base;
		*first_bus = segment->first_bus;
		*last_bus = segment->last_bus;
		return true;
	}
	return false;
}
