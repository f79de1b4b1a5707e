/*
 * getrlimit(2) and its like. The limits of descriptors and of queued signals are kept; the others are
 * remembered for those who ask, and have no effect.
 */
#include "posix/process/limits.h"

#include "posix/file/file.h"
#include "posix/signal/signal.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include <ck_spinlock.h>
#include <errno.h>
#include <sys/resource.h>

#define THREADS 32767 /* sched/thread_table.c */

/* Guards the table; held for a few moves. */
static ck_spinlock_t lock = CK_SPINLOCK_INITIALIZER;
static struct rlimit limits[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = { RLIM_INFINITY, RLIM_INFINITY },
	[RLIMIT_FSIZE] = { RLIM_INFINITY, RLIM_INFINITY },
	[RLIMIT_DATA] = { RLIM_INFINITY, RLIM_INFINITY },
	[RLIMIT_STACK] = { 8ul << 20, RLIM_INFINITY },
	[RLIMIT_CORE] = { 0, RLIM_INFINITY },
	[RLIMIT_RSS] = { RLIM_INFINITY, RLIM_INFINITY },
	[RLIMIT_NPROC] = { THREADS, THREADS },
	[RLIMIT_NOFILE] = { 0, FD_MAX }, /* the first is fd_limit() */
	/* Nothing is ever paged out. */
	[RLIMIT_MEMLOCK] = { RLIM_INFINITY, RLIM_INFINITY },
	[RLIMIT_AS] = { RLIM_INFINITY, RLIM_INFINITY },
	[RLIMIT_LOCKS] = { RLIM_INFINITY, RLIM_INFINITY },
	[RLIMIT_SIGPENDING] = { 0, SIGNAL_QUEUE_LIMIT }, /* the first is signal_queue_limit() */
	[RLIMIT_MSGQUEUE] = { 819200, 819200 },
	[RLIMIT_NICE] = { 0, 0 },
	[RLIMIT_RTPRIO] = { 0, 0 },
	[RLIMIT_RTTIME] = { RLIM_INFINITY, RLIM_INFINITY },
};

static struct rlimit limit_of(int resource)
{
	struct rlimit limit = limits[resource];

	if (resource == RLIMIT_NOFILE)
		limit.rlim_cur = fd_limit();
	if (resource == RLIMIT_SIGPENDING)
		limit.rlim_cur = signal_queue_limit();
	return limit;
}

static long set_limit(int resource, const struct rlimit *new, const struct rlimit *now)
{
	if (new->rlim_cur > new->rlim_max)
		return -EINVAL;
	if (new->rlim_max > now->rlim_max)
		return -EPERM;
	limits[resource] = *new;
	if (resource == RLIMIT_NOFILE)
		fd_set_limit(new->rlim_cur);
	if (resource == RLIMIT_SIGPENDING)
		signal_queue_set_limit(new->rlim_cur);
	return 0;
}

long process_limit(int resource, const struct rlimit *new, struct rlimit *before)
{
	long result = 0;

	if (resource < 0 || resource >= RLIM_NLIMITS)
		return -EINVAL;
	ck_spinlock_lock(&lock);
	*before = limit_of(resource);
	if (new)
		result = set_limit(resource, new, before);
	ck_spinlock_unlock(&lock);
	return result;
}

SYSCALL(prlimit64)(int process, int resource, const struct rlimit *new, struct rlimit *old)
{
	struct rlimit before, wanted;
	long result;

	if (new &&user_read(&wanted, new, sizeof(wanted)))
		return -EFAULT;
	if (process < 0 || (process && !thread_find(process)))
		return -ESRCH;
	result = process_limit(resource, new ? &wanted : NULL, &before);
	if (!result && old)
		result = user_write(old, &before, sizeof(before));
	return result;
}

SYSCALL(getrlimit)(int resource, struct rlimit *limit)
{
	return limit ? sys_prlimit64(0, resource, NULL, limit) : -EFAULT;
}

SYSCALL(setrlimit)(int resource, const struct rlimit *limit)
{
	return limit ? sys_prlimit64(0, resource, limit, NULL) : -EFAULT;
}
