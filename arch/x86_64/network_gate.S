/*
 * The gates of the network: how the kernel calls it, and it calls the kernel (isolation.h).
 *
 * Each function of the network that the kernel calls has one, and each of the kernel's that the network
 * calls, which the build makes (tools/make-network-gates):
 *
 *	socket_bind:		leaq network_entry_socket_bind(%rip), %rax
 *				jmp network_call
 *	network_entry_socket_bind: .quad network_socket_bind	among constants
 *
 *	service_arch_random:	leaq network_target_arch_random(%rip), %rax
 *				jmp network_service
 *	network_target_arch_random: .quad network_service_arch_random
 *
 * Without isolation both are jumps. With it the network runs on a stack of its own, of this core, with its
 * own rights. It cannot be interrupted for another thread, and is not entered twice.
 * What it answers is one word; what is longer lies in the exchange (net/exchange.h).
 */
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/network_rights.inc"
#include "arch/x86_64/registers.h"

/* musl's <errno.h> has it, too, and more that is not for the assembler. */
#define ENETDOWN 100

	.section .text.network_gate, "ax", @progbits
#ifdef ISOLATION_NONE
	.globl network_call, network_service
network_call:
network_service:
	jmp *(%rax)
#else

	/* What a function keeps; rbp so that backtraces find the caller. */
	.macro push_kept
	pushq %rbp
	movq %rsp, %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	.endm

	.macro pop_kept
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	.endm

/* rax: where the function's address is; its arguments in rdi rsi rdx rcx r8 r9. */
	.globl network_call
	.balign 64
network_call:
	cmpb $0, isolation_on(%rip)
	jne 1f
	jmp *(%rax)
1:	cmpq $NETWORK_IDLE, network_caller(%rip)
	jne 4f
	push_kept
	pushfq			/* for its interrupt flag, and so that no other flag comes back changed */
	cli
	movq (%rax), %r11
	movq (%rsp), %r10
	movq %rdx, %r14
	movq %rcx, %r15
	movq %rsp, network_caller(%rip)
	movq network_stack(%rip), %rsp
	movb $1, network_runs(%rip)
	movb $DOMAIN_NETWORK, domain(%rip)
	addq $2, counters + COUNTER_PKRU_SWITCHES(%rip)
	take_network_rights
	movq %r14, %rdx
	movq %r15, %rcx
	xorl %eax, %eax
	xorl %ebx, %ebx
	xorl %ebp, %ebp
	xorl %r12d, %r12d
	xorl %r13d, %r13d
	xorl %r14d, %r14d
	xorl %r15d, %r15d
	testl $RFLAGS_IF, %r10d
	jz 2f
	sti
2:	call *%r11
	cli
	movq %rax, %r8
	leave_network_rights
	movq network_caller(%rip), %rsp
	movq %r8, %rax
	movb $0, network_runs(%rip)
	movq $NETWORK_IDLE, network_caller(%rip)
	popfq
	pop_kept
	cmpl $0, network_exchange(%rip)
	jne 3f
	ret
3:	pushq %rax
	call network_attend
	popq %rax
	ret

	/* It is down, or the kernel makes a mistake. */
4:	cmpq $NETWORK_DOWN, network_caller(%rip)
	jne network_entered_twice
	movq $-ENETDOWN, %rax
	ret

/* void network_give_up(void): the call that is under way is over; its caller gets -ENETDOWN, and nobody enters
 * the network until it has begun anew. Kernel's rights, interrupts off. Does not return. */
	.globl network_give_up
network_give_up:
	movq network_caller(%rip), %rsp
	movb $DOMAIN_KERNEL, domain(%rip)
	movb $0, network_runs(%rip)
	movq $NETWORK_DOWN, network_caller(%rip)
	popfq
	pop_kept
	movq $-ENETDOWN, %rax
	ret

/* rax: where the address of the kernel's function is; its arguments in rdi rsi rdx rcx. Also called by
 * the kernel itself, which runs code of the network's at boot. */
	.globl network_service
	.balign 64
network_service:
	cmpb $0, network_runs(%rip)
	jne 1f
	jmp *(%rax)
1:	cli
	movq %rax, %r11
	movq %rdx, %r10
	movq %rcx, %r9
	leave_network_rights
	movq %rsp, network_stack_pointer(%rip)
	movq network_caller(%rip), %rsp
	addq $2, counters + COUNTER_PKRU_SWITCHES(%rip)
	cld
	/* Which function: one of the targets, whatever the network says. */
	cmpq $network_targets_start, %r11
	jb 4f
	cmpq $network_targets_end, %r11
	jae 4f
	testb $7, %r11b
	jnz 4f
	movq %r10, %rdx
	movq %r9, %rcx
	testl $RFLAGS_IF, (%rsp)
	jz 2f
	sti
2:	call *(%r11)
	cli
	movq %rax, %rdi
	movl (%rsp), %esi
	movq network_stack_pointer(%rip), %rsp
	movb $DOMAIN_NETWORK, domain(%rip)
	take_network_rights
	testl $RFLAGS_IF, %esi
	jz 3f
	sti
3:	movq %rdi, %rax
	xorl %esi, %esi
	xorl %edi, %edi
	xorl %r8d, %r8d
	xorl %r9d, %r9d
	xorl %r10d, %r10d
	xorl %r11d, %r11d
	ret
4:	movb $DOMAIN_NETWORK, domain(%rip)
	jmp rights_violation
	.globl network_gate_end
network_gate_end:

network_entered_twice:
	call network_was_entered_twice
	ud2

	.section .core_window.network_gate, "aw", @progbits
	.balign 8
	/* Where the kernel's stack is while the network runs; or NETWORK_IDLE, or NETWORK_DOWN. */
	.globl network_caller
network_caller:
	.skip 8
	.globl network_stack
network_stack:
	.skip 8
	/* Where the network's is during a service. */
network_stack_pointer:
	.skip 8

	.section .network.core_window.gate, "aw", @progbits
	/* The network's own note of it, which the kernel makes. */
	.globl network_runs
network_runs:
	.skip 8
#endif

	.section .note.GNU-stack, "", @progbits
