#include "arch/x86_64/paging.h"

#include "arch/arch.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/image.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/page_tables.h"
#include "lavra/console.h"
#include "mm/frame.h"
#include "smp/shootdown.h"
#include "smp/window.h"

#include <ck_spinlock.h>
#include <errno.h>
#include <string.h>

#define TABLE (PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED)
/* Set from the start, so that the processor need not write them into the tables. */
#define TOUCHED (PTE_ACCESSED | PTE_DIRTY)

/* boot.S */
extern uint64_t boot_image_pdpt[], boot_image_directory[], boot_image_tables[], boot_pml4[];
extern uint64_t boot_identity_pdpt[], boot_identity_directory[], boot_identity_table[];
extern char boot_stack_guard[];

/* Core 0's top-level table: what every other core's is copied from. */
static paddr_t kernel_pml4;

#define KVA_INDEX 384 /* table_index(KVA_START, 4) */
#define DIRECT_INDEX 256
#define IMAGE_INDEX 511
#define LOWER_TABLES 4 /* USER_END is 2 TiB */

static uint64_t *table_at(paddr_t table)
{
	return phys_to_virt(table);
}

static paddr_t image_physical(const void *address)
{
	return (paddr_t)address - IMAGE_OFFSET;
}

/* A page has a protection key if it is marked as the user's. */
static uint64_t with_key(unsigned key)
{
	return PTE_USER | (uint64_t)key << PTE_KEY_SHIFT;
}

/* Whose memory this is (isolation.h). An application has keys of its own also without isolation. */
static uint64_t key_flags(vaddr_t address, unsigned protection)
{
	if (address < USER_END && cpu_features.protection_keys)
		return with_key((protection & PAGE_KEY_MASK) >> PAGE_KEY_SHIFT);
	return isolation_on && address >= USER_END ? with_key(KEY_KERNEL) : 0;
}

static uint64_t leaf_flags(vaddr_t address, unsigned protection)
{
	uint64_t flags = TOUCHED | key_flags(address, protection);

	flags |= protection & PAGE_ACCESS ? PTE_PRESENT : PTE_HELD;
	if (protection & PAGE_WRITE && !(protection & PAGE_COPIED_FIRST))
		flags |= PTE_WRITE;
	if (protection & PAGE_BORROWED)
		flags |= PTE_BORROWED;
	if (protection & PAGE_COPIED_FIRST)
		flags |= PTE_COPIED_FIRST;
	if (!(protection & PAGE_EXECUTE))
		flags |= PTE_NX;
	if (protection & PAGE_UNCACHED)
		flags |= PTE_CACHE_DISABLE | PTE_WRITE_THROUGH; /* PAT entry 3, cpu.c */
	return flags;
}

static unsigned protection_of(uint64_t entry)
{
	unsigned protection = 0;

	if (entry & PTE_PRESENT) {
		protection = PAGE_READ;
		if (entry & PTE_WRITE)
			protection |= PAGE_WRITE;
		if (!(entry & PTE_NX))
			protection |= PAGE_EXECUTE;
		if (entry & PTE_CACHE_DISABLE)
			protection |= PAGE_UNCACHED;
	}
	if (entry & PTE_BORROWED)
		protection |= PAGE_BORROWED;
	if (entry & PTE_COPIED_FIRST)
		protection |= PAGE_COPIED_FIRST;
	return protection | PAGE_KEY(entry >> PTE_KEY_SHIFT & PTE_KEY_MASK);
}

/* Only what never differs between cores may be global, and then it is flushed one by one. */
static uint64_t global_flag(vaddr_t address)
{
	return address >= DIRECT_MAP && cpu_features.global_pages ? PTE_GLOBAL : 0;
}

static uint64_t large_flag(unsigned level)
{
	return level > 1 ? PTE_LARGE : 0;
}

/* The leaf entry that maps `address` in the tables `root`, or the empty or not yet filled entry
 * where the walk ends; *level says where. */
