/*
 * System calls about threads.
 */
#pragma once

/* What a thread's end means here, futexes. Boot core, before the first application thread. */
void thread_calls_init(void);
