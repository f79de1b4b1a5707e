#include "arch/x86_64/acpi.h"

#include <string.h>

/* All section numbers are of ACPI 6.4 unless said otherwise. */

#define HEADER_SIZE 36u /* 5.2.6 */
#define MAX_TABLE_SIZE (4u << 20) /* a DSDT is the largest; real ones stay far below */
#define MAX_ROOT_ENTRIES 256u

struct table {
	const uint8_t *bytes;
	uint32_t length; /* verified: `bytes` has as many, and they sum to 0 */
};

static uint16_t load16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t load32(const uint8_t *p)
{
	return load16(p) | (uint32_t)load16(p + 2) << 16;
}

static uint64_t load64(const uint8_t *p)
{
	return load32(p) | (uint64_t)load32(p + 4) << 32;
}

static bool sums_to_zero(const uint8_t *bytes, size_t length)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return sum == 0;
}

static void note(struct acpi_info *info, const char *problem)
{
	if (!info->problem)
		info->problem = problem;
}

static const uint8_t *map(const struct acpi_memory *memory, paddr_t address, size_t size)
{
	if (address == 0 || address + size < address)
		return NULL;
	return memory->map(memory->argument, address, size);
}

static bool has_signature(const uint8_t *header, const char *signature)
{
	return memcmp(header, signature, 4) == 0;
}

/* Map and verify the table with `signature` at `address`. Returns NULL, or what is wrong. */
static const char *open_table(const struct acpi_memory *memory, paddr_t address,
			      const char *signature, struct table *table)
{
	const uint8_t *header = map(memory, address, HEADER_SIZE);
	uint32_t length;

	if (!header)
		return "a table lies outside memory";
	if (!has_signature(header, signature))
		return "a table has the wrong signature";
	length = load32(header + 4);
	if (length < HEADER_SIZE || length > MAX_TABLE_SIZE)
		return "a table has an impossible length";
	table->bytes = map(memory, address, length);
	if (!table->bytes)
		return "a table reaches outside memory";
	if (!sums_to_zero(table->bytes, length))
		return "a table has a wrong checksum";
	table->length = length;
	return NULL;
}

/* ---- the root: 5.2.5.3 ---- */

#define RSDP_V1_SIZE 20u
#define RSDP_V2_SIZE 36u

static bool is_rsdp(const uint8_t *bytes)
{
	return memcmp(bytes, "RSD PTR ", 8) == 0 && sums_to_zero(bytes, RSDP_V1_SIZE);
}

static paddr_t scan_for_rsdp(const struct acpi_memory *memory, paddr_t start, size_t size)
{
	const uint8_t *area = map(memory, start, size);

	for (size_t i = 0; area && i + RSDP_V1_SIZE <= size; i += 16)
		if (is_rsdp(area + i))
			return start + i;
	return 0;
}

paddr_t acpi_find_rsdp(const struct acpi_memory *memory)
{
	const uint8_t *segment = map(memory, 0x40e, 2); /* BIOS data area: the EBDA's segment */
	paddr_t ebda = segment ? (paddr_t)load16(segment) << 4 : 0;
	paddr_t found = 0;

	if (ebda >= 0x10000 && ebda <= 0xa0000 - 1024)
		found = scan_for_rsdp(memory, ebda, 1024);
	return found ? found : scan_for_rsdp(memory, 0xe0000, 0x20000);
}

/* The root table: XSDT if it is usable, else RSDT. */
static const char *open_root(const struct acpi_memory *memory, paddr_t rsdp, struct table *root,
			     unsigned *entry_size)
{
	const uint8_t *pointer = map(memory, rsdp, RSDP_V1_SIZE);
	const char *problem = NULL;
	paddr_t rsdt;

	if (!pointer)
		return "no root pointer";
	if (!is_rsdp(pointer))
		return "the root pointer has a wrong signature or checksum";
	rsdt = load32(pointer + 16);
	if (pointer[15] >= 2) {
		pointer = map(memory, rsdp, RSDP_V2_SIZE);
		if (pointer && load32(pointer + 20) >= RSDP_V2_SIZE &&
		    sums_to_zero(pointer, RSDP_V2_SIZE)) {
			*entry_size = 8;
			problem = open_table(memory, load64(pointer + 24), "XSDT", root);
			if (!problem)
				return NULL;
		}
	}
	*entry_size = 4;
	if (rsdt || !problem)
		problem = open_table(memory, rsdt, "RSDT", root);
	return problem;
}

