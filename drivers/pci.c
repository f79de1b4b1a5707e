#include "drivers/pci.h"

#include "arch/pci_config.h"
#include "drivers/mmio.h"
#include "drivers/pci_window.h"
#include "lavra/console.h"
#include "mm/kva.h"

#include <errno.h>

/* Offsets in configuration space; PCI 3.0, 6.1. */
#define CONFIG_ID 0x00
#define CONFIG_COMMAND 0x04
#define CONFIG_STATUS 0x06
#define CONFIG_CLASS 0x08
#define CONFIG_HEADER_TYPE 0x0e
#define CONFIG_BAR0 0x10
#define CONFIG_SECONDARY_BUS 0x19
#define CONFIG_SUBSYSTEM 0x2c
#define CONFIG_CAPABILITIES 0x34

#define COMMAND_MEMORY (1u << 1)
#define COMMAND_MASTER (1u << 2)
#define COMMAND_INTX_DISABLE (1u << 10)
#define STATUS_CAPABILITIES (1u << 4)
#define HEADER_MULTIFUNCTION 0x80
#define HEADER_NORMAL 0
#define HEADER_BRIDGE 1

#define BAR_IO 1u
#define BAR_TYPE_MASK 6u
#define BAR_TYPE_64 4u

#define MSIX_CONTROL 2
#define MSIX_TABLE 4
#define MSIX_CONTROL_ENABLE (1u << 15)
#define MSIX_CONTROL_MASK_ALL (1u << 14)
#define MSIX_ENTRY_SIZE 16

static paddr_t ecam_base; /* 0: unknown */
static uint8_t ecam_first, ecam_last;
/* A bus is mapped when it is first looked at: all 256 would take half a megabyte of page tables. */
static volatile uint8_t *ecam_buses[256];

/* PCI Express 2.0, 7.2.2: 4 KiB for each of 256 functions. */
#define ECAM_BUS_SIZE (1ul << 20)

static volatile void *ecam_word(const struct pci_function *f, unsigned offset)
{
	if (ecam_base == 0 || f->bus < ecam_first || f->bus > ecam_last)
		return NULL;
	if (ecam_buses[f->bus] == NULL)
		ecam_buses[f->bus] =
		    kva_map_device(ecam_base + f->bus * ECAM_BUS_SIZE, ECAM_BUS_SIZE);
	if (ecam_buses[f->bus] == NULL)
		return NULL;
	return ecam_buses[f->bus] + ((f->device & 31u) << 15) + ((f->function & 7u) << 12) +
	       (offset & 0xfc);
}

uint32_t pci_read32(const struct pci_function *f, unsigned offset)
{
	volatile void *word = ecam_word(f, offset);

	if (word)
		return mmio_read32(word);
	return arch_pci_config_read(f->bus, f->device, f->function, offset & 0xfc);
}

void pci_write32(const struct pci_function *f, unsigned offset, uint32_t value)
{
	volatile void *word = ecam_word(f, offset);

	if (word)
		mmio_write32(word, value);
	else
		arch_pci_config_write(f->bus, f->device, f->function, offset & 0xfc, value);
}

uint16_t pci_read16(const struct pci_function *f, unsigned offset)
{
	return (uint16_t)(pci_read32(f, offset) >> (offset & 2) * 8);
}

uint8_t pci_read8(const struct pci_function *f, unsigned offset)
{
	return (uint8_t)(pci_read32(f, offset) >> (offset & 3) * 8);
}

/* The neighbouring half is written back as it was read, except the status register beside the
 * command: its bits are cleared by writing ones (PCI 3.0, 6.2.3), so it is written as zero. */
void pci_write16(const struct pci_function *f, unsigned offset, uint16_t value)
{
	unsigned shift = (offset & 2) * 8;
	uint32_t word = offset == CONFIG_COMMAND ? 0 : pci_read32(f, offset);

	pci_write32(f, offset, (word & ~(0xffffu << shift)) | (uint32_t)value << shift);
}

struct walk {
	bool (*visit)(const struct pci_function *, void *argument);
	void *argument;
	uint64_t seen[4]; /* buses: bridges that lie about their numbers cannot make a loop */
	uint8_t pending[256];
	unsigned npending;
	bool found; /* any function */
};

static void walk_add_bus(struct walk *walk, uint8_t bus)
{
	if (walk->seen[bus / 64] & 1ull << bus % 64)
		return;
	walk->seen[bus / 64] |= 1ull << bus % 64;
	walk->pending[walk->npending++] = bus;
}

