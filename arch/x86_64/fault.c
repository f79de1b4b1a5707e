#include "arch/x86_64/fault.h"

#include "arch/arch.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/image.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/panic.h"
#include "arch/x86_64/registers.h"
#include "arch/x86_64/rights_emulate.h"
#include "arch/x86_64/symbols.h"
#include "arch/x86_64/user_access.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "lavra/trace.h"
#include "mm/kva.h"
#include "mm/mm.h"
#include "sched/thread.h"
#include "smp/window.h"

#include <signal.h>

/* Error code of a page fault: SDM volume 3, figure 4-12. */
#define ERROR_PRESENT (1 << 0)
#define ERROR_WRITE (1 << 1)
#define ERROR_RESERVED_BIT (1 << 3)
#define ERROR_EXECUTE (1 << 4)
#define ERROR_PROTECTION_KEY (1 << 5)

static const char *access_name(const struct page_fault *fault)
{
	return fault->execute ? "executing" : fault->write ? "writing" : "reading";
}

static bool lies_in(vaddr_t address, const char *start, const char *end)
{
	return address >= (vaddr_t)start && address < (vaddr_t)end;
}

/* What is at an address that the application may not touch. */
static void describe_place(vaddr_t address, unsigned protection, char *text, size_t size)
{
	const char *name;
	int tid;

	if (address < USER_END || lies_in(address, application_data_start, application_data_end))
		ksnprintf(text, size, "its memory");
	else if (lies_in(address, core_window_start, core_window_end))
		ksnprintf(text, size, "core window + 0x%lx", address - (vaddr_t)core_window_start);
	else if (lies_in(address, data_start, data_end))
		ksnprintf(text, size, "static data, image + 0x%lx", address - (vaddr_t)image_start);
	else if (address >= DIRECT_MAP && address < KVA_START)
		ksnprintf(text, size, "direct map of 0x%lx", address - DIRECT_MAP);
	else if (panic_name_stack(address, &tid, &name))
		ksnprintf(text, size, "kernel stack of thread %d \"%s\"", tid, name);
	else
		ksnprintf(text, size, "%s",
			  protection & PAGE_UNCACHED ? "device registers" : "a kernel stack");
}

static const char *key_reason(vaddr_t address, char *text, size_t size)
{
	unsigned protection = 0, key;
	char place[80];
	size_t page_size;
	paddr_t physical;

	arch_lookup(address, &physical, &protection, &page_size);
	key = (protection & PAGE_KEY_MASK) >> PAGE_KEY_SHIFT;
	describe_place(address, protection, place, sizeof(place));
	ksnprintf(text, size, "its protection key forbids it: key %u, page of %s (%s)", key,
		  isolation_key_owner(key), place);
	return text;
}

/* Why the processor refused, in words; `text` is for those that are not constant. */
static const char *reason(const struct page_fault *fault, char *text, size_t size)
{
	unsigned protection;
	size_t page_size;
	paddr_t physical;

	if (fault->address < PAGE_SIZE)
		return "a null pointer";
	if (kva_is_guard(fault->address) || paging_is_image_guard(fault->address))
		return "the guard page of a kernel stack: it overflowed";
	if (fault->protection_key)
		return key_reason(fault->address, text, size);
	if (fault->present && fault->execute)
		return "the page is not executable";
	if (fault->present && fault->write)
		return "the page is read-only";
	if (arch_lookup(fault->address, &physical, &protection, &page_size) &&
	    !(protection & PAGE_ACCESS))
		return "the page may not be accessed";
	if (fault->address >= USER_START && fault->address < USER_END)
		return mm_fault_reason();
	return "nothing is mapped there";
}

/* What Linux says of it. */
static int signal_of(const struct page_fault *fault, int *code)
{
	if (fault->protection_key) {
		*code = SEGV_PKUERR;
		return SIGSEGV;
	}
	if (fault->address >= USER_START && fault->address < USER_END)
		return mm_fault_signal(code);
	*code = fault->present ? SEGV_ACCERR : SEGV_MAPERR;
	return SIGSEGV;
}

void trap_end_application(const struct trap_frame *frame, int signal, const char *what)
{
	panic_report(frame, "application: %s", what);
	machine_exit(128 + signal);
}

