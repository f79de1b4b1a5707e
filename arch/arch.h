/*
 * What the generic code asks of a processor architecture: the porting guide.
 *
 * arch/x86_64 implements it. Nothing outside arch/ holds assembly or an x86 word. The
 * hot ones are inline in arch/x86_64/inline.h, which this page includes at its end.
 */
#pragma once

#include "lavra/types.h"

/* ---- entry: implemented by the generic code (posix/process/main.c) ---- */

struct boot_info; /* arch/boot_info.h */

/* Called by arch on the boot core, on a boot stack, with paging on, the image mapped W^X, the
 * direct map in place, traps and console working, interrupts off. Does not return. */
void lavra_main(const struct boot_info *info) __attribute__((noreturn));

/* Called by arch on every other core, on its own core stack, in its own window, with traps
 * working, interrupts off. Does not return. */
void lavra_main_secondary(void) __attribute__((noreturn));

/* ---- interrupts and waiting (inline) ---- */

static inline void arch_irq_enable(void);
static inline void arch_irq_disable(void);
static inline bool arch_irq_is_enabled(void);
static inline unsigned long arch_irq_save(void); /* disable; returns what restore needs */
static inline void arch_irq_restore(unsigned long saved);
/* Enable interrupts and halt as one step: an interrupt that became pending while they were off
 * ends the halt. Returns with interrupts enabled, after one was handled. Entered with them off. */
static inline void arch_wait_for_interrupt(void);
static inline void arch_pause(void); /* in a spin loop */

/* ---- time (arch/x86_64/clock.c) ---- */

/* Nanoseconds since boot; monotonic, the same on all cores. Any core, any context. */
uint64_t clock_ns(void);
/* Wall-clock time at clock_ns() == 0, in nanoseconds since 1970, from the RTC. */
extern uint64_t clock_epoch_ns;
/* Set up the interrupt controller and calibrate. Once; boot core, interrupts off, after
 * cores_discover() and mm_init(). */
void clock_init(void);
/* Arm this core's one-shot timer to interrupt at `deadline_ns` (in the past: at once).
 * UINT64_MAX disarms. Owning core. The interrupt calls timer_interrupt() (sched/timer.c). */
void clock_arm(uint64_t deadline_ns);

/* ---- randomness ---- */

/* 64 bits from the processor's generator mixed with timing; always succeeds, says once on the
 * console if the processor has no generator. Any core. */
uint64_t arch_random(void);

/* ---- thread contexts (arch/x86_64/context.S, context.c) ---- */

/*
 * The saved state of a thread that is not running. Two forms: switched (it called
 * arch_context_switch; callee-saved registers are on its stack) and preempted (an
 * interrupt stopped it in application code; every register is in `frame` and `extended`).
 */
struct trap_frame; /* arch/x86_64/trap.h: every general register, rip, rsp, rflags */
struct syscall_frame; /* the registers at a register-ABI system-call entry (musl's clone.s) */

struct context {
	void *stack_pointer; /* switched: where its registers are */
	uint64_t thread_pointer; /* FS base */
	uint32_t protection_key_rights; /* PKRU; saved and loaded where the CPU has keys */
	uint32_t preempted; /* which form */
	void *frame; /* struct trap_frame, inside `save_area` */
	void *extended; /* XSAVE area, 64-byte aligned, inside `save_area` */
	/* Top of the stack on which its `syscall` instructions are answered (16-byte aligned), or
	 * NULL. With one the application expects its vector registers back from every call: a
	 * switch inside one saves them in `extended`. Set after the context was prepared. */
	void *syscall_stack;
};

/* Bytes and alignment (64) of the save area that a context needs for preemption. */
size_t arch_save_area_size(void);

/* Prepare a context that starts `entry(argument)` on the stack ending at `stack_top` (16-byte
 * aligned), with interrupts enabled. `save_area` has arch_save_area_size() bytes, 64-aligned. */
void arch_context_init(struct context *context, void *stack_top, void (*entry)(void *),
		       void *argument, void *save_area);

/* Prepare a context that continues application code as a child of clone(): the registers of the
 * caller's system-call entry (`entry_frame`), except result 0, stack and, if non-zero, FS base. */
void arch_context_init_clone(struct context *context, const struct syscall_frame *entry_frame,
			     uint64_t stack_pointer, uint64_t thread_pointer, void *save_area);