static uint64_t *find_entry(paddr_t root, vaddr_t address, unsigned *level)
{
	uint64_t *table = table_at(root);

	for (*level = 4;; --*level) {
		uint64_t *entry = &table[table_index(address, *level)];

		if (*entry == 0 || entry_is_leaf(*entry, *level))
			return entry;
		table = table_at(*entry & PTE_FRAME);
	}
}

/* The entry for `address` at `level`, tables above it made as needed. NULL if memory is out, or if
 * a larger page is in the way. */
static uint64_t *make_entry(paddr_t root, vaddr_t address, unsigned level)
{
	uint64_t *table = table_at(root);

	for (unsigned l = 4; l > level; l--) {
		uint64_t *entry = &table[table_index(address, l)];

		if (*entry == 0) {
			paddr_t page = table_page_alloc();

			if (page == 0)
				return NULL;
			*entry = page | TABLE;
		} else if (entry_is_leaf(*entry, l)) {
			return NULL;
		}
		table = table_at(*entry & PTE_FRAME);
	}
	return &table[table_index(address, level)];
}

static paddr_t current_root(void)
{
	return read_cr3() & PTE_FRAME;
}

/* ---- mappings of the generic code ---- */

static bool range_is_ours(vaddr_t address, size_t size)
{
	vaddr_t end = address + size;

	if (size == 0 || end < address || !is_aligned(address | size, PAGE_SIZE))
		return false;
	return (address >= USER_START && end <= USER_END) ||
	       (address >= KVA_START && end <= KVA_END);
}

static bool table_is_empty(const uint64_t *table)
{
	for (unsigned i = 0; i < ENTRIES_PER_TABLE; i++) {
		if (table[i] != 0)
			return false;
	}
	return true;
}

/* Give a table back that has become empty. Only the lowest level: the directories above are at most
 * 4 KiB for each GiB of addresses ever used. */
static void retire_if_empty(uint64_t *directory_entry)
{
	paddr_t table = *directory_entry & PTE_FRAME;

	if (!table_is_empty(table_at(table)))
		return;
	__atomic_store_n(directory_entry, 0, __ATOMIC_RELAXED);
	table_page_retire(table);
}

/* Make sure that tables exist down to `level` for the range and that nothing is mapped there. */
static int prepare_range(paddr_t root, vaddr_t address, size_t size, unsigned level)
{
	for (vaddr_t a = address; a != address + size; a += LEVEL_SIZE(level)) {
		unsigned found;
		uint64_t *entry = find_entry(root, a, &found);

		if (*entry != 0)
			return -EEXIST;
		if (found < level) {
			/* A table of small pages holds one that is in the way, if not empty. */
			uint64_t *directory_entry = make_entry(root, a, level);

			retire_if_empty(directory_entry);
			if (*directory_entry != 0)
				return -EEXIST;
		} else if (make_entry(root, a, level) == NULL) {
			return -ENOMEM;
		}
	}
	return 0;
}

int arch_map(vaddr_t address, paddr_t physical, size_t size, unsigned protection)
{
	paddr_t root = current_root();
	unsigned level = is_aligned(address | physical | size, HUGE_PAGE_SIZE) ? 2 : 1;
	uint64_t flags = leaf_flags(address, protection) | global_flag(address) | large_flag(level);
	int error;

	if (!range_is_ours(address, size) || !is_aligned(physical, PAGE_SIZE) ||
	    (protection & (PAGE_WRITE | PAGE_EXECUTE)) == (PAGE_WRITE | PAGE_EXECUTE))
		return -EINVAL;
	error = prepare_range(root, address, size, level);
	if (error != 0)
		return error;
	for (size_t done = 0; done != size; done += LEVEL_SIZE(level)) {
		uint64_t *entry = make_entry(root, address + done, level);

		__atomic_store_n(entry, (physical + done) | flags, __ATOMIC_RELEASE);
	}
	return 0;
}

/* Turn the 2 MiB page that spans `address` into a table of 4 KiB pages, if `address` lies inside
 * it. */
