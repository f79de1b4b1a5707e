/*
 * Touching memory of the application that may not be there.
 *
 * A fault in these functions that nobody can mend makes them return an error. A fault elsewhere in the
 * kernel's text ends the image with a report. They look at no range: system calls use them by
 * posix/user_memory.h, which does, or on a range that it has looked at.
 */
#pragma once

#include "lavra/types.h"

struct trap_frame;

/* Copy between the application's memory and the kernel's, or inside the former. Returns false if
 * some of it is not accessible; then part of it may have been copied. Any context in which memory of the
 * application may be touched. */
bool user_copy(void *to, const void *from, size_t len);
bool user_copy_16(void *to, const void *from); /* two words */
bool user_copy_8(void *to, const void *from); /* one access, if it is aligned */
bool user_copy_4(void *to, const void *from);
bool user_copy_2(void *to, const void *from);
/* Values one behind the other, as a struct epoll_event has them. */
bool user_store_12(void *to, uint32_t first, uint64_t second);
/* Fill with zeros, likewise. */
bool user_clear(void *to, size_t len);
/* The length of the string at `string`, `limit` if no zero byte comes before. */
bool user_find_zero(const char *string, size_t limit, size_t *length);
/* As __atomic_compare_exchange_n() on an aligned word, sequentially consistent: returns 0 with the
 * word's value before in *old (== expected: it was exchanged), or -1 if it is not accessible. */
int user_compare_exchange(uint32_t *word, uint32_t expected, uint32_t desired, uint32_t *old);

/*
 * With isolation the kernel has all rights, and the application's threads have theirs, which decide here, as on
 * Linux: once a key was allocated, these functions lower the kernel's to those that the current thread's
 * call came with, or to those that were lent (arch_lend_rights(), else 0).
 */
extern struct user_keys {
	bool used; /* for good; plain, set before any page has a key */
} user_keys;
extern CORE_LOCAL uint32_t user_rights_lent;

/* A fault that was not mended: if it is one of these functions', let it return its error. */
bool user_access_failed(struct trap_frame *frame);