/* Save into `from`, continue `to`. Interrupts off. Returns when somebody switches to `from`. */
void arch_context_switch(struct context *from, struct context *to);

/* ---- programs with `syscall` instructions (arch/x86_64/syscall_instruction.c) ---- */

/* From now on the instruction enters the kernel on this core: syscall_from_instruction(). Each core,
 * before the first such program; only threads whose context has a syscall_stack may run one. */
void arch_enable_syscall_instruction(void);
/* A `syscall` instruction's registers are in *frame, on the thread's syscall_stack; implemented by
 * posix/. Returns false if of these only the result (rax) has changed. */
bool syscall_from_instruction(struct trap_frame *frame);
/* Leave the kernel for the application: at `entry`, with one argument, on the stack as given, other
 * registers 0; with an application's rights. Thread context. */
void arch_enter_application(uint64_t entry, uint64_t argument, void *stack_pointer)
    __attribute__((noreturn));
/*
 * Is the application kept apart from the kernel (arch/x86_64/isolation.h)? Then every system call, also one
 * that is a function call, enters through a gate on the thread's syscall_stack, and its registers lie
 * where arch_call_frame() says, vector TRAP_CALL, TRAP_ENTRY or TRAP_SYSCALL. After its function:
 * syscall_is_over(), and if that is false syscall_deliver_signals(); implemented by posix/.
 */
static inline bool arch_isolation(void);
struct trap_frame *arch_call_frame(void *stack_top); /* NULL without isolation */
bool syscall_is_over(void);
void syscall_deliver_signals(struct trap_frame *frame);
/*
 * The network's domain (arch/x86_64/network_gate.S). Without isolation it is the kernel's.
 */
extern char network_text_start[], network_text_end[]; /* its code; linker script */
bool arch_is_network_text(vaddr_t address);
/* Boot core, once, before any memory is the network's. */
void arch_network_init(void);
/* Pages of memory become the network's, or the kernel's again: 0 or -ENOMEM. They are aligned. Any core;
 * with interrupts on where they become the kernel's. */
int arch_give_to_network(paddr_t frame, size_t size, bool network);
/* Is this address in memory of the network's? Any address; without isolation always. */
bool arch_is_networks(const void *address);
/* The same at once, where that is known of RAM: may be false of what is the network's, too. */
static inline bool arch_is_known_networks(const void *address);
/* This core's network has a stack of its own, and its part of the window. Each core, once, before the first
 * call. 0 or -ENOMEM. */
int arch_network_start_core(void);
/* Has it failed on this core? Then no call enters it, and each returns -ENETDOWN, until arch_network_restart() has
 * made its part of the window as it was at first. */
static inline bool arch_network_is_down(void);
void arch_network_restart(void);
/* Does this core's network run, in its domain? In a service: does it ask, and not the kernel at boot? */
bool arch_network_runs(void);
/* Give up the network's call that a service of the kernel works for; returns if there is none. A service. */
void arch_network_give_up(void);
/*
 * Protection keys (arch/x86_64/isolation.c): the application's are 1 to arch_last_key(), which is 0 where the
 * processor has none. Each thread has its own rights.
 */
unsigned arch_last_key(void);
/* What the calling thread may not do with pages of this key from now on: PKEY_DISABLE_*. In a call. */
void arch_set_key_rights(unsigned key, unsigned denied);
/* The rights of the thread whose call this is, and using them elsewhere to work on its behalf: what is
 * returned is to be lent again when that is done. Does not block meanwhile. */
uint32_t arch_call_rights(void);
uint32_t arch_lend_rights(uint32_t rights);
/* Around a signal's handler that is a function call, without isolation: it begins with the rights of a new
 * process, and the thread then has its own again. */
uint32_t arch_begin_handler(void);
void arch_end_handler(uint32_t rights);
/* The vDSO, an ELF image in the kernel's text: AT_SYSINFO_EHDR (arch/x86_64/vdso.S). */
extern const char arch_vdso[];
/* What the auxiliary vector tells a program of the processor. */
uint64_t arch_hardware_capabilities(void); /* AT_HWCAP */
#define ARCH_ELF_MACHINE 62 /* EM_X86_64 */
#define ARCH_PLATFORM "x86_64"

