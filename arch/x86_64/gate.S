/*
 * The gates: how an application's call of a system call changes domains (isolation.h).
 *
 * Each system call that is linked has a gate of its own name, which the build makes (tools/make-gates):
 *
 *	sys_read:	leaq gate_target_read(%rip), %rax
 *			jmp gate_call
 *	gate_target_read: .quad kernel_sys_read, gate_sys_read	among constants
 *
 * Without isolation that is a jump to the function, on the caller's stack. With it the function runs on
 * the thread's kernel stack, all its arguments kept in a struct trap_frame there, so that signals
 * find what they find at a `syscall` instruction; what does not change, and the callee-saved registers,
 * which the function keeps, are added to it only if somebody wants to see them.
 */
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/registers.h"
#include "arch/x86_64/static_branch.h"
#include "arch/x86_64/trap.h"

	.section .text.gate, "ax", @progbits
#ifndef ISOLATION_NONE

/* rax: a target; arguments in rdi rsi rdx rcx r8 r9, the return address on the stack. */
	.globl gate_call
	.balign 64
gate_call:
	cmpb $0, isolation_on(%rip)
	jne 1f
	incq counters + COUNTER_SYSTEM_CALLS(%rip)
	static_branch 4f
	jmp *(%rax)
	/* Until rsp is the kernel's, only registers and the open page may hold anything; and nobody else
	 * may run on this core. */
1:	cli
	movq %rax, open_target(%rip)
	popq open_rip(%rip)
	movq %rdx, %r11
	movq %rcx, %r10
	xorl %ecx, %ecx
	rdpkru
	movl %eax, open_rights(%rip)
	xorl %eax, %eax		/* RIGHTS_ALL */
	xorl %edx, %edx
	wrpkru
	testl %eax, %eax
	jnz rights_violation
	/* Nobody else makes system calls. */
	cmpb $DOMAIN_APPLICATION, domain(%rip)
	jne rights_violation
	movb $DOMAIN_KERNEL, domain(%rip)
	incq counters + COUNTER_SYSTEM_CALLS(%rip)
	addq $2, counters + COUNTER_PKRU_SWITCHES(%rip)
	movq %rsp, %rcx
	movq syscall_stack(%rip), %rsp
	/* Which function: one of the targets, whatever the open page says. */
	movq open_target(%rip), %rax
	cmpq $gate_targets_start, %rax
	jb 2f
	cmpq $gate_targets_end, %rax
	jae 2f
	testb $15, %al
	jnz 2f
	/* struct trap_frame; the rest is filled in below if it is wanted. */
	subq $FRAME_SIZE, %rsp
	movq %rcx, FRAME_RSP(%rsp)
	movq open_rip(%rip), %rcx
	movq %rcx, FRAME_RIP(%rsp)
	movl open_rights(%rip), %ecx
	movl %ecx, FRAME_RIGHTS(%rsp)
	movq %rax, FRAME_ERROR(%rsp)
	movq $TRAP_CALL, FRAME_VECTOR(%rsp)
	movq %rdi, FRAME_RDI(%rsp)
	movq %rsi, FRAME_RSI(%rsp)
	movq %r11, FRAME_RDX(%rsp)
	movq %r10, FRAME_RCX(%rsp)
	movq %r8, FRAME_R8(%rsp)
	movq %r9, FRAME_R9(%rsp)
	movq %r11, %rdx
	movq %r10, %rcx
	pushq $(RFLAGS_IF | RFLAGS_FIXED)
	popfq
	static_branch 5f
6:	call *(%rax)
	movq %rax, FRAME_RAX(%rsp)
	call syscall_is_over
	testb %al, %al
	jz 3f
	/* Back, and nothing of ours left in registers. */
	cli
	movb $DOMAIN_APPLICATION, domain(%rip)
	movq FRAME_RAX(%rsp), %r9
	movq FRAME_RIP(%rsp), %r10
	movl FRAME_RIGHTS(%rsp), %eax
	movq FRAME_RSP(%rsp), %rsp
	orl $RIGHTS_SYSTEM, %eax
	xorl %ecx, %ecx
	xorl %edx, %edx
	xorl %esi, %esi
	xorl %edi, %edi
	xorl %r8d, %r8d
	xorl %r11d, %r11d
	wrpkru
	andl $RIGHTS_SYSTEM, %eax
	cmpl $RIGHTS_SYSTEM, %eax
	jne rights_violation
	movq %r9, %rax
	xorl %r9d, %r9d
	sti
	jmp *%r10

	/* No target: whoever came here is the application still. */
2:	movb $DOMAIN_APPLICATION, domain(%rip)
	jmp rights_violation

	/* There is a signal's handler to run, or another frame to return by. */
3:	movl $SELECTOR_CODE, FRAME_CS(%rsp)
	movl $DOMAIN_APPLICATION, FRAME_DOMAIN(%rsp)
	movl $SELECTOR_DATA, FRAME_SS(%rsp)
	movq $(RFLAGS_IF | RFLAGS_FIXED), FRAME_RFLAGS(%rsp)
	movq FRAME_ERROR(%rsp), %rax
	movq 8(%rax), %rax
	movq %rax, FRAME_ERROR(%rsp)	/* where the call is made again */
	movq %rbx, FRAME_RBX(%rsp)
	movq %rbp, FRAME_RBP(%rsp)
	movq %r12, FRAME_R12(%rsp)
	movq %r13, FRAME_R13(%rsp)
	movq %r14, FRAME_R14(%rsp)
	movq %r15, FRAME_R15(%rsp)
	movq $0, FRAME_R10(%rsp)
	movq $0, FRAME_R11(%rsp)
	movq %rsp, %rdi
	call syscall_deliver_signals
	cli
	movq %rsp, %rdi
	jmp trap_resume
	/* While it is traced (lavra/trace.h). The caller's frame stays linked to the function's. */
4:	pushq %rbp
	movq %rsp, %rbp
	pushq %rdi
	pushq %rsi
	pushq %rdx
	pushq %rcx
	pushq %r8
	pushq %r9
	pushq %rax
	subq $8, %rsp
	movq (%rax), %rdi
	call trace_call_begins
	addq $8, %rsp
	popq %rax
	popq %r9
	popq %r8
	popq %rcx
	popq %rdx
	popq %rsi
	popq %rdi
	call *(%rax)
	pushq %rax
	subq $8, %rsp
	movq %rax, %rdi
	call trace_call_ends
	addq $8, %rsp
	popq %rax
	popq %rbp
	ret
5:	movq (%rax), %rdi
	call trace_call_begins
	movq FRAME_ERROR(%rsp), %rax
	movq FRAME_RDI(%rsp), %rdi
	movq FRAME_RSI(%rsp), %rsi
	movq FRAME_RDX(%rsp), %rdx
	movq FRAME_RCX(%rsp), %rcx
	movq FRAME_R8(%rsp), %r8
	movq FRAME_R9(%rsp), %r9
	jmp 6b
	.globl gate_call_end
gate_call_end:

	.section WINDOW_OPEN, "aw", @progbits
	.balign 8
open_target:
	.skip 8
open_rip:
	.skip 8
open_rights:
	.skip 8
#endif

	.section .note.GNU-stack, "", @progbits
