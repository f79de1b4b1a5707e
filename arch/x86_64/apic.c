#include "arch/x86_64/apic.h"

#include "arch/arch.h"
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/io.h"
#include "lavra/console.h"
#include "mm/kva.h"
#include "smp/core.h"

/* Register offsets in the page; the MSR is 0x800 + offset / 16. SDM volume 3, table 11-1, 11-6. */
#define REG_TASK_PRIORITY 0x80
#define REG_EOI 0xb0
#define REG_SPURIOUS 0xf0
#define REG_ERROR_STATUS 0x280
#define REG_ICR_LOW 0x300
#define REG_ICR_HIGH 0x310
#define REG_LVT_TIMER 0x320
#define REG_LVT_THERMAL 0x330
#define REG_LVT_PERFORMANCE 0x340
#define REG_LVT_LINT0 0x350
#define REG_LVT_LINT1 0x360
#define REG_LVT_ERROR 0x370
#define REG_TIMER_INITIAL 0x380
#define REG_TIMER_CURRENT 0x390
#define REG_TIMER_DIVIDE 0x3e0
#define REG_VERSION 0x30

#define MSR_APIC_BASE 0x1b
#define APIC_BASE_X2APIC (1u << 10)
#define APIC_BASE_ENABLE (1u << 11)
#define APIC_BASE_ADDRESS 0xffffffffff000ull

#define SPURIOUS_APIC_ENABLE (1u << 8)
#define LVT_MASKED (1u << 16)
#define LVT_NMI (4u << 8)
#define LVT_TSC_DEADLINE (2u << 17)
#define DIVIDE_BY_1 0xb

/* Interrupt command: SDM volume 3, 11.6.1. */
#define ICR_FIXED (0u << 8)
#define ICR_NMI (4u << 8)
#define ICR_INIT (5u << 8)
#define ICR_STARTUP (6u << 8)
#define ICR_PENDING (1u << 12)
#define ICR_ASSERT (1u << 14)
#define ICR_ALL_BUT_SELF (3u << 18)

static READ_MOSTLY bool x2apic;
static READ_MOSTLY volatile uint32_t *page; /* NULL in x2APIC mode */
static bool initialised;
static bool stopping;
static CORE_LOCAL bool enabled; /* before that, messages cannot be sent: their MSR would fault */
static CORE_LOCAL uint32_t timer_mode; /* LVT bits: one-shot or TSC deadline */

static uint32_t read_register(unsigned reg)
{
	return x2apic ? (uint32_t)read_msr(0x800 + reg / 16) : page[reg / 4];
}

static void write_register(unsigned reg, uint32_t value)
{
	if (x2apic)
		write_msr(0x800 + reg / 16, value);
	else
		page[reg / 4] = value;
}

uint32_t apic_id(void)
{
	/* Leaf 0xb has all 32 bits, leaf 1 the low 8: SDM volume 2, CPUID. The trampoline does the
	 * same to find its core. */
	if (cpuid(0, 0).eax >= 0xb) {
		struct cpuid leaf = cpuid(0xb, 0);

		if (leaf.ebx)
			return leaf.edx;
	}
	return cpuid(1, 0).ebx >> 24;
}

static void mask_8259(void)
{
	/* Both controllers moved away from the exceptions' vectors first: masked, they can still
	 * raise their spurious interrupt. 8259A data sheet, initialization command words. */
	static const struct {
		uint16_t port;
		uint8_t value;
	} writes[] = {
		{ 0x20, 0x11 }, { 0xa0, 0x11 }, { 0x21, VECTOR_8259 }, { 0xa1, VECTOR_8259 + 8 },
		{ 0x21, 0x04 }, { 0xa1, 0x02 }, { 0x21, 0x01 },	       { 0xa1, 0x01 },
		{ 0x21, 0xff }, { 0xa1, 0xff },
	};

	for (size_t i = 0; i < array_size(writes); i++)
		outb(writes[i].port, writes[i].value);
}

void apic_init(void)
{
	if (initialised)
		return;
	initialised = true;
	x2apic = cpu_features.x2apic;
	if (!x2apic) {
		page = kva_map_device(read_msr(MSR_APIC_BASE) & APIC_BASE_ADDRESS, PAGE_SIZE);
		if (!page)
			panic("the interrupt controller cannot be mapped: out of memory");
	}
	mask_8259();
	apic_init_core();
}