static int split_at(paddr_t root, vaddr_t address)
{
	unsigned level;
	uint64_t *entry = find_entry(root, address, &level);
	uint64_t old = *entry;
	paddr_t table;

	if (old == 0 || level != 2 || is_aligned(address, HUGE_PAGE_SIZE))
		return 0;
	table = table_page_alloc();
	if (table == 0)
		return -ENOMEM;
	for (unsigned i = 0; i < ENTRIES_PER_TABLE; i++)
		table_at(table)[i] = (old & ~(uint64_t)PTE_LARGE) + i * PAGE_SIZE;
	__atomic_store_n(entry, table | TABLE, __ATOMIC_RELEASE);
	return 0;
}

static int split_ends(paddr_t root, vaddr_t address, size_t size)
{
	int error = split_at(root, address);

	return error != 0 ? error : split_at(root, address + size);
}

int arch_protect(vaddr_t address, size_t size, unsigned protection)
{
	paddr_t root = current_root();
	unsigned level;
	int error;

	if (!range_is_ours(address, size) ||
	    (protection & (PAGE_WRITE | PAGE_EXECUTE)) == (PAGE_WRITE | PAGE_EXECUTE))
		return -EINVAL;
	error = split_ends(root, address, size);
	if (error != 0)
		return error;
	for (vaddr_t a = address; a < address + size;
	     a = align_down(a, LEVEL_SIZE(level)) + LEVEL_SIZE(level)) {
		uint64_t *entry = find_entry(root, a, &level);
		unsigned kept = PAGE_BORROWED | PAGE_COPIED_FIRST;

		if (protection & PAGE_KEYS_KEPT)
			kept |= PAGE_KEY_MASK;
		kept &= protection_of(*entry);

		if (*entry != 0)
			__atomic_store_n(entry,
					 (*entry & PTE_FRAME) | leaf_flags(a, protection | kept) |
					     global_flag(address) | large_flag(level),
					 __ATOMIC_RELEASE);
	}
	return 0;
}

int arch_unmap(vaddr_t address, size_t size, arch_release *release, void *arg)
{
	paddr_t root = current_root();
	vaddr_t end = address + size;
	unsigned level;
	int error;

	if (!range_is_ours(address, size))
		return -EINVAL;
	error = split_ends(root, address, size);
	if (error != 0)
		return error;
	for (vaddr_t a = address, next; a < end; a = next) {
		uint64_t *entry = find_entry(root, a, &level);
		uint64_t old = *entry;

		next = align_down(a, LEVEL_SIZE(level)) + LEVEL_SIZE(level);
		if (old != 0) {
			__atomic_store_n(entry, 0, __ATOMIC_RELEASE);
			release(old & PTE_FRAME, LEVEL_SIZE(level), protection_of(old), arg);
		}
		/* The last entry of this table that the range covers. */
		if (level == 1 && (next >= end || is_aligned(next, HUGE_PAGE_SIZE)))
			retire_if_empty(make_entry(root, a, 2));
	}
	return 0;
}

/* find_entry() without the caller's lock. Interrupts are off: a table that is taken out on the way
 * is not freed before this core has answered a shootdown. */
static uint64_t read_entry(vaddr_t address, unsigned *level)
{
	unsigned long saved = arch_irq_save();
	const uint64_t *table = table_at(current_root());
	uint64_t entry;

	for (*level = 4;; --*level) {
		entry = __atomic_load_n(&table[table_index(address, *level)], __ATOMIC_RELAXED);
		if (entry == 0 || entry_is_leaf(entry, *level))
			break;
		table = table_at(entry & PTE_FRAME);
	}
	arch_irq_restore(saved);
	return entry;
}

/* Addresses are 48 bits, sign-extended: others name no page (SDM volume 1, 3.3.7.1). */
static bool is_canonical(vaddr_t address)
{
	return (vaddr_t)((int64_t)(address << 16) >> 16) == address;
}

