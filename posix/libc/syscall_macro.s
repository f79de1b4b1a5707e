# Read by the assembler before each of musl's .s files: the `syscall` instruction becomes a jump to
# the kernel with the instruction's own contract. Number in rax, arguments in rdi rsi rdx r10 r8
# r9, the address to return to in rcx, r11 lost, nothing pushed (clone() and __unmapself() rely
# on the stack staying as it is).
.macro syscall
	leaq	.Lreturn\@(%rip), %rcx
	jmp	__kernel_entry
.Lreturn\@:
.endm
