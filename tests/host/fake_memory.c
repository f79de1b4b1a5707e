#include "tests/host/fake_memory.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "mm/frame.h"
#include "smp/core.h"
#include "smp/shootdown.h"
#include "smp/window.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- memory ---- */

#define BLOCK (4ul << 20)

void fake_memory_init(struct boot_info *info, size_t bytes)
{
	char *memory = mmap(NULL, bytes + BLOCK, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	paddr_t start;

	assert(memory != MAP_FAILED);
	start = virt_to_phys((void *)align_up((uintptr_t)memory, BLOCK));
	memset(info, 0, sizeof(*info));
	info->nranges = 1;
	info->ranges[0] = (struct memory_range){ start, start + bytes };
	info->ram_bytes = bytes;
	cores[0].online = true;
}

/* ---- cores ---- */

CORE_LOCAL struct counters counters;
static CORE_LOCAL char anchor;
static char *anchors[MAX_CORES];

void fake_core_register(core_id_t core)
{
	anchors[core] = &anchor;
	this_core = core;
}

void *window_address_of(core_id_t core, const void *core_local_variable)
{
	return anchors[core] + ((const char *)core_local_variable - &anchor);
}

uint64_t arch_random(void)
{
	return 0;
}

/* ---- page tables: one for each 2 MiB, found by hashing ---- */

#define ENTRIES 512
#define HELD 0x10000 /* with no other protection: PROT_NONE */
#define SLOTS 16384

struct entry {
	paddr_t frame;
	unsigned protection; /* 0: empty */
};

struct region {
	vaddr_t address; /* 0: unused slot */
	bool huge;
	paddr_t table; /* of small pages, if any */
	struct entry entry[ENTRIES]; /* of a huge page: the first */
};

static struct region *regions[SLOTS];
static size_t ntables;

size_t fake_tables(void)
{
	return ntables;
}

static struct region **slot_of(vaddr_t address)
{
	size_t slot = (address >> 21) % SLOTS;

	while (regions[slot] && regions[slot]->address != align_down(address, HUGE_PAGE_SIZE))
		slot = (slot + 1) % SLOTS;
	return &regions[slot];
}

static struct region *region_of(vaddr_t address)
{
	struct region **slot = slot_of(address);

	if (!*slot) {
		*slot = calloc(1, sizeof(**slot));
		assert(*slot);
		(*slot)->address = align_down(address, HUGE_PAGE_SIZE);
	}
	return *slot;
}

static unsigned index_of(vaddr_t address)
{
	return address >> PAGE_SHIFT & (ENTRIES - 1);
}

static bool is_empty(const struct region *region)
{
	for (unsigned i = 0; i < ENTRIES; i++)
		if (region->entry[i].protection)
			return false;
	return true;
}

static void free_table(struct region *region)
{
	if (!region->table)
		return;
	frame_free(region->table, 0);
	region->table = 0;
	ntables--;
}

static int make_table(struct region *region)
{
	if (region->table)
		return 0;
	region->table = frame_alloc(0);
	if (!region->table)
		return -ENOMEM;
	ntables++;
	return 0;
}

/* ---- the TLB ---- */

struct stale {
	struct stale *next;
	vaddr_t address;
	paddr_t frame;
};

static struct stale *stale_entries;
static size_t free_when_stale;
size_t fake_shootdowns;

static void make_stale(vaddr_t address, paddr_t frame)
{
	struct stale *stale = malloc(sizeof(*stale));

	assert(stale);
	if (!stale_entries)
		free_when_stale = frame_free_count();
	*stale = (struct stale){ stale_entries, address, frame };
	stale_entries = stale;
}

size_t fake_stale_entries(void)
{
	size_t count = 0;

	for (struct stale *stale = stale_entries; stale; stale = stale->next)
		count++;
	return count;
}

void tlb_shootdown(vaddr_t address, size_t npages)
{
	struct stale **link = &stale_entries;

	fake_shootdowns++;
	/* Nothing was freed since the first entry became stale. (Splitting takes frames; of several
	 * cores, others free theirs.) */
	if (stale_entries && ncores == 1)
		assert(frame_free_count() <= free_when_stale);
	while (*link) {
		struct stale *stale = *link;

		if (stale->address >= address && stale->address < address + npages * PAGE_SIZE) {
			*link = stale->next;
			free(stale);
		} else {
			link = &stale->next;
		}
	}
}

void tlb_interrupt(void) {}

void arch_tlb_flush_local(vaddr_t address, size_t npages) {}

/* ---- the interface ---- */

static bool is_possible(vaddr_t address, size_t size, unsigned protection)
{
	vaddr_t end = address + size;

	return size && is_aligned(address | size, PAGE_SIZE) &&
	       ((address >= USER_START && end <= USER_END && end > address) ||
		(address >= KVA_START && end <= KVA_END)) &&
	       (protection & (PAGE_WRITE | PAGE_EXECUTE)) != (PAGE_WRITE | PAGE_EXECUTE);
}

static bool is_mapped(vaddr_t address)
{
	const struct region *region = *slot_of(address);

	return region && (region->huge || region->entry[index_of(address)].protection);
}

/* What an entry holds. */
static unsigned entry_protection(unsigned protection)
{
	if (protection & PAGE_COPIED_FIRST)
		protection &= ~PAGE_WRITE;
	return protection | HELD;
}

int arch_map(vaddr_t address, paddr_t physical, size_t size, unsigned protection)
{
	bool huge = is_aligned(address | physical | size, HUGE_PAGE_SIZE);
	size_t step = huge ? HUGE_PAGE_SIZE : PAGE_SIZE;

	if (!is_possible(address, size, protection))
		return -EINVAL;
	for (size_t done = 0; done < size; done += step) {
		struct region *region = region_of(address + done);

		if (huge ? region->huge || !is_empty(region) : is_mapped(address + done))
			return -EEXIST;
		if (!huge && make_table(region))
			return -ENOMEM;
	}
	for (size_t done = 0; done < size; done += step) {
		struct region *region = region_of(address + done);
		struct entry *entry = &region->entry[huge ? 0 : index_of(address + done)];

		for (struct stale *stale = stale_entries; stale; stale = stale->next)
			assert(stale->address != address + done);
		if (huge)
			free_table(region);
		region->huge = huge;
		*entry = (struct entry){ physical + done, entry_protection(protection) };
	}
	return 0;
}

static int split_at(vaddr_t address)
{
	struct region *region = *slot_of(address);

	if (!region || !region->huge || is_aligned(address, HUGE_PAGE_SIZE))
		return 0;
	if (make_table(region))
		return -ENOMEM;
	for (unsigned i = 1; i < ENTRIES; i++)
		region->entry[i] = (struct entry){ region->entry[0].frame + i * PAGE_SIZE,
						   region->entry[0].protection };
	region->huge = false;
	return 0;
}

static int split_ends(vaddr_t address, size_t size)
{
	return split_at(address) || split_at(address + size) ? -ENOMEM : 0;
}

/* Call `visit` for every page that is mapped in the range. */
static void for_each_page(vaddr_t address, size_t size,
			  void (*visit)(struct region *, struct entry *, vaddr_t, size_t, void *),
			  void *argument)
{
	vaddr_t end = address + size;

	while (address < end) {
		struct region *region = *slot_of(address);
		size_t step = !region || region->huge
				  ? HUGE_PAGE_SIZE - (address & (HUGE_PAGE_SIZE - 1))
				  : PAGE_SIZE;
		unsigned index = region && region->huge ? 0 : index_of(address);

		if (region && region->entry[index].protection)
			visit(region, &region->entry[index], address,
			      region->huge ? HUGE_PAGE_SIZE : PAGE_SIZE, argument);
		address += step;
	}
}

static void narrow_page(struct region *region, struct entry *entry, vaddr_t address, size_t size,
			void *protection)
{
	unsigned wanted = *(unsigned *)protection, kept = PAGE_BORROWED | PAGE_COPIED_FIRST;

	if (wanted & PAGE_KEYS_KEPT)
		kept |= PAGE_KEY_MASK;
	wanted = (wanted & ~PAGE_KEYS_KEPT) | (entry->protection & kept);
	if (entry->protection & PAGE_ACCESS & ~wanted ||
	    (entry->protection ^ wanted) & PAGE_KEY_MASK)
		make_stale(address, entry->frame);
	entry->protection = entry_protection(wanted);
}

int arch_protect(vaddr_t address, size_t size, unsigned protection)
{
	if (!is_possible(address, size, protection))
		return -EINVAL;
	if (split_ends(address, size))
		return -ENOMEM;
	for_each_page(address, size, narrow_page, &protection);
	return 0;
}

struct release {
	arch_release *function;
	void *argument;
};

static void unmap_page(struct region *region, struct entry *entry, vaddr_t address, size_t size,
		       void *argument)
{
	struct release *release = argument;
	struct entry old = *entry;

	region->huge = false;
	*entry = (struct entry){ 0 };
	make_stale(address, old.frame);
	release->function(old.frame, size, old.protection & ~HELD, release->argument);
}

int arch_unmap(vaddr_t address, size_t size, arch_release *function, void *argument)
{
	struct release release = { function, argument };
	size_t before;

	if (size == 0 || !is_aligned(address | size, PAGE_SIZE))
		return -EINVAL;
	if (split_ends(address, size))
		return -ENOMEM;
	for_each_page(address, size, unmap_page, &release);
	/* Tables go later on the real machine; what matters is that they go. */
	before = frame_free_count();
	for (vaddr_t a = align_down(address, HUGE_PAGE_SIZE); a < address + size;
	     a += HUGE_PAGE_SIZE) {
		struct region *region = *slot_of(a);

		if (region && !region->huge && is_empty(region))
			free_table(region);
	}
	free_when_stale += frame_free_count() - before;
	return 0;
}

bool arch_lookup(vaddr_t address, paddr_t *physical, unsigned *protection, size_t *page_size)
{
	const struct region *region = *slot_of(address);
	size_t offset;

	*page_size = !region || (!region->huge && !region->table) ? HUGE_PAGE_SIZE : PAGE_SIZE;
	if (!is_mapped(address))
		return false;
	*page_size = region->huge ? HUGE_PAGE_SIZE : PAGE_SIZE;
	offset = address & (*page_size - 1);
	*physical = region->entry[region->huge ? 0 : index_of(address)].frame + offset;
	*protection = region->entry[region->huge ? 0 : index_of(address)].protection & ~HELD;
	return true;
}

paddr_t arch_translate(vaddr_t address)
{
	unsigned protection;
	size_t page_size;
	paddr_t physical;

	return arch_lookup(address, &physical, &protection, &page_size) ? physical : 0;
}

void *fake_pointer(vaddr_t address)
{
	paddr_t physical = arch_translate(address);

	return physical ? phys_to_virt(physical) : NULL;
}
