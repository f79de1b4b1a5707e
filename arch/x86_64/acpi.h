/*
 * ACPI tables: what the firmware says about the machine, reduced to what Lavra uses.
 *
 * The parser is plain C over bytes: it reaches memory only through the function it is
 * given, so the same code runs in the kernel, in host tests and under a fuzzer. Nothing
 * in a table is trusted: signature, length and checksum are verified, every loop is bounded
 * by a verified length, and a bad table is left out with the reason in `problem`.
 */
#pragma once

#include "lavra/types.h"

/* How the parser reads memory: `size` readable bytes at the physical `address`, valid until the
 * parser returns, or NULL if there is no such memory. */
struct acpi_memory {
	const void *(*map)(void *argument, paddr_t address, size_t size);
	void *argument;
};

struct acpi_core {
	uint32_t apic_id;
	uint32_t uid;
};

/* A register's place: ACPI 6.4, 5.2.3.2. address 0: there is none. */
struct acpi_register {
	uint8_t space; /* ACPI_SPACE_* */
	uint8_t width_bits;
	uint64_t address;
};
#define ACPI_SPACE_MEMORY 0
#define ACPI_SPACE_IO 1

/* The local-interrupt pin that carries the non-maskable interrupt: 5.2.12.7, 5.2.12.13. */
struct acpi_local_nmi {
	uint32_t uid; /* of the core */
	bool all; /* every core */
	uint8_t pin; /* LINT0 or LINT1 */
};

/* A range of buses with memory-mapped configuration space: PCI firmware 3.2, 4.1.2. */
struct acpi_pci_segment {
	paddr_t base; /* of bus 0, also when first_bus is not 0 */
	uint16_t segment;
	uint8_t first_bus;
	uint8_t last_bus;
};

#define ACPI_MAX_LOCAL_NMIS 8
#define ACPI_MAX_PCI_SEGMENTS 8

struct acpi_info {
	/* MADT. cores[0] is the boot core, whether the table lists it or not. */
	bool madt_found;
	unsigned ncores;
	struct acpi_core cores[MAX_CORES];
	unsigned cores_disabled; /* listed, but not enabled */
	unsigned cores_surplus; /* enabled, but beyond MAX_CORES */
	paddr_t local_apic;
	unsigned nlocal_nmis;
	struct acpi_local_nmi local_nmis[ACPI_MAX_LOCAL_NMIS];

	/* FADT */
	bool fadt_found;
	bool hardware_reduced; /* no PM1 registers: sleep_control instead */
	struct acpi_register pm1a_control, pm1b_control, pm_timer, reset, sleep_control;
	bool pm_timer_32bit; /* else 24 */
	uint8_t reset_value;
	uint8_t century_register; /* RTC CMOS index, 0: none */
	bool soft_off_found; /* _S5_ */
	uint8_t soft_off_type_a, soft_off_type_b;

	/* MCFG */
	unsigned npci_segments;
	struct acpi_pci_segment pci_segments[ACPI_MAX_PCI_SEGMENTS];

	const char *problem; /* the first thing that was wrong, NULL: nothing */
};

/* Search for the root pointer where ACPI 6.4, 5.2.5.1 says. 0: not found. */
paddr_t acpi_find_rsdp(const struct acpi_memory *memory);

/* Fill `info` from the tables that `rsdp` (0: none) leads to. Without usable tables it holds the
 * boot core alone and `problem` says why. */
void acpi_parse(const struct acpi_memory *memory, paddr_t rsdp, uint32_t boot_apic_id,
		struct acpi_info *info);

/* What acpi_parse() found on this machine. Constant after cores_discover() (smp/core.h). */
extern struct acpi_info acpi;
