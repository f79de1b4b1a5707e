#include "arch/x86_64/trap.h"

#include "arch/arch.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/context.h"
#include "arch/x86_64/descriptors.h"
#include "arch/x86_64/fault.h"
#include "arch/x86_64/irq.h"
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/panic.h"
#include "arch/x86_64/registers.h"
#include "arch/x86_64/static_branch.h"
#include "lavra/console.h"
#include "lavra/trace.h"
#include "mm/kva.h"
#include "smp/core.h"

#include <errno.h>
#include <stddef.h>

#define CHECK_PLACE(field, place)                                                                  \
	_Static_assert(offsetof(struct trap_frame, field) == (place), #field)
CHECK_PLACE(r15, FRAME_R15);
CHECK_PLACE(r14, FRAME_R14);
CHECK_PLACE(r13, FRAME_R13);
CHECK_PLACE(r12, FRAME_R12);
CHECK_PLACE(r11, FRAME_R11);
CHECK_PLACE(r10, FRAME_R10);
CHECK_PLACE(r9, FRAME_R9);
CHECK_PLACE(r8, FRAME_R8);
CHECK_PLACE(rbp, FRAME_RBP);
CHECK_PLACE(rdi, FRAME_RDI);
CHECK_PLACE(rsi, FRAME_RSI);
CHECK_PLACE(rdx, FRAME_RDX);
CHECK_PLACE(rcx, FRAME_RCX);
CHECK_PLACE(rbx, FRAME_RBX);
CHECK_PLACE(rax, FRAME_RAX);
CHECK_PLACE(vector, FRAME_VECTOR);
CHECK_PLACE(error, FRAME_ERROR);
CHECK_PLACE(rip, FRAME_RIP);
CHECK_PLACE(cs, FRAME_CS);
CHECK_PLACE(domain, FRAME_DOMAIN);
CHECK_PLACE(rflags, FRAME_RFLAGS);
CHECK_PLACE(rsp, FRAME_RSP);
CHECK_PLACE(ss, FRAME_SS);
CHECK_PLACE(rights, FRAME_RIGHTS);
_Static_assert(sizeof(struct trap_frame) == FRAME_SIZE, "trap.h");

extern char kernel_text_start[], kernel_text_end[]; /* image.ld */

void trap_leave(void *stack, void (*function)(void)) __attribute__((noreturn)); /* trap.S */

/* The boot core needs its stacks before there is any other memory. Each has a guard page beneath,
 * which trap_guard_stacks() unmaps. */
static struct {
	char guard[PAGE_SIZE];
	char stack[FAULT_STACK_PAGES * PAGE_SIZE];
} boot_stacks[NTRAP_STACKS] __attribute__((aligned(PAGE_SIZE), section(".bss.page_aligned")));

/* The other cores': set by the boot core, read by the owner. */
static vaddr_t stacks[MAX_CORES][NTRAP_STACKS];

static unsigned stack_pages(unsigned index)
{
	return index + 1 == IST_FAULT ? FAULT_STACK_PAGES : TRAP_STACK_PAGES;
}

void trap_init(void)
{
	for (unsigned i = 0; i < NTRAP_STACKS; i++)
		stacks[0][i] = (vaddr_t)boot_stacks[i].stack + sizeof(boot_stacks[i].stack);
	descriptors_fill();
	descriptors_load(stacks[0]);
}

void trap_guard_stacks(void)
{
	for (unsigned i = 0; i < NTRAP_STACKS; i++)
		paging_make_guard(boot_stacks[i].guard);
}

int trap_create_core(core_id_t core)
{
	for (unsigned i = 0; i < NTRAP_STACKS; i++) {
		stacks[core][i] = (vaddr_t)kva_stack_alloc(stack_pages(i));
		if (stacks[core][i] != 0)
			continue;
		while (i-- > 0)
			kva_stack_free((void *)stacks[core][i], stack_pages(i));
		return -ENOMEM;
	}
	return 0;
}

void trap_init_core(void)
{
	descriptors_load(stacks[this_core]);
}

void *trap_interrupt_stack(void)
{
	return (void *)stacks[this_core][IST_INTERRUPT - 1];
}

bool is_kernel_text(uint64_t rip)
{
	return rip - (uint64_t)kernel_text_start < (uint64_t)(kernel_text_end - kernel_text_start);
}

bool trap_is_application(const struct trap_frame *frame)
{
	/* With isolation the application may well jump to the kernel's text; it is not the kernel. */
	return isolation_on ? frame->domain == DOMAIN_APPLICATION : !is_kernel_text(frame->rip);
}

/* Stop the current thread where the interrupt hit it: its registers go into its context. */
static void preempt(const struct trap_frame *frame)
{
	context_save_preempted(current_context(), frame);
	trap_leave(sched_core_stack(), sched_preempted);
}

void trap_interrupt(struct trap_frame *frame)
{
	TRACE(TRACE_INTERRUPT, frame->vector, 0);
	irq_dispatch((unsigned)frame->vector);
	TRACE(TRACE_INTERRUPT_END, 0, 0);
	if (!trap_is_application(frame)) {
		fault_network_lasts(frame);
		return;
	}
	if (sched_should_preempt())
		preempt(frame);
	signal_interrupted(frame);
}

void trap_exception(struct trap_frame *frame)
{
	/* An application that has turned interrupts off, or jumped to where they are, has them again: its
	 * page may come from another core, and its handler may take its time. */
	if (trap_is_application(frame))
		frame->rflags |= RFLAGS_IF;
	switch (frame->vector) {
	case VECTOR_BREAKPOINT:
		if (trap_is_application(frame) || !static_branch_hit(frame))
			fault_other(frame);
		return;
	case 2:
		apic_nmi(); /* does not return if another core panicked */
		panic_at(frame, "non-maskable interrupt");
	case 8:
		panic_at(frame, "double fault (stack overflow, or a fault in a fault handler)");
	case 14:
		fault_page(frame);
		return;
	case 18:
		panic_at(frame, "machine check");
	default:
		fault_other(frame);
	}
}
