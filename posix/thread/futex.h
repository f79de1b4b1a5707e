/*
 * Futexes: a thread sleeps while a word of memory has a value, another changes it and wakes it.
 *
 * The key is the address: there is one address space, so private and shared futexes are the same.
 * Operations are Linux's (futex(2)). There is one priority, so those of priority inheritance
 * (posix/thread/futex_pi.c) only pass ownership on; requeueing to such a futex does not exist: ENOSYS.
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

/* ---- between posix/thread/futex.c and posix/thread/futex_pi.c ---- */

/* The word of a lock with an owner: Linux's include/uapi/linux/futex.h. */
#define FUTEX_WAITERS 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK 0x3fffffffu

struct wait_queue *futex_queue(const void *address);
void futex_for_each_queue(void (*visit)(struct wait_queue *queue, void *argument), void *argument);
/* `deadline_ns` UINT64_MAX: none. 0 or Linux's error. */
long futex_lock_pi(uint32_t *address, uint64_t deadline_ns);
long futex_trylock_pi(uint32_t *address);
long futex_unlock_pi(uint32_t *address);
/* The owner has ended: who waits gets the lock, marked with FUTEX_OWNER_DIED. */
void futex_pi_owner_died(uint32_t *address, int tid);
/* So does who waits for any other lock of a thread that has ended. */
void futex_pi_thread_ended(int tid);