void network_was_entered_twice(void)
{
	panic("the network is entered while it runs");
}

/* Was it the network, which has a domain of its own? Never without isolation, and the compiler is to see that:
 * then there is no network_give_up(). */
static bool is_network(const struct trap_frame *frame)
{
	return isolation_on && frame->domain == DOMAIN_NETWORK;
}

/* Whatever its code cannot do. The call is over, and the network of this core is to begin anew. */
static void network_fails(struct trap_frame *frame, const char *what)
{
	panic_describe(frame, "network: %s", what);
	poll_wanted = true;
	frame->rip = (uint64_t)network_give_up;
	frame->rflags = RFLAGS_FIXED;
	frame->domain = DOMAIN_KERNEL;
	frame->rights = RIGHTS_ALL;
}

#define NETWORK_TICKS_MAX (NS_PER_S / TICK_NS)

void fault_network_lasts(struct trap_frame *frame)
{
	static CORE_LOCAL uint64_t expected;
	static CORE_LOCAL unsigned ticks;

	if (!is_network(frame))
		return;
	/* Nothing has changed rights since the last time but the return from there, and this entry. */
	if (counters.pkru_switches != expected)
		ticks = 0;
	expected = counters.pkru_switches + 2;
	/* Ticks, not time: a host that stopped this machine for a while made one of them. */
	if (frame->vector == VECTOR_TIMER && ++ticks > NETWORK_TICKS_MAX)
		network_fails(frame, "a call has lasted for a second");
}

static void describe(const struct page_fault *fault, char *text, size_t size)
{
	char why[176];

	ksnprintf(text, size, "page fault %s 0x%lx: %s", access_name(fault), fault->address,
		  reason(fault, why, sizeof(why)));
}

void fault_page(struct trap_frame *frame)
{
	struct page_fault fault = {
		.address = read_cr2(),
		.write = frame->error & ERROR_WRITE,
		.execute = frame->error & ERROR_EXECUTE,
		.present = frame->error & ERROR_PRESENT,
		.protection_key = frame->error & ERROR_PROTECTION_KEY,
	};
	char what[256];
	int signal, code;

	/* An application that makes up a trap may say so, too. */
	if (frame->error & ERROR_RESERVED_BIT && !trap_is_application(frame))
		panic_at(frame, "page table of 0x%lx is corrupt", fault.address);
	if (is_network(frame)) {
		if (fault.protection_key && paging_refresh_network(fault.address))
			return;
		describe(&fault, what, sizeof(what));
		network_fails(frame, what);
		return;
	}
	if (fault.address >= USER_START && fault.address < USER_END && !panic_in_progress()) {
		bool mended;

		if (frame->rflags & RFLAGS_IF)
			arch_irq_enable();
		mended = mm_handle_fault(&fault);
		arch_irq_disable();
		if (mended) {
			TRACE(TRACE_FAULT, fault.address, frame->rip);
			return;
		}
	}
	signal = signal_of(&fault, &code);
	if (trap_is_application(frame)) {
		if (signal_fault(frame, signal, code, fault.address))
			return;
	} else if (user_access_failed(frame)) {
		return;
	}
	describe(&fault, what, sizeof(what));
	/* A bad pointer that the application passed to a system call is its mistake, too. */
	if (trap_is_application(frame) || fault.address < USER_END)
		trap_end_application(frame, signal, what);
	panic_at(frame, "%s", what);
}

/* The exception that x87 or SSE flags and does not mask: SDM volume 1, 8.1.3.3 and 10.2.3. Linux's
 * fpu__exception_code() looks in this order. */
static int floating_point_code(unsigned raised)
{
	if (raised & 0x01)
		return FPE_FLTINV;
	if (raised & 0x04)
		return FPE_FLTDIV;
	if (raised & 0x08)
		return FPE_FLTOVF;
	if (raised & 0x12)
		return FPE_FLTUND;
	return raised & 0x20 ? FPE_FLTRES : SI_KERNEL;
}

static int x87_code(void)
{
	uint16_t control, status;

	__asm__ volatile("fnstcw %0" : "=m"(control));
	__asm__ volatile("fnstsw %0" : "=m"(status));
	return floating_point_code(status & ~control);
}

static int simd_code(void)
{
	uint32_t mxcsr;

	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	return floating_point_code(mxcsr & ~(mxcsr >> 7));
}