bool arch_lookup(vaddr_t address, paddr_t *physical, unsigned *protection, size_t *page_size)
{
	unsigned level = 1;
	uint64_t entry = 0;

	if (is_canonical(address))
		entry = read_entry(address, &level);
	*page_size = LEVEL_SIZE(level);
	if (entry == 0)
		return false;
	*physical =
	    (entry & PTE_FRAME & ~(LEVEL_SIZE(level) - 1)) + (address & (LEVEL_SIZE(level) - 1));
	*protection = protection_of(entry);
	return true;
}

paddr_t arch_translate(vaddr_t address)
{
	paddr_t physical;
	unsigned protection;
	size_t page_size;

	return arch_lookup(address, &physical, &protection, &page_size) ? physical : 0;
}

/* Beyond this many pages it is cheaper to lose everything that is cached. */
#define FLUSH_ALL_PAGES 64

void arch_tlb_flush_local(vaddr_t address, size_t npages)
{
	table_pages_flush_begin();
	if (npages <= FLUSH_ALL_PAGES) {
		for (size_t i = 0; i < npages; i++)
			__asm__ volatile("invlpg (%0)" ::"r"(address + i * PAGE_SIZE) : "memory");
	} else if (global_flag(address) == 0) {
		write_cr3(read_cr3());
	} else {
		/* Any change of PGE drops global entries, too (SDM volume 3, 4.10.4.1). */
		unsigned long saved = arch_irq_save();
		uint64_t cr4 = read_cr4();

		write_cr4(cr4 & ~(uint64_t)CR4_PGE);
		write_cr4(cr4);
		arch_irq_restore(saved);
	}
	table_pages_flush_end();
}

/* ---- pages that change hands ---- */

/* Guards the tables of the direct map, which change when the first page of a large one changes hands. */
static ck_spinlock_t key_lock = CK_SPINLOCK_INITIALIZER;

/* The entry of the 4 KiB page at `address`, split off the larger one that spans it. NULL: no memory. */
static uint64_t *page_entry(vaddr_t address)
{
	for (;;) {
		unsigned level;
		uint64_t *entry = find_entry(kernel_pml4, address, &level);
		uint64_t old = *entry, size = LEVEL_SIZE(level - 1);
		uint64_t large = level > 2 ? 0 : PTE_LARGE;
		paddr_t table;

		if (level == 1 || old == 0)
			return old ? entry : NULL;
		table = table_page_alloc();
		if (table == 0)
			return NULL;
		for (unsigned i = 0; i < ENTRIES_PER_TABLE; i++)
			table_at(table)[i] = (old & ~large) + i * size;
		__atomic_store_n(entry, table | TABLE, __ATOMIC_RELEASE);
	}
}

static int set_keys_locked(vaddr_t address, size_t size, unsigned key)
{
	uint64_t mask = with_key(PTE_KEY_MASK), flags = with_key(key);

	for (vaddr_t page = address; page < address + size; page += PAGE_SIZE) {
		uint64_t *entry = page_entry(page);

		if (!entry)
			return -ENOMEM;
		__atomic_store_n(entry, (*entry & ~mask) | flags, __ATOMIC_RELEASE);
	}
	return 0;
}

int paging_set_keys(vaddr_t address, size_t size, unsigned key)
{
	int error;

	ck_spinlock_lock(&key_lock);
	error = set_keys_locked(address, size, key);
	if (error) /* as they were: those that could not be split have not changed */
		set_keys_locked(address, size, KEY_KERNEL);
	ck_spinlock_unlock(&key_lock);
	return error;
}

/* A bit for each page of RAM that is the network's, for who has to know that at every request: set after its key,
 * cleared before. Without memory for it the page tables are asked. */
READ_MOSTLY uint64_t *network_pages;
READ_MOSTLY size_t nnetwork_pages;
static READ_MOSTLY paddr_t ram_end;

void arch_network_init(void)
{
	size_t npages = ram_end / PAGE_SIZE;
	unsigned order = 0;
	paddr_t frame;

	if (!isolation_on)
		return;
	while ((PAGE_SIZE << order) < npages / 8 + sizeof(uint64_t))
		order++;
	frame = frame_alloc_zeroed(order);
	if (!frame)
		return;
	network_pages = phys_to_virt(frame);
	nnetwork_pages = npages;
}

