/*
 * Mutex: for what threads of all cores hold long enough that waiting for it should not cost the
 * processor, such as a file while it is written.
 *
 * One word, all zeros when free. Locking and unlocking without contention is one exchange. A holder
 * may block, fault and be moved to another core. Not recursive. Who waits cannot be interrupted, so it
 * is for sections that end by themselves.
 *
 * A thread that waits here blocks: what it has found without a reference is stale afterwards.
 */
#pragma once

#include "lavra/types.h"

struct mutex {
	uint32_t state; /* enum mutex_state; atomic */
};

enum mutex_state {
	MUTEX_FREE,
	MUTEX_HELD,
	MUTEX_AWAITED, /* held, and there may be waiters */
};

/* Any core, thread context. Does not block. */
static inline bool mutex_try_lock(struct mutex *mutex)
{
	uint32_t seen = MUTEX_FREE;

	/* Acquire: pairs with the release in mutex_unlock(). */
	return __atomic_compare_exchange_n(&mutex->state, &seen, MUTEX_HELD, false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void mutex_lock_slowly(struct mutex *mutex);
void mutex_wake(struct mutex *mutex);

static inline void mutex_lock(struct mutex *mutex)
{
	if (unlikely(!mutex_try_lock(mutex)))
		mutex_lock_slowly(mutex);
}

/* The mutex may be gone as soon as another thread has it: nothing of it is touched after that. */
static inline void mutex_unlock(struct mutex *mutex)
{
	if (unlikely(__atomic_exchange_n(&mutex->state, MUTEX_FREE, __ATOMIC_RELEASE) ==
		     MUTEX_AWAITED))
		mutex_wake(mutex);
}