/* Set the running thread's FS base, at once and for later switches. */
void arch_set_thread_pointer(struct context *current, uint64_t thread_pointer);

/*
 * Called by the interrupt exit path, on the interrupt stack, interrupts off, when the
 * interrupted code was application code (its rip outside the kernel's text): implemented in
 * sched/. Returns false to continue the interrupted code, or true when the current thread shall
 * be preempted; arch then saves it whole into its context (found by current_context()) and calls
 * sched_preempted() on the stack `sched_core_stack()`, which does not return.
 */
bool sched_should_preempt(void);
struct context *current_context(void);
void *sched_core_stack(void);
void sched_preempted(void) __attribute__((noreturn));

/*
 * Likewise, implemented in posix/: called on the way back to application code that was interrupted or
 * preempted, interrupts off. Handlers of signals that wait for the current thread run first: the
 * frame is changed so.
 */
void signal_interrupted(struct trap_frame *frame);
/* Application code made a fault that nobody can mend. Returns true if the thread handles the signal: the
 * frame is changed so. `code` is Linux's si_code. */
bool signal_fault(struct trap_frame *frame, int signal, int code, vaddr_t address);

/* ---- reports ---- */

/* Who runs on this core, for reports of panics: fills in number and name, false if nobody does.
 * sched/ registers it, once; any context. */
void panic_set_thread_namer(bool (*namer)(int *tid, const char **name));
/* Likewise: whose kernel stack this address is in, whatever is said of that thread. */
void panic_set_stack_namer(bool (*namer)(vaddr_t address, int *tid, const char **name));

/* ---- inter-processor interrupts (arch/x86_64/apic.c) ---- */

/* Interrupt `core`, so that it leaves a halt and looks at its mailbox. Its handler calls
 * ipi_interrupt() (smp/mailbox.c). Any core; never waits for long. */
void arch_send_ipi(core_id_t core);
/* As above, the handler calls tlb_interrupt() (smp/shootdown.c). */
void arch_send_tlb_ipi(core_id_t core);
/* Stop all other cores for good (panic). */
void arch_stop_other_cores(void);

/* ---- device interrupts (arch/x86_64/irq.c) ---- */

struct msi_message { /* what a device writes to raise the interrupt; PCI 3.0, 6.8.2 */
	uint64_t address;
	uint32_t data;
};

/* Allocate a vector on `core` (vectors are per core) for `handler(argument)`, which runs on that
 * core in interrupt context: it only sets flags and counts. Returns 0 and the message that raises
 * it, -ENOSPC when the core has no vector left. Any core. */
int irq_allocate(core_id_t core, void (*handler)(void *argument), void *argument,
		 struct msi_message *message);
void irq_free(core_id_t core, const struct msi_message *message);

/* ---- cores (arch/x86_64/discover.c, start_cores.c) ---- */

/* Read the firmware's tables (ACPI: root pointer at `rsdp`, 0: look for it), fill cores[] with what
 * there is, the boot core first, and return how many. Boot core, before memory exists. */
unsigned arch_discover_cores(paddr_t rsdp);

/* Start cores 1..ncores-1 (smp/core.h), all at once; each calls lavra_main_secondary(). Returns
 * when they are started or timed out; the caller looks at core_is_online(). Boot core. */
void arch_start_cores(void);

/* Make the static branches (arch/x86_64/static_branch.h) jump, or no more. Returns how many have to stay as they are.
 * Thread context. */
unsigned arch_switch_branches(bool on);

/* ---- page tables (arch/x86_64/paging.c) ---- */

enum page_protection {
	PAGE_READ = 1,
	PAGE_WRITE = 2,
	PAGE_EXECUTE = 4, /* never together with PAGE_WRITE: refused with -EINVAL */
	PAGE_UNCACHED = 8, /* device memory */
	/* Of single pages, kept by arch_protect() and told by arch_lookup() and arch_unmap(): */
	PAGE_BORROWED = 16, /* the frame belongs to somebody else (mm/page_source.h) */
	PAGE_COPIED_FIRST = 32, /* to be copied before it is written: stays read-only in any case */
	PAGE_KEYS_KEPT = 64, /* arch_protect(): each page keeps its protection key */
};
#define PAGE_ACCESS (PAGE_READ | PAGE_WRITE | PAGE_EXECUTE)
/* An application's page has a protection key, 0 unless it says otherwise (arch/x86_64/isolation.h). */
#define PAGE_KEY_SHIFT 8
#define PAGE_KEY(key) ((unsigned)(key) << PAGE_KEY_SHIFT)
#define PAGE_KEY_MASK PAGE_KEY(15)

