/*
 * Pointers that the application hands to a system call.
 *
 * Application and kernel share one address space, so a wild pointer is no security boundary here;
 * the check is what keeps NULL, garbage and unmapped memory an EFAULT, as on Linux, at the price of
 * two compares and a load of the first byte. A buffer that begins in memory and ends outside, and one
 * to be written that is read-only, ends the image with a report.
 *
 * The load may bring a page in: no check while a lock is held that page faults take
 * (docs/locking.md).
 */
#pragma once

#include "arch/arch.h"
#include "arch/x86_64/user_access.h"
#include "lavra/types.h"

/* The kernel code model's 2 GiB, where the image with its static data is linked. */
#define IMAGE_HALF 0xffffffff80000000ul

/* Can no application memory be there? For addresses that nobody will look at. */
static inline bool user_address_is_bad(const void *pointer)
{
#ifdef LAVRA_HOST_TEST
	return (vaddr_t)pointer < PAGE_SIZE;
#else
	vaddr_t address = (vaddr_t)pointer;

	/* Kernel stacks are no mistake: a system call makes another one with variables of its own. */
	return address - USER_START >= USER_END - USER_START && address < KVA_START;
#endif
}

static inline bool user_pointer_is_bad(const void *pointer)
{
#ifdef LAVRA_HOST_TEST
	return user_address_is_bad(pointer);
#else
	return user_address_is_bad(pointer) || !user_can_read(pointer);
#endif
}

static inline bool user_buffer_is_bad(const void *buffer, size_t length)
{
	return length && (user_pointer_is_bad(buffer) || length > USER_END);
}