static void mark_network_pages(paddr_t frame, size_t size, bool network)
{
	for (size_t page = frame / PAGE_SIZE;
	     page < (frame + size) / PAGE_SIZE && page < nnetwork_pages; page++) {
		uint64_t bit = 1ull << page % 64;

		if (network)
			__atomic_fetch_or(&network_pages[page / 64], bit, __ATOMIC_RELEASE);
		else
			__atomic_fetch_and(&network_pages[page / 64], ~bit, __ATOMIC_SEQ_CST);
	}
}

int arch_give_to_network(paddr_t frame, size_t size, bool network)
{
	vaddr_t address = frame + DIRECT_MAP;
	int error;

	if (!isolation_on)
		return 0;
	if (!network)
		mark_network_pages(frame, size, false);
	error = paging_set_keys(address, size, network ? KEY_NETWORK : KEY_KERNEL);
	if (error)
		return error;
	/* Who is refused a page that he has got looks again (paging_refresh_network()). */
	if (network) {
		mark_network_pages(frame, size, true);
		arch_tlb_flush_local(address, size / PAGE_SIZE);
	} else {
		tlb_shootdown(address, size / PAGE_SIZE);
	}
	return 0;
}

static bool has_network_key(vaddr_t address)
{
	unsigned level;
	uint64_t entry = is_canonical(address) ? read_entry(address, &level) : 0;

	return entry & PTE_PRESENT && (entry >> PTE_KEY_SHIFT & PTE_KEY_MASK) == KEY_NETWORK;
}

bool arch_is_networks(const void *address)
{
	size_t page = ((vaddr_t)address - DIRECT_MAP) / PAGE_SIZE;

	if (!isolation_on)
		return true;
	if (likely(page < nnetwork_pages))
		return arch_is_known_networks(address);
	return has_network_key(align_down((vaddr_t)address, PAGE_SIZE));
}

bool paging_refresh_network(vaddr_t address)
{
	if (!has_network_key(address))
		return false;
	arch_tlb_flush_local(align_down(address, PAGE_SIZE), 1);
	return true;
}

/* ---- building the tables ---- */

static paddr_t boot_table(void)
{
	paddr_t page = table_page_alloc();

	if (page == 0)
		panic("no memory for page tables");
	return page;
}

/* Map `start` to `end` of physical memory at its place in the direct map, with pages as large as
 * fit. */
static void map_direct(paddr_t start, paddr_t end, uint64_t flags)
{
	while (start < end) {
		unsigned level = cpu_features.huge_1g ? 3 : 2;
		uint64_t *entry;

		while (!is_aligned(start, LEVEL_SIZE(level)) || end - start < LEVEL_SIZE(level))
			level--;
		entry = make_entry(kernel_pml4, start + DIRECT_MAP, level);
		if (entry == NULL)
			panic("no memory for page tables");
		*entry = start | flags | large_flag(level) | global_flag(DIRECT_MAP);
		start += LEVEL_SIZE(level);
	}
}

/* All of RAM, for reading and writing; but no address can change the image's text and constants. */
static void map_ram(paddr_t start, paddr_t end)
{
	paddr_t fixed_start = image_physical(image_start), fixed_end = image_physical(data_start);

	if (start < fixed_start)
		map_direct(start, min(end, fixed_start),
			   leaf_flags(DIRECT_MAP, PAGE_READ | PAGE_WRITE));
	if (start < fixed_end && end > fixed_start)
		map_direct(max(start, fixed_start), min(end, fixed_end),
			   leaf_flags(DIRECT_MAP, PAGE_READ));
	if (end > fixed_end)
		map_direct(max(start, fixed_end), end,
			   leaf_flags(DIRECT_MAP, PAGE_READ | PAGE_WRITE));
}

static uint64_t *image_entry(const void *address)
{
	return &boot_image_tables[((vaddr_t)address - (vaddr_t)image_start) / PAGE_SIZE];
}