static bool walk_function(struct walk *walk, struct pci_function *f, uint8_t header_type)
{
	uint32_t id = pci_read32(f, CONFIG_ID);

	walk->found = true;
	f->vendor_id = (uint16_t)id;
	f->device_id = (uint16_t)(id >> 16);
	f->revision = pci_read8(f, CONFIG_CLASS);
	if ((header_type & 0x7f) == HEADER_BRIDGE) {
		uint8_t secondary = pci_read8(f, CONFIG_SECONDARY_BUS);

		if (secondary != 0) /* 0: nobody numbered the bus behind it */
			walk_add_bus(walk, secondary);
		f->subsystem_id = 0;
	} else {
		f->subsystem_id = pci_read16(f, CONFIG_SUBSYSTEM + 2);
	}
	return walk->visit(f, walk->argument);
}

static bool walk_bus(struct walk *walk, uint8_t bus)
{
	for (unsigned device = 0; device < 32; device++) {
		struct pci_function f = { .bus = bus, .device = (uint8_t)device };
		unsigned nfunctions = 1;

		for (unsigned function = 0; function < nfunctions; function++) {
			f.function = (uint8_t)function;
			if (pci_read16(&f, CONFIG_ID) == 0xffff)
				continue; /* absent; PCI 3.0, 6.1 */

			uint8_t header_type = pci_read8(&f, CONFIG_HEADER_TYPE);

			if (function == 0 && (header_type & HEADER_MULTIFUNCTION))
				nfunctions = 8;
			if (walk_function(walk, &f, header_type))
				return true;
		}
	}
	return false;
}

bool pci_enumerate(bool (*visit)(const struct pci_function *, void *), void *argument)
{
	struct walk walk = { .visit = visit, .argument = argument };

	ecam_base = pci_window_config();
	ecam_first = 0;
	ecam_last = 255;
	if (ecam_base == 0 && !arch_pci_config_memory(&ecam_base, &ecam_first, &ecam_last))
		ecam_base = 0;
	walk_add_bus(&walk, 0);
	for (unsigned i = 0; i < walk.npending; i++)
		if (walk_bus(&walk, walk.pending[i]))
			return true;
	if (!walk.found)
		kprintf("pci: no functions; if the machine has some, pci= tells where\n");
	return false;
}

unsigned pci_find_capability(const struct pci_function *f, uint8_t id, unsigned previous)
{
	unsigned offset;

	if (!(pci_read16(f, CONFIG_STATUS) & STATUS_CAPABILITIES))
		return 0;
	offset = pci_read8(f, previous ? previous + 1 : CONFIG_CAPABILITIES) & 0xfc;
	for (unsigned i = 0; i < PCI_MAX_CAPABILITIES && offset >= 0x40; i++) {
		uint16_t header = pci_read16(f, offset);

		if ((header & 0xff) == id)
			return offset;
		offset = header >> 8 & 0xfc;
	}
	return 0;
}

/* Write all ones, see which bits stick, write back; PCI 3.0, 6.2.5.1. */
static uint32_t size_bar_word(const struct pci_function *f, unsigned offset, uint32_t value)
{
	uint32_t mask;

	pci_write32(f, offset, 0xffffffff);
	mask = pci_read32(f, offset);
	pci_write32(f, offset, value);
	return mask;
}

/* A memory BAR as it is, true or not. */
struct bar {
	paddr_t address;
	uint64_t size;
	bool wide; /* takes the next BAR's place too */
};

static void write_bar(const struct pci_function *f, unsigned bar, const struct bar *content)
{
	unsigned offset = CONFIG_BAR0 + 4 * bar;

	pci_write32(f, offset, (uint32_t)content->address); /* the low four bits are read-only */
	if (content->wide)
		pci_write32(f, offset + 4, (uint32_t)(content->address >> 32));
}

/* False: no memory BAR is there. */
static bool read_bar(const struct pci_function *f, unsigned bar, struct bar *content)
{
	unsigned offset = CONFIG_BAR0 + 4 * bar;
	uint32_t low, high = 0;
	uint64_t mask = ~0ull << 32;
	uint16_t command;

	*content = (struct bar){ 0 };
	if (bar >= PCI_NBARS)
		return false;
	low = pci_read32(f, offset);
	if (low & BAR_IO)
		return false;
	content->wide = (low & BAR_TYPE_MASK) == BAR_TYPE_64;
	if (content->wide && bar == PCI_NBARS - 1)
		return false;
	/* While it is sized the BAR must not answer at a wrong address. */
	command = pci_read16(f, CONFIG_COMMAND);
	pci_write16(f, CONFIG_COMMAND, command & (uint16_t)~COMMAND_MEMORY);
	mask |= size_bar_word(f, offset, low) & ~15u;
	if (content->wide) {
		high = pci_read32(f, offset + 4);
		mask = (uint64_t)size_bar_word(f, offset + 4, high) << 32 | (uint32_t)mask;
	}
	pci_write16(f, CONFIG_COMMAND, command);
	content->address = (uint64_t)high << 32 | (low & ~15u);
	content->size = ~mask + 1;
	return content->wide ? mask != 0 : (uint32_t)mask != 0;
}

