/*
 * prctl(2) and personality(2): properties of the process or thread that programs set and ask for. Most
 * concern what does not exist here (core dumps, parents, children, capabilities), and are remembered.
 */
#include "posix/syscall.h"
#include "posix/user_memory.h"
#include "sched/thread.h"
#include "smp/trace.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>

#define LAST_CAPABILITY 40 /* CAP_CHECKPOINT_RESTORE */
#define TIMER_SLACK_NS 50000 /* Linux's */

/* Of the process; single words, any thread may write them. */
static int parent_death_signal, keeps_capabilities, child_subreaper, huge_pages_disabled;
static int dumpable = 1, no_new_privileges;
static uint64_t timer_slack_ns = TIMER_SLACK_NS;

static long set_flag(int *flag, unsigned long value)
{
	if (value > 1)
		return -EINVAL;
	__atomic_store_n(flag, (int)value, __ATOMIC_RELAXED);
	return 0;
}

static long get_flag(const int *flag)
{
	return __atomic_load_n(flag, __ATOMIC_RELAXED);
}

static long put_word(const int *word, int *address)
{
	int value = __atomic_load_n(word, __ATOMIC_RELAXED);

	return user_write(address, &value, sizeof(value));
}

static long set_name(const char *from)
{
	char name[THREAD_NAME_SIZE] = "";

	/* The first 15 characters of a longer one. */
	if (user_read_string(name, from, sizeof(name) - 1) == -EFAULT)
		return -EFAULT;
	memcpy(current->name, name, sizeof(name));
	trace_thread_name(current->tid, name);
	return 0;
}

static long get_name(char *to)
{
	return user_write(to, current->name, sizeof(current->name));
}

static long ambient_capability(unsigned long operation, unsigned long capability)
{
	switch (operation) {
	case PR_CAP_AMBIENT_CLEAR_ALL:
		return capability ? -EINVAL : 0;
	case PR_CAP_AMBIENT_IS_SET:
	case PR_CAP_AMBIENT_LOWER:
		return capability > LAST_CAPABILITY ? -EINVAL : 0;
	case PR_CAP_AMBIENT_RAISE:
		return capability > LAST_CAPABILITY ? -EINVAL : -EPERM;
	}
	return -EINVAL;
}

SYSCALL(prctl)
(int option, unsigned long second, unsigned long third, unsigned long fourth, unsigned long fifth)
{
	switch (option) {
	case PR_SET_NAME:
		return set_name((const char *)second);
	case PR_GET_NAME:
		return get_name((char *)second);
	case PR_SET_PDEATHSIG:
		if (second > _NSIG - 1)
			return -EINVAL;
		__atomic_store_n(&parent_death_signal, (int)second, __ATOMIC_RELAXED);
		return 0;
	case PR_GET_PDEATHSIG:
		return put_word(&parent_death_signal, (int *)second);
	case PR_SET_DUMPABLE:
		return set_flag(&dumpable, second);
	case PR_GET_DUMPABLE:
		return get_flag(&dumpable);
	case PR_SET_KEEPCAPS:
		return set_flag(&keeps_capabilities, second);
	case PR_GET_KEEPCAPS:
		return get_flag(&keeps_capabilities);
	case PR_CAPBSET_READ:
		return second > LAST_CAPABILITY ? -EINVAL : 1;
	case PR_CAPBSET_DROP:
		return -EPERM;
	case PR_CAP_AMBIENT:
		return fourth || fifth ? -EINVAL : ambient_capability(second, third);
	case PR_GET_SECUREBITS:
	case PR_GET_SECCOMP:
		return 0;
	case PR_SET_SECUREBITS:
		return -EPERM;
	case PR_SET_TIMERSLACK:
		__atomic_store_n(&timer_slack_ns, second ? second : TIMER_SLACK_NS,
				 __ATOMIC_RELAXED);
		return 0;
	case PR_GET_TIMERSLACK:
		return (long)__atomic_load_n(&timer_slack_ns, __ATOMIC_RELAXED);
	case PR_GET_TIMING:
		return PR_TIMING_STATISTICAL;
	case PR_SET_TIMING:
		return second == PR_TIMING_STATISTICAL ? 0 : -EINVAL;
	case PR_SET_NO_NEW_PRIVS:
		if (second != 1 || third || fourth || fifth)
			return -EINVAL;
		return set_flag(&no_new_privileges, 1);
	case PR_GET_NO_NEW_PRIVS:
		return second || third || fourth || fifth ? -EINVAL : get_flag(&no_new_privileges);
	case PR_SET_CHILD_SUBREAPER:
		return set_flag(&child_subreaper, second != 0);
	case PR_GET_CHILD_SUBREAPER:
		return put_word(&child_subreaper, (int *)second);
	case PR_SET_THP_DISABLE:
		return third || fourth || fifth ? -EINVAL
						: set_flag(&huge_pages_disabled, second != 0);
	case PR_GET_THP_DISABLE:
		return get_flag(&huge_pages_disabled);
	case PR_GET_TID_ADDRESS:
		return user_write((void *)second, &current->clear_child_tid,
				  sizeof(current->clear_child_tid));
	}
	return -EINVAL;
}

#define ASK 0xffffffffu

SYSCALL(personality)(unsigned long wanted)
{
	static unsigned now = PER_LINUX;

	if ((unsigned)wanted == ASK)
		return __atomic_load_n(&now, __ATOMIC_RELAXED);
	if ((wanted & PER_MASK) != PER_LINUX)
		return -EINVAL;
	/* Its flags are about how the next program is loaded. */
	return __atomic_exchange_n(&now, (unsigned)wanted, __ATOMIC_RELAXED);
}
