/*
 * The system calls of Linux in place of the kernel: what a program that was compiled for an image is
 * linked with to run on the machine that builds (lavra-gcc, LAVRA_TARGET=linux).
 */
	.text

/* sys_<name>(): the C convention differs from that of the instruction in one register, and the C
 * library takes -errno as it comes. */
#define K(number, name)     \
	.global sys_##name; \
	sys_##name:         \
	movl $number, %eax; \
	movq %rcx, %r10;    \
	syscall;            \
	ret;
#include "syscall_list.h"

/* long kernel_syscall(long number, six longs) */
	.global kernel_syscall
kernel_syscall:
	movq %rdi, %rax
	movq %rsi, %rdi
	movq %rdx, %rsi
	movq %rcx, %rdx
	movq %r8, %r10
	movq %r9, %r8
	movq 8(%rsp), %r9
	syscall
	ret

/* void __kernel_set_rights(uint32_t rights): PKRU (posix/libc/key.c). */
	.global __kernel_set_rights
__kernel_set_rights:
	movl %edi, %eax
	xorl %ecx, %ecx
	xorl %edx, %edx
	wrpkru
	ret

/* What the instruction is to musl's assembly (syscall_macro.s): the address to return to is in rcx,
 * which the instruction overwrites, and nothing may be pushed. It waits below the stack, where
 * neither a signal handler nor musl's own code writes; for a new thread below its own. */
	.global __kernel_entry
__kernel_entry:
	movq %rcx, -8(%rsp)
	cmpl $56, %eax /* clone */
	jne 1f
	movq %rcx, -8(%rsi)
1:	syscall
	jmp *-8(%rsp)

/* argc, argv and the rest lie at the stack's top. */
	.global _start
_start:
	xorl %ebp, %ebp
	movl (%rsp), %esi
	leaq 8(%rsp), %rdx
	movq $main, %rdi
	xorl %ecx, %ecx
	xorl %r8d, %r8d
	xorl %r9d, %r9d
	andq $-16, %rsp
	call __libc_start_main
	hlt

	.section .note.GNU-stack, "", @progbits
