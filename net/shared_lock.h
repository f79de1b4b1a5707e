/*
 * A spinlock around data that the stacks of all cores share. It knows who holds it: a stack that failed meanwhile
 * lets it go when it begins anew.
 */
#pragma once

#include "smp/core.h"

#include <ck_spinlock.h>

struct shared_lock { /* zeroed at first */
	ck_spinlock_t lock;
	core_id_t holder; /* core + 1, 0: nobody. The holder's alone */
};

/* Spins; taken with no other lock held. Any core, thread context or a parcel's handler. */
static inline void shared_lock(struct shared_lock *lock)
{
	ck_spinlock_lock(&lock->lock);
	lock->holder = this_core + 1;
}

static inline void shared_unlock(struct shared_lock *lock)
{
	lock->holder = 0;
	ck_spinlock_unlock(&lock->lock);
}

/* This core's stack begins anew. */
static inline void shared_lock_restart(struct shared_lock *lock)
{
	if (__atomic_load_n(&lock->holder, __ATOMIC_RELAXED) == this_core + 1)
		shared_unlock(lock);
}
