/*
 * The kernel's side of isolation: which page has which key, and where an application may try its luck
 * (posix_isolation.c).
 */
#include "tests/guest/isolation.h"

#include "tests/guest/test.h"

#include "arch/arch.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/instruction.h"
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/page_tables.h"
#include "arch/x86_64/random.h"
#include "arch/x86_64/trap.h"
#include "mm/frame.h"
#include "mm/kva.h"
#include "mm/object.h"
#include "net/exchange.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"
#include "sched/thread.h"
#include "smp/core.h"
#include "smp/mailbox.h"
#include "smp/window.h"

#include <signal.h>

/* How long the instruction there is. */
SYSCALL(isolation_instruction)(uintptr_t address)
{
	struct instruction instruction;

	if (!is_kernel_text(address) ||
	    !instruction_decode((const uint8_t *)address, 16, &instruction))
		return -EINVAL;
	return instruction.length;
}

#ifndef ISOLATION_NONE

/* image.ld */
extern const char kernel_text_start[], kernel_text_end[], symbols_start[];
extern const char core_window_open[], core_window_closed[], core_window_network[],
    boot_image_tables[], core_window_template[], network_data_start[];

/* ---- what is watched ---- */

#define PATTERN 0x6b65726e656c2121ul /* "kernel!!" */
#define NWATCHED 64

static uint64_t watched_data[NWATCHED] = { PATTERN };
static uint64_t watched_zeroed[NWATCHED];
static READ_MOSTLY uint64_t read_mostly = PATTERN;
static const uint64_t constant = PATTERN;
static CORE_LOCAL uint64_t watched_local[NWATCHED] = { PATTERN };
static uint64_t *watched_object, *watched_page;
static void *network_page;

static void fill(uint64_t *words)
{
	for (unsigned i = 0; i < NWATCHED; i++)
		words[i] = PATTERN + i;
}

static long count_damage(const uint64_t *words)
{
	long damage = 0;

	for (unsigned i = 0; i < NWATCHED; i++)
		damage += words[i] != PATTERN + i;
	return damage;
}

static void watch(void)
{
	static bool filled;

	if (filled)
		return;
	filled = true;
	watched_object = object_alloc(NWATCHED * sizeof(uint64_t));
	watched_page = phys_to_virt(frame_alloc(0));
	network_page = phys_to_virt(frame_alloc(0));
	arch_give_to_network(virt_to_phys(network_page), PAGE_SIZE, true);
	fill(watched_data);
	fill(watched_zeroed);
	fill(watched_object);
	fill(watched_page);
	for (core_id_t core = 0; core < ncores; core++)
		fill(window_address_of(core, watched_local));
}

SYSCALL(isolation_damage)(void)
{
	long damage = 0;

	watch();
	for (core_id_t core = 0; core < ncores; core++)
		damage += count_damage(window_address_of(core, watched_local));
	return damage + count_damage(watched_data) + count_damage(watched_zeroed) +
	       count_damage(watched_object) + count_damage(watched_page) +
	       (read_mostly != PATTERN) + (constant != PATTERN) + (domain != DOMAIN_KERNEL);
}

/* ---- places ---- */

struct list_of_places {
	struct isolation_place *to;
	long most, count;
};

static void add(struct list_of_places *list, const char *what, const volatile void *address,
		unsigned readers, unsigned writers, int code)
{
	const struct isolation_place place = { what, (uintptr_t)address, readers, writers, code };

	if (list->count < list->most)
		list->to[list->count] = place;
	list->count++;
}

static void add_kernel(struct list_of_places *list, const char *what, const volatile void *address)
{
	add(list, what, address, BY_KERNEL, BY_KERNEL, SEGV_PKUERR);
}

static void add_constant(struct list_of_places *list, const char *what,
			 const volatile void *address)
{
	add(list, what, address, BY_ALL, 0, SEGV_ACCERR);
}

static void add_applications(struct list_of_places *list, const char *what,
			     const volatile void *address)
{
	add(list, what, address, BY_KERNEL | BY_APPLICATION, BY_KERNEL | BY_APPLICATION, 0);
}

