#include "arch/x86_64/descriptors.h"

#include "arch/arch.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/registers.h"
#include "arch/x86_64/trap.h"

/* SDM volume 3, figure 8-11. */
struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t io_map; /* beyond the limit: there is none, and ring 0 needs none */
} __attribute__((packed));

/* SDM volume 3, figure 6-8. */
struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
};
#define GATE_INTERRUPT 0x8e /* present, ring 0, interrupts off at entry */
#define GDT_TSS 0x89 /* present, ring 0, available 64-bit TSS */

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

/* In the window, so that every core has its own at one address, and trap.S finds its core's. The
 * processor reads them at every trap, whatever PKRU says of them. */
struct tss trap_tss CORE_LOCAL_VISIBLE;
static uint64_t gdt[5] CORE_LOCAL_VISIBLE;
/* Where the handlers' stacks begin, with isolation: trap.S. */
vaddr_t trap_stacks[NTRAP_STACKS] CORE_LOCAL;

_Static_assert(sizeof(struct tss) == 104, "the processor's layout");
_Static_assert(offsetof(struct tss, ist) == TSS_IST_OFFSET(1), "trap.h");

/* The same for all cores; filled by the first. */
static struct gate idt[256] VISIBLE;

static unsigned stack_of(unsigned vector)
{
	switch (vector) {
	case 2:
		return IST_NMI;
	case 8:
		return IST_DOUBLE_FAULT;
	case 18:
		return IST_MACHINE_CHECK;
	default:
		return vector < 32 || vector == VECTOR_INT80 ? IST_FAULT : IST_INTERRUPT;
	}
}

static void fill_idt(const char *entries)
{
	for (unsigned vector = 0; vector < array_size(idt); vector++) {
		uint64_t entry = (uint64_t)entries + vector * TRAP_ENTRY_SIZE;

		idt[vector] = (struct gate){
			.offset_low = (uint16_t)entry,
			.selector = SELECTOR_CODE,
			.ist = (uint8_t)stack_of(vector),
			.type = GATE_INTERRUPT,
			.offset_middle = (uint16_t)(entry >> 16),
			.offset_high = (uint32_t)(entry >> 32),
		};
	}
}

static void fill_gdt(void)
{
	uint64_t base = (uint64_t)&trap_tss;

	gdt[0] = 0;
	gdt[SELECTOR_CODE / 8] = GDT_KERNEL_CODE;
	gdt[SELECTOR_DATA / 8] = GDT_KERNEL_DATA;
	/* A system descriptor takes two entries (SDM volume 3, figure 8-4). */
	gdt[SELECTOR_TSS / 8] = (sizeof(struct tss) - 1) | (base & 0xffffff) << 16 |
				(uint64_t)GDT_TSS << 40 | (base >> 24 & 0xff) << 56;
	gdt[SELECTOR_TSS / 8 + 1] = base >> 32;
}

static void load_segments(void)
{
	struct table_pointer gdt_pointer = { sizeof(gdt) - 1, (uint64_t)gdt };
	struct table_pointer idt_pointer = { sizeof(idt) - 1, (uint64_t)idt };
	uint64_t scratch;

	/* A far return reloads CS; it needs the stack, so step over the red zone. FS and GS get
	 * null selectors, which clears their bases: nothing has set them yet. */
	__asm__ volatile("lgdt %1\n\t"
			 "leaq -128(%%rsp), %%rsp\n\t"
			 "pushq %3\n\t"
			 "leaq 1f(%%rip), %0\n\t"
			 "pushq %0\n\t"
			 "lretq\n"
			 "1:\n\t"
			 "leaq 128(%%rsp), %%rsp\n\t"
			 "movl %4, %%ds\n\t"
			 "movl %4, %%es\n\t"
			 "movl %4, %%ss\n\t"
			 "movl %5, %%fs\n\t"
			 "movl %5, %%gs\n\t"
			 "lidt %2\n\t"
			 "ltr %w6"
			 : "=&r"(scratch)
			 : "m"(gdt_pointer), "m"(idt_pointer), "i"(SELECTOR_CODE),
			   "r"(SELECTOR_DATA), "r"(0), "r"(SELECTOR_TSS)
			 : "memory");
}

static vaddr_t open_stack(unsigned ist)
{
#ifdef ISOLATION_NONE
	return 0;
#else
	return (vaddr_t)trap_open_stacks + ist * TRAP_OPEN_STACK_SIZE;
#endif
}

void descriptors_fill(void)
{
#ifndef ISOLATION_NONE
	if (isolation_on) {
		fill_idt(trap_isolated_entries);
		return;
	}
#endif
	fill_idt(trap_entries);
}

void descriptors_load(const vaddr_t *stacks)
{
	trap_tss = (struct tss){ .io_map = sizeof(struct tss) };
	for (unsigned i = 0; i < NTRAP_STACKS; i++) {
		trap_stacks[i] = stacks[i];
		trap_tss.ist[i] = isolation_on ? open_stack(i + 1) : stacks[i];
	}
	fill_gdt();
	load_segments();
	/* No local descriptor table. */
	__asm__ volatile("lldt %w0" ::"r"(0));
}
