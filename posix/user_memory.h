/*
 * Memory of the application, as system calls touch it.
 *
 * Two rules keep the kernel safe from what it is given:
 *
 * - Every address and length from outside is looked at once, where the call begins: it must lie in
 *   memory that belongs to the application. What does not is EFAULT, and is never read nor written. So
 *   system calls do not call each other with variables of their own: what they share takes kernel
 *   memory and is named otherwise.
 * - What lies there is touched by user_copy() and its like alone, so that a page that is not there, or may
 *   not be written, is EFAULT too. What a decision rests on is copied first, and read once.
 *
 * A copy may bring a page in: none while a lock is held that page faults take (docs/locking.md).
 */
#pragma once

#include "arch/arch.h"
#include "arch/x86_64/user_access.h"
#include "lavra/types.h"

#include <errno.h>

/* The kernel code model's 2 GiB, where the image with its static data is linked. */
#define IMAGE_HALF 0xffffffff80000000ul

#ifndef LAVRA_HOST_TEST
/* The image (image.ld): what all may read, and the application's own data. */
extern const char image_start[], text_end[], application_data_start[], application_data_end[];
#endif

static inline bool user_range_lies_in(vaddr_t address, size_t length, vaddr_t start, vaddr_t end)
{
	return address >= start && address <= end && length <= end - address;
}

/* Does some of the range lie outside the application's memory? (That it is mapped is not said.) An empty
 * one does not, wherever it is. */
static inline bool user_range_is_bad(const void *pointer, size_t length)
{
#ifdef LAVRA_HOST_TEST
	return length && ((vaddr_t)pointer < PAGE_SIZE || length > USER_END);
#else
	vaddr_t address = (vaddr_t)pointer;

	if (likely(user_range_lies_in(address, length, USER_START, USER_END)))
		return false;
	return length &&
	       !user_range_lies_in(address, length, (vaddr_t)application_data_start,
				   (vaddr_t)application_data_end) &&
	       !user_range_lies_in(address, length, (vaddr_t)image_start, (vaddr_t)text_end);
#endif
}

/* One byte of it. */
static inline bool user_address_is_bad(const void *pointer)
{
	return user_range_is_bad(pointer, 1);
}

static inline bool user_copy_of(void *to, const void *from, size_t length)
{
	if (__builtin_constant_p(length) && length == 16)
		return user_copy_16(to, from);
	if (__builtin_constant_p(length) && length == 8)
		return user_copy_8(to, from);
	if (__builtin_constant_p(length) && length == 4)
		return user_copy_4(to, from);
	if (__builtin_constant_p(length) && length == 2)
		return user_copy_2(to, from);
	return user_copy(to, from, length);
}

/* Copy `length` bytes of the application's at `from`. 0 or -EFAULT. */
__attribute__((warn_unused_result)) static inline int user_read(void *to, const void *from,
								size_t length)
{
	return user_range_is_bad(from, length) || !user_copy_of(to, from, length) ? -EFAULT : 0;
}

/* Copy to memory of the application at `to`. 0 or -EFAULT: then some may have been copied. */
__attribute__((warn_unused_result)) static inline int user_write(void *to, const void *from,
								 size_t length)
{
	return user_range_is_bad(to, length) || !user_copy_of(to, from, length) ? -EFAULT : 0;
}

size_t user_copy_pages(void *to, const void *from, size_t length);
size_t user_clear_pages(void *to, size_t length);

/* On ranges that were looked at, or are the kernel's: as much as is there, up to the first page that is
 * not. How many bytes. */
static inline size_t user_copy_some(void *to, const void *from, size_t length)
{
	return likely(user_copy(to, from, length)) ? length : user_copy_pages(to, from, length);
}

static inline size_t user_clear_some(void *to, size_t length)
{
	return likely(user_clear(to, length)) ? length : user_clear_pages(to, length);
}

/* Copy a string with its zero byte. Its length, -EFAULT, or -ENAMETOOLONG if it does not fit `size`. */
long user_read_string(char *to, const char *from, size_t size);
