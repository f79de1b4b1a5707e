/*
 * Futexes: a thread sleeps while a word of memory has a value, another changes it and wakes it.
 *
 * The key is the address: there is one address space, so private and shared futexes are the same.
 * Operations are Linux's (futex(2)); priority inheritance does not exist and says ENOSYS.
 */
#pragma once

#include "lavra/types.h"

struct thread;

void futex_init(void); /* boot core, before the first application thread */

/* Wake up to `count` threads that wait for the word. Any core, kernel context. Returns how many. */
unsigned futex_wake(const void *address, unsigned count);

/* What a thread leaves behind: its robust mutexes are marked and passed on, its tid word is
 * cleared and woken. Idle thread; the thread is not running any more. */
void futex_thread_ended(struct thread *dead);
