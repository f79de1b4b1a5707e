/*
 * Where the kernel's memory is, for posix_user_memory.c: a pointer to it must never be followed.
 */
#include "tests/guest/test.h"

#include "arch/arch.h"
#include "mm/kva.h"
#include "smp/core.h"

extern uintptr_t kernel_places[4]; /* the application's */

KERNEL_TEST(places_of_the_kernel_are_told)
{
	static char *stack;

	if (!stack)
		stack = kva_stack_alloc(1);
	CHECK(stack != NULL);
	kernel_places[0] = (uintptr_t)stack - 256;
	kernel_places[1] = DIRECT_MAP + (1ul << 20);
	kernel_places[2] = (uintptr_t)cores;
	kernel_places[3] = (uintptr_t)&this_core;
}
