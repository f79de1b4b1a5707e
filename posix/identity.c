/*
 * System calls that say who and where the program is, and what it may use. The image is one
 * process of one user that owns everything.
 */
#include "posix/file.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "arch/arch.h"
#include "lavra/boot_option.h"
#include "mm/area.h"
#include "mm/frame.h"
#include "sched/thread.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <time.h>

/* Not 0: programs that find themselves root try to become somebody else, by files that are not here. */
#define USER 1000
#define GROUP 1000
#define PROCESS 1

SYSCALL(getuid)(void)
{
	return USER;
}

SYSCALL(geteuid)(void)
{
	return USER;
}

SYSCALL(getgid)(void)
{
	return GROUP;
}

SYSCALL(getegid)(void)
{
	return GROUP;
}

static long put_three(unsigned *a, unsigned *b, unsigned *c, unsigned value)
{
	if (user_pointer_is_bad(a) || user_pointer_is_bad(b) || user_pointer_is_bad(c))
		return -EFAULT;
	*a = *b = *c = value;
	return 0;
}

SYSCALL(getresuid)(unsigned *real, unsigned *effective, unsigned *saved)
{
	return put_three(real, effective, saved, USER);
}

SYSCALL(getresgid)(unsigned *real, unsigned *effective, unsigned *saved)
{
	return put_three(real, effective, saved, GROUP);
}

SYSCALL(getgroups)(int size, unsigned *groups)
{
	return size < 0 ? -EINVAL : 0;
}

/* To become whom one is, is allowed. */
SYSCALL(setuid)(unsigned user)
{
	return user == USER ? 0 : -EPERM;
}

SYSCALL(setgid)(unsigned group)
{
	return group == GROUP ? 0 : -EPERM;
}

SYSCALL(getpgid)(int process)
{
	return process == 0 || process == PROCESS ? PROCESS : -ESRCH;
}

SYSCALL(getpgrp)(void)
{
	return PROCESS;
}

SYSCALL(getsid)(int process)
{
	return sys_getpgid(process);
}

/* The process leads its group already. */
SYSCALL(setsid)(void)
{
	return -EPERM;
}

SYSCALL(umask)(unsigned mask)
{
	static unsigned current_mask = 022;

	return __atomic_exchange_n(&current_mask, mask & 0777, __ATOMIC_RELAXED);
}

/* ---- the machine ---- */

static char host_name[sizeof(((struct utsname *)0)->nodename)] = "lavra";

static const char *parse_host_name(const char *value)
{
	if (!*value || strlen(value) >= sizeof(host_name))
		return "must have 1 to 64 characters";
	memcpy(host_name, value, strlen(value) + 1);
	return NULL;
}
BOOT_OPTION(hostname, "hostname=NAME: what uname() and gethostname() tell", parse_host_name);

/* The system calls are Linux's, and so is the name: programs ask it before they use them. */
SYSCALL(uname)(struct utsname *name)
{
	if (user_pointer_is_bad(name))
		return -EFAULT;
	memset(name, 0, sizeof(*name));
	memcpy(name->sysname, "Linux", sizeof("Linux"));
	memcpy(name->nodename, host_name, sizeof(host_name));
	memcpy(name->release, "5.10.0-lavra", sizeof("5.10.0-lavra"));
	memcpy(name->version, "Lavra", sizeof("Lavra"));
	memcpy(name->machine, "x86_64", sizeof("x86_64"));
	return 0;
}

SYSCALL(sysinfo)(struct sysinfo *info)
{
	if (user_pointer_is_bad(info))
		return -EFAULT;
	/* The kernel's structure ends where the C library's has its reserve. */
	memset(info, 0, offsetof(struct sysinfo, __reserved));
	info->uptime = clock_ns() / NS_PER_S;
	info->totalram = frame_total() * PAGE_SIZE;
	info->freeram = frame_free_count() * PAGE_SIZE;
	info->procs = thread_count();
	info->mem_unit = 1;
	return 0;
}

