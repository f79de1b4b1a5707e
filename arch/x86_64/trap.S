/*
 * Where exceptions and interrupts arrive. Each of the 256 entries pushes its vector (and a zero
 * where the processor pushes no error code), then all general registers: a struct trap_frame,
 * 16-byte aligned, since the processor aligns the stack (SDM volume 3, 6.14.2) and the frame has
 * 22 words.
 */
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/network_rights.inc"
#include "arch/x86_64/registers.h"
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

	/* The registers of a frame, up to those that the change of rights needs. */
	.macro pop_to_rsi
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
	.endm

	.macro restore_registers_and_return
	pop_to_rsi
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
#ifndef ISOLATION_NONE
	cmpb $0, isolation_on(%rip)
	jne isolated_return
#endif
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

#ifndef ISOLATION_NONE
/*
 * The same with isolation (isolation.h). The processor pushes with the rights of the code that it
 * interrupts, so it does so in an open page of this core's window; and as nothing there is to be
 * believed for long, and nothing may be on it when the next trap comes, the frame is moved to the
 * trap's own stack first of all. Interrupts are off on the way, so nobody else runs on this core; and no
 * other core has the page. What cannot be kept off, NMI and machine check, has open stacks of its own.
 *
 * Who jumps in here from the application has described a frame of the application, for `domain` says
 * whose it is.
 */
	.balign 16
	.globl trap_isolated_entries
trap_isolated_entries:
	.set vector, 0
	.set with_error_code, WITH_ERROR_CODE
	.rept 256
	.balign TRAP_ENTRY_SIZE
	.if (with_error_code & 1) == 0
	pushq $0
	.endif
	pushq $vector
	.if vector == 2
	jmp isolated_nmi
	.elseif vector == 8
	jmp isolated_double_fault
	.elseif vector == 18
	jmp isolated_machine_check
	.elseif vector < 32 || vector == VECTOR_INT80
	jmp isolated_fault
	.else
	jmp isolated_device
	.endif
	.set vector, vector + 1
	.set with_error_code, with_error_code >> 1
	.endr

#define OPEN(ist, offset) trap_open_stacks + (ist) * TRAP_OPEN_STACK_SIZE - offset(%rip)

	/* From the open stack of this index in the interrupt stack table to its own, with all rights. */
	.macro isolated_entry ist
	pushq %rax
	pushq %rcx
	pushq %rdx
	xorl %ecx, %ecx
	rdpkru
	pushq %rax
	xorl %eax, %eax		/* RIGHTS_ALL */
	xorl %edx, %edx
	wrpkru
	testl %eax, %eax
	jnz rights_violation
	movq trap_stacks + (\ist - 1) * 8(%rip), %rsp
	/* For who did not come by a trap: no interrupts, and none of the flags that change how we run. Not
	 * before the stack is ours, for this writes. */
	pushq $RFLAGS_FIXED
	popfq
	incq counters + COUNTER_PKRU_SWITCHES(%rip)
	pushq OPEN(\ist, 8)	/* ss */
	pushq OPEN(\ist, 16)
	pushq OPEN(\ist, 24)
	pushq OPEN(\ist, 32)
	pushq OPEN(\ist, 40)	/* rip */
	pushq OPEN(\ist, 48)	/* error code */
	pushq OPEN(\ist, 56)	/* vector */
	pushq OPEN(\ist, 64)	/* rax */
	pushq %rbx
	pushq OPEN(\ist, 72)	/* rcx */
	pushq OPEN(\ist, 80)	/* rdx */
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
	movzbl domain(%rip), %eax
	movl %eax, FRAME_DOMAIN(%rsp)
	movl OPEN(\ist, 88), %eax
	movl %eax, FRAME_RIGHTS(%rsp)
	movb $DOMAIN_KERNEL, domain(%rip)
	movq %rsp, %rdi
	.endm

	/* The registers of the frame at rsp, and the rest of it into the open page, with rsp there. */
	.macro frame_to_open_page
	movl $0, FRAME_RIGHTS(%rsp)
	pop_to_rsi
	popq open_return + 0(%rip)	/* rdx */
	popq open_return + 8(%rip)	/* rcx */
	popq %rbx
	popq open_return + 16(%rip)	/* rax */
	addq $16, %rsp
	popq open_return + 24(%rip)	/* rip */
	popq open_return + 32(%rip)
	popq open_return + 40(%rip)
	popq open_return + 48(%rip)
	popq open_return + 56(%rip)	/* ss */
	leaq open_return(%rip), %rsp
	.endm

	.globl trap_common
