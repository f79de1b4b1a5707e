/*
 * The frame on the stack by which Linux calls a signal handler, and by which rt_sigreturn(2) goes back:
 * struct rt_sigframe of its arch/x86/include/asm/sigframe.h, with the extended registers as XSAVE
 * stores them and the marks in them that C libraries, Go and Rust look for.
 */
#pragma once

#include "lavra/types.h"

#include <signal.h>

struct trap_frame;
struct syscall_frame;

/* What a handler is called with. */
struct signal_call {
	int number;
	void (*handler)(int);
	void (*restorer)(void); /* where the handler returns to */
	const siginfo_t *info;
	uint64_t mask; /* for when it has returned */
	stack_t stack; /* sigaltstack()'s state for then */
	vaddr_t stack_top; /* the frame lies beneath */
};

/* Bytes of stack that a frame takes at most, its alignment included. */
size_t signal_frame_bytes(void);

/*
 * Put a frame on the stack that describes *frame, and change *frame so that the handler runs. The
 * signal_frame_bytes() beneath `stack_top` are the application's. The
 * extended registers are those that the processor holds now; the handler gets initial ones.
 * Returns false, nothing changed, if the stack has no room there.
 */
bool signal_frame_push(struct trap_frame *frame, const struct signal_call *call);

/* rt_sigreturn(2), with the application's stack pointer at the call. Changes *frame and the extended
 * registers to what the signal's frame says, as far as applications may choose it; nothing in it is
 * believed, and nothing is read that `is_bad`. Returns false if it cannot be read: the registers are then
 * undefined. */
bool signal_frame_pop(struct trap_frame *frame, vaddr_t stack_pointer,
		      bool (*is_bad)(const void *address, size_t length), uint64_t *mask,
		      stack_t *stack);

/* The bits of MXCSR that this processor knows. */
uint32_t signal_frame_mxcsr_mask(void);

/* Fill `context` for a handler that is a function call at the end of a system call: the registers that
 * the call will return with, as far as they are known. `frame` NULL: of a plain function call. */
void signal_context_of_call(ucontext_t *context, const struct syscall_frame *frame);

/* Call handler(number, info, context) on the stack that ends at `stack_top`. */
void signal_call_on_stack(void (*handler)(int), int number, siginfo_t *info, void *context,
			  vaddr_t stack_top);

/* Continue with *frame instead of the caller, who is done with its stack: the frame is changed by
 * change(frame) on a stack of the core's, with interrupts off. */
void signal_leave_to(void (*change)(struct trap_frame *frame)) __attribute__((noreturn));
