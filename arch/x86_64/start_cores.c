/*
 * Bringing up the other cores, all at once: MultiProcessor specification 1.4, B.4; Intel SDM volume
 * 3, 9.4.4.
 *
 * Two steps, so that cores stay dense if one is missing: each core that runs reports in its slot
 * and waits; when all have, or time is up, the present ones get their numbers, tables and stacks.
 */
#include "arch/x86_64/start_cores.h"

#include "arch/arch.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/clock.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/trap.h"
#include "lavra/console.h"
#include "mm/kva.h"
#include "smp/core.h"

#include <errno.h>
#include <string.h>

#define STACK_PAGES 4

struct start_slot {
	uint32_t apic_id;
	uint32_t present; /* the core writes 1 */
	uint64_t stack; /* its top; written last: the core goes on when it is not 0 */
	uint64_t cr3;
	uint32_t core;
	uint32_t unused;
};
_Static_assert(offsetof(struct start_slot, apic_id) == SLOT_APIC_ID &&
		   offsetof(struct start_slot, present) == SLOT_PRESENT &&
		   offsetof(struct start_slot, stack) == SLOT_STACK &&
		   offsetof(struct start_slot, cr3) == SLOT_CR3 &&
		   offsetof(struct start_slot, core) == SLOT_CORE &&
		   sizeof(struct start_slot) == SLOT_SIZE,
	       "start_cores.h and struct start_slot differ");

/* Read and written by trampoline.S. */
extern struct start_slot start_slots[MAX_CORES];
extern uint32_t start_nslots;
extern const char trampoline_start[], trampoline_cr3[], trampoline_end[];
void start_core_main(core_id_t core) __attribute__((noreturn));

struct start_slot start_slots[MAX_CORES];
uint32_t start_nslots;

/* Without a sign of life for so long a core counts as missing. */
#define PATIENCE_NS NS_PER_S

static void wait_ns(uint64_t duration_ns)
{
	uint64_t end = clock_ns() + duration_ns;

	while (clock_ns() < end)
		arch_pause();
}

static bool is_present(const struct start_slot *slot)
{
	return __atomic_load_n(&slot->present, __ATOMIC_ACQUIRE);
}

static unsigned count_present(void)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < start_nslots; i++)
		count += is_present(&start_slots[i]);
	return count;
}

static unsigned count_online(void)
{
	unsigned count = 0;

	for (core_id_t core = 0; core < ncores; core++)
		count += core_is_online(core);
	return count;
}

/* Wait until count() reaches `wanted`, or does not grow for PATIENCE_NS. */
static bool wait_for(unsigned (*count)(void), unsigned wanted)
{
	unsigned seen = 0, now;
	uint64_t give_up = clock_ns() + PATIENCE_NS;

	while ((now = count()) < wanted) {
		if (now != seen)
			give_up = clock_ns() + PATIENCE_NS;
		else if (clock_ns() > give_up)
			return false;
		seen = now;
		arch_pause();
	}
	return true;
}

static void install_trampoline(void)
{
	char *copy = phys_to_virt(TRAMPOLINE_PAGE);
	uint32_t cr3;

	assert(trampoline_end - trampoline_start <= (ptrdiff_t)PAGE_SIZE);
	memcpy(copy, trampoline_start, (size_t)(trampoline_end - trampoline_start));
	cr3 = (uint32_t)paging_trampoline_tables(TRAMPOLINE_PAGE);
	memcpy(copy + (trampoline_cr3 - trampoline_start), &cr3, sizeof(cr3));
}

static void wake_cores(void)
{
	for (uint32_t i = 0; i < start_nslots; i++)
		apic_send_init(start_slots[i].apic_id);
	/* Real processors take time to reset; a hypervisor keeps the order of the messages. */
	if (!cpu_features.hypervisor)
		wait_ns(10 * NS_PER_MS);
	for (unsigned attempt = 0; attempt < 2; attempt++) {
		for (uint32_t i = 0; i < start_nslots; i++)
			if (!is_present(&start_slots[i]))
				apic_send_startup(start_slots[i].apic_id, TRAMPOLINE_PAGE);
		if (count_present() == start_nslots)
			return;
		wait_ns(200 * NS_PER_US);
	}
	wait_for(count_present, start_nslots);
}

/* Take the missing cores out of cores[], so that the others' numbers have no gap. */
static void leave_out_missing(void)
{
	core_id_t next = 1;

	for (uint32_t i = 0; i < start_nslots; i++) {
		if (is_present(&start_slots[i])) {
			cores[next++] = cores[i + 1];
			continue;
		}
		kprintf("smp: the core with apic id %u does not start; left out\n",
			start_slots[i].apic_id);
		/* Back to waiting: it must not wake up later into a page that is gone. */
		apic_send_init(start_slots[i].apic_id);
	}
	ncores = next;
}

/* Give slot `slot`'s core what it needs to run as `core`, and let it go. */
static int release_core(struct start_slot *slot, core_id_t core)
{
	paddr_t tables = paging_create_core_tables(core);
	void *stack;

	if (!tables || trap_create_core(core) != 0)
		return -ENOMEM;
	stack = kva_stack_alloc(STACK_PAGES);
	if (!stack)
		return -ENOMEM;
	slot->cr3 = tables;
	slot->core = core;
	/* Last. Pairs with the loop in start_core_entry. */
	__atomic_store_n(&slot->stack, (uint64_t)stack, __ATOMIC_RELEASE);
	return 0;
}

void arch_start_cores(void)
{
	core_id_t core = 1;

	if (ncores == 1)
		return;
	start_nslots = ncores - 1;
	for (uint32_t i = 0; i < start_nslots; i++)
		start_slots[i].apic_id = cores[i + 1].apic_id;
	install_trampoline();
	wake_cores();
	leave_out_missing();
	for (uint32_t i = 0; i < start_nslots; i++) {
		if (!is_present(&start_slots[i]))
			continue;
		if (core < ncores && release_core(&start_slots[i], core) == 0) {
			core++;
			continue;
		}
		/* Memory is out: this core and the rest stay behind, halted. */
		if (core < ncores)
			kprintf("smp: no memory for core %u and those after it\n", core);
		ncores = min(ncores, core);
		apic_send_init(start_slots[i].apic_id);
	}
	if (!wait_for(count_online, ncores))
		panic("smp: only %u of %u cores came online after they started", count_online(),
		      ncores);
	paging_remove_trampoline();
}

/* On its own stack, in its own window, interrupts off. */
void start_core_main(core_id_t core)
{
	const char *missing;

	assert(core == this_core);
	/* First what a panic needs: to stop the others, and to say so. */
	trap_init_core();
	apic_init_core();
	missing = cpu_enable_core();
	if (missing)
		panic("core %u lacks %s, which the boot core has", core, missing);
	clock_init_core();
	core_came_online();
	lavra_main_secondary();
}
