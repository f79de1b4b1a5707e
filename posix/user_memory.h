/*
 * Pointers that the application hands to a system call.
 *
 * Application and kernel share one address space, so a wild pointer is no security boundary here;
 * the check is what keeps NULL and garbage an EFAULT, as on Linux, at the price of two compares.
 * A pointer into an unmapped part of the application's own range ends the image with a report.
 */
#pragma once

#include "arch/arch.h"
#include "lavra/types.h"

/* The kernel code model's 2 GiB, where the image with its static data is linked. */
#define IMAGE_HALF 0xffffffff80000000ul

static inline bool user_pointer_is_bad(const void *pointer)
{
#ifdef LAVRA_HOST_TEST
	return (vaddr_t)pointer < PAGE_SIZE;
#else
	vaddr_t address = (vaddr_t)pointer;

	return address - USER_START >= USER_END - USER_START && address < IMAGE_HALF;
#endif
}

static inline bool user_buffer_is_bad(const void *buffer, size_t length)
{
	return length && (user_pointer_is_bad(buffer) || length > USER_END);
}
