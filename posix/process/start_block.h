/*
 * What a program finds on its stack when it starts: argc, argv, the environment and the auxiliary
 * vector, in one block of words, with the strings above it, as Linux puts them there (System V ABI
 * for AMD64, 3.4.1).
 */
#pragma once

#include "lavra/types.h"

struct start_program {
	const char *path; /* AT_EXECFN */
	int argc;
	char *const *argv;
	vaddr_t headers; /* AT_PHDR and its company: the ELF program headers in memory */
	unsigned header_size, nheaders;
	vaddr_t base; /* AT_BASE: of the dynamic linker, or 0 */
	vaddr_t entry; /* AT_ENTRY */
	const char *vdso; /* AT_SYSINFO_EHDR, or NULL */
};

/* An application's stack, of 8 MiB above a guard page; its pages appear when they are touched.
 * Returns its end, page-aligned, or NULL when memory is out. Thread context. */
void *start_stack_create(void);

/* Put the block at the end of the stack. Returns where it starts, 16-byte aligned: the word is
 * argc. The rest of the stack lies beneath it. NULL if arguments and environment need more than a
 * quarter of the stack, or memory is out. */
unsigned long *start_block_build(void *stack_end, const struct start_program *program);

/* Put "NAME=VALUE" into the environment, unless the name is there or there is no room. The text
 * lives for ever. */
void start_environment_default(const char *text);