trap_common:
isolated_fault:
	isolated_entry IST_FAULT
	subq $FAULT_STACK_STEP, trap_stacks + (IST_FAULT - 1) * 8(%rip)
	call trap_exception
	addq $FAULT_STACK_STEP, trap_stacks + (IST_FAULT - 1) * 8(%rip)
	jmp isolated_return

isolated_device:
	isolated_entry IST_INTERRUPT
	call trap_interrupt
	jmp isolated_return

	/* Of these nothing returns: it might be to the middle of a change of rights. Unless it is none of them,
	 * but an application that jumped here with a vector that it likes better. */
isolated_nmi:
	isolated_entry IST_NMI
	jmp isolated_end
isolated_double_fault:
	isolated_entry IST_DOUBLE_FAULT
	jmp isolated_end
isolated_machine_check:
	isolated_entry IST_MACHINE_CHECK
isolated_end:
	call trap_exception
	jmp isolated_return

	/* rsp: the frame. */
isolated_return:
	cmpl $DOMAIN_APPLICATION, FRAME_DOMAIN(%rsp)
	je 1f
	cmpl $DOMAIN_NETWORK, FRAME_DOMAIN(%rsp)
	je isolated_return_to_network
	movl FRAME_RIGHTS(%rsp), %eax
	movl $0, FRAME_DOMAIN(%rsp)
	movl $0, FRAME_RIGHTS(%rsp)
	testl %eax, %eax
	jz 2f
	/* The kernel had not all rights: it looked at memory for an application (user_access.S). */
	xorl %ecx, %ecx
	xorl %edx, %edx
	wrpkru
	cmpb $DOMAIN_KERNEL, domain(%rip)
	jne rights_violation
2:	restore_registers_and_return
1:	incq counters + COUNTER_PKRU_SWITCHES(%rip)
	movl FRAME_RIGHTS(%rsp), %eax
	orl $RIGHTS_SYSTEM, %eax
	movl %eax, open_return_rights(%rip)
	movb $DOMAIN_APPLICATION, domain(%rip)
	frame_to_open_page
	movl open_return_rights(%rip), %eax
	xorl %ecx, %ecx
	xorl %edx, %edx
	wrpkru
	andl $RIGHTS_SYSTEM, %eax
	cmpl $RIGHTS_SYSTEM, %eax
	jne rights_violation
	popq %rdx
	popq %rcx
	popq %rax
	iretq

isolated_return_to_network:
	movb $DOMAIN_NETWORK, domain(%rip)
	incq counters + COUNTER_PKRU_SWITCHES(%rip)
	movl $0, FRAME_DOMAIN(%rsp)
	frame_to_open_page
	take_network_rights
	popq %rdx
	popq %rcx
	popq %rax
	iretq

	/* Somebody jumped to an instruction that changes rights, with others than it is for. The exception
	 * finds the application at fault. */
	.globl rights_violation
rights_violation:
	ud2
	.globl trap_common_end
trap_common_end:

	.section WINDOW_OPEN, "aw", @progbits
	.balign 16
	.globl trap_open_stacks
trap_open_stacks:
	.skip NTRAP_STACKS * TRAP_OPEN_STACK_SIZE
open_return:
	.skip 8 * 8
open_return_rights:
	.skip 16
#endif

	.section .note.GNU-stack, "", @progbits
