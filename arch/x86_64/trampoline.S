/*
 * The first instructions of every core but the first.
 *
 * A startup interrupt sets CS:IP to the start of TRAMPOLINE_PAGE in real mode, interrupts off (SDM
 * volume 3, 9.4.4.2). The code between trampoline_start and trampoline_end is copied there;
 * start_cores.c fills in trampoline_cr3 in the copy. It goes from real to 64-bit mode in one step,
 * on tables that map this page executable and read-only and nothing else writable at its address;
 * so it writes nothing. All cores run it at once and without a stack.
 */
#include "arch/x86_64/registers.h"
#include "arch/x86_64/start_cores.h"

#define OFFSET(label) ((label) - trampoline_start)

	.section .rodata.trampoline, "a", @progbits
	.balign 16
	.globl trampoline_start
trampoline_start:
	.code16
	cli
	cld
	movw %cs, %ax
	movw %ax, %ds
	lgdtl OFFSET(gdt_pointer)
	movl $CR4_PAE, %eax
	movl %eax, %cr4
	movl OFFSET(trampoline_cr3), %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	rdmsr
	orl $(EFER_LME | EFER_NXE), %eax
	wrmsr
	movl $(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG), %eax
	movl %eax, %cr0
	ljmpl $SELECTOR_CODE, $(TRAMPOLINE_PAGE + OFFSET(trampoline_64))

	.code64
trampoline_64:
	movabsq $start_core_entry, %rax
	jmpq *%rax

	.balign 8
trampoline_gdt:
	.quad 0
	.quad GDT_KERNEL_CODE
	.quad GDT_KERNEL_DATA
gdt_pointer:
	.word gdt_pointer - trampoline_gdt - 1
	.long TRAMPOLINE_PAGE + OFFSET(trampoline_gdt)
	.balign 4
	.globl trampoline_cr3
trampoline_cr3:
	.long 0
	.globl trampoline_end
trampoline_end:

/*
 * In the image, 64-bit mode, no stack: find this core's slot by its APIC identifier, report, wait
 * until start_cores.c has given the slot a stack (its last field to be written), and go on in C.
 */
	.section .text.start_core_entry, "ax", @progbits
	.globl start_core_entry
start_core_entry:
	movl $SELECTOR_DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs

	/* The identifier, into edx: as apic_id() in apic.c. */
	cpuid
	cmpl $0xb, %eax
	jb 1f
	movl $0xb, %eax
	xorl %ecx, %ecx
	cpuid
	testl %ebx, %ebx
	jnz 2f
1:	movl $1, %eax
	cpuid
	shrl $24, %ebx
	movl %ebx, %edx

2:	leaq start_slots(%rip), %rdi
	movl start_nslots(%rip), %ecx
3:	testl %ecx, %ecx
	jz 5f
	cmpl %edx, SLOT_APIC_ID(%rdi)
	je 4f
	addq $SLOT_SIZE, %rdi
	decl %ecx
	jmp 3b

4:	movl $1, SLOT_PRESENT(%rdi)
6:	pause
	movq SLOT_STACK(%rdi), %rsp
	testq %rsp, %rsp
	jz 6b
	movq SLOT_CR3(%rdi), %rax
	movq %rax, %cr3
	movl SLOT_CORE(%rdi), %edi
	xorl %ebp, %ebp		/* the end of a backtrace */
	pushq $0
	jmp start_core_main

	/* A core that nobody asked for. */
5:	cli
	hlt
	jmp 5b

	.section .note.GNU-stack, "", @progbits