/* ---- MADT: 5.2.12 ---- */

#define MADT_ENTRIES 44u
#define MADT_LOCAL_APIC 0
#define MADT_LOCAL_APIC_NMI 4
#define MADT_LOCAL_APIC_ADDRESS 5
#define MADT_LOCAL_X2APIC 9
#define MADT_LOCAL_X2APIC_NMI 10
#define MADT_CORE_ENABLED 1u

static void add_core(struct acpi_info *info, uint32_t apic_id, uint32_t uid, uint32_t flags)
{
	if (!(flags & MADT_CORE_ENABLED)) {
		info->cores_disabled++;
		return;
	}
	for (unsigned i = 0; i < info->ncores; i++) {
		if (info->cores[i].apic_id != apic_id)
			continue;
		/* The boot core is there from the start; both entry types may list a core. */
		if (i == 0)
			info->cores[0].uid = uid;
		return;
	}
	if (info->ncores == MAX_CORES) {
		info->cores_surplus++;
		return;
	}
	info->cores[info->ncores++] = (struct acpi_core){ .apic_id = apic_id, .uid = uid };
}

static void add_local_nmi(struct acpi_info *info, uint32_t uid, bool all, uint8_t pin)
{
	if (pin > 1 || info->nlocal_nmis == ACPI_MAX_LOCAL_NMIS) {
		note(info, "MADT: a local NMI entry is unusable");
		return;
	}
	info->local_nmis[info->nlocal_nmis++] =
	    (struct acpi_local_nmi){ .uid = uid, .all = all, .pin = pin };
}

static void parse_madt_entry(const uint8_t *entry, unsigned length, struct acpi_info *info)
{
	switch (entry[0]) {
	case MADT_LOCAL_APIC:
		/* Identifier 255 is the broadcast address: no core can have it. */
		if (length >= 8 && entry[3] != 0xff)
			add_core(info, entry[3], entry[2], load32(entry + 4));
		break;
	case MADT_LOCAL_X2APIC:
		if (length >= 16 && load32(entry + 4) != UINT32_MAX)
			add_core(info, load32(entry + 4), load32(entry + 12), load32(entry + 8));
		break;
	case MADT_LOCAL_APIC_ADDRESS:
		if (length >= 12)
			info->local_apic = load64(entry + 4);
		break;
	case MADT_LOCAL_APIC_NMI:
		if (length >= 6)
			add_local_nmi(info, entry[2], entry[2] == 0xff, entry[5]);
		break;
	case MADT_LOCAL_X2APIC_NMI:
		if (length >= 9)
			add_local_nmi(info, load32(entry + 4), load32(entry + 4) == UINT32_MAX,
				      entry[8]);
		break;
	}
}

static void parse_madt(const struct table *madt, struct acpi_info *info)
{
	uint32_t offset = MADT_ENTRIES;

	if (madt->length < MADT_ENTRIES) {
		note(info, "MADT: too short");
		return;
	}
	info->madt_found = true;
	info->local_apic = load32(madt->bytes + HEADER_SIZE);
	while (offset < madt->length) {
		unsigned length = madt->length - offset >= 2 ? madt->bytes[offset + 1] : 0;

		/* A length below 2 would never end the loop. */
		if (length < 2 || length > madt->length - offset) {
			note(info, "MADT: an entry has an impossible length");
			return;
		}
		parse_madt_entry(madt->bytes + offset, length, info);
		offset += length;
	}
}

