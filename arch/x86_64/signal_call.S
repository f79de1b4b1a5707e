/*
 * void signal_call_on_stack(void (*handler)(int), int number, siginfo_t *info, void *context,
 *			     vaddr_t stack_top): as the name says; signal_frame.h.
 */
	.section .text.signal_call, "ax", @progbits
	.globl signal_call_on_stack
	.balign 16
signal_call_on_stack:
	pushq %rbp
	movq %rsp, %rbp
	movq %r8, %rsp
	andq $-16, %rsp
	movq %rdi, %rax
	movl %esi, %edi
	movq %rdx, %rsi
	movq %rcx, %rdx
	call *%rax
	movq %rbp, %rsp
	popq %rbp
	ret

	.section .note.GNU-stack, "", @progbits
