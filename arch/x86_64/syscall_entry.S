/*
 * __kernel_entry: what the `syscall` instruction has become in the C library's assembly files
 * (posix/libc/syscall_macro.s). The instruction's own contract: number in rax, arguments in rdi rsi
 * rdx r10 r8 r9, where to continue in rcx; the result goes to rax, rcx and r11 are lost, all
 * else is kept. The caller has pushed nothing, and uses no red zone: each stands where a function
 * could be called.
 *
 * Runs on the caller's stack. __unmapself() unmaps that very stack and then calls exit(): the
 * generic code finds it by stack_pointer and puts the unmapping off until the thread is gone.
 */
	.section .text.syscall_entry, "ax", @progbits
	.globl __kernel_entry
	.balign 16
__kernel_entry:
	/* A frame as after a call, for backtraces. */
	movq %rsp, %r11
	pushq %rcx
	pushq %rbp
	movq %rsp, %rbp
	/* struct syscall_frame, 15 words, on an aligned stack. */
	andq $-16, %rsp
	subq $8, %rsp
	pushq %r15
	pushq %r14
	pushq %r13
	pushq %r12
	pushq (%rbp)
	pushq %rbx
	pushq %r11
	pushq %rcx
	pushq %r9
	pushq %r8
	pushq %r10
	pushq %rdx
	pushq %rsi
	pushq %rdi
	pushq %rax
	movq %rsp, %rdi
	call syscall_from_registers
	/* A signal's handler may have changed where to continue. */
	movq 56(%rsp), %rcx
	movq %rcx, 8(%rbp)
	movq 8(%rsp), %rdi
	movq 16(%rsp), %rsi
	movq 24(%rsp), %rdx
	movq 32(%rsp), %r10
	movq 40(%rsp), %r8
	movq 48(%rsp), %r9
	movq %rbp, %rsp
	popq %rbp
	popq %rcx
	jmp *%rcx

	.section .note.GNU-stack, "", @progbits