/* ---- FADT: 5.2.9, table 5.9 ---- */

#define FADT_V1_SIZE 116u /* ACPI 1.0: all of it up to the flags */
#define FADT_FLAG_TIMER_32BIT (1u << 8)
#define FADT_FLAG_RESET (1u << 10)
#define FADT_FLAG_HARDWARE_REDUCED (1u << 20)

/* The generic address at `offset`, if the table is long enough and names a place. */
static bool generic_address(const struct table *table, uint32_t offset, struct acpi_register *out)
{
	const uint8_t *p = table->bytes + offset;
	struct acpi_register found;

	if (offset + 12 > table->length)
		return false;
	found =
	    (struct acpi_register){ .space = p[0], .width_bits = p[1], .address = load64(p + 4) };
	if (found.address == 0 || found.space > ACPI_SPACE_IO)
		return false;
	if (found.space == ACPI_SPACE_IO && found.address > 0xffff)
		return false;
	*out = found;
	return true;
}

/* A register that has a 64-bit form (preferred) and an older 32-bit I/O port. */
static void fixed_register(const struct table *fadt, uint32_t extended, uint32_t port_offset,
			   uint8_t width_bits, struct acpi_register *out)
{
	uint32_t port = load32(fadt->bytes + port_offset);

	if (generic_address(fadt, extended, out))
		return;
	if (port && port <= 0xffff)
		*out = (struct acpi_register){ ACPI_SPACE_IO, width_bits, port };
}

/*
 * The sleep types of soft-off, by looking for Name(_S5_, Package(){a, b, ...}) in the byte code
 * without interpreting it: 7.4.2 and the encodings of 20.2.
 */
static void parse_soft_off(const struct table *dsdt, struct acpi_info *info)
{
	const uint8_t *code = dsdt->bytes;

	for (uint32_t i = HEADER_SIZE + 1; i + 8 <= dsdt->length; i++) {
		uint32_t at = i + 4;
		uint8_t types[2];
		unsigned count = 0;

		if (code[i] != '_' || memcmp(code + i, "_S5_", 4) != 0)
			continue;
		/* NameOp in front, perhaps with the root prefix between. */
		if (code[i - 1] != 0x08 && !(code[i - 1] == '\\' && code[i - 2] == 0x08))
			continue;
		if (code[at++] != 0x12) /* PackageOp */
			continue;
		at += 1 + (code[at] >> 6); /* PkgLength: 1 byte and as many more as bits 7:6 say */
		at++; /* NumElements */
		while (count < 2 && at < dsdt->length) {
			if (code[at] == 0x0a && at + 1 < dsdt->length) { /* BytePrefix */
				types[count++] = code[at + 1];
				at += 2;
			} else if (code[at] <= 1) { /* ZeroOp, OneOp */
				types[count++] = code[at++];
			} else {
				break;
			}
		}
		if (count == 2 && types[0] <= 7 && types[1] <= 7) { /* SLP_TYP has 3 bits */
			info->soft_off_found = true;
			info->soft_off_type_a = types[0];
			info->soft_off_type_b = types[1];
			return;
		}
	}
	note(info, "DSDT: no usable _S5_");
}

static void parse_fadt(const struct acpi_memory *memory, const struct table *fadt,
		       struct acpi_info *info)
{
	struct table dsdt;
	const char *problem;
	paddr_t dsdt_address;
	uint32_t flags;

	if (fadt->length < FADT_V1_SIZE) {
		note(info, "FADT: too short");
		return;
	}
	info->fadt_found = true;
	flags = load32(fadt->bytes + 112);
	info->hardware_reduced = flags & FADT_FLAG_HARDWARE_REDUCED;
	info->pm_timer_32bit = flags & FADT_FLAG_TIMER_32BIT;
	info->century_register = fadt->bytes[108];
	if (info->hardware_reduced) {
		generic_address(fadt, 244, &info->sleep_control);
	} else {
		fixed_register(fadt, 172, 64, 16, &info->pm1a_control);
		fixed_register(fadt, 184, 68, 16, &info->pm1b_control);
		if (fadt->bytes[91] == 4) /* PM_TMR_LEN */
			fixed_register(fadt, 208, 76, 32, &info->pm_timer);
	}
	if ((flags & FADT_FLAG_RESET) && fadt->length >= 129 &&
	    generic_address(fadt, 116, &info->reset))
		info->reset_value = fadt->bytes[128];

