/*
 * Copying from and to memory that may not be there (user_access.h). user_access_failed() continues a
 * fault between user_access_start and user_access_end at user_access_error: so nothing in between may
 * have pushed anything.
 *
 * Each begins with the rights of the kernel or, once an application has a protection key, with fewer: it then
 * goes the way over with_user_rights, which calls it behind that beginning.
 */
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/trap.h"

#ifdef ISOLATION_NONE
	.macro user_rights
	.endm
#else
	/* Neither rax nor the flags are an argument. */
	.macro user_rights
	cmpb $0, user_keys(%rip)
	je 9f
	leaq 9f(%rip), %rax
	jmp with_user_rights
9:
	.endm
#endif

	.section .text.user_access, "ax", @progbits
	.globl user_access_start
	.balign 16
user_access_start:

/* As kernel_memcpy() (memory.S), and for its reasons. */
	.set REPEAT_FROM, 512

	.globl user_copy
	.balign 16
user_copy:
	user_rights
	cmpq $16, %rdx
	jbe 3f
	movq -16(%rsi,%rdx), %r8
	movq -8(%rsi,%rdx), %r9
	leaq (%rdi,%rdx), %r10
	cmpq $REPEAT_FROM, %rdx
	jae 2f
	/* All but the last 1 to 16 bytes. */
1:	movq (%rsi), %rcx
	movq 8(%rsi), %r11
	movq %rcx, (%rdi)
	movq %r11, 8(%rdi)
	addq $16, %rsi
	addq $16, %rdi
	subq $16, %rdx
	cmpq $16, %rdx
	ja 1b
	movq %r8, -16(%r10)
	movq %r9, -8(%r10)
	movl $1, %eax
	ret
2:	movq %rdx, %rcx
	shrq $3, %rcx
	rep movsq
	movq %r9, -8(%r10)
	movl $1, %eax
	ret
3:	cmpl $8, %edx
	jb 4f
	movq (%rsi), %rcx
	movq -8(%rsi,%rdx), %r8
	movq %rcx, (%rdi)
	movq %r8, -8(%rdi,%rdx)
	movl $1, %eax
	ret
4:	movl %edx, %ecx
	rep movsb
	movl $1, %eax
	ret

	.globl user_copy_16
	.balign 16
user_copy_16:
	user_rights
	movq (%rsi), %rax
	movq 8(%rsi), %rcx
	movq %rax, (%rdi)
	movq %rcx, 8(%rdi)
	movl $1, %eax
	ret

	.globl user_copy_8
	.balign 16
user_copy_8:
	user_rights
	movq (%rsi), %rax
	movq %rax, (%rdi)
	movl $1, %eax
	ret

	.globl user_copy_4
	.balign 16
user_copy_4:
	user_rights
	movl (%rsi), %eax
	movl %eax, (%rdi)
	movl $1, %eax
	ret

	.globl user_copy_2
	.balign 16
user_copy_2:
	user_rights
	movzwl (%rsi), %eax
	movw %ax, (%rdi)
	movl $1, %eax
	ret

	.globl user_store_12
	.balign 16
user_store_12:
	user_rights
	movl %esi, (%rdi)
	movq %rdx, 4(%rdi)
	movl $1, %eax
	ret

	.globl user_clear
	.balign 16
user_clear:
	user_rights
	xorl %eax, %eax
	movq %rsi, %rcx
	rep stosb
	movl $1, %eax
	ret

	/* (address, limit, size_t *length): the index of the first zero byte, or the limit. */
	.globl user_find_zero
	.balign 16
user_find_zero:
	user_rights
	xorl %eax, %eax
	cmpq %rsi, %rax
	jae 2f
1:	cmpb $0, (%rdi,%rax)
	je 2f
	incq %rax
	cmpq %rsi, %rax
	jb 1b
2:	movq %rax, (%rdx)
	movl $1, %eax
	ret

	/* What fails is the first instruction that touches the word, so it is the same for both. */
	.globl user_exchange_word
	.balign 16
user_exchange_word:
	user_rights
	movl %esi, %eax
	lock cmpxchgl %edx, (%rdi)
	movl %eax, (%rcx)
	movl $1, %eax
	ret

	.globl user_access_end
user_access_end:

	.globl user_access_error
user_access_error:
	xorl %eax, %eax
	ret

#ifndef ISOLATION_NONE
/*
 * Call rax, with rights of the application over its own keys, and all over the system's (isolation.h): those
 * that were lent, or those of the current thread's call, whose frame lies at the top of its stack. Both
 * changes of rights are the kernel's alone.
 */
	.balign 16
with_user_rights:
	pushq %rax
	movq %rdx, %r8
	movq %rcx, %r9
	movl user_rights_lent(%rip), %eax
	testl %eax, %eax
	jnz 1f
	movq syscall_stack(%rip), %rax
	/* A kernel thread has none, and its own rights. */
	testq %rax, %rax
	jz 1f
	movl FRAME_RIGHTS - FRAME_SIZE(%rax), %eax
1:	andl $~RIGHTS_SYSTEM, %eax
	xorl %ecx, %ecx
	xorl %edx, %edx
	wrpkru
	cmpb $DOMAIN_KERNEL, domain(%rip)
	jne rights_violation
	movq %r8, %rdx
	movq %r9, %rcx
	popq %rax
	call *%rax
	movl %eax, %r8d
	xorl %eax, %eax		/* RIGHTS_ALL */
	xorl %ecx, %ecx
	xorl %edx, %edx
	wrpkru
	cmpb $DOMAIN_KERNEL, domain(%rip)
	jne rights_violation
	movl %r8d, %eax
	ret
#endif

	.section .note.GNU-stack, "", @progbits
