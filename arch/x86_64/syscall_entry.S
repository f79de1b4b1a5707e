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
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/registers.h"
#include "arch/x86_64/trap.h"

	.section .text.syscall_entry, "ax", @progbits
	.globl __kernel_entry
	.balign 16
__kernel_entry:
#ifndef ISOLATION_NONE
	cmpb $0, isolation_on(%rip)
	je 1f
	/* As by the instruction itself (syscall_instruction.S). */
	cli
	movl $(RFLAGS_IF | RFLAGS_FIXED), %r11d
	movq $TRAP_ENTRY, open_vector(%rip)
	jmp isolated_registers
1:
#endif
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

#ifndef ISOLATION_NONE
/* long kernel_syscall(long number, six longs): for numbers that are known only at run time. */
	.section .text.gate.kernel_syscall, "ax", @progbits
	.globl gate_kernel_syscall
gate_kernel_syscall:
	cmpb $0, isolation_on(%rip)
	jne 1f
	incq counters + COUNTER_SYSTEM_CALLS(%rip)
	jmp kernel_syscall
1:	movq %rdi, %rax
	movq %rsi, %rdi
	movq %rdx, %rsi
	movq %rcx, %rdx
	movq %r8, %r10
	movq %r9, %r8
	movq 8(%rsp), %r9
	leaq 2f(%rip), %rcx
	jmp __kernel_entry
2:	ret
#endif

	.section .note.GNU-stack, "", @progbits