	dsdt_address = fadt->length >= 148 ? load64(fadt->bytes + 140) : 0;
	if (!dsdt_address)
		dsdt_address = load32(fadt->bytes + 40);
	problem = open_table(memory, dsdt_address, "DSDT", &dsdt);
	if (problem)
		note(info, problem);
	else
		parse_soft_off(&dsdt, info);
}

/* ---- MCFG: PCI firmware 3.2, 4.1.2 ---- */

static void parse_mcfg(const struct table *mcfg, struct acpi_info *info)
{
	for (uint32_t offset = 44; mcfg->length >= 16 && offset <= mcfg->length - 16;
	     offset += 16) {
		const uint8_t *p = mcfg->bytes + offset;
		struct acpi_pci_segment found = { .base = load64(p),
						  .segment = load16(p + 8),
						  .first_bus = p[10],
						  .last_bus = p[11] };

		/* 1 MiB of configuration space a bus: the window must not wrap or be misaligned. */
		if (found.base == 0 || found.base % (1u << 20) != 0 ||
		    found.base > UINT64_MAX - (256ul << 20) || found.first_bus > found.last_bus) {
			note(info, "MCFG: an entry is unusable");
			continue;
		}
		if (info->npci_segments == ACPI_MAX_PCI_SEGMENTS) {
			note(info, "MCFG: more PCI segments than can be kept");
			return;
		}
		info->pci_segments[info->npci_segments++] = found;
	}
}

/* ---- all of it ---- */

static bool is_wanted(const struct acpi_memory *memory, paddr_t address, const char *signature)
{
	const uint8_t *header = map(memory, address, HEADER_SIZE);

	return header && has_signature(header, signature);
}

void acpi_parse(const struct acpi_memory *memory, paddr_t rsdp, uint32_t boot_apic_id,
		struct acpi_info *info)
{
	struct table root, table;
	const char *problem;
	unsigned entry_size, nentries;
	bool mcfg_found = false;

	memset(info, 0, sizeof(*info));
	info->ncores = 1;
	info->cores[0].apic_id = boot_apic_id;

	problem = open_root(memory, rsdp, &root, &entry_size);
	if (problem) {
		note(info, problem);
		return;
	}
	nentries = (root.length - HEADER_SIZE) / entry_size;
	if (nentries > MAX_ROOT_ENTRIES) {
		note(info, "the root table has too many entries");
		nentries = MAX_ROOT_ENTRIES;
	}
	for (unsigned i = 0; i < nentries; i++) {
		const uint8_t *entry = root.bytes + HEADER_SIZE + i * entry_size;
		paddr_t entry_address = entry_size == 8 ? load64(entry) : load32(entry);

		problem = NULL;
		if (!info->madt_found && is_wanted(memory, entry_address, "APIC")) {
			problem = open_table(memory, entry_address, "APIC", &table);
			if (!problem)
				parse_madt(&table, info);
		} else if (!info->fadt_found && is_wanted(memory, entry_address, "FACP")) {
			problem = open_table(memory, entry_address, "FACP", &table);
			if (!problem)
				parse_fadt(memory, &table, info);
		} else if (!mcfg_found && is_wanted(memory, entry_address, "MCFG")) {
			problem = open_table(memory, entry_address, "MCFG", &table);
			if (!problem) {
				mcfg_found = true;
				parse_mcfg(&table, info);
			}
		}
		if (problem)
			note(info, problem);
	}
	if (!info->madt_found)
		note(info, "no usable MADT");
}