/* Pins that the firmware wired to the non-maskable interrupt; the others stay masked. */
static void init_local_pins(void)
{
	write_register(REG_LVT_LINT0, LVT_MASKED);
	write_register(REG_LVT_LINT1, LVT_MASKED);
	for (unsigned i = 0; i < acpi.nlocal_nmis; i++) {
		const struct acpi_local_nmi *nmi = &acpi.local_nmis[i];

		if (nmi->all || nmi->uid == cores[this_core].acpi_uid)
			write_register(nmi->pin ? REG_LVT_LINT1 : REG_LVT_LINT0, LVT_NMI);
	}
}

void apic_init_core(void)
{
	uint64_t base = read_msr(MSR_APIC_BASE) | APIC_BASE_ENABLE;
	unsigned last_lvt;

	write_msr(MSR_APIC_BASE, base);
	if (x2apic) /* from enabled only: SDM volume 3, figure 11-27 */
		write_msr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
	enabled = true;
	write_register(REG_SPURIOUS, SPURIOUS_APIC_ENABLE | VECTOR_SPURIOUS);
	write_register(REG_TASK_PRIORITY, 0);
	last_lvt = read_register(REG_VERSION) >> 16 & 0xff;
	if (last_lvt >= 4)
		write_register(REG_LVT_PERFORMANCE, LVT_MASKED);
	if (last_lvt >= 5)
		write_register(REG_LVT_THERMAL, LVT_MASKED);
	init_local_pins();
	/* The error register latches on a write: once to clear, once to see only what is new. */
	write_register(REG_ERROR_STATUS, 0);
	write_register(REG_LVT_ERROR, VECTOR_APIC_ERROR);
	write_register(REG_TIMER_DIVIDE, DIVIDE_BY_1);
	write_register(REG_LVT_TIMER, timer_mode | VECTOR_TIMER);
	apic_end_of_interrupt();
}

void apic_end_of_interrupt(void)
{
	write_register(REG_EOI, 0);
}

void apic_error_interrupt(void)
{
	static bool reported;
	uint32_t status;

	write_register(REG_ERROR_STATUS, 0);
	status = read_register(REG_ERROR_STATUS);
	if (!__atomic_exchange_n(&reported, true, __ATOMIC_RELAXED))
		kprintf("apic: core %u reports error 0x%x (reported once)\n", this_core, status);
}

/* ---- messages to other cores ---- */

static void send(uint32_t destination, uint32_t command)
{
	unsigned long saved;

	if (x2apic) {
		/* Not ordered after earlier stores by itself: SDM volume 3, 11.12.3. */
		__asm__ volatile("mfence; lfence" ::: "memory");
		write_msr(0x800 + REG_ICR_LOW / 16, (uint64_t)destination << 32 | command);
		return;
	}
	/* Two writes make one command: nothing on this core may come between. */
	saved = arch_irq_save();
	for (unsigned i = 0; i < 100000 && (read_register(REG_ICR_LOW) & ICR_PENDING); i++)
		arch_pause();
	write_register(REG_ICR_HIGH, destination << 24);
	write_register(REG_ICR_LOW, command);
	arch_irq_restore(saved);
}

void arch_send_ipi(core_id_t core)
{
	send(cores[core].apic_id, ICR_FIXED | ICR_ASSERT | VECTOR_IPI);
}

void arch_send_tlb_ipi(core_id_t core)
{
	send(cores[core].apic_id, ICR_FIXED | ICR_ASSERT | VECTOR_TLB);
}

void apic_send_init(uint32_t apic_id)
{
	send(apic_id, ICR_INIT | ICR_ASSERT);
}

void apic_send_startup(uint32_t apic_id, paddr_t page)
{
	send(apic_id, ICR_STARTUP | ICR_ASSERT | (uint32_t)(page >> PAGE_SHIFT));
}

void arch_stop_other_cores(void)
{
	/* The non-maskable interrupt also reaches a core that hangs with interrupts off. */
	__atomic_store_n(&stopping, true, __ATOMIC_SEQ_CST);
	if (enabled && ncores > 1)
		send(0, ICR_NMI | ICR_ASSERT | ICR_ALL_BUT_SELF);
}

void apic_nmi(void)
{
	if (!__atomic_load_n(&stopping, __ATOMIC_SEQ_CST))
		return;
	for (;;)
		__asm__ volatile("cli; hlt" ::: "memory");
}

/* ---- timer ---- */

void apic_timer_set(uint32_t count)
{
	write_register(REG_TIMER_INITIAL, count);
}

uint32_t apic_timer_count(void)
{
	return read_register(REG_TIMER_CURRENT);
}

void apic_timer_use_tsc_deadline(void)
{
	timer_mode = LVT_TSC_DEADLINE;
	write_register(REG_LVT_TIMER, timer_mode | VECTOR_TIMER);
	/* The mode must be set before the first deadline is written: SDM volume 3, 11.5.4.1. */
	__asm__ volatile("mfence" ::: "memory");
}
