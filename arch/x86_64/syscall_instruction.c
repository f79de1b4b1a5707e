#include "arch/x86_64/syscall_instruction.h"

#include "arch/arch.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/registers.h"
#include "arch/x86_64/trap.h"

CORE_LOCAL void *syscall_stack;
/* The entry puts the caller's stack pointer here until it has a stack to push it on. */
CORE_LOCAL void *syscall_caller_stack;

void syscall_instruction_entry(
    void); /* The instruction's stack segment is the one after its code segment (SDM volume 2, SYSCALL). */
_Static_assert(SELECTOR_DATA == SELECTOR_CODE + 8, "descriptors.c");

/*
 * The instruction works at any privilege level: it does not look at the current one, loads CS and
 * SS from STAR bits 47:32 with fixed flat descriptors of level 0 (which those in our table must
 * match: descriptors.c), and raises #UD only if EFER.SCE is clear (SDM volume 2, SYSCALL; APM
 * volume 3, SYSCALL). SYSRET is never used: it would return to level 3. Its half of STAR stays 0.
 *
 * Of the caller's flags those are cleared that would change how the kernel runs: TF (a trap after
 * each instruction), DF (the ABI wants it clear), NT (IRET refuses it in 64-bit mode) and AC. IF
 * stays: the kernel runs with interrupts on, and they have stacks of their own. With isolation it is
 * cleared until the rights and the stack are the kernel's.
 */
void arch_enable_syscall_instruction(void)
{
	write_msr(MSR_STAR, (uint64_t)SELECTOR_CODE << 32);
	write_msr(MSR_LSTAR, (uint64_t)syscall_instruction_entry);
	write_msr(MSR_SFMASK,
		  RFLAGS_TF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | (isolation_on ? RFLAGS_IF : 0));
	write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_SCE);
}

struct trap_frame *arch_call_frame(void *stack_top)
{
	return isolation_on ? (struct trap_frame *)stack_top - 1 : NULL;
}

void trap_resume(const struct trap_frame *frame) __attribute__((noreturn)); /* trap.S */

void arch_enter_application(uint64_t entry, uint64_t argument, void *stack_pointer)
{
	/* rdx = 0 says that there is nothing to call at exit (System V ABI for AMD64, 3.4.1). */
	const struct trap_frame frame = {
		.rdi = argument,
		.rip = entry,
		.cs = SELECTOR_CODE,
		.domain = DOMAIN_APPLICATION,
		.rflags = RFLAGS_IF | RFLAGS_FIXED,
		.rsp = (uint64_t)stack_pointer,
		.ss = SELECTOR_DATA,
		.rights = RIGHTS_INITIAL,
	};

	arch_irq_disable();
	if (!isolation_on && cpu_features.protection_keys)
		rights_write(RIGHTS_INITIAL);
	trap_resume(&frame);
}

uint64_t arch_hardware_capabilities(void)
{
	return cpuid(1, 0).edx; /* as Linux */
}
