/*
 * memcpy, memmove, memset, memcmp for the kernel: general registers only, because the kernel does
 * not touch the application's vector registers.
 *
 * Up to 16 bytes are two moves that may overlap; up to REPEAT_FROM a loop of 16; beyond that the
 * string instructions, by words: as fast as by bytes where those are fast, and far faster in
 * an emulator.
 */
	.set REPEAT_FROM, 512

	.section .text.memory, "ax", @progbits

/*
 * void *memmove(void *to, const void *from, size_t len)
 * void *memcpy(): the same function, from where a forward copy is known to be right.
 */
	.globl kernel_memmove
	.balign 16
kernel_memmove:
	movq %rdi, %rax
	subq %rsi, %rax
	cmpq %rdx, %rax
	jb copy_backward	/* `to` lies inside the source */

/* Also right for `to` below an overlapping `from`: each step loads before it stores, and the last
 * words are loaded before the first store. */
	.globl kernel_memcpy
kernel_memcpy:
	movq %rdi, %rax
	cmpq $16, %rdx
	jbe copy_small
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
	ret
2:	movq %rdx, %rcx
	shrq $3, %rcx
	rep movsq
	movq %r9, -8(%r10)
	ret

copy_small:
	cmpl $8, %edx
	jb 1f
	movq (%rsi), %rcx
	movq -8(%rsi,%rdx), %r8
	movq %rcx, (%rdi)
	movq %r8, -8(%rdi,%rdx)
	ret
1:	cmpl $4, %edx
	jb 2f
	movl (%rsi), %ecx
	movl -4(%rsi,%rdx), %r8d
	movl %ecx, (%rdi)
	movl %r8d, -4(%rdi,%rdx)
	ret
2:	cmpl $1, %edx
	jb 4f
	je 3f
	movzwl (%rsi), %ecx
	movzbl -1(%rsi,%rdx), %r8d
	movw %cx, (%rdi)
	movb %r8b, -1(%rdi,%rdx)
	ret
3:	movzbl (%rsi), %ecx
	movb %cl, (%rdi)
4:	ret

/* From the end; the first words are loaded before the first store. */
copy_backward:
	movq %rdi, %rax
	cmpq $16, %rdx
	jbe copy_small
	movq (%rsi), %r8
	movq 8(%rsi), %r9
1:	movq -8(%rsi,%rdx), %rcx
	movq -16(%rsi,%rdx), %r11
	movq %rcx, -8(%rdi,%rdx)
	movq %r11, -16(%rdi,%rdx)
	subq $16, %rdx
	cmpq $16, %rdx
	ja 1b
	movq %r8, (%rdi)
	movq %r9, 8(%rdi)
	ret

/* void *memset(void *to, int byte, size_t len) */
	.globl kernel_memset
	.balign 16
kernel_memset:
	movq %rdi, %r8
	movzbl %sil, %eax
	movabsq $0x0101010101010101, %rcx
	imulq %rcx, %rax
	cmpq $8, %rdx
	jb 3f
	movq %rax, -8(%rdi,%rdx)
	movq %rdx, %rcx
	shrq $3, %rcx
	cmpq $REPEAT_FROM / 8, %rcx
	jae 2f
1:	movq %rax, (%rdi)
	addq $8, %rdi
	decq %rcx
	jnz 1b
	movq %r8, %rax
	ret
2:	rep stosq
	movq %r8, %rax
	ret
3:	testl %edx, %edx
	jz 5f
4:	movb %al, -1(%rdi,%rdx)
	decl %edx
	jnz 4b
5:	movq %r8, %rax
	ret

/* int memcmp(const void *a, const void *b, size_t len) */
	.globl kernel_memcmp
	.balign 16
kernel_memcmp:
	cmpq $8, %rdx
	jb 2f
1:	movq (%rdi), %rax
	movq (%rsi), %rcx
	cmpq %rcx, %rax
	jne 4f
	addq $8, %rdi
	addq $8, %rsi
	subq $8, %rdx
	cmpq $8, %rdx
	jae 1b
2:	testl %edx, %edx
	jz 3f
	movzbl (%rdi), %eax
	movzbl (%rsi), %ecx
	subl %ecx, %eax
	jne 5f
	incq %rdi
	incq %rsi
	decl %edx
	jmp 2b
3:	xorl %eax, %eax
5:	ret
	/* The lowest address decides: make it the highest byte. */
4:	bswapq %rax
	bswapq %rcx
	xorl %edx, %edx
	cmpq %rcx, %rax
	seta %dl
	sbbl $0, %edx
	movl %edx, %eax
	ret

	/* The names of <string.h>; a host test, whose own those are, includes the file without
	 * them. */
	.ifndef memory_host_test
	.globl memmove, memcpy, memset, memcmp
	.set memmove, kernel_memmove
	.set memcpy, kernel_memcpy
	.set memset, kernel_memset
	.set memcmp, kernel_memcmp
	.endif

	.section .note.GNU-stack, "", @progbits
