/*
 * Entry by the PVH protocol: a virtual machine monitor (QEMU -kernel, Cloud Hypervisor,
 * Firecracker) loads the ELF file by its physical addresses and jumps to the address in the note.
 *
 * State at entry (Xen, docs/misc/pvh.pandoc): 32-bit protected mode, flat segments, paging off,
 * interrupts off, ebx = physical address of struct hvm_start_info. Nothing else is promised, not
 * even a stack.
 *
 * This maps the image at its virtual address, page by page as the segments say (so no page is
 * writable and executable from the first moment on), the first 4 GiB at their own address and at
 * DIRECT_MAP, switches to 64-bit mode (SDM volume 3, 9.8.5) and calls boot_main(start info).
 */
#include "arch/x86_64/registers.h"

/* An entry that leads to a table: the entry of the page says what is allowed. */
#define TABLE (PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED)
#define PHYSICAL(symbol) (symbol - IMAGE_OFFSET)

	.section .note.Xen, "a", @note
	.balign 4
	.long 4			/* name */
	.long 8			/* descriptor */
	.long 18		/* XEN_ELFNOTE_PHYS32_ENTRY: xen/include/public/elfnote.h */
	.asciz "Xen"
	.quad PHYSICAL(pvh_start)

	.section .boot_text, "ax", @progbits
	.code32
	.globl pvh_start
pvh_start:
	cli
	cld
	movl $PHYSICAL(boot_stack_top), %esp
	movl %ebx, %ebp		/* the start info, until boot_main() */

	/* Long mode and no-execute pages: CPUID 80000001h, EDX bits 29 and 20 (SDM volume 2,
	 * CPUID). */
	movl $0x80000000, %eax
	cpuid
	cmpl $0x80000001, %eax
	jb boot_old_processor
	movl $0x80000001, %eax
	cpuid
	andl $(1 << 29 | 1 << 20), %edx
	cmpl $(1 << 29 | 1 << 20), %edx
	jne boot_old_processor

	/* The image at its virtual address. */
	movl $PHYSICAL(image_start), %esi
	movl $PHYSICAL(text_start), %edi
	movl $(PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY), %ecx
	movl $PTE_NX_HIGH, %edx
	call boot_map_image
	movl $PHYSICAL(text_start), %esi
	movl $PHYSICAL(text_end), %edi
	xorl %edx, %edx
	call boot_map_image
	movl $PHYSICAL(data_start), %esi
	movl $PHYSICAL(data_end), %edi
	movl $(PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY), %ecx
	movl $PTE_NX_HIGH, %edx
	call boot_map_image
	movl $PHYSICAL(symbols_start), %esi
	movl PHYSICAL(symbols_start) + 4, %edi /* the size in struct symbol_table */
	addl $PHYSICAL(symbols_start), %edi
	movl $(PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY), %ecx
	call boot_map_image

	/* Its page directory: the first table maps 2 MiB from the load address on. */
	movl $PHYSICAL(boot_image_tables), %eax
	movl $PHYSICAL(boot_image_directory), %edi
	movl $PHYSICAL(image_start), %ebx
	shrl $21, %ebx
1:	leal TABLE(%eax), %ecx
	movl %ecx, (%edi,%ebx,8)
	incl %ebx
	addl $4096, %eax
	cmpl $PHYSICAL(boot_image_tables_end), %eax
	jb 1b
	movl $(PHYSICAL(boot_image_directory) + TABLE), PHYSICAL(boot_image_pdpt) + 510 * 8

	/* The first 4 GiB, 2 MiB at a time, never executable: four directories in a row. */
	movl $PHYSICAL(boot_low_directories), %edi
	movl $(PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY | PTE_LARGE), %eax
	movl $2048, %ecx
