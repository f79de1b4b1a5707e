/*
 * Where the `syscall` instruction arrives: number in rax, arguments in rdi rsi rdx r10 r8 r9. The
 * processor has put the address behind it into rcx and the flags into r11, and changed no stack
 * (SDM volume 2, SYSCALL). Everything but rax, rcx and r11 is kept, the flags and the 128 bytes
 * beneath the caller's stack pointer (the red zone) too.
 *
 * Until the stack is switched nothing here can fault or be preempted: the two words lie in the core
 * window, the code in the kernel's text, and an interrupt or NMI takes a stack of its own and
 * returns here.
 */
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/registers.h"
#include "arch/x86_64/trap.h"

	.section .text.syscall_instruction, "ax", @progbits
	.globl syscall_instruction_entry
	.balign 64
syscall_instruction_entry:
#ifndef ISOLATION_NONE
	cmpb $0, isolation_on(%rip)
	jne isolated_instruction
#endif
	movq %rsp, syscall_caller_stack(%rip)
	movq syscall_stack(%rip), %rsp
	/* struct trap_frame, 22 words: the stack stays aligned to 16. */
	pushq $SELECTOR_DATA
	pushq syscall_caller_stack(%rip)
	pushq %r11		/* rflags */
	pushq $SELECTOR_CODE
	pushq %rcx		/* rip */
	pushq %rax		/* as error code: the number, which a restart of the call needs */
	pushq $TRAP_SYSCALL
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
	movq %rsp, %rdi
	call syscall_from_instruction
	testb %al, %al
	jnz 1f
	/* The function has kept rbx, rbp, r12 to r15. */
	movq 40(%rsp), %r10
	movq 48(%rsp), %r9
	movq 56(%rsp), %r8
	movq 72(%rsp), %rdi
	movq 80(%rsp), %rsi
	movq 88(%rsp), %rdx
	movq 112(%rsp), %rax
	movq 136(%rsp), %rcx
	movq 152(%rsp), %r11
	pushq %r11
	popfq
	movq 160(%rsp), %rsp
	jmp *%rcx
	/* A signal's handler, or what it returns to: IRETQ loads the stack pointer also without a
	 * change of privilege (SDM volume 2, IRET, 64-bit mode). */
1:	movq %rsp, %rdi
	jmp trap_resume

#ifndef ISOLATION_NONE
/*
 * With isolation (isolation.h). Interrupts are off, by the instruction's mask or by syscall_entry.S,
 * which comes in here with a vector of its own.
 */
isolated_instruction:
	movq $TRAP_SYSCALL, open_vector(%rip)
	.globl isolated_registers
isolated_registers:
	movq %rsp, open_rsp(%rip)
	movq %rax, open_rax(%rip)
	movq %rcx, open_rcx(%rip)
	movq %rdx, open_rdx(%rip)
	xorl %ecx, %ecx
	rdpkru
	movl %eax, open_rights(%rip)
	xorl %eax, %eax		/* RIGHTS_ALL */
	xorl %edx, %edx
	wrpkru
	testl %eax, %eax
	jnz rights_violation
	/* Nobody else makes system calls. */
	cmpb $DOMAIN_APPLICATION, domain(%rip)
	jne rights_violation
	movb $DOMAIN_KERNEL, domain(%rip)
	incq counters + COUNTER_PKRU_SWITCHES(%rip)
	movq syscall_stack(%rip), %rsp
	pushq $SELECTOR_DATA
	pushq open_rsp(%rip)
	pushq %r11		/* rflags */
	orq $(RFLAGS_IF | RFLAGS_FIXED), (%rsp)
	pushq $SELECTOR_CODE
	pushq open_rcx(%rip)	/* rip */
	pushq open_rax(%rip)
	pushq open_vector(%rip)
	pushq open_rax(%rip)
	pushq %rbx
	pushq open_rcx(%rip)
	pushq open_rdx(%rip)
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
	movl open_rights(%rip), %eax
	movl %eax, FRAME_RIGHTS(%rsp)
	movq %rsp, %rdi
	pushq $(RFLAGS_IF | RFLAGS_FIXED)
	popfq
	call syscall_from_instruction
	cli
	movq %rsp, %rdi
	jmp trap_resume
	.globl syscall_instruction_end
syscall_instruction_end:

	.section WINDOW_OPEN, "aw", @progbits
	.balign 8
open_rsp:
	.skip 8
open_rax:
	.skip 8
open_rcx:
	.skip 8
open_rdx:
	.skip 8
open_rights:
	.skip 8
	.globl open_vector
open_vector:
	.skip 8
	.previous
#endif

	.section .note.GNU-stack, "", @progbits
