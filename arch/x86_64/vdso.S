/*
 * The vDSO: a shared library that programs for Linux find in memory (AT_SYSINFO_EHDR), with the
 * calls that are made most often. Here they are the system calls themselves, as function calls, like those
 * of images that are linked with Lavra.
 *
 * It is neither copied nor mapped: it lies in the kernel's text, and arch_vdso is where it begins.
 * ELF structures: System V gABI 4.1, chapters 4 and 5; hashes of names: there, too; versions of
 * symbols: Linux Standard Base 5.0 Core, 10.7. Places are measured from the beginning.
 */
#define ELF64_HEADER_SIZE 64
#define PROGRAM_HEADER_SIZE 56
#define SYMBOL_SIZE 24

	.section .text.vdso, "ax", @progbits
	.globl arch_vdso
	.balign 4096
arch_vdso:
	/* The header: 64-bit, least significant byte first; ET_DYN, EM_X86_64, version 1. */
	.byte 0x7f
	.ascii "ELF"
	.byte 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0
	.short 3, 62
	.long 1
	.quad 0
	.quad vdso_headers - arch_vdso
	.quad 0
	.long 0
	.short ELF64_HEADER_SIZE, PROGRAM_HEADER_SIZE, 2, 0, 0, 0

vdso_headers:
	/* PT_LOAD, readable and executable: all of it, at 0. */
	.long 1, 5
	.quad 0, 0, 0, vdso_limit - arch_vdso, vdso_limit - arch_vdso, 4096
	/* PT_DYNAMIC, readable. */
	.long 2, 4
	.quad vdso_dynamic - arch_vdso, vdso_dynamic - arch_vdso, vdso_dynamic - arch_vdso
	.quad vdso_dynamic_end - vdso_dynamic, vdso_dynamic_end - vdso_dynamic, 8

vdso_dynamic:
	.quad 14, name_of_library - vdso_strings	/* DT_SONAME */
	.quad 4, vdso_hashes - arch_vdso		/* DT_HASH */
	.quad 5, vdso_strings - arch_vdso		/* DT_STRTAB */
	.quad 10, vdso_strings_end - vdso_strings		/* DT_STRSZ */
	.quad 6, vdso_symbols - arch_vdso		/* DT_SYMTAB */
	.quad 11, SYMBOL_SIZE			/* DT_SYMENT */
	.quad 0x6ffffff0, vdso_versions - arch_vdso	/* DT_VERSYM */
	.quad 0x6ffffffc, vdso_definitions - arch_vdso /* DT_VERDEF */
	.quad 0x6ffffffd, 2			/* DT_VERDEFNUM */
	.quad 0, 0
vdso_dynamic_end:

	/* A global function; the section's number is any but that of undefined symbols. */
	.macro symbol function
	.long name_of_\function - vdso_strings
	.byte 0x12, 0
	.short 1
	.quad vdso_\function - arch_vdso, vdso_end_\function - vdso_\function
	.endm
vdso_symbols:
	.fill SYMBOL_SIZE
	symbol clock_gettime
	symbol gettimeofday
	symbol time
	symbol getcpu
	symbol clock_getres

	/* One bucket, whose chain goes through all symbols. */
vdso_hashes:
	.long 1, 6
	.long 1
	.long 0, 2, 3, 4, 5, 0

vdso_versions:
	.short 0, 2, 2, 2, 2, 2

	.balign 4
vdso_definitions:
	/* The library itself, then the version that all symbols have. */
	.short 1, 1, 1, 1
	.long 0x0deebfa1
	.long 20, 28
	.long name_of_library - vdso_strings, 0
	.short 1, 0, 2, 1
	.long 0x03ae75f6
	.long 20, 0
	.long name_of_version - vdso_strings, 0

	.macro name of
name_of_\of:
	.asciz "__vdso_\of"
	.endm
vdso_strings:
	.byte 0
name_of_library:
	.asciz "linux-vdso.so.1"
name_of_version:
	.asciz "LINUX_2.6"
	name clock_gettime
	name gettimeofday
	name time
	name getcpu
	name clock_getres
vdso_strings_end:

	.macro function name
	.balign 16
vdso_\name:
#ifdef ISOLATION_NONE
	jmp sys_\name
#else
	jmp called_sys_\name
#endif
vdso_end_\name:
	.endm
	function clock_gettime
	function gettimeofday
	function time
	function getcpu
	function clock_getres
vdso_limit:

	.section .note.GNU-stack, "", @progbits
