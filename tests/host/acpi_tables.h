/*
 * A machine's physical memory with ACPI tables in it, built piece by piece.
 */
#pragma once

#include "arch/x86_64/acpi.h"

#include <stdio.h>
#include <string.h>

#define FAKE_MEMORY_SIZE                                                                           \
	0x110000u /* the first MiB, where the root pointer is searched, and a bit */
static uint8_t fake_memory[FAKE_MEMORY_SIZE];

static const void *fake_map(void *argument, paddr_t address, size_t size)
{
	(void)argument;
	if (address > FAKE_MEMORY_SIZE || size > FAKE_MEMORY_SIZE - address)
		return NULL;
	return fake_memory + address;
}
static const struct acpi_memory fake = { .map = fake_map };

static inline void put(paddr_t address, uint64_t value, unsigned bytes)
{
	memcpy(fake_memory + address, &value, bytes); /* little endian, as the machines are */
}

/* Make bytes [address, address + size) sum to 0 by the byte at `at`. */
static inline void fix_checksum(paddr_t address, size_t size, paddr_t at)
{
	uint8_t sum = 0;

	fake_memory[at] = 0;
	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + fake_memory[address + i]);
	fake_memory[at] = (uint8_t)-sum;
}

static inline void finish_table(paddr_t address, const char *signature, uint32_t length)
{
	memcpy(fake_memory + address, signature, 4);
	put(address + 4, length, 4);
	fix_checksum(address, length, address + 9);
}

#define RSDP 0xf5a00u
#define ROOT 0x20000u
#define MADT 0x30000u
#define FADT 0x40000u
#define DSDT 0x50000u
#define MCFG 0x60000u

static inline void put_rsdp(unsigned revision, paddr_t rsdt, paddr_t xsdt)
{
	memcpy(fake_memory + RSDP, "RSD PTR ", 8);
	fake_memory[RSDP + 15] = (uint8_t)revision;
	put(RSDP + 16, rsdt, 4);
	put(RSDP + 20, 36, 4);
	put(RSDP + 24, xsdt, 8);
	fix_checksum(RSDP, 20, RSDP + 8);
	fix_checksum(RSDP, 36, RSDP + 32);
}

static inline void put_xsdt(unsigned count, const paddr_t *tables)
{
	for (unsigned i = 0; i < count; i++)
		put(ROOT + 36 + 8 * i, tables[i], 8);
	finish_table(ROOT, "XSDT", 36 + 8 * count);
}

static inline uint32_t put_local_apic(paddr_t at, uint8_t uid, uint8_t id, uint32_t flags)
{
	put(at, 0, 1);
	put(at + 1, 8, 1);
	put(at + 2, uid, 1);
	put(at + 3, id, 1);
	put(at + 4, flags, 4);
	return 8;
}

static inline uint32_t put_local_x2apic(paddr_t at, uint32_t uid, uint32_t id, uint32_t flags)
{
	put(at, 9, 1);
	put(at + 1, 16, 1);
	put(at + 2, 0, 2);
	put(at + 4, id, 4);
	put(at + 8, flags, 4);
	put(at + 12, uid, 4);
	return 16;
}

/* As a PC has them: `ncores` cores, power management at its usual ports. */
static inline void put_pc(unsigned ncores)
{
	static const paddr_t tables[] = { FADT, MADT, MCFG };
	static const uint8_t soft_off[] = { 0x08, '_',	'S',  '5',  '_',  0x12, 0x06,
					    0x04, 0x0a, 0x05, 0x00, 0x00, 0x00 };
	uint32_t length = 44;

	memset(fake_memory, 0, sizeof(fake_memory));
	put_rsdp(2, 0, ROOT);
	put_xsdt(3, tables);

	put(MADT + 36, 0xfee00000, 4);
	for (unsigned i = 0; i < ncores; i++)
		length += put_local_apic(MADT + length, (uint8_t)i, (uint8_t)i, 1);
	finish_table(MADT, "APIC", length);

	put(FADT + 40, DSDT, 4);
	put(FADT + 64, 0x604, 4);
	put(FADT + 76, 0x608, 4);
	put(FADT + 91, 4, 1);
	put(FADT + 108, 0x32, 1);
	put(FADT + 112, 1u << 8 | 1u << 10, 4);
	put(FADT + 116, ACPI_SPACE_IO, 1);
	put(FADT + 117, 8, 1);
	put(FADT + 120, 0xcf9, 8);
	put(FADT + 128, 0xf, 1);
	finish_table(FADT, "FACP", 244);

	memcpy(fake_memory + DSDT + 60, soft_off, sizeof(soft_off));
	finish_table(DSDT, "DSDT", 100);

	put(MCFG + 44, 0xb0000000, 8);
	put(MCFG + 44 + 11, 255, 1);
	finish_table(MCFG, "MCFG", 60);
}
