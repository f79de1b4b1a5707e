#include "arch/x86_64/panic.h"

#include "arch/arch.h"
#include "arch/console.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/symbols.h"
#include "lavra/console.h"
#include "smp/core.h"

#include <string.h>

#define MAX_FRAMES 32
#define NOBODY UINT32_MAX

extern char text_start[], text_end[]; /* image.ld */

static bool (*thread_namer)(int *tid, const char **name);
static bool (*stack_namer)(vaddr_t address, int *tid, const char **name);

/* The core that reports: the first to ask. */
static uint32_t reporting_core = NOBODY;
static unsigned depth; /* of reports inside reports; the reporting core's own */

void panic_set_thread_namer(bool (*namer)(int *tid, const char **name))
{
	thread_namer = namer;
}

void panic_set_stack_namer(bool (*namer)(vaddr_t address, int *tid, const char **name))
{
	stack_namer = namer;
}

bool panic_name_stack(vaddr_t address, int *tid, const char **name)
{
	return stack_namer && stack_namer(address, tid, name);
}

bool panic_in_progress(void)
{
	return __atomic_load_n(&reporting_core, __ATOMIC_RELAXED) != NOBODY;
}

static void halt_for_good(void) __attribute__((noreturn));
static void halt_for_good(void)
{
	for (;;) {
		arch_irq_disable();
		__asm__ volatile("hlt");
	}
}

/* One core reports; one that comes later only halts, and a mistake in the report ends it. */
static void begin_report(void)
{
	uint32_t nobody = NOBODY;

	arch_irq_disable();
	if (!__atomic_compare_exchange_n(&reporting_core, &nobody, this_core, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) &&
	    nobody != this_core)
		halt_for_good();
	switch (depth++) {
	case 0:
		arch_stop_other_cores();
		console_break_lock();
		return;
	case 1:
		/* The report itself failed. Say so with as little as possible. */
		console_break_lock();
		console_write("panic in a panic\n", 17);
		machine_exit(EXIT_PANIC);
	default:
		halt_for_good();
	}
}

static void print_address(const char *before, uint64_t address)
{
	uint64_t distance;
	const char *name = symbol_name(address, &distance);

	if (name != NULL)
		kprintf("%s%016lx %s+0x%lx\n", before, address, name, distance);
	else
		kprintf("%s%016lx\n", before, address);
}

/* Of an application only what is its own is told: its registers may point anywhere. */
static bool can_read(const struct trap_frame *frame, uint64_t address)
{
	paddr_t physical;
	unsigned protection;
	size_t page_size;

	/* A word that is aligned does not cross a page. Device registers are never on a stack. */
	return is_aligned(address, 8) && arch_lookup(address, &physical, &protection, &page_size) &&
	       (protection & PAGE_READ) && !(protection & PAGE_UNCACHED) &&
	       !(trap_is_application(frame) && (protection & PAGE_KEY_MASK) > PAGE_KEY(KEY_LAST));
}

static bool is_text(uint64_t address)
{
	return address >= (uint64_t)text_start && address < (uint64_t)text_end;
}

/* Has the function at `rip` not made its frame there? Short functions that call nothing make none. A
 * frame is made by `push %rbp; mov %rsp,%rbp`, one byte and three. */
static bool is_frameless(uint64_t rip)
{
	uint64_t distance;

	if (!is_text(rip))
		return true; /* a call of what is no code */
	return symbol_name(rip, &distance) != NULL &&
	       (distance < 4 || *(const uint8_t *)(rip - distance) != 0x55);
}

/* Frames are linked by rbp: [rbp] is the caller's, [rbp + 8] the return address. Nothing is
 * believed. */
static void print_backtrace(const struct trap_frame *frame)
{
	uint64_t rbp = frame->rbp;

	kprintf("backtrace:\n");
	print_address("  ", frame->rip);
	/* Then the caller is where the call left it. */
	if (is_frameless(frame->rip) && can_read(frame, frame->rsp) &&
	    is_text(*(uint64_t *)frame->rsp) &&
	    !(can_read(frame, rbp + 8) && *(uint64_t *)(rbp + 8) == *(uint64_t *)frame->rsp))
		print_address("  ", *(uint64_t *)frame->rsp);
	for (unsigned i = 0; i < MAX_FRAMES; i++) {
		uint64_t next, return_address;

		if (rbp == 0 || !can_read(frame, rbp) || !can_read(frame, rbp + 8))
			return;
		next = *(uint64_t *)rbp;
		return_address = *(uint64_t *)(rbp + 8);
		if (return_address == 0)
			return;
		print_address("  ", return_address);
		if (next <= rbp) /* stacks grow down: callers lie above */
			return;
		rbp = next;
	}
	kprintf("  ...\n");
}

static void print_registers(const struct trap_frame *f)
{
	kprintf("rip %016lx rsp %016lx rflags %08lx cs %x ss %x\n", f->rip, f->rsp, f->rflags,
		f->cs, f->ss);
	kprintf("rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", f->rax, f->rbx, f->rcx, f->rdx);
	kprintf("rsi %016lx rdi %016lx rbp %016lx r8  %016lx\n", f->rsi, f->rdi, f->rbp, f->r8);
	kprintf("r9  %016lx r10 %016lx r11 %016lx r12 %016lx\n", f->r9, f->r10, f->r11, f->r12);
	kprintf("r13 %016lx r14 %016lx r15 %016lx\n", f->r13, f->r14, f->r15);
	kprintf("cr2 %016lx cr3 %016lx vector %lu error 0x%lx\n", read_cr2(), read_cr3(), f->vector,
		f->error);
	if (cpu_features.protection_keys)
		kprintf("pkru %08x\n", isolation_on ? f->rights : rights_read());
}

static void report(const struct trap_frame *frame, const char *kind, const char *format,
		   va_list args)
{
	char text[320];
	const char *name;
	int tid;

	kvsnprintf(text, sizeof(text), format, args);
	kprintf("\n%s%s\n", kind, text);
	if (thread_namer != NULL && thread_namer(&tid, &name))
		kprintf("on core %u, thread %d \"%s\"\n", this_core, tid, name);
	else
		kprintf("on core %u, no thread\n", this_core);
	print_registers(frame);
	print_backtrace(frame);
}

/* panic() (panic_entry.S): its caller's registers, and its arguments. */
void panic_entered(const struct trap_frame *frame, void *register_arguments, void *stack_arguments)
    __attribute__((noreturn));
void panic_entered(const struct trap_frame *frame, void *register_arguments, void *stack_arguments)
{
	va_list args;

	/* As the System V ABI for AMD64 has it, 3.5.7: the format was the first of six. */
	args[0].gp_offset = 8;
	args[0].fp_offset = 48;
	args[0].reg_save_area = register_arguments;
	args[0].overflow_arg_area = stack_arguments;
	begin_report();
	report(frame, "panic: ", *(const char **)register_arguments, args);
	machine_exit(EXIT_PANIC);
}

void panic_at(const struct trap_frame *frame, const char *format, ...)
{
	va_list args;

	begin_report();
	va_start(args, format);
	report(frame, "panic: ", format, args);
	va_end(args);
	machine_exit(EXIT_PANIC);
}

void panic_report(const struct trap_frame *frame, const char *format, ...)
{
	va_list args;

	begin_report();
	va_start(args, format);
	report(frame, "", format, args);
	va_end(args);
}

void panic_describe(const struct trap_frame *frame, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report(frame, "", format, args);
	va_end(args);
}
