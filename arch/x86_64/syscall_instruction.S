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
#include "arch/x86_64/registers.h"
#include "arch/x86_64/trap.h"

	.section .text.syscall_instruction, "ax", @progbits
	.globl syscall_instruction_entry
	.balign 64
syscall_instruction_entry:
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

/* void arch_start_program(uint64_t entry, void *stack_pointer): rdx = 0 says that there is nothing
 * to call at exit (System V ABI for AMD64, 3.4.1). */
	.globl arch_start_program
arch_start_program:
	movq %rdi, %rcx
	movq %rsi, %rsp
	xorl %eax, %eax
	xorl %ebx, %ebx
	xorl %edx, %edx
	xorl %esi, %esi
	xorl %edi, %edi
	xorl %ebp, %ebp
	xorl %r8d, %r8d
	xorl %r9d, %r9d
	xorl %r10d, %r10d
	xorl %r11d, %r11d
	xorl %r12d, %r12d
	xorl %r13d, %r13d
	xorl %r14d, %r14d
	xorl %r15d, %r15d
	jmp *%rcx

	.section .note.GNU-stack, "", @progbits
