#include "arch/x86_64/context.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/registers.h"
#include "arch/x86_64/syscall_frame.h"
#include "arch/x86_64/syscall_instruction.h"
#include "lavra/console.h"

#include <string.h>

void context_swap(struct context *from, struct context *to); /* context.S */
void context_start(void);
void context_resume_preempted(struct context *context) __attribute__((noreturn));
void trap_resume(const struct trap_frame *frame) __attribute__((noreturn)); /* trap.S */

_Static_assert(offsetof(struct context, stack_pointer) == 0, "context.S");
_Static_assert(offsetof(struct context, preempted) == 20, "context.S");

/* What context_swap() leaves on a stack. */
struct switched_registers {
	uint32_t mxcsr;
	uint16_t x87_control, unused;
	uint64_t r15, r14, r13, r12, rbx, rbp;
	uint64_t rip;
};

/* As after a processor's initialisation: all floating-point exceptions masked. */
#define MXCSR_INITIAL 0x1f80
#define X87_CONTROL_INITIAL 0x037f

/* Every component but the keys' (bit 9), which context switches handle apart. */
#define XSAVE_COMPONENTS_LOW (~(1u << 9))

static uint64_t read_fs_base(const struct context *context)
{
	uint64_t base;

	/* Without the instruction the application cannot have changed it behind our back. */
	if (!cpu_features.fsgsbase)
		return context->thread_pointer;
	__asm__ volatile("rdfsbase %0" : "=r"(base));
	return base;
}

static void write_fs_base(uint64_t base)
{
	if (cpu_features.fsgsbase)
		__asm__ volatile("wrfsbase %0" ::"r"(base) : "memory");
	else
		write_msr(MSR_FS_BASE, base);
}

/* XSAVE, not XSAVEOPT: that one may skip what it believes the area still holds from the last
 * XRSTOR, and areas are freed and used again. */
static void save_extended(void *area)
{
	if (cpu_features.xsave)
		__asm__ volatile("xsave64 (%0)" ::"r"(area), "a"(XSAVE_COMPONENTS_LOW), "d"(~0u)
				 : "memory");
	else
		__asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
}

static void restore_extended(const void *area)
{
	if (cpu_features.xsave)
		rights_keep_and_xrstor(area, ~0ul);
	else
		__asm__ volatile("fxrstor64 (%0)" ::"r"(area) : "memory");
}

static void save_apart(struct context *context)
{
	context->thread_pointer = read_fs_base(context);
	/* With isolation they lie in the frame of the call or the trap, and the kernel has all. */
	if (cpu_features.protection_keys && !isolation_on)
		context->protection_key_rights = rights_read();
}

static void restore_apart(const struct context *from, const struct context *to)
{
	if (to->thread_pointer != from->thread_pointer)
		write_fs_base(to->thread_pointer);
	/* Writing the rights costs far more than comparing them. */
	if (cpu_features.protection_keys && !isolation_on &&
	    to->protection_key_rights != from->protection_key_rights)
		rights_write(to->protection_key_rights);
}

void arch_context_switch(struct context *from, struct context *to)
{
	save_apart(from);
	restore_apart(from, to);
	syscall_stack = to->syscall_stack;
	if (!from->syscall_stack) {
		context_swap(from, to);
		return;
	}
	save_extended(from->extended);
	/* As in context_save_preempted(). */
	__asm__ volatile("fninit");
	context_swap(from, to);
	restore_extended(from->extended);
}

void context_save_preempted(struct context *context, const struct trap_frame *frame)
{
	assert(context->frame != NULL);
	*(struct trap_frame *)context->frame = *frame;
	save_extended(context->extended);
	/* A thread that continues from a system call expects an empty x87 stack (ABI, 3.2.3), and
	 * gets only its control word back. */
	__asm__ volatile("fninit");
	save_apart(context);
	context->preempted = 1;
}

/* context_swap() comes here. */
void context_resume_preempted(struct context *context)
{
	restore_extended(context->extended);
	signal_interrupted(context->frame);
	trap_resume(context->frame);
}

static size_t extended_size(void)
{
	return align_up((size_t)cpu_features.xsave_size, 64ul);
}

size_t arch_save_area_size(void)
{
	return extended_size() + align_up(sizeof(struct trap_frame), 64ul);
}

static void init_common(struct context *context, void *save_area)
{
	*context = (struct context){ 0 };
	if (save_area != NULL) {
		/* XRSTOR refuses an area whose header (SDM volume 1, 13.4.2) has stray bits. */
		memset(save_area, 0, arch_save_area_size());
		context->extended = save_area;
		context->frame = (char *)save_area + extended_size();
	}
	/* A thread starts with the rights of the one that makes it. */
	if (cpu_features.protection_keys && !isolation_on)
		context->protection_key_rights = rights_read();
}

/* Those of the thread that makes it. */
static uint32_t caller_rights(void)
{
	return isolation_on ? arch_call_frame(current_context()->syscall_stack)->rights : 0;
}

void arch_context_init(struct context *context, void *stack_top, void (*entry)(void *),
		       void *argument, void *save_area)
{
	struct switched_registers *registers = (struct switched_registers *)stack_top - 1;

	assert(is_aligned(stack_top, 16));
	init_common(context, save_area);
	*registers = (struct switched_registers){
		.mxcsr = MXCSR_INITIAL,
		.x87_control = X87_CONTROL_INITIAL,
		.r12 = (uint64_t)argument,
		.rbx = (uint64_t)entry,
		.rip = (uint64_t)context_start,
	};
	context->stack_pointer = registers;
}

void arch_context_init_clone(struct context *context, const struct syscall_frame *entry_frame,
			     uint64_t stack_pointer, uint64_t thread_pointer, void *save_area)
{
	init_common(context, save_area);
	*(struct trap_frame *)context->frame = (struct trap_frame){
		.r15 = entry_frame->r15,
		.r14 = entry_frame->r14,
		.r13 = entry_frame->r13,
		.r12 = entry_frame->r12,
		.r11 = RFLAGS_IF | RFLAGS_FIXED, /* as the instruction leaves them */
		.r10 = entry_frame->arguments[3],
		.r9 = entry_frame->arguments[5],
		.r8 = entry_frame->arguments[4],
		.rbp = entry_frame->rbp,
		.rdi = entry_frame->arguments[0],
		.rsi = entry_frame->arguments[1],
		.rdx = entry_frame->arguments[2],
		.rcx = entry_frame->return_address,
		.rbx = entry_frame->rbx,
		.rax = 0,
		.rip = entry_frame->return_address,
		.cs = SELECTOR_CODE,
		.rflags = RFLAGS_IF | RFLAGS_FIXED,
		.rsp = stack_pointer,
		.ss = SELECTOR_DATA,
		.domain = DOMAIN_APPLICATION,
		.rights = caller_rights(),
	};
	/* Rounding modes and the like are inherited. */
	save_extended(context->extended);
	context->thread_pointer = thread_pointer != 0 ? thread_pointer
						      : read_fs_base(current_context());
	context->preempted = 1;
}

void arch_set_thread_pointer(struct context *current, uint64_t thread_pointer)
{
	current->thread_pointer = thread_pointer;
	write_fs_base(thread_pointer);
}
