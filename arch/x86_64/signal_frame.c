#include "arch/x86_64/signal_frame.h"

#include "arch/arch.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/registers.h"
#include "arch/x86_64/syscall_frame.h"
#include "arch/x86_64/trap.h"
#include "arch/x86_64/user_access.h"

#include <string.h>
#include <ucontext.h>

void trap_resume(const struct trap_frame *frame) __attribute__((noreturn)); /* trap.S */
void trap_leave(void *stack, void (*function)(void)) __attribute__((noreturn));

/* The kernel's structures, which are shorter than the C library's. */
struct kernel_ucontext {
	uint64_t flags, link;
	stack_t stack;
	uint64_t gregs[23];
	uint64_t fpstate;
	uint64_t reserved[8];
	uint64_t mask;
};

struct rt_sigframe {
	uint64_t return_address;
	struct kernel_ucontext context;
	siginfo_t info;
};

_Static_assert(sizeof(struct kernel_ucontext) == 304, "Linux's");
_Static_assert(sizeof(struct rt_sigframe) == 440, "Linux's");

/* Linux's arch/x86/include/uapi/asm/ucontext.h. */
#define UC_FP_XSTATE 1
#define UC_SIGCONTEXT_SS 2
#define UC_STRICT_RESTORE_SS 4

/* The selectors that a Linux process finds in cs and ss. */
#define LINUX_CS 0x33ull
#define LINUX_SS 0x2bull

/* Bits of rflags that a handler may change for the interrupted code (Linux's FIX_EFLAGS). */
#define RFLAGS_TF (1 << 8)
#define RFLAGS_RF (1 << 16)
#define RFLAGS_OF (1 << 11)
#define RFLAGS_ARITHMETIC 0xd5 /* CF PF AF ZF SF */
#define RFLAGS_CHANGEABLE                                                                          \
	(RFLAGS_ARITHMETIC | RFLAGS_OF | RFLAGS_DF | RFLAGS_TF | RFLAGS_RF | RFLAGS_AC)

#define RED_ZONE 128 /* System V ABI for AMD64, 3.2.2 */

/* ---- extended registers ---- */

/* An XSAVE area (SDM volume 1, 13.4): 512 bytes as FXSAVE has them, a header, components. */
#define LEGACY_SIZE 512
#define MXCSR_OFFSET 24
#define MXCSR_MASK_OFFSET 28
#define HEADER_SIZE 64
/* Linux's struct _fpx_sw_bytes, in 48 bytes that the processor leaves alone (figure 10-2). */
#define MARK_OFFSET 464
#define MARK1 0x46505853u
#define MARK2 0x46505845u /* behind the area */

struct mark {
	uint32_t mark1;
	uint32_t extended_size; /* with MARK2 */
	uint64_t components;
	uint32_t area_size;
	uint32_t padding[7];
};

#define COMPONENT_PKRU 9
#define COMPONENT_LEGACY 3ull /* x87, SSE */

#define MXCSR_INITIAL 0x1f80u
#define MXCSR_MASK_DEFAULT 0xffbfu /* where the processor tells none: SDM volume 1, 11.6.6 */
#define X87_CONTROL_INITIAL 0x37f

static size_t area_size(void)
{
	return cpu_features.xsave ? cpu_features.xsave_size : LEGACY_SIZE;
}

static size_t extended_size(void)
{
	return area_size() + (cpu_features.xsave ? sizeof(uint32_t) : 0);
}

/* Where the registers lie on their way. The running thread's save area is free. */
static uint8_t *scratch(void)
{
	return current_context()->extended;
}

static void store_extended(uint8_t *area)
{
	if (cpu_features.xsave) {
		memset(area + LEGACY_SIZE, 0, HEADER_SIZE);
		__asm__ volatile("xsave64 (%0)" ::"r"(area), "a"(~0u), "d"(~0u) : "memory");
	} else {
		__asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
	}
}

uint32_t signal_frame_mxcsr_mask(void)
{
	static uint32_t mask;

	if (!mask) {
		uint8_t area[LEGACY_SIZE] __attribute__((aligned(16)));
		uint32_t found;

		__asm__ volatile("fxsave64 %0" : "=m"(area));
		memcpy(&found, area + MXCSR_MASK_OFFSET, sizeof(found));
		mask = found ? found : MXCSR_MASK_DEFAULT;
	}
	return mask;
}