/* The ends of what an application may map: lower half. The page at 0 is never mapped. */
#define USER_START 0x10000ul
#define USER_END 0x20000000000ul /* 2 TiB: 4 top-level entries, all present before core 1 starts */
/* Kernel mappings: stacks with guards, device memory. 512 GiB: one top-level entry. */
#define KVA_START 0xffffc00000000000ul
#define KVA_END 0xffffc08000000000ul
/* All of physical memory, at a fixed offset. */
#define DIRECT_MAP 0xffff800000000000ul

static inline void *phys_to_virt(paddr_t p)
{
	return (void *)(p + DIRECT_MAP);
}
/* `p` lies in the direct map. */
static inline paddr_t virt_to_phys(const void *p)
{
	return (paddr_t)p - DIRECT_MAP;
}
/* The same for any mapped address of this core, by walking the tables; 0 if unmapped. */
paddr_t arch_translate(vaddr_t address);

/* Map [address, address + size) to physical memory from `physical` on, with page sizes 4 KiB or
 * (`size` and both addresses 2 MiB-aligned) 2 MiB. Table pages come from frame_alloc(). The caller
 * serialises changes of the range (mm/ holds its lock) and shoots down stale entries.
 * Protection 0 as for arch_protect(). Returns 0, -ENOMEM (nothing changed), -EEXIST if a page was
 * mapped, -EINVAL. */
int arch_map(vaddr_t address, paddr_t physical, size_t size, unsigned protection);
/* Change the protection of what is mapped in the range; a 2 MiB page that straddles its ends is
 * split first. 0 or -ENOMEM (nothing changed). Protection 0: any access faults, but the page stays
 * mapped for the functions below (arch_lookup() gives no PAGE_ACCESS) and keeps its contents. */
int arch_protect(vaddr_t address, size_t size, unsigned protection);
/* Unmap; `release(frame, size, protection, arg)` is called for every page that was mapped (size 4 KiB
 * or 2 MiB), after its entry was cleared, so that it may shoot down and free. A 2 MiB page that
 * straddles the ends is split first: 0 or -ENOMEM (nothing changed). */
typedef void arch_release(paddr_t frame, size_t size, unsigned protection, void *argument);
int arch_unmap(vaddr_t address, size_t size, arch_release *release, void *arg);
/* Is `address` mapped, with which protection and page size? Returns false if not; *page_size is
 * then what the empty table entry at `address` would cover: 4 KiB, 2 MiB (no page table there), or
 * larger. Any core, no lock: what it says was true at some moment during the call. */
bool arch_lookup(vaddr_t address, paddr_t *physical, unsigned *protection, size_t *page_size);

/*
 * Code that somebody brings: with isolation no page becomes executable before it was looked at, by mm/code.c,
 * for instructions that would undo it.
 *
 * `page` is to be executable at `address`, and may be changed; `before` and `after` are the pages around it,
 * or NULL. Those that are executable already may be changed, too; others tell what belongs together. Returns NULL if
 * all is well, or was made so, or the name of the instruction that must not be there, *offset bytes from
 * the page's start. With `look_only` nothing is changed. The caller holds the area lock.
 */
struct code_page {
	uint8_t *page, *before, *after;
	bool before_is_code, after_is_code;
	vaddr_t address;
};
const char *arch_code_check(const struct code_page *code, bool look_only, long *offset);
/* Drop this core's cached translations for the range (all of them when npages is large). */
void arch_tlb_flush_local(vaddr_t address, size_t npages);

/* From now on what is READ_MOSTLY is read-only. Each core, when the boot is over. */
void arch_seal(void);

/* A page fault that is not a kernel bug goes to the generic code (mm/area.c). Runs on the fault
 * stack; interrupts as they were. Returns true if the access may be tried again. */
struct page_fault {
	vaddr_t address;
	bool write, execute, present, protection_key;
};
bool mm_handle_fault(const struct page_fault *fault);

#include "arch/x86_64/inline.h"
#include "arch/x86_64/static_branch.h"
