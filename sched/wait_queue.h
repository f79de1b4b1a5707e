/*
 * Wait queue: threads of any core that wait for one thing of any core.
 *
 * Guarded by a spinlock (Concurrency Kit): for objects that cores share by nature
 * (futexes, mutexes, locks on files, openers of named pipes). What has a home core uses thread_block() alone. Interrupt
 * handlers never take the lock and the kernel is not preemptible, so interrupts stay on.
 */
#pragma once

#include "lavra/list.h"
#include "lavra/types.h"

#include <ck_spinlock.h>

struct thread;
struct wait_queue;

struct waiter { /* on the waiting thread's stack */
	struct list link;
	struct thread *thread;
	struct wait_queue *queue; /* where it waits; changes with both queues locked */
	bool queued; /* guarded by the lock */
	uint32_t bits; /* futex bitset, or poll events: whatever the user of the queue matches */
	const void *key;
};

struct wait_queue {
	ck_spinlock_t lock;
	struct list waiters; /* guarded by the lock, oldest first */
};

void wait_queue_init(struct wait_queue *queue);
/* Lock; then look at the condition; then wait_queue_wait() (which unlocks) or unlock. */
void wait_queue_lock(struct wait_queue *queue);
void wait_queue_unlock(struct wait_queue *queue);
/* Two at once, in the order of their addresses; they may be the same one. */
void wait_queue_lock_two(struct wait_queue *a, struct wait_queue *b);
void wait_queue_unlock_two(struct wait_queue *a, struct wait_queue *b);
/* Wait with the lock held; returns unlocked: true if woken, false at the deadline. Thread context. */
bool wait_queue_wait(struct wait_queue *queue, struct waiter *waiter, uint64_t deadline_ns);
/* A signal ends it, too: false with thread_signal_ready(). */
bool wait_queue_wait_interruptible(struct wait_queue *queue, struct waiter *waiter,
				   uint64_t deadline_ns);
/* Wake up to `count` waiters for which match(waiter, argument) holds (match NULL: all), oldest
 * first; called with the lock held. Returns how many. */
unsigned wait_queue_wake_locked(struct wait_queue *queue, unsigned count,
				bool (*match)(const struct waiter *, const void *),
				const void *argument);
unsigned wait_queue_wake(struct wait_queue *queue, unsigned count);
/* Let a waiter wait in `to` instead, as its youngest. Both locks held. */
void wait_queue_move(struct waiter *waiter, struct wait_queue *to);