static void add_networks(struct list_of_places *list, const char *what,
			 const volatile void *address)
{
	add(list, what, address, BY_KERNEL | BY_NETWORK, BY_KERNEL | BY_NETWORK, SEGV_PKUERR);
}

static void *alias(const volatile void *address)
{
	return phys_to_virt(arch_translate((vaddr_t)address));
}

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

static void add_tables(struct list_of_places *list)
{
	uint64_t *table = phys_to_virt(read_cr3() & PTE_FRAME);
	struct table_pointer pointer;

	for (unsigned level = 4;; level--) {
		uint64_t entry = table[table_index((vaddr_t)&constant, level)];

		add_kernel(list, "page table", table);
		if (entry_is_leaf(entry, level))
			break;
		table = phys_to_virt(entry & PTE_FRAME);
	}
	__asm__ volatile("sidt %0" : "=m"(pointer));
	add_constant(list, "interrupt descriptors", (void *)pointer.base);
	__asm__ volatile("sgdt %0" : "=m"(pointer));
	add_constant(list, "segment descriptors", (void *)pointer.base);
}

static void add_thread(struct thread *thread, void *list)
{
	if (!thread->kernel_stack || thread == current)
		return;
	add_kernel(list, "stack of another thread", (char *)thread->kernel_stack - 8);
	add_kernel(list, "another thread", thread);
}

static void add_stacks(struct list_of_places *list)
{
	extern vaddr_t trap_stacks[NTRAP_STACKS]; /* descriptors.c; CORE_LOCAL */
	char *bottom;

	add_kernel(list, "own stack", __builtin_frame_address(0));
	add_kernel(list, "top of own stack", (char *)current->kernel_stack - 1);
	add_kernel(list, "own thread", current);
	add_kernel(list, "own registers", current->save_area);
	bottom = (char *)align_down((vaddr_t)__builtin_frame_address(0), PAGE_SIZE);
	while (arch_translate((vaddr_t)bottom))
		bottom -= PAGE_SIZE;
	add(list, "guard page", bottom, 0, 0, SEGV_MAPERR);
	thread_for_each(add_thread, list);
	for (unsigned i = 0; i < NTRAP_STACKS; i++)
		add_kernel(list, "stack of traps", (void *)(trap_stacks[i] - 8));
}

static void add_windows(struct list_of_places *list)
{
	extern vaddr_t trap_stacks[];
	extern struct tss trap_tss; /* likewise */

	add_kernel(list, "core window", &watched_local);
	add_kernel(list, "domain", &domain);
	add_kernel(list, "current", &current);
	add_kernel(list, "addresses of stacks", trap_stacks);
	add_constant(list, "task state", &trap_tss);
	add(list, "open page", trap_open_stacks, BY_ALL, BY_ALL, 0);
	for (core_id_t core = 0; core < ncores; core++) {
		add_kernel(list, "a core's window", window_address_of(core, &watched_local));
		add_kernel(list, "a core's task state", window_address_of(core, &trap_tss));
		add_kernel(list, "a core's open page", window_address_of(core, trap_open_stacks));
		add_kernel(list, "a core's domain", window_address_of(core, &domain));
		add_networks(list, "a core's part of the network",
			     window_address_of(core, &network_exchange));
	}
}

static void add_network(struct list_of_places *list)
{
	extern char *network_stack; /* network_gate.S; CORE_LOCAL */

	add_networks(list, "network's data", network_data_start);
	add_kernel(list, "network's data by the direct map", alias(network_data_start));
	add_networks(list, "network's page", network_page);
	add_networks(list, "network's part of the window", core_window_network);
	add_networks(list, "network's stack", network_stack - 8);
	add_kernel(list, "where the network's stack is", &network_stack);
	add_kernel(list, "template of the network's part",
		   core_window_template + (core_window_network - core_window_start));
}

static const volatile void *device(void)
{
	static const volatile void *mapped;

	if (!mapped)
		mapped = kva_map_device(0xfee00000, PAGE_SIZE);
	return mapped;
}