static bool lies_in(const char *page, const char *start, const char *end)
{
	return page >= start && page < end;
}

/* Constants and text are anybody's to read, and so is what the processor reads for itself. What the entries
 * use before they have the kernel's rights has no key either: whatever keys the application has closed,
 * traps must find it. */
static uint64_t image_key_flags(const char *page)
{
	if (!isolation_on || !lies_in(page, data_start, data_end) ||
	    lies_in(page, core_window_start, core_window_closed) ||
	    lies_in(page, visible_start, visible_end))
		return 0;
	if (lies_in(page, application_data_start, application_data_end))
		return with_key(KEY_APPLICATION);
	if (lies_in(page, core_window_network, core_window_end) ||
	    lies_in(page, network_data_start, network_data_end))
		return with_key(KEY_NETWORK);
	return with_key(KEY_KERNEL);
}

/* boot.S has mapped the image as it must be, but for the keys. What all cores share of it becomes
 * global. */
static void finish_image(void)
{
	for (char *page = image_start; page < image_end(); page += PAGE_SIZE) {
		if (*image_entry(page) == 0)
			continue;
		*image_entry(page) |= image_key_flags(page);
		if (!lies_in(page, core_window_start, core_window_end))
			*image_entry(page) |= global_flag((vaddr_t)page);
	}
}

static void make_read_only(const char *start, const char *end)
{
	unsigned level;

	for (const char *page = start; page < end; page += PAGE_SIZE)
		*find_entry(current_root(), (vaddr_t)page, &level) &= ~(uint64_t)PTE_WRITE;
	arch_tlb_flush_local((vaddr_t)start, (size_t)(end - start) / PAGE_SIZE);
}

void arch_seal(void)
{
	make_read_only(visible_start, visible_end);
	make_read_only(read_mostly_start, read_mostly_end);
	/* Without isolation trap.S moves its stack by writing to the task state. */
	if (isolation_on)
		make_read_only(core_window_start, core_window_open);
}

void paging_make_guard(const void *page)
{
	*image_entry(page) = 0;
	arch_tlb_flush_local((vaddr_t)page, 1);
}

bool paging_is_image_guard(vaddr_t address)
{
	return address >= (vaddr_t)image_start && address < (vaddr_t)image_end() &&
	       *image_entry((const void *)address) == 0;
}

void paging_init(struct boot_info *info, const struct memory_range *ram, unsigned nram)
{
	uint64_t *top;

	table_pages_init(info);
	kernel_pml4 = boot_table();
	for (unsigned i = 0; i < nram; i++) {
		map_ram(ram[i].start, ram[i].end);
		ram_end = max(ram_end, ram[i].end);
	}
	finish_image();

	/* Every top-level entry that will ever be used, so that the copies need not be kept in
	 * step. */
	top = table_at(kernel_pml4);
	for (unsigned i = 0; i < LOWER_TABLES; i++)
		top[i] = boot_table() | TABLE;
	top[KVA_INDEX] = boot_table() | TABLE;
	top[IMAGE_INDEX] = image_physical(boot_image_pdpt) | TABLE;
	paging_load(kernel_pml4);
	arch_tlb_flush_local(IMAGE_OFFSET, SIZE_MAX);
	paging_make_guard(boot_stack_guard);
}

const void *paging_map_firmware(paddr_t physical, size_t size)
{
	paddr_t start = align_down(physical, PAGE_SIZE);
	paddr_t end = align_up(physical + size, PAGE_SIZE);

	if (physical + size < physical || end < start || end > 1ul << cpu_features.physical_bits)
		return NULL;
	for (paddr_t page = start; page < end; page += PAGE_SIZE) {
		vaddr_t address = page + DIRECT_MAP;
		uint64_t *entry;

		if (arch_translate(address) != 0 || (page == 0 && arch_translate(address + 1) != 0))
			continue;
		/* A new top-level entry would be missing in the other cores' tables. */
		if (table_at(kernel_pml4)[table_index(address, 4)] == 0)
			return NULL;
		entry = make_entry(kernel_pml4, address, 1);
		if (entry == NULL)
			return NULL;
		*entry = page | leaf_flags(address, PAGE_READ) | global_flag(address);
	}
	return phys_to_virt(physical);
}