static bool has_rights(void)
{
	return cpu_features.protection_keys && cpu_features.xcr0 >> COMPONENT_PKRU & 1;
}

static uint8_t *rights_in(uint8_t *area)
{
	return area + cpuid(0xd, COMPONENT_PKRU).ebx;
}

/* The processor stored those that are lent meanwhile. */
static void store_rights(uint8_t *area, uint32_t rights)
{
	uint64_t present;

	if (!has_rights())
		return;
	memcpy(&present, area + LEGACY_SIZE, sizeof(present));
	present |= 1ull << COMPONENT_PKRU;
	memcpy(area + LEGACY_SIZE, &present, sizeof(present));
	memcpy(rights_in(area), &rights, sizeof(rights));
}

/* What a program has set for its return becomes its rights; the system's are no part of it. */
static void load_rights(uint8_t *area, uint64_t present, uint32_t *rights)
{
	uint32_t stored = 0;

	if (!has_rights())
		return;
	if (present >> COMPONENT_PKRU & 1)
		memcpy(&stored, rights_in(area), sizeof(stored));
	*rights = isolation_on ? rights_of_application(stored) : stored;
}

/* The area came from the application: make it one that XRSTOR does not refuse (SDM volume 1, 13.8). */
static void load_extended(uint8_t *area, bool only_legacy, uint32_t *rights)
{
	uint32_t mxcsr;
	uint64_t present = COMPONENT_LEGACY;

	memcpy(&mxcsr, area + MXCSR_OFFSET, sizeof(mxcsr));
	mxcsr &= signal_frame_mxcsr_mask();
	memcpy(area + MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
	if (!cpu_features.xsave) {
		__asm__ volatile("fxrstor64 (%0)" ::"r"(area) : "memory");
		return;
	}
	if (!only_legacy) {
		memcpy(&present, area + LEGACY_SIZE, sizeof(present));
		present &= cpu_features.xcr0;
	}
	memset(area + LEGACY_SIZE, 0, HEADER_SIZE);
	memcpy(area + LEGACY_SIZE, &present, sizeof(present));
	rights_keep_and_xrstor(area, ~0ul);
	if (!only_legacy)
		load_rights(area, present, rights);
}

/* As a program finds them when it starts. */
static void reset_extended(void)
{
	uint32_t mxcsr = MXCSR_INITIAL;

	__asm__ volatile("fninit; ldmxcsr %0" ::"m"(mxcsr));
}

static void load_initial(void)
{
	uint8_t *area = scratch();
	uint32_t mxcsr = MXCSR_INITIAL;
	uint16_t control = X87_CONTROL_INITIAL;

	memset(area, 0, area_size());
	memcpy(area, &control, sizeof(control));
	memcpy(area + MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
	load_extended(area, true, NULL);
}

static bool push_extended(vaddr_t to, uint32_t rights)
{
	struct mark mark = { .mark1 = MARK1,
			     .extended_size = (uint32_t)extended_size(),
			     .components = cpu_features.xcr0,
			     .area_size = (uint32_t)area_size() };
	uint32_t mark2 = MARK2;
	uint8_t *area = scratch();

	store_extended(area);
	store_rights(area, rights);
	if (!cpu_features.xsave)
		memset(&mark, 0, sizeof(mark));
	memcpy(area + MARK_OFFSET, &mark, sizeof(mark));
	return user_copy((void *)to, area, area_size()) &&
	       (!cpu_features.xsave ||
		user_copy((void *)(to + area_size()), &mark2, sizeof(mark2)));
}

/* Is the area one that push_extended() made? Else it has the legacy part alone, as Linux takes it. */
static bool is_whole(const uint8_t *area, vaddr_t from)
{
	struct mark mark;
	uint32_t mark2;

	memcpy(&mark, area + MARK_OFFSET, sizeof(mark));
	return cpu_features.xsave && mark.mark1 == MARK1 && mark.area_size == area_size() &&
	       mark.extended_size == extended_size() &&
	       user_copy(&mark2, (void *)(from + area_size()), sizeof(mark2)) && mark2 == MARK2;
}

static bool pop_extended(vaddr_t from, uint32_t *rights)
{
	uint8_t *area = scratch();
	bool whole;

	if (!from) {
		load_initial();
		return true;
	}
	if (!user_copy(area, (void *)from, LEGACY_SIZE))
		return false;
	whole = is_whole(area, from);
	if (whole && !user_copy(area, (void *)from, area_size()))
		return false;
	load_extended(area, !whole, rights);
	return true;
}

/* ---- the frame ---- */

size_t signal_frame_bytes(void)
{
	return RED_ZONE + sizeof(struct rt_sigframe) + extended_size() + 64 + 16;
}

static void put_registers(uint64_t *gregs, const struct trap_frame *frame)
{
	gregs[REG_R8] = frame->r8;
	gregs[REG_R9] = frame->r9;
	gregs[REG_R10] = frame->r10;
	gregs[REG_R11] = frame->r11;
	gregs[REG_R12] = frame->r12;
	gregs[REG_R13] = frame->r13;
	gregs[REG_R14] = frame->r14;
	gregs[REG_R15] = frame->r15;
	gregs[REG_RDI] = frame->rdi;
	gregs[REG_RSI] = frame->rsi;
	gregs[REG_RBP] = frame->rbp;
	gregs[REG_RBX] = frame->rbx;
	gregs[REG_RDX] = frame->rdx;
	gregs[REG_RAX] = frame->rax;
	gregs[REG_RCX] = frame->rcx;
	gregs[REG_RSP] = frame->rsp;
	gregs[REG_RIP] = frame->rip;
	gregs[REG_EFL] = frame->rflags;
	gregs[REG_CSGSFS] = LINUX_CS | LINUX_SS << 48;
}

static void take_registers(struct trap_frame *frame, const uint64_t *gregs)
{
	*frame = (struct trap_frame){
		.r8 = gregs[REG_R8],
		.r9 = gregs[REG_R9],
		.r10 = gregs[REG_R10],
		.r11 = gregs[REG_R11],
		.r12 = gregs[REG_R12],
		.r13 = gregs[REG_R13],
		.r14 = gregs[REG_R14],
		.r15 = gregs[REG_R15],
		.rdi = gregs[REG_RDI],
		.rsi = gregs[REG_RSI],
		.rbp = gregs[REG_RBP],
		.rbx = gregs[REG_RBX],
		.rdx = gregs[REG_RDX],
		.rax = gregs[REG_RAX],
		.rcx = gregs[REG_RCX],
		.rsp = gregs[REG_RSP],
		.rip = gregs[REG_RIP],
		.cs = SELECTOR_CODE,
		.ss = SELECTOR_DATA,
		.rflags = (gregs[REG_EFL] & RFLAGS_CHANGEABLE) | RFLAGS_IF | RFLAGS_FIXED,
	};
}

/* A thread's rights, whatever it runs at the moment. They are in its frame or in the processor. */
static uint32_t rights_of(const struct trap_frame *frame)
{
	return isolation_on ? frame->rights : rights_read();
}

static void set_rights(struct trap_frame *frame, uint32_t rights)
{
	frame->rights = rights;
	if (!isolation_on && cpu_features.protection_keys && rights_read() != rights)
		rights_write(rights);
}

bool signal_frame_push(struct trap_frame *frame, const struct signal_call *call)
{
	vaddr_t extended = align_down(call->stack_top - extended_size(), 64ul);
	/* As at the entry of a function: 8 bytes beneath a multiple of 16. */
	vaddr_t top = align_down(extended - sizeof(struct rt_sigframe), 16ul) - 8;
	uint32_t rights = rights_of(frame), lent;
	struct rt_sigframe new;
	bool pushed;

	memset(&new, 0, sizeof(new));
	new.return_address = (uint64_t)call->restorer;
	new.context.flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	if (cpu_features.xsave)
		new.context.flags |= UC_FP_XSTATE;
	new.context.stack = call->stack;
	put_registers(new.context.gregs, frame);
	if (frame->vector < 32) { /* an exception */
		new.context.gregs[REG_TRAPNO] = frame->vector;
		new.context.gregs[REG_ERR] = frame->error;
		if (frame->vector == 14)
			new.context.gregs[REG_CR2] = (uint64_t)call->info->si_addr;
	}
	new.context.gregs[REG_OLDMASK] = call->mask;
	new.context.fpstate = extended;
	new.context.mask = call->mask;
	new.info = *call->info;
	/* As Linux does it from 6.12 on: the stack for signals may have a key that the thread has closed. */
	lent = arch_lend_rights(RIGHTS_LENT_ALL);
	pushed = push_extended(extended, rights) && user_copy((void *)top, &new, sizeof(new));
	arch_lend_rights(lent);
	if (!pushed)
		return false;
	reset_extended();
	frame->rsp = top;
	frame->rip = (uint64_t)call->handler;
	frame->rdi = (uint64_t)call->number;
	frame->rsi = top + offsetof(struct rt_sigframe, info);
	frame->rdx = top + offsetof(struct rt_sigframe, context);
	frame->rax = 0; /* no vector registers for a variadic function */
	frame->rflags &= ~(uint64_t)(RFLAGS_DF | RFLAGS_RF | RFLAGS_TF);
	frame->vector = TRAP_RETURNED;
	frame->error = 0;
	set_rights(frame, RIGHTS_INITIAL); /* as Linux has it */
	return true;
}

bool signal_frame_pop(struct trap_frame *frame, vaddr_t stack_pointer,
		      bool (*is_bad)(const void *address, size_t length), uint64_t *mask,
		      stack_t *stack)
{
	/* The handler's return took the first word. */
	const void *from = (void *)(stack_pointer - sizeof(uint64_t));
	struct rt_sigframe old;
	uint32_t rights = rights_of(frame), lent;
	bool popped;

	if (is_bad(from, sizeof(old)))
		return false;
	lent = arch_lend_rights(RIGHTS_LENT_ALL);
	popped = user_copy(&old, from, sizeof(old)) &&
		 (!old.context.fpstate || !is_bad((void *)old.context.fpstate, extended_size())) &&
		 pop_extended(old.context.fpstate, &rights);
	arch_lend_rights(lent);
	if (!popped)
		return false;
	take_registers(frame, old.context.gregs);
	set_rights(frame, rights | RIGHTS_SYSTEM);
	frame->vector = TRAP_RETURNED;
	*mask = old.context.mask;
	*stack = old.context.stack;
	return true;
}

/* ---- handlers that are called as functions ---- */

struct call_link {
	const struct call_link *caller;
	uint64_t return_address;
};

void signal_context_of_call(ucontext_t *context, const struct syscall_frame *frame)
{
	greg_t *gregs = context->uc_mcontext.gregs;
	const struct call_link *link = __builtin_frame_address(0);

	gregs[REG_CSGSFS] = (greg_t)(LINUX_CS | LINUX_SS << 48);
	gregs[REG_EFL] = RFLAGS_IF | RFLAGS_FIXED;
	if (frame) {
		gregs[REG_RBX] = (greg_t)frame->rbx;
		gregs[REG_RBP] = (greg_t)frame->rbp;
		gregs[REG_R12] = (greg_t)frame->r12;
		gregs[REG_R13] = (greg_t)frame->r13;
		gregs[REG_R14] = (greg_t)frame->r14;
		gregs[REG_R15] = (greg_t)frame->r15;
		gregs[REG_RSP] = (greg_t)frame->stack_pointer;
		gregs[REG_RIP] = (greg_t)frame->return_address;
		return;
	}
	/* The application called the first of the kernel's functions; all of them link their frames. */
	while (is_kernel_text(link->return_address))
		link = link->caller;
	gregs[REG_RIP] = (greg_t)link->return_address;
	gregs[REG_RBP] = (greg_t)link->caller;
	gregs[REG_RSP] = (greg_t)(link + 1);
}

/* ---- leaving a system call for good ---- */

static CORE_LOCAL void (*change_frame)(struct trap_frame *frame);

static void resume_changed(void)
{
	struct trap_frame frame;

	memset(&frame, 0, sizeof(frame));
	change_frame(&frame);
	trap_resume(&frame);
}

void signal_leave_to(void (*change)(struct trap_frame *frame))
{
	arch_irq_disable();
	change_frame = change;
	/* The interrupts' stack is free while they are off. */
	trap_leave(trap_interrupt_stack(), resume_changed);
}