/* ---- time and memory used ---- */

#define TICKS_PER_SECOND 100 /* what AT_CLKTCK says */

long sys_clock_gettime(int clock, struct timespec *result);

static uint64_t process_cpu_ns(void)
{
	struct timespec time = { 0 };

	sys_clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return time.tv_sec * NS_PER_S + time.tv_nsec;
}

SYSCALL(times)(struct tms *times)
{
	if (times) {
		if (user_pointer_is_bad(times))
			return -EFAULT;
		memset(times, 0, sizeof(*times));
		times->tms_utime = process_cpu_ns() / (NS_PER_S / TICKS_PER_SECOND);
	}
	return clock_ns() / (NS_PER_S / TICKS_PER_SECOND);
}

SYSCALL(getrusage)(int who, struct rusage *usage)
{
	uint64_t cpu_ns = 0;

	if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN && who != RUSAGE_THREAD)
		return -EINVAL;
	if (user_pointer_is_bad(usage))
		return -EFAULT;
	if (who == RUSAGE_SELF)
		cpu_ns = process_cpu_ns();
	else if (who == RUSAGE_THREAD)
		cpu_ns = thread_cpu_ns(current);
	memset(usage, 0, offsetof(struct rusage, __reserved));
	/* A system call is a call: time in the kernel is the program's, too. */
	usage->ru_utime.tv_sec = cpu_ns / NS_PER_S;
	usage->ru_utime.tv_usec = cpu_ns % NS_PER_S / NS_PER_US;
	if (who == RUSAGE_SELF)
		usage->ru_maxrss = area_resident_pages() * (PAGE_SIZE / 1024);
	return 0;
}

/* ---- limits ---- */

static struct rlimit limit_of(int resource)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	switch (resource) {
	case RLIMIT_NOFILE:
		limit.rlim_cur = fd_limit();
		limit.rlim_max = FD_MAX;
		break;
	case RLIMIT_STACK:
		limit.rlim_cur = 8ul << 20;
		break;
	case RLIMIT_CORE:
		limit.rlim_cur = limit.rlim_max = 0;
		break;
	}
	return limit;
}

/* Only the number of descriptors can be limited; for the others, "no limit" and what is there now may
 * be set, and nothing else is promised. */
static long set_limit(int resource, const struct rlimit *new)
{
	struct rlimit now = limit_of(resource);

	if (new->rlim_cur > new->rlim_max)
		return -EINVAL;
	if (new->rlim_max > now.rlim_max)
		return -EPERM;
	if (resource == RLIMIT_NOFILE) {
		fd_set_limit(new->rlim_cur);
		return 0;
	}
	return new->rlim_cur >= now.rlim_cur ? 0 : -EPERM;
}

SYSCALL(prlimit64)(int process, int resource, const struct rlimit *new, struct rlimit *old)
{
	struct rlimit before;

	if (process != 0 && process != PROCESS)
		return -ESRCH;
	if (resource < 0 || resource >= RLIM_NLIMITS)
		return -EINVAL;
	if ((new &&user_pointer_is_bad(new)) || (old && user_pointer_is_bad(old)))
		return -EFAULT;
	before = limit_of(resource);
	if (new) {
		long result = set_limit(resource, new);

		if (result)
			return result;
	}
	if (old)
		*old = before;
	return 0;
}

SYSCALL(getrlimit)(int resource, struct rlimit *limit)
{
	return limit ? sys_prlimit64(0, resource, NULL, limit) : -EFAULT;
}

SYSCALL(setrlimit)(int resource, const struct rlimit *limit)
{
	return limit ? sys_prlimit64(0, resource, limit, NULL) : -EFAULT;
}

/* All threads have the same priority: 20 is "nice 0" as the system call counts. */
SYSCALL(getpriority)(int which, int who)
{
	return 20;
}

SYSCALL(setpriority)(int which, int who, int nice)
{
	return nice == 0 ? 0 : -EPERM;
}