/* ---- one set of tables for each core ---- */

static void free_core_tables(const paddr_t *pages, unsigned npages)
{
	for (unsigned i = 0; i < npages; i++) {
		if (pages[i] != 0)
			table_page_retire(pages[i]);
	}
}

/* The lowest tables that the window touches; it need not lie within 2 MiB. */
static unsigned window_tables(void)
{
	return table_index((vaddr_t)core_window_end - 1, 2) -
	       table_index((vaddr_t)core_window_start, 2) + 1;
}

#define MAX_WINDOW_TABLES 16

paddr_t paging_create_core_tables(core_id_t core)
{
	/* Top, page-directory pointers, directory, then the tables. */
	paddr_t pages[3 + MAX_WINDOW_TABLES];
	unsigned npages = 3 + window_tables();
	unsigned first = table_index((vaddr_t)core_window_start, 2);
	size_t npages_window = (size_t)(core_window_end - core_window_start) / PAGE_SIZE;

	assert(npages <= array_size(pages));
	for (unsigned i = 0; i < npages; i++)
		pages[i] = table_page_alloc();
	for (unsigned i = 0; i < npages; i++) {
		if (pages[i] == 0) {
			free_core_tables(pages, npages);
			return 0;
		}
	}
	memcpy(table_at(pages[0]), table_at(kernel_pml4), PAGE_SIZE);
	memcpy(table_at(pages[1]), boot_image_pdpt, PAGE_SIZE);
	memcpy(table_at(pages[2]), boot_image_directory, PAGE_SIZE);
	table_at(pages[0])[IMAGE_INDEX] = pages[1] | TABLE;
	table_at(pages[1])[table_index(IMAGE_OFFSET, 3)] = pages[2] | TABLE;
	for (unsigned i = 0; i < window_tables(); i++) {
		paddr_t shared = boot_image_directory[first + i] & PTE_FRAME;

		memcpy(table_at(pages[3 + i]), table_at(shared), PAGE_SIZE);
		table_at(pages[2])[first + i] = pages[3 + i] | TABLE;
	}
	for (size_t i = 0; i < npages_window; i++) {
		vaddr_t address = (vaddr_t)core_window_start + i * PAGE_SIZE;
		paddr_t table = pages[3 + table_index(address, 2) - first];

		table_at(table)[table_index(address, 1)] =
		    window_frame(core, (unsigned)i) | TOUCHED | PTE_PRESENT | PTE_WRITE | PTE_NX |
		    image_key_flags((const char *)address);
	}
	return pages[0];
}

void paging_load(paddr_t tables)
{
	write_cr3(tables);
}

/* The tables of boot.S serve again: they lie below 4 GiB, and the identity mapping there is one
 * page. */
paddr_t paging_trampoline_tables(paddr_t page)
{
	memcpy(boot_pml4, table_at(kernel_pml4), PAGE_SIZE);
	/* The direct map stays out, so that no tables have the page writable and executable. */
	boot_pml4[DIRECT_INDEX] = 0;
	boot_pml4[0] = image_physical(boot_identity_pdpt) | TABLE;
	memset(boot_identity_pdpt, 0, PAGE_SIZE);
	memset(boot_identity_directory, 0, PAGE_SIZE);
	memset(boot_identity_table, 0, PAGE_SIZE);
	boot_identity_pdpt[0] = image_physical(boot_identity_directory) | TABLE;
	boot_identity_directory[0] = image_physical(boot_identity_table) | TABLE;
	boot_identity_table[table_index(page, 1)] = page |
						    leaf_flags(page, PAGE_READ | PAGE_EXECUTE);
	return image_physical(boot_pml4);
}

void paging_remove_trampoline(void)
{
	memset(boot_pml4, 0, PAGE_SIZE);
}