1:	movl %eax, (%edi)
	movl $PTE_NX_HIGH, 4(%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 1b
	movl $(PHYSICAL(boot_low_directories) + TABLE), %eax
	movl $PHYSICAL(boot_low_pdpt), %edi
	movl $4, %ecx
1:	movl %eax, (%edi)
	addl $4096, %eax
	addl $8, %edi
	loop 1b

	/* For the switch the boot code's own page must be executable where it lies now. Its 2 MiB
	 * get a table of their own with just that page: nothing else there is reached by these
	 * addresses. */
	movl $PHYSICAL(text_start), %ebx
	movl %ebx, %eax
	shrl $12, %eax
	andl $511, %eax
	leal (PTE_PRESENT | PTE_ACCESSED)(%ebx), %ecx
	movl %ecx, PHYSICAL(boot_identity_table)(,%eax,8)
	shrl $21, %ebx
	movl $(PHYSICAL(boot_identity_table) + TABLE), PHYSICAL(boot_identity_directory)(,%ebx,8)
	movl $(PHYSICAL(boot_identity_directory) + TABLE), PHYSICAL(boot_identity_pdpt)

	movl $(PHYSICAL(boot_identity_pdpt) + TABLE), PHYSICAL(boot_pml4)
	movl $(PHYSICAL(boot_low_pdpt) + TABLE), PHYSICAL(boot_pml4) + 256 * 8
	movl $(PHYSICAL(boot_image_pdpt) + TABLE), PHYSICAL(boot_pml4) + 511 * 8

	/* 64-bit mode. */
	movl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $PHYSICAL(boot_pml4), %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	rdmsr
	orl $(EFER_LME | EFER_NXE), %eax
	wrmsr
	movl %ebp, %edi		/* the argument of boot_main() */
	/* The descriptors are fetched below, before paging moves them out of reach. */
	lgdt PHYSICAL(boot_gdt_pointer)
	movl $(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG), %eax
	movl %eax, %cr0
	ljmpl $8, $PHYSICAL(boot_64)

/* Map physical [esi, edi) of the image; attributes: low half ecx, high half edx. Keeps ecx, edx. */
boot_map_image:
	cmpl %edi, %esi
	jae 2f
1:	movl %esi, %eax
	subl $PHYSICAL(image_start), %eax
	shrl $9, %eax		/* page number times the 8 bytes of an entry */
	leal (%ecx,%esi), %ebx
	movl %ebx, PHYSICAL(boot_image_tables)(%eax)
	movl %edx, PHYSICAL(boot_image_tables) + 4(%eax)
	addl $4096, %esi
	cmpl %edi, %esi
	jb 1b
2:	ret

/* Nothing works yet but the serial port; its transmitter is empty at reset. */
boot_old_processor:
	movl $PHYSICAL(boot_old_processor_text), %esi
1:	lodsb
	testb %al, %al
	jz 3f
	movb %al, %bl
	movw $0x3fd, %dx	/* line status: bit 5 = transmit holding register empty */
	movl $100000, %ecx
2:	inb %dx, %al
	testb $0x20, %al
	loopz 2b
	movb %bl, %al
	movw $0x3f8, %dx
	outb %al, %dx
	jmp 1b
3:	movb $125, %al		/* EXIT_PANIC, to isa-debug-exit as power.c does */
	movw $0xf4, %dx
	outb %al, %dx
4:	cli
	hlt
	jmp 4b

	.balign 8
boot_old_processor_text:
	.asciz "lavra: this processor has no 64-bit mode or no NX pages (qemu: -cpu max)\r\n"

	/* Null, 64-bit code, data; fetched by physical address, so it lies in the boot page. */
	.balign 8
boot_gdt:
	.quad 0
	.quad GDT_KERNEL_CODE
	.quad GDT_KERNEL_DATA
boot_gdt_pointer:
	.word boot_gdt_pointer - boot_gdt - 1
	.long PHYSICAL(boot_gdt)

	.code64
boot_64:
	movl %edi, %edi
	movabsq $boot_high, %rax
	jmpq *%rax

	.section .text.boot_high, "ax", @progbits
boot_high:
	leaq boot_stack_top(%rip), %rsp
	xorl %ebp, %ebp		/* the end of a backtrace */
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	/* ret into the function: the frame looks like a call from nowhere. */
	pushq $0
	jmp boot_main

	.section .bss.page_aligned, "aw", @nobits
	.balign 4096
boot_low_pdpt:
	.skip 4096
boot_low_directories:
	.skip 4 * 4096
	.globl boot_identity_pdpt
boot_identity_pdpt:
	.skip 4096
	.globl boot_identity_directory
boot_identity_directory:
	.skip 4096
	.globl boot_identity_table
boot_identity_table:
	.skip 4096
	.globl boot_image_pdpt
boot_image_pdpt:
	.skip 4096
	.globl boot_image_directory
boot_image_directory:
	.skip 4096
	.globl boot_pml4
boot_pml4:
	.skip 4096
	/* Left unmapped by paging.c: an overflow faults instead of writing into the tables. */
	.globl boot_stack_guard
boot_stack_guard:
	.skip 4096
	.skip BOOT_STACK_SIZE
	.globl boot_stack_top
boot_stack_top:

	.section .note.GNU-stack, "", @progbits
