/*
 * Without isolation kernel code runs on the application's stack, the next page of which may appear only when it is
 * touched. A page fault takes locks and frames: it must not happen while this core holds the
 * same lock, or is in the middle of changing its own cache of frames. So the stack that such code
 * needs is touched before it begins.
 */
#pragma once

#include <stddef.h>

#ifdef LAVRA_HOST_TEST
void stack_touched(void) __attribute__((weak)); /* a test's page fault */
#endif

/* The next `depth` bytes (at most a page) of the stack are there, from now on until the caller
 * returns. */
static inline __attribute__((always_inline)) void stack_touch(size_t depth)
{
	(void)*((volatile char *)__builtin_frame_address(0) - depth);
#ifdef LAVRA_HOST_TEST
	if (stack_touched)
		stack_touched();
#endif
}
