#include "arch/x86_64/fault.h"

#include "arch/arch.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/panic.h"
#include "arch/x86_64/registers.h"
#include "arch/x86_64/symbols.h"
#include "lavra/console.h"
#include "mm/kva.h"
#include "mm/mm.h"

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

/* Why the processor refused, in words. */
static const char *reason(const struct page_fault *fault)
{
	unsigned protection;
	size_t page_size;
	paddr_t physical;

	if (fault->address < PAGE_SIZE)
		return "a null pointer";
	if (kva_is_guard(fault->address) || paging_is_image_guard(fault->address))
		return "the guard page of a kernel stack: it overflowed";
	if (fault->protection_key)
		return "its protection key forbids it";
	if (fault->present && fault->execute)
		return "the page is not executable";
	if (fault->present && fault->write)
		return "the page is read-only";
	if (arch_lookup(fault->address, &physical, &protection, &page_size) && protection == 0)
		return "the page may not be accessed";
	if (fault->address >= USER_START && fault->address < USER_END)
		return mm_fault_reason();
	return "nothing is mapped there";
}

void trap_end_application(const struct trap_frame *frame, int signal, const char *what)
{
	/* Where signal handlers will be called from: the frame is the interrupted state. */
	panic_report(frame, "application: %s", what);
	machine_exit(128 + signal);
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
	char what[160];

	if (frame->error & ERROR_RESERVED_BIT)
		panic_at(frame, "page table of 0x%lx is corrupt", fault.address);
	if (fault.address >= USER_START && fault.address < USER_END && !panic_in_progress()) {
		bool mended;

		if (frame->rflags & RFLAGS_IF)
			arch_irq_enable();
		mended = mm_handle_fault(&fault);
		arch_irq_disable();
		if (mended)
			return;
	}
	ksnprintf(what, sizeof(what), "page fault %s 0x%lx: %s", access_name(&fault), fault.address,
		  reason(&fault));
	/* A bad pointer that the application passed to a system call is its mistake, too. */
	if (!is_kernel_text(frame->rip) || fault.address < USER_END)
		trap_end_application(frame, SIGSEGV, what);
	panic_at(frame, "%s", what);
}

/* SDM volume 3, table 6-1; the signals are those that Linux sends. */
static const struct {
	const char *name;
	int signal;
} exceptions[32] = {
	[0] = { "divide error", SIGFPE },
	[1] = { "debug exception", SIGTRAP },
	[3] = { "breakpoint", SIGTRAP },
	[4] = { "overflow", SIGSEGV },
	[5] = { "bound range exceeded", SIGSEGV },
	[6] = { "invalid instruction", SIGILL },
	[7] = { "device not available", SIGFPE },
	[10] = { "invalid task state segment", SIGSEGV },
	[11] = { "segment not present", SIGBUS },
	[12] = { "stack segment fault", SIGBUS },
	[13] = { "general protection fault", SIGSEGV },
	[16] = { "x87 floating-point error", SIGFPE },
	[17] = { "misaligned access", SIGBUS },
	[19] = { "SIMD floating-point error", SIGFPE },
	[20] = { "virtualization exception", SIGSEGV },
	[21] = { "control protection exception", SIGSEGV },
};

void fault_other(struct trap_frame *frame)
{
	const char *name = NULL;
	char what[80];

	if (frame->vector < array_size(exceptions))
		name = exceptions[frame->vector].name;
	if (name == NULL)
		panic_at(frame, "exception %lu", frame->vector);
	ksnprintf(what, sizeof(what), "%s (error code 0x%lx)", name, frame->error);
	if (!is_kernel_text(frame->rip))
		trap_end_application(frame, exceptions[frame->vector].signal, what);
	panic_at(frame, "%s", what);
}