extern uintptr_t __stack_chk_guard; /* random.c */

long isolation_find_places(struct isolation_place *places, long most, const void *mine)
{
	struct list_of_places list = { places, most, 0 };
	uint8_t byte;

	/* Brings the page in. */
	if (user_read(&byte, mine, 1))
		return -EFAULT;
	watch();
	add_kernel(&list, "data", watched_data);
	add_kernel(&list, "zeroed data", watched_zeroed);
	add_kernel(&list, "data by the direct map", alias(watched_data));
	add_kernel(&list, "data that is read-only now", &read_mostly);
	add_kernel(&list, "the same by the direct map", alias(&read_mostly));
	add_kernel(&list, "canary", &__stack_chk_guard);
	add_kernel(&list, "object", watched_object);
	add_kernel(&list, "page", watched_page);
	add_kernel(&list, "page tables of the image", boot_image_tables);
	add_kernel(&list, "template of windows", core_window_template);
	add_kernel(&list, "device registers", device());
	add_kernel(&list, "the application's page by the direct map", alias(mine));
	add_kernel(&list, "its data by the direct map", alias(application_data_start));
	add_kernel(&list, "text by the direct map", alias(kernel_text_start));
	add_kernel(&list, "constant by the direct map", alias(&constant));
	add_constant(&list, "constant", &constant);
	add_constant(&list, "text", kernel_text_start);
	add_constant(&list, "end of text", (void *)((vaddr_t)kernel_text_end - 1));
	add_constant(&list, "is isolation on", &isolation_on);
	add_constant(&list, "symbols", symbols_start);
	add_applications(&list, "the application's data",
			 (void *)((vaddr_t)application_data_end - 1));
	add_applications(&list, "the application's page", mine);
	add_tables(&list);
	add_stacks(&list);
	add_windows(&list);
	add_network(&list);
	return list.count;
}

SYSCALL(isolation_places)(struct isolation_place *places, long most, const void *mine)
{
	paddr_t frame = frame_alloc(ISOLATION_PLACES_ORDER);
	struct isolation_place *found = phys_to_virt(frame);
	long count;

	if (!frame)
		return -ENOMEM;
	count = isolation_find_places(found, ISOLATION_PLACES_MAX, mine);
	if (count > most)
		count = -E2BIG;
	if (count > 0 && user_write(places, found, (size_t)count * sizeof(*found)))
		count = -EFAULT;
	frame_free(frame, ISOLATION_PLACES_ORDER);
	return count;
}

/* ---- code ---- */

extern char gate_call[], gate_call_end[], trap_common[], trap_common_end[],
    syscall_instruction_entry[], syscall_instruction_end[], context_swap[], context_start[],
    rights_text_end[];
void trap_resume(const struct trap_frame *frame);
void context_resume_preempted(struct context *context);

/* WRPKRU is 0f 01 ef, XRSTOR 0f ae /5 with memory (SDM volume 2). */
static bool changes_rights(const uint8_t *code)
{
	return code[0] == 0x0f && ((code[1] == 0x01 && code[2] == 0xef) ||
				   (code[1] == 0xae && (code[2] >> 3 & 7) == 5 && code[2] < 0xc0));
}

static struct isolation_code range(const void *start, const void *end)
{
	return (struct isolation_code){ (uintptr_t)start, (uintptr_t)end };
}

