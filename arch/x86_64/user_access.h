/*
 * Touching memory of the application that may not be there.
 *
 * A system call believes a pointer once user_pointer_is_bad() (posix/user_memory.h) has looked at what
 * it points to. These functions are how it looks, and how code that may meet anything (the stack of
 * a signal handler, the frame that one returns by) copies: a fault in them that nobody can mend
 * makes them return an error. A fault elsewhere in the kernel's text ends the image with a report.
 */
#pragma once

#include "lavra/types.h"

struct trap_frame;

/* Can the byte be read? Maps it if an area promises it. Any context in which memory of the
 * application may be touched. */
bool user_can_read(const void *address);
/* Copy between the application's memory and the kernel's, or inside the former. Returns false if
 * some of it is not accessible; then part of it may have been copied. */
bool user_copy(void *to, const void *from, size_t len);
/* As __atomic_compare_exchange_n() on an aligned word, sequentially consistent: returns 0 with the
 * word's value before in *old (== expected: it was exchanged), or -1 if it is not accessible. */
int user_compare_exchange(uint32_t *word, uint32_t expected, uint32_t desired, uint32_t *old);

/* A fault that was not mended: if it is one of these functions', let it return its error. */
bool user_access_failed(struct trap_frame *frame);
