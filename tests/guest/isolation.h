/*
 * Places in memory, and who may do what there: what kernel_isolation.c tells posix_isolation.c, so that it
 * can try. Each domain (arch/x86_64/isolation.h) is a bit.
 */
#pragma once

#include <stdint.h>

#define BY_APPLICATION 1u
#define BY_KERNEL 2u
#define BY_NETWORK 4u
#define BY_ALL (BY_APPLICATION | BY_KERNEL | BY_NETWORK)

struct isolation_place {
	const char *what; /* among constants */
	uintptr_t address; /* of a byte */
	unsigned readers, writers;
	int code; /* si_code of a try that is forbidden */
};

#define ISOLATION_PLACES_MAX 400
/* So many of them lie in a block of frames of this order. */
#define ISOLATION_PLACES_ORDER 2

/* Places as this thread on this core sees them; `mine` is memory of the application's. Returns how many. For
 * the application, and for the kernel. */
long sys_isolation_places(struct isolation_place *places, long most, const void *mine);
long isolation_find_places(struct isolation_place *places, long most, const void *mine);
/* What the kernel has put here and there, and watches: 0 if it is all as it was. */
long sys_isolation_damage(void);

/* Code of the kernel's to jump to. */
struct isolation_code {
	uintptr_t start, end; /* every byte of it may be jumped to */
};
enum {
	CODE_ENTRIES, /* interrupts and exceptions, one every 16 bytes */
	CODE_GATE, /* gate_call to its end */
	CODE_TRAP, /* the entries' common parts */
	CODE_INSTRUCTION, /* the syscall instruction's */
	CODE_RIGHTS, /* rights.S */
	CODE_SWAP, /* context_swap() */
	NCODES,
};
struct isolation_targets {
	struct isolation_code code[NCODES];
	/* Instructions that can change PKRU, at whatever alignment their bytes are found. */
	uintptr_t sites[64];
	long nsites;
	uintptr_t rights_write, xrstor, resume, resume_preempted, kernel_call, kernel_function;
	uintptr_t open_start, open_end; /* of the window */
	uintptr_t text_start, text_end; /* of the image, with its constants */
	uintptr_t data_start, data_end; /* the application's */
};
long sys_isolation_targets(struct isolation_targets *targets);
/* How long the instruction there is, in the kernel's text; or -EINVAL. */
long sys_isolation_instruction(uintptr_t address);