SYSCALL(isolation_targets)(struct isolation_targets *to)
{
	struct isolation_targets targets = {
		.code = {
			[CODE_ENTRIES] = range(trap_isolated_entries,
					       trap_isolated_entries + 256 * TRAP_ENTRY_SIZE),
			[CODE_GATE] = range(gate_call, gate_call_end),
			[CODE_TRAP] = range(trap_common, trap_common_end),
			[CODE_INSTRUCTION] = range(syscall_instruction_entry, syscall_instruction_end),
			[CODE_RIGHTS] = range(rights_write, rights_text_end),
			[CODE_SWAP] = range(context_swap, context_start),
		},
		.rights_write = (uintptr_t)rights_write,
		.xrstor = (uintptr_t)rights_keep_and_xrstor,
		.resume = (uintptr_t)trap_resume,
		.resume_preempted = (uintptr_t)context_resume_preempted,
		.kernel_call = (uintptr_t)sys_isolation_damage,
		.kernel_function = (uintptr_t)object_alloc,
		.open_start = (uintptr_t)core_window_open,
		.open_end = (uintptr_t)core_window_closed,
		.text_start = (uintptr_t)image_start,
		.text_end = (uintptr_t)text_end,
		.data_start = (uintptr_t)application_data_start,
		.data_end = (uintptr_t)application_data_end,
	};

	for (const char *code = kernel_text_start; code + 3 < kernel_text_end; code++)
		if (changes_rights((const uint8_t *)code) &&
		    targets.nsites < (long)array_size(targets.sites))
			targets.sites[targets.nsites++] = (uintptr_t)code;
	return user_write(to, &targets, sizeof(targets));
}

/* ---- page tables ---- */

struct walk {
	long wrong;
	vaddr_t first; /* of those that are wrong */
};

static bool lies_in(vaddr_t address, const char *start, const char *end)
{
	return address >= (vaddr_t)start && address < (vaddr_t)end;
}

/* No page is to be written and executed; what the kernel can write has its key, but for the pages that are
 * the application's to write. */
static bool page_is_right(vaddr_t address, uint64_t entry)
{
	bool writable = entry & PTE_WRITE, executable = !(entry & PTE_NX), keyed = entry & PTE_USER;
	unsigned key = entry >> PTE_KEY_SHIFT & PTE_KEY_MASK;

	if (!(entry & PTE_PRESENT))
		return true;
	if (writable && executable)
		return false;
	if (address < USER_END)
		return keyed && key <= KEY_LAST;
	if (lies_in(address, application_data_start, application_data_end))
		return keyed && key == KEY_APPLICATION && !executable;
	/* The processor's stacks at a trap: to be written whatever the rights are. */
	if (lies_in(address, core_window_open, core_window_closed))
		return !keyed && writable;
	/* The network's keys are as closed to the application as the kernel's. */
	return keyed ? key > KEY_LAST && !executable : !writable;
}

static void walk_table(const uint64_t *table, unsigned level, vaddr_t base, struct walk *walk)
{
	for (unsigned i = 0; i < ENTRIES_PER_TABLE; i++) {
		vaddr_t address = base + i * LEVEL_SIZE(level);

		if (level == 4 && i >= ENTRIES_PER_TABLE / 2)
			address |= 0xffff000000000000ul;
		if (!table[i])
			continue;
		if (!entry_is_leaf(table[i], level)) {
			walk_table(phys_to_virt(table[i] & PTE_FRAME), level - 1, address, walk);
		} else if (!page_is_right(address, table[i])) {
			if (!walk->wrong++)
				walk->first = address;
		}
	}
}

static long walk_tables(void *argument)
{
	struct walk *walk = argument;

	walk_table(phys_to_virt(read_cr3() & PTE_FRAME), 4, 0, walk);
	return walk->wrong;
}

KERNEL_TEST(every_page_has_the_key_of_its_owner)
{
	if (!cpu_features.protection_keys)
		SKIP("this processor has no protection keys");
	CHECK(isolation_on);
	for (core_id_t core = 0; core < ncores; core++) {
		struct walk walk = { 0, 0 };

		CHECK_EQ(core_call(core, walk_tables, &walk), 0);
		if (walk.wrong)
			kernel_test_failed(__FILE__, __LINE__, "page with the wrong key on core",
					   core, (long long)walk.first, true);
	}
}

#else

SYSCALL(isolation_places)(struct isolation_place *places, long most, const void *mine)
{
	return -ENOSYS;
}

SYSCALL(isolation_damage)(void)
{
	return -ENOSYS;
}

SYSCALL(isolation_targets)(struct isolation_targets *to)
{
	return -ENOSYS;
}

#endif
