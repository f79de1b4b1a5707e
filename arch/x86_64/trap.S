/*
 * Where exceptions and interrupts arrive. Each of the 256 entries pushes its vector (and a zero
 * where the processor pushes no error code), then all general registers: a struct trap_frame,
 * 16-byte aligned, since the processor aligns the stack (SDM volume 3, 6.14.2) and the frame has
 * 22 words.
 */
#include "arch/x86_64/trap.h"

/* The vectors with an error code, one bit each: 8, 10 to 14, 17, 21 (SDM volume 3, table 6-1), and
 * AMD's 29 and 30 (APM volume 2, 8.2). */
#define WITH_ERROR_CODE 0x60227d00

	.section .text.trap, "ax", @progbits
	.balign 16
	.globl trap_entries
trap_entries:
	.set vector, 0
	.set with_error_code, WITH_ERROR_CODE
	.rept 256
	.balign TRAP_ENTRY_SIZE
	.if (with_error_code & 1) == 0
	pushq $0
	.endif
	pushq $vector
	.if vector == 2 || vector == 8 || vector == 18
	jmp trap_own_stack
	.elseif vector < 32 || vector == VECTOR_INT80
	jmp trap_fault
	.else
	jmp trap_device
	.endif
	.set vector, vector + 1
	.set with_error_code, with_error_code >> 1
	.endr

	.macro save_registers
	pushq %rax
	pushq %rbx
	pushq %rcx
	pushq %rdx
	pushq %rsi
	pushq %rdi
	pushq %rbp
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	cld
	movq %rsp, %rdi
	.endm

	.macro restore_registers_and_return
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rbp
	popq %rdi
	popq %rsi
	popq %rdx
	popq %rcx
	popq %rbx
	popq %rax
	addq $16, %rsp		/* vector, error code */
	iretq
	.endm

	/* While one is handled the next starts lower on the fault stack. Interrupts are off on both
	 * sides (interrupt gates), and NMI and machine check have other stacks. */
trap_fault:
	save_registers
	subq $FAULT_STACK_STEP, trap_tss + TSS_IST_OFFSET(IST_FAULT)(%rip)
	call trap_exception
	addq $FAULT_STACK_STEP, trap_tss + TSS_IST_OFFSET(IST_FAULT)(%rip)
	restore_registers_and_return

trap_own_stack:
	save_registers
	call trap_exception
	restore_registers_and_return

trap_device:
	save_registers
	call trap_interrupt
	restore_registers_and_return

/*
 * void trap_resume(const struct trap_frame *frame): continue what was interrupted. The frame may be
 * anywhere, as interrupts are off and whatever else may come has a stack of its own. Does not
 * return.
 */
	.globl trap_resume
trap_resume:
	movq %rdi, %rsp
	restore_registers_and_return

/* void trap_leave(void *stack, void (*function)(void)): call the function, which does not return,
 * on another stack, for good. */
	.globl trap_leave
trap_leave:
	movq %rdi, %rsp
	andq $-16, %rsp
	xorl %ebp, %ebp
	call *%rsi
	ud2

	.section .note.GNU-stack, "", @progbits
