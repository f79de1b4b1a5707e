/*
 * Instructions that change PKRU, or could, and are no part of an entry or a return (isolation.h): each is
 * followed by what makes it useless to an application that jumps to it.
 */
#include "arch/x86_64/isolation.h"

	.section .text.rights, "ax", @progbits
	.globl rights_text_start
rights_text_start:

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

/* void rights_keep_and_xrstor(const void *area): PKRU is component 9 (SDM volume 1, 13.1). */
#define COMPONENT_PKRU (1 << 9)
	.globl rights_keep_and_xrstor
	.balign 16
rights_keep_and_xrstor:
	movl $~COMPONENT_PKRU, %eax
	movl $~0, %edx
	xrstor64 (%rdi)
#ifndef ISOLATION_NONE
	testl $COMPONENT_PKRU, %eax
	jnz rights_violation
#endif
	ret
	.globl rights_text_end
rights_text_end:

	.section .note.GNU-stack, "", @progbits
