/*
 * A system call that arrives in registers, from the few assembly files of the C library that
 * hold a `syscall` instruction (syscall_entry.S).
 */
#pragma once

#include "lavra/types.h"

/* In the order in which syscall_entry.S pushes them, the last first. */
struct syscall_frame {
	uint64_t number;
	uint64_t arguments[6]; /* rdi, rsi, rdx, r10, r8, r9 */
	uint64_t return_address;
	uint64_t stack_pointer; /* the caller's */
	uint64_t rbx, rbp, r12, r13, r14, r15;
};

/* Implemented by the generic code (posix/): perform the call, return its result. */
long syscall_from_registers(struct syscall_frame *frame);
