/*
 * System calls about threads.
 */
#pragma once

#include "lavra/types.h"

struct syscall_frame;

/* What a thread's end means here, futexes. Boot core, before the first application thread. */
void thread_calls_init(void);
/* thread_clone() for an application, whose pointers are looked at. */
long clone_thread(const struct syscall_frame *frame, uint64_t flags, uint64_t stack,
		  int *parent_tid, int *child_tid, uint64_t thread_pointer);
