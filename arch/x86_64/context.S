/*
 * Switching stacks, and the registers that a C function may not change (System V ABI for
 * AMD64, 3.2.1 and 3.2.3: rbx, rbp, r12-r15, the control bits of MXCSR, the x87 control word).
 */

/* struct context (arch/arch.h); context.c asserts them. */
#define STACK_POINTER 0
#define PREEMPTED 20

	.section .text.context, "ax", @progbits

/*
 * void context_swap(struct context *from, struct context *to): interrupts off. Returns when
 * somebody swaps back. Leaves `from` in the switched form; `to` may have either.
 */
	.globl context_swap
	.balign 16
context_swap:
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	subq $8, %rsp
	stmxcsr (%rsp)
	fnstcw 4(%rsp)
	movq %rsp, STACK_POINTER(%rdi)
	movl $0, PREEMPTED(%rdi)
	cmpl $0, PREEMPTED(%rsi)
	jne 1f
	movzwl 4(%rsp), %eax
	movq STACK_POINTER(%rsi), %rsp
	ldmxcsr (%rsp)
	cmpw %ax, 4(%rsp)
	jne 3f
2:	addq $8, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret
	/* The exceptions that `from` has noted in the status word must not become those of `to`, which
	 * may not mask them: fldcw itself would fault if one were pending (SDM volume 2, FLDCW). */
3:	fnclex
	fldcw 4(%rsp)
	jmp 2b
	/* Still on the stack of `from`, beneath what was saved. */
1:	movq %rsi, %rdi
	andq $-16, %rsp
	call context_resume_preempted
	ud2

/* Where a new thread starts: rbx = its function, r12 = the argument (context.c). */
	.globl context_start
	.balign 16
context_start:
	xorl %ebp, %ebp		/* the end of a backtrace */
	movq %r12, %rdi
	sti
	call *%rbx
	ud2			/* a thread's function does not return */

	.section .note.GNU-stack, "", @progbits