bool pci_bar(const struct pci_function *f, unsigned bar, paddr_t *address, uint64_t *size)
{
	struct bar content;

	if (!read_bar(f, bar, &content))
		return false;
	*address = content.address;
	*size = content.size;
	/* A size is a power of two and the address a multiple of it. */
	return *address != 0 && (*size & (*size - 1)) == 0 && (*address & (*size - 1)) == 0;
}

static const char *assign_bar(const struct pci_function *f, unsigned bar, struct bar *content)
{
	if (f->bus != 0)
		return "it is behind a bridge, which would have to let it through";
	if (content->size & (content->size - 1))
		return "its size is no power of two";
	content->address = pci_window_take(content->size);
	if (content->address == 0)
		return "pci= tells of no free addresses, or of too few";
	/* Off while the BAR is half written; PCI 3.0, 6.2.2. */
	pci_write16(f, CONFIG_COMMAND, pci_read16(f, CONFIG_COMMAND) & (uint16_t)~COMMAND_MEMORY);
	write_bar(f, bar, content);
	return NULL;
}

int pci_assign(const struct pci_function *f)
{
	struct bar content;
	const char *wrong;

	/* In a bridge other registers stand in the BARs' places. */
	if ((pci_read8(f, CONFIG_HEADER_TYPE) & 0x7f) != HEADER_NORMAL) {
		kprintf("pci: %02x:%02x.%x: a bridge, no device\n", f->bus, f->device, f->function);
		return -EIO;
	}
	for (unsigned bar = 0; bar < PCI_NBARS; bar += content.wide ? 2 : 1) {
		if (!read_bar(f, bar, &content) || content.address != 0)
			continue;
		wrong = assign_bar(f, bar, &content);
		if (wrong) {
			kprintf("pci: %02x:%02x.%x: firmware gave BAR %u no address; %s\n", f->bus,
				f->device, f->function, bar, wrong);
			return -ENOSPC;
		}
	}
	return 0;
}

volatile void *pci_map_bar(const struct pci_function *f, unsigned bar, uint64_t offset,
			   uint64_t size)
{
	paddr_t address, start;
	uint64_t bar_size;
	volatile uint8_t *mapped;

	if (!pci_bar(f, bar, &address, &bar_size))
		return NULL;
	if (size == 0 || offset > bar_size || size > bar_size - offset)
		return NULL;
	start = align_down(address + offset, PAGE_SIZE);
	mapped = kva_map_device(start, align_up(address + offset + size - start, PAGE_SIZE));
	return mapped ? mapped + (address + offset - start) : NULL;
}

void pci_enable(const struct pci_function *f)
{
	pci_write16(f, CONFIG_COMMAND,
		    (uint16_t)(pci_read16(f, CONFIG_COMMAND) | COMMAND_MEMORY | COMMAND_MASTER |
			       COMMAND_INTX_DISABLE));
}

int pci_msix_enable(const struct pci_function *f, struct pci_msix *msix)
{
	unsigned capability = pci_find_capability(f, PCI_CAPABILITY_MSIX, 0);
	paddr_t address;
	uint64_t size;
	uint16_t control;
	uint32_t table;

	if (capability == 0)
		return -ENOENT;
	control = pci_read16(f, capability + MSIX_CONTROL);
	table = pci_read32(f, capability + MSIX_TABLE);
	msix->nvectors = (control & 0x7ffu) + 1;
	if (!pci_bar(f, table & 7, &address, &size) ||
	    (table & ~7u) + msix->nvectors * MSIX_ENTRY_SIZE > size)
		return -EIO;
	msix->table = pci_map_bar(f, table & 7, table & ~7u, msix->nvectors * MSIX_ENTRY_SIZE);
	if (msix->table == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < msix->nvectors; i++)
		mmio_write32(msix->table + i * MSIX_ENTRY_SIZE + 12, 1);
	control = (uint16_t)((control | MSIX_CONTROL_ENABLE) & ~MSIX_CONTROL_MASK_ALL);
	pci_write16(f, capability + MSIX_CONTROL, control);
	return 0;
}

void pci_msix_set(const struct pci_msix *msix, unsigned vector, const struct msi_message *message)
{
	volatile uint8_t *entry = msix->table + vector * MSIX_ENTRY_SIZE;

	assert(vector < msix->nvectors);
	mmio_write32(entry + 12, 1); /* masked while it is half written */
	mmio_write64(entry, message->address);
	mmio_write32(entry + 8, message->data);
	mmio_write32(entry + 12, 0);
}
