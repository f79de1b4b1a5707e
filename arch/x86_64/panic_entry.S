/*
 * void panic(const char *format, ...): a function in assembly, because a C function would have
 * changed registers before it could save them. It makes the same frame as a trap, of its caller's
 * registers, and what va_start() would: the arguments in registers in a row (System V ABI for
 * AMD64, 3.5.7).
 */
#include "arch/x86_64/registers.h"

	.section .text.panic, "ax", @progbits
	.globl panic
	.balign 16
panic:
	pushq %r11		/* saved here while it works as the caller's stack pointer */
	leaq 16(%rsp), %r11
	pushfq
	cli
	cld
	/* struct trap_frame, the last field first. */
	pushq $SELECTOR_DATA
	pushq %r11
	pushq -24(%r11)		/* rflags */
	pushq $SELECTOR_CODE
	pushq -8(%r11)		/* rip: the return address */
	pushq $0
	pushq $0
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
	pushq -16(%r11)		/* r11 */
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, %r10
	pushq %r9
	pushq %r8
	pushq %rcx
	pushq %rdx
	pushq %rsi
	pushq %rdi
	movq %r10, %rdi
	movq %rsp, %rsi
	movq %r11, %rdx
	andq $-16, %rsp
	call panic_entered
	ud2

	.section .note.GNU-stack, "", @progbits
