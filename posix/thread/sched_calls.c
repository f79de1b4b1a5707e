/*
 * System calls about who runs where and when: affinity, yielding, and policies. There is one policy,
 * Linux's SCHED_OTHER: every thread of a core gets its turn.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* SCHED_BATCH and SCHED_IDLE */
#endif
#include "lavra/types.h"
#include "posix/signal/signal.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "smp/core.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

SYSCALL(sched_yield)(void)
{
	thread_yield();
	return signal_finish(0);
}

SYSCALL(getcpu)(unsigned *cpu, unsigned *node)
{
	const unsigned core = this_core, only = 0;

	if (cpu && user_write(cpu, &core, sizeof(core)))
		return -EFAULT;
	return node ? user_write(node, &only, sizeof(only)) : 0;
}

SYSCALL(sched_setaffinity)(int tid, size_t size, const void *user_mask)
{
	uint64_t mask = 0;

	/* What lies beyond names cores that do not exist. */
	if (user_read(&mask, user_mask, min(size, sizeof(mask))))
		return -EFAULT;
	return thread_set_affinity(tid, mask);
}

/* Returns the number of bytes that it wrote, as Linux's system call does. */
SYSCALL(sched_getaffinity)(int tid, size_t size, void *user_mask)
{
	uint64_t mask;

	if (size < sizeof(mask) || size % sizeof(long))
		return -EINVAL;
	mask = thread_affinity(tid);
	if (!mask)
		return -ESRCH;
	return user_write(user_mask, &mask, sizeof(mask)) ? -EFAULT : (long)sizeof(mask);
}

#define PROCESS 1
#define USER 1000 /* as posix/process/identity.c answers */

static int process_nice;

static bool thread_exists(int tid)
{
	return tid == 0 || thread_find(tid);
}

static int check_policy(int policy, int priority)
{
	switch (policy & ~SCHED_RESET_ON_FORK) {
	case SCHED_OTHER:
	case SCHED_BATCH:
	case SCHED_IDLE:
		return priority == 0 ? 0 : -EINVAL;
	case SCHED_FIFO:
	case SCHED_RR:
		if (priority < 1 || priority > 99)
			return -EINVAL;
		return -EPERM; /* what Linux says to those who may not */
	}
	return -EINVAL;
}

/* The priority is the only member that Linux has; musl's structure is larger. */
static long set_policy(int tid, int policy, const struct sched_param *param)
{
	int priority;

	if (tid < 0 || policy < 0 || !param)
		return -EINVAL;
	if (user_read(&priority, &param->sched_priority, sizeof(priority)))
		return -EFAULT;
	return thread_exists(tid) ? check_policy(policy, priority) : -ESRCH;
}

SYSCALL(sched_setscheduler)(int tid, int policy, const struct sched_param *param)
{
	return set_policy(tid, policy, param);
}

SYSCALL(sched_getscheduler)(int tid)
{
	if (tid < 0)
		return -EINVAL;
	return thread_exists(tid) ? SCHED_OTHER : -ESRCH;
}

SYSCALL(sched_setparam)(int tid, const struct sched_param *param)
{
	return set_policy(tid, SCHED_OTHER, param);
}

SYSCALL(sched_getparam)(int tid, struct sched_param *param)
{
	static const int priority;

	if (tid < 0 || !param)
		return -EINVAL;
	if (!thread_exists(tid))
		return -ESRCH;
	return user_write(&param->sched_priority, &priority, sizeof(priority));
}

static int priority_limit(int policy, int real_time_limit)
{
	switch (policy) {
	case SCHED_OTHER:
	case SCHED_BATCH:
	case SCHED_IDLE:
		return 0;
	case SCHED_FIFO:
	case SCHED_RR:
		return real_time_limit;
	}
	return -EINVAL;
}

SYSCALL(sched_get_priority_max)(int policy)
{
	return priority_limit(policy, 99);
}

SYSCALL(sched_get_priority_min)(int policy)
{
	return priority_limit(policy, 1);
}

SYSCALL(sched_rr_get_interval)(int tid, struct timespec *interval)
{
	static const struct timespec tick = { .tv_nsec = TICK_NS };

	if (tid < 0)
		return -EINVAL;
	if (!thread_exists(tid))
		return -ESRCH;
	return user_write(interval, &tick, sizeof(tick));
}

/* ---- sched_setattr(2), sched_getattr(2) ---- */

/* Linux's, as it was first; later versions are longer, with limits that do not exist here. */
struct sched_attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

#define SCHED_ATTR_SIZE 48
_Static_assert(sizeof(struct sched_attr) == SCHED_ATTR_SIZE, "Linux's SCHED_ATTR_SIZE_VER0");

SYSCALL(sched_setattr)(int tid, const struct sched_attr *user_attributes, unsigned flags)
{
	struct sched_attr attributes;

	if (tid < 0 || flags || !user_attributes)
		return -EINVAL;
	if (user_read(&attributes, user_attributes, sizeof(attributes)))
		return -EFAULT;
	if (attributes.size && attributes.size < SCHED_ATTR_SIZE)
		return -E2BIG;
	if (!thread_exists(tid))
		return -ESRCH;
	if (attributes.policy == SCHED_DEADLINE)
		return -EPERM;
	return check_policy((int)attributes.policy, (int)attributes.priority);
}

SYSCALL(sched_getattr)(int tid, struct sched_attr *to, unsigned size, unsigned flags)
{
	struct sched_attr attributes = {
		.size = SCHED_ATTR_SIZE,
		.policy = SCHED_OTHER,
		.nice = __atomic_load_n(&process_nice, __ATOMIC_RELAXED),
	};

	if (tid < 0 || flags || !to || size < SCHED_ATTR_SIZE || size > PAGE_SIZE)
		return -EINVAL;
	if (!thread_exists(tid))
		return -ESRCH;
	return user_write(to, &attributes, sizeof(attributes));
}

/* ---- niceness ---- */

#define NICE_WEAKEST 19
#define NICE_STRONGEST (-20)

static int check_who(int which, int who)
{
	switch (which) {
	case PRIO_PROCESS:
		return who >= 0 && thread_exists(who) ? 0 : -ESRCH;
	case PRIO_PGRP:
		return who == 0 || who == PROCESS ? 0 : -ESRCH;
	case PRIO_USER:
		return who == 0 || who == USER ? 0 : -ESRCH;
	}
	return -EINVAL;
}

/* The system call counts from 40 down to 1. */
SYSCALL(getpriority)(int which, int who)
{
	int error = check_who(which, who);

	return error ? error : 20 - __atomic_load_n(&process_nice, __ATOMIC_RELAXED);
}

/* Remembered for all threads, and without effect. Nobody but root may take a part back. */
SYSCALL(setpriority)(int which, int who, int nice)
{
	int error = check_who(which, who);

	if (error)
		return error;
	nice = max(min(nice, NICE_WEAKEST), NICE_STRONGEST);
	if (nice < __atomic_load_n(&process_nice, __ATOMIC_RELAXED))
		return -EACCES;
	__atomic_store_n(&process_nice, nice, __ATOMIC_RELAXED);
	return 0;
}
