/*
 * ACPI tables with random damage. Each four bytes of the input change one byte of a sound
 * machine's memory: two for where in its table, one for which table, one for what; the checksums
 * are then made right, or nothing behind them would ever be reached.
 * links: arch/x86_64/acpi.c
 */
#include "tests/host/acpi_tables.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Exactly as many bytes as were asked for: a read beyond them is found by the sanitizer. */
static void *copies[4096];
static unsigned ncopies;

static const void *exact_map(void *argument, paddr_t address, size_t size)
{
	const void *bytes = fake_map(argument, address, size);
	void *copy;

	if (!bytes || ncopies == array_size(copies))
		return NULL;
	copy = malloc(size);
	if (!copy)
		return NULL;
	copies[ncopies++] = copy;
	return memcpy(copy, bytes, size);
}

static void check(bool fine)
{
	if (!fine)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct acpi_memory memory = { .map = exact_map };
	static const paddr_t tables[] = { RSDP, ROOT, MADT, FADT, DSDT, MCFG };
	static const char names[][5] = { "", "XSDT", "APIC", "FACP", "DSDT", "MCFG" };
	struct acpi_info info;

	put_pc(4);
	for (size_t i = 0; i + 4 <= size; i += 4) {
		size_t where = (data[i] | (size_t)data[i + 1] << 8) % 512;

		fake_memory[tables[data[i + 2] % array_size(tables)] + where] = data[i + 3];
	}
	fix_checksum(RSDP, 20, RSDP + 8);
	fix_checksum(RSDP, 36, RSDP + 32);
	for (unsigned i = 1; i < array_size(tables); i++) {
		uint32_t length;

		memcpy(&length, fake_memory + tables[i] + 4, 4);
		if (length >= 36 && length < 0x10000)
			finish_table(tables[i], names[i], length);
	}
	acpi_parse(&memory, acpi_find_rsdp(&memory), 2, &info);
	while (ncopies)
		free(copies[--ncopies]);

	check(info.ncores >= 1 && info.ncores <= MAX_CORES && info.cores[0].apic_id == 2);
	for (unsigned i = 0; i < info.ncores; i++)
		for (unsigned j = 0; j < i; j++)
			check(info.cores[i].apic_id != info.cores[j].apic_id);
	check(info.nlocal_nmis <= ACPI_MAX_LOCAL_NMIS);
	check(info.npci_segments <= ACPI_MAX_PCI_SEGMENTS);
	check(info.soft_off_type_a <= 7 && info.soft_off_type_b <= 7);
	check(info.madt_found || info.problem);
	return 0;
}
