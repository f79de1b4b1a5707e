/*
 * Instructions that change PKRU, or could, and are no part of an entry or a return (isolation.h): each is
 * followed by what makes it useless to an application that jumps to it.
 */
#include "arch/x86_64/isolation.h"

	.section .text.rights, "ax", @progbits

/* void rights_write(uint32_t rights): without isolation. */
	.globl rights_write
	.balign 16
rights_write:
	movl %edi, %eax
	xorl %ecx, %ecx
	xorl %edx, %edx
	wrpkru
#ifndef ISOLATION_NONE
	cmpb $0, isolation_on(%rip)
	jne rights_violation
#endif
	ret

/*
 * void __kernel_set_rights(uint32_t rights): PKRU of the application thread that calls it (posix/libc/key.c). It
 * runs with the application's rights, on its stack, and no gate leads to it: who calls it, or jumps into it,
 * can close whatever it likes and open what is not the system's. The entries to the kernel find in the
 * register what the thread has chosen, and the returns put it back. It may fault, or be preempted, as any
 * code of the application's, and so is not among the kernel's text.
 */
	.section .application_text, "ax", @progbits
	.globl __kernel_set_rights
	.balign 16
__kernel_set_rights:
	movl %edi, %eax
	orl $RIGHTS_SYSTEM, %eax
	xorl %ecx, %ecx
	xorl %edx, %edx
	wrpkru
#ifndef ISOLATION_NONE
	andl $RIGHTS_SYSTEM, %eax
	cmpl $RIGHTS_SYSTEM, %eax
	jne rights_violation
#endif
	ret

	.section .text.rights, "ax", @progbits

/* void rights_keep_and_xrstor(const void *area, uint64_t components): PKRU is component 9 (SDM volume 1,
 * 13.1). */
#define COMPONENT_PKRU (1 << 9)
	.globl rights_keep_and_xrstor
	.balign 16
rights_keep_and_xrstor:
	movl %esi, %eax
	andl $~COMPONENT_PKRU, %eax
	movq %rsi, %rdx
	shrq $32, %rdx
	xrstor64 (%rdi)
#ifndef ISOLATION_NONE
	testl $COMPONENT_PKRU, %eax
	jnz rights_violation
#endif
	ret
	.globl rights_text_end
rights_text_end:

	.section .note.GNU-stack, "", @progbits