/* SDM volume 3, table 6-1; the signals and codes are those that Linux sends. */
static const struct {
	const char *name;
	int signal, code;
	bool has_address; /* that of the instruction */
} exceptions[] = {
	[0] = { "divide error", SIGFPE, FPE_INTDIV, true },
	[1] = { "debug exception", SIGTRAP, TRAP_TRACE, true },
	[3] = { "breakpoint", SIGTRAP, SI_KERNEL, false },
	[4] = { "overflow", SIGSEGV, SI_KERNEL, false },
	[5] = { "bound range exceeded", SIGSEGV, SI_KERNEL, false },
	[6] = { "invalid instruction", SIGILL, ILL_ILLOPN, true },
	[7] = { "device not available", SIGFPE, SI_KERNEL, false },
	[10] = { "invalid task state segment", SIGSEGV, SI_KERNEL, false },
	[11] = { "segment not present", SIGBUS, SI_KERNEL, false },
	[12] = { "stack segment fault", SIGBUS, SI_KERNEL, false },
	[13] = { "general protection fault", SIGSEGV, SI_KERNEL, false },
	[16] = { "x87 floating-point error", SIGFPE, SI_KERNEL, true },
	[17] = { "misaligned access", SIGBUS, BUS_ADRALN, false },
	[19] = { "SIMD floating-point error", SIGFPE, SI_KERNEL, true },
	[20] = { "virtualization exception", SIGSEGV, SI_KERNEL, false },
	[21] = { "control protection exception", SIGSEGV, SI_KERNEL, false },
	[VECTOR_INT80] = { "int 0x80, a 32-bit system call, which does not exist here", SIGSEGV,
			   SI_KERNEL, false },
};

static int code_of(uint64_t vector)
{
	switch (vector) {
	case 16:
		return x87_code();
	case 19:
		return simd_code();
	}
	return exceptions[vector].code;
}

/* Where an application is caught that jumped into an entry or a return (isolation.h), or, with a vector
 * that it made up, behind one: no exception of its own, but as if it had touched what it may not. */
static bool is_forged(const struct trap_frame *frame)
{
	if (frame->vector >= array_size(exceptions) || exceptions[frame->vector].name == NULL)
		return true;
#ifdef ISOLATION_NONE
	return false;
#else
	return frame->vector == VECTOR_INVALID_INSTRUCTION &&
	       frame->rip == (uint64_t)rights_violation;
#endif
}

static void application_exception(struct trap_frame *frame)
{
	char what[80];
	uint64_t address = 0;
	int signal = SIGSEGV, code = SI_KERNEL;

	if (is_forged(frame)) {
		ksnprintf(what, sizeof(what),
			  "forged trap, or a jump to an instruction that changes rights");
	} else {
		signal = exceptions[frame->vector].signal;
		code = code_of(frame->vector);
		if (exceptions[frame->vector].has_address)
			address = frame->rip;
		ksnprintf(what, sizeof(what), "%s (error code 0x%lx)",
			  exceptions[frame->vector].name, frame->error);
	}
	if (!signal_fault(frame, signal, code, address))
		trap_end_application(frame, signal, what);
}

/* Was it one that was made invalid (rights_scan.h)? */
static bool was_emulated(struct trap_frame *frame)
{
	enum rights_emulation emulation = RIGHTS_NONE;

	if (isolation_on && frame->vector == VECTOR_INVALID_INSTRUCTION)
		emulation = rights_emulate(frame);
	if (emulation == RIGHTS_FAULT)
		frame->vector = VECTOR_GENERAL_PROTECTION;
	return emulation == RIGHTS_DONE;
}

void fault_other(struct trap_frame *frame)
{
	if (trap_is_application(frame)) {
		if (!was_emulated(frame))
			application_exception(frame);
		return;
	}
	if (frame->vector >= array_size(exceptions) || exceptions[frame->vector].name == NULL)
		panic_at(frame, "exception %lu", frame->vector);
	if (is_network(frame)) {
		network_fails(frame, exceptions[frame->vector].name);
		return;
	}
	if (user_access_failed(frame))
		return; /* an address that no page can have */
	panic_at(frame, "%s (error code 0x%lx)", exceptions[frame->vector].name, frame->error);
}
