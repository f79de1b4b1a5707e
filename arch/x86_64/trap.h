/*
 * Traps: exceptions and interrupts, and the stacks they run on.
 *
 * All of them run on stacks of their own (TSS interrupt stacks), because the code they interrupt
 * runs in ring 0, too, and owns the 128 bytes beneath its stack pointer (the red zone). Interrupt
 * handlers run with interrupts off; a page fault is handled with interrupts as they were. The code
 * that was interrupted is the application's if it lies outside the kernel's text.
 */
#pragma once

/* Stacks in the TSS's interrupt stack table; 0 would mean "stay on the current one". */
#define IST_INTERRUPT 1
#define IST_FAULT 2
#define IST_NMI 3
#define IST_DOUBLE_FAULT 4
#define IST_MACHINE_CHECK 5
#define NTRAP_STACKS 5

/* Pages of each. An exception in an exception handler takes the next FAULT_STACK_STEP bytes of the
 * fault stack (trap.S), so that it cannot write over what it must report. */
#define TRAP_STACK_PAGES 2
#define FAULT_STACK_STEP 8192
#define FAULT_STACK_PAGES 6

#define TRAP_ENTRY_SIZE 16
#define TRAP_OPEN_STACK_SIZE 128

#define VECTOR_BREAKPOINT 3
#define VECTOR_INVALID_INSTRUCTION 6
#define VECTOR_GENERAL_PROTECTION 13
/* What 32-bit Linux programs call: given to no device, and an exception here. */
#define VECTOR_INT80 0x80

/* `vector` of a frame that the `syscall` instruction made: `error` is then the call's number. */
#define TRAP_SYSCALL 256
/* One that no trap made: a signal handler is about to run, or has returned. */
#define TRAP_RETURNED 257
/* Of a system call that was a function call, through a gate (gate.S): `error` is the function's address;
 * and that came in registers, from the C library (syscall_entry.S): `error` is the number. */
#define TRAP_CALL 258
#define TRAP_ENTRY 259

/* Where the parts of a frame are, for assembly; trap.c checks them. */
#define FRAME_R15 0
#define FRAME_R14 8
#define FRAME_R13 16
#define FRAME_R12 24
#define FRAME_R11 32
#define FRAME_R10 40
#define FRAME_R9 48
#define FRAME_R8 56
#define FRAME_RBP 64
#define FRAME_RDI 72
#define FRAME_RSI 80
#define FRAME_RDX 88
#define FRAME_RCX 96
#define FRAME_RBX 104
#define FRAME_RAX 112
#define FRAME_VECTOR 120
#define FRAME_ERROR 128
#define FRAME_RIP 136
#define FRAME_CS 144
#define FRAME_DOMAIN 148
#define FRAME_RFLAGS 152
#define FRAME_RSP 160
#define FRAME_SS 168
#define FRAME_RIGHTS 172
#define FRAME_SIZE 176

#define TSS_IST_OFFSET(ist) (36 + ((ist)-1) * 8) /* SDM volume 3, 8.7 */

#ifndef __ASSEMBLER__

#include "lavra/types.h"

/* In the order in which trap.S pushes them, the last first. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector;
	uint64_t error; /* 0 for vectors without an error code */
	/* Pushed by the processor (SDM volume 3, 6.14.2), which looks at the low halves of cs and ss when
	 * it returns. With isolation their high halves say which domain it was (isolation.h), and the
	 * application's PKRU. */
	uint64_t rip;
	uint32_t cs, domain;
	uint64_t rflags, rsp;
	uint32_t ss, rights;
};

/* Descriptor tables and trap stacks of the boot core. Once. */
void trap_init(void);

/* Allocate the trap stacks of `core`. 0 or -ENOMEM. Boot core, after mm_init(). */
int trap_create_core(core_id_t core);

/* Load this core's descriptor tables. Every other core, once, in its window, interrupts off. */
void trap_init_core(void);

/* The top of this core's stack for interrupts. Interrupts off. */
void *trap_interrupt_stack(void);

/* Is `rip` in code that is never preempted? (image.ld) */
bool is_kernel_text(uint64_t rip);
/* Was it the application that was interrupted? */
bool trap_is_application(const struct trap_frame *frame);

/* Unmap the pages beneath the boot core's trap stacks. Boot core, after paging_init(). */
void trap_guard_stacks(void);

/* An exception of the application's that nothing handles: say what happened and end the image, as
 * Linux would end a process by `signal`. */
void trap_end_application(const struct trap_frame *frame, int signal, const char *what)
    __attribute__((noreturn));

/* trap.S calls these. */
void trap_exception(struct trap_frame *frame);
void trap_interrupt(struct trap_frame *frame);

/* One entry for each vector (trap.S). */
extern char trap_entries[];
/* The same with isolation, and where the processor then pushes: the ends of its stacks. */
extern char trap_isolated_entries[];
extern char trap_open_stacks[];
/* Where an application ends up that jumped to an instruction that changes rights. */
extern char rights_violation[];

#endif
