#include "arch/x86_64/boot.h"

#include "arch/arch.h"
#include "arch/boot_info.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/image.h"
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/memory_map.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/random.h"
#include "arch/x86_64/registers.h"
#include "arch/x86_64/serial.h"
#include "arch/x86_64/trap.h"
#include "lavra/console.h"

#include <string.h>

/* xen/include/public/arch-x86/hvm/start_info.h. Fields from memory_map on exist since version 1. */
struct start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nmodules;
	uint64_t modules;
	uint64_t command_line;
	uint64_t rsdp;
	uint64_t memory_map;
	uint32_t memory_map_entries;
	uint32_t reserved;
};
#define START_INFO_MAGIC 0x336ec578

struct start_module {
	uint64_t address;
	uint64_t size;
	uint64_t command_line;
	uint64_t reserved;
};

#define MAX_COMMAND_LINE 4096

#define LOW_MEMORY_END 0x100000

static struct boot_info info;
static char command_line[MAX_COMMAND_LINE];
static struct memory_map_entry map[MAX_MAP_ENTRIES];
static unsigned nmap;
/* What in RAM is not free: the image first, then what the loader left. */
static struct memory_range taken[MAX_TAKEN_RANGES];
static unsigned ntaken;

/* Loader's data at `address`, through the boot tables, which reach 4 GiB. NULL if it is beyond. */
static const void *loaded(uint64_t address, uint64_t size)
{
	const uint64_t limit = 1ul << 32;

	if (address == 0 || address >= limit || size > limit - address)
		return NULL;
	return phys_to_virt(address);
}

static void take(uint64_t address, uint64_t size)
{
	uint64_t end = address + size;

	if (size == 0)
		return;
	if (ntaken == MAX_TAKEN_RANGES)
		panic("boot: the loader left more pieces in memory than the %u we can note",
		      MAX_TAKEN_RANGES);
	taken[ntaken++] = (struct memory_range){ address, end < address ? UINT64_MAX : end };
}

static void read_command_line(const struct start_info *start)
{
	const char *text = loaded(start->command_line, 1);
	size_t room, len;

	if (text == NULL)
		return;
	room = min((size_t)(1ul << 32) - start->command_line, sizeof(command_line));
	len = strnlen(text, room);
	if (len == room)
		panic("boot: the command line is longer than %zu bytes", sizeof(command_line) - 1);
	memcpy(command_line, text, len);
	take(start->command_line, len + 1);
}

static void read_memory_map(const struct start_info *start)
{
	uint64_t size = start->memory_map_entries * sizeof(map[0]);
	const void *table = loaded(start->memory_map, size);

	if (start->version < 1 || start->memory_map_entries == 0 || table == NULL)
		panic("boot: no memory map from the loader (start info version %u, %u at 0x%lx)",
		      start->version, start->memory_map_entries, start->memory_map);
	if (start->memory_map_entries > MAX_MAP_ENTRIES)
		panic("boot: the memory map has %u entries, more than %u",
		      start->memory_map_entries, MAX_MAP_ENTRIES);
	nmap = start->memory_map_entries;
	memcpy(map, table, size);
	take(start->memory_map, size);
}

static bool overlap(struct memory_range a, struct memory_range b)
{
	return a.start < b.end && b.start < a.end;
}

static void read_module(const struct start_module *module)
{
	struct memory_range range = { module->address, module->address + module->size };
	const struct memory_range image = { (paddr_t)image_start - IMAGE_OFFSET,
					    (paddr_t)image_end() - IMAGE_OFFSET };
	bool bad = range.end < range.start || overlap(range, image);

	if (module->size == 0)
		return;
	for (unsigned i = 0; i < info.nmodules; i++)
		bad |= overlap(range, info.modules[i]);
	if (bad)
		panic("boot: the loader put a module of %lu bytes where something else is: 0x%lx",
		      module->size, module->address);
	info.modules[info.nmodules++] = range;
	take(module->address, module->size);
}

static void read_modules(const struct start_info *start)
{
	const struct start_module *module =
	    loaded(start->modules, start->nmodules * sizeof(*module));

	if (start->nmodules == 0)
		return;
	if (module == NULL || start->nmodules > MAX_MODULES)
		panic("boot: unusable list of %u modules at 0x%lx", start->nmodules,
		      start->modules);
	take(start->modules, start->nmodules * sizeof(*module));
	for (unsigned i = 0; i < start->nmodules; i++)
		read_module(&module[i]);
}

/* Only RAM is in the direct map. */
static void check_modules(const struct memory_range *ram, unsigned nram)
{
	for (unsigned i = 0; i < info.nmodules; i++) {
		const struct memory_range *module = &info.modules[i];
		bool inside = false;

		for (unsigned j = 0; j < nram; j++)
			inside |= module->start >= ram[j].start && module->end <= ram[j].end;
		if (!inside)
			panic("boot: the module at 0x%lx (%lu bytes) is not in memory",
			      module->start, module->end - module->start);
	}
}

static void read_start_info(paddr_t address)
{
	const struct start_info *start = loaded(address, sizeof(*start));

	if (start == NULL || start->magic != START_INFO_MAGIC)
		panic("boot: no PVH start info at 0x%lx; use a PVH loader (qemu -kernel)", address);
	take((paddr_t)image_start - IMAGE_OFFSET, (uint64_t)(image_end() - image_start));
	take(address, sizeof(*start));
	read_memory_map(start);
	read_command_line(start);
	read_modules(start);
	info.command_line = command_line;
	info.acpi_rsdp = start->rsdp;
}

static paddr_t memory_limit(void)
{
	/* The direct map ends where KVA begins. */
	return min(1ul << cpu_features.physical_bits, KVA_START - DIRECT_MAP);
}

static uint64_t total(const struct memory_range *ranges, unsigned n)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += ranges[i].end - ranges[i].start;
	return bytes;
}

/* All RAM goes into the direct map; what is free of it, above the first MiB, to mm/. */
static void find_memory(struct memory_range ram[MAX_MEMORY_RANGES], unsigned *nram)
{
	uint64_t dropped = 0;

	*nram = memory_map_usable(map, nmap, NULL, 0, memory_limit(), ram, &dropped);
	info.ram_bytes = total(ram, *nram);
	check_modules(ram, *nram);

	/* Firmware's data, and where other cores start (start_cores.h). */
	take(0, LOW_MEMORY_END);
	info.nranges =
	    memory_map_usable(map, nmap, taken, ntaken, memory_limit(), info.ranges, &dropped);
	if (dropped != 0)
		kprintf(
		    "boot: more than %u pieces of memory; the smallest (%lu KiB) are not used\n",
		    MAX_MEMORY_RANGES, dropped >> 10);
}

/* Not protected by the canary that it sets; calls nothing before it that returns through one. */
__attribute__((optimize("no-stack-protector"))) void boot_main(paddr_t start_info)
{
	struct memory_range ram[MAX_MEMORY_RANGES];
	unsigned nram;

	serial_init();
	trap_init();
	cpu_detect();
	cpu_enable_core();
	random_set_canary();
	read_start_info(start_info);
	isolation_decide(info.command_line);
	find_memory(ram, &nram);
	paging_init(&info, ram, nram);
	trap_init();
	trap_guard_stacks();
	lavra_main(&info);
}
