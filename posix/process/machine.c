/*
 * System calls that tell of the machine, and of what the program has used of it.
 */
#include "posix/process/machine.h"

#include "posix/syscall.h"
#include "posix/time/time_calls.h"
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
void machine_name(struct utsname *name)
{
	memset(name, 0, sizeof(*name));
	memcpy(name->sysname, "Linux", sizeof("Linux"));
	memcpy(name->nodename, host_name, sizeof(host_name));
	memcpy(name->release, "5.10.0-lavra", sizeof("5.10.0-lavra"));
	memcpy(name->version, "Lavra", sizeof("Lavra"));
	memcpy(name->machine, "x86_64", sizeof("x86_64"));
	memcpy(name->domainname, "(none)", sizeof("(none)"));
}

SYSCALL(uname)(struct utsname *to)
{
	struct utsname name;

	machine_name(&name);
	return user_write(to, &name, sizeof(name));
}

/* The name is given at boot. */
SYSCALL(sethostname)(const char *name, size_t length)
{
	return -EPERM;
}

SYSCALL(setdomainname)(const char *name, size_t length)
{
	return -EPERM;
}

SYSCALL(sysinfo)(struct sysinfo *to)
{
	struct sysinfo info = {
		.uptime = clock_ns() / NS_PER_S,
		.totalram = frame_total() * PAGE_SIZE,
		.freeram = frame_free_count() * PAGE_SIZE,
		.procs = thread_count(),
		.mem_unit = 1,
	};

	/* The kernel's structure ends where the C library's has its reserve. */
	return user_write(to, &info, offsetof(struct sysinfo, __reserved));
}

/* ---- time and memory used ---- */

#define TICKS_PER_SECOND 100 /* what AT_CLKTCK says */

static uint64_t process_cpu_ns(void)
{
	uint64_t ns = 0;

	clock_read(CLOCK_PROCESS_CPUTIME_ID, &ns);
	return ns;
}

SYSCALL(times)(struct tms *to)
{
	struct tms times = { .tms_utime = process_cpu_ns() / (NS_PER_S / TICKS_PER_SECOND) };

	if (to && user_write(to, &times, sizeof(times)))
		return -EFAULT;
	return clock_ns() / (NS_PER_S / TICKS_PER_SECOND);
}

SYSCALL(getrusage)(int who, struct rusage *to)
{
	struct rusage usage = { .ru_maxrss = 0 };
	uint64_t cpu_ns = 0;

	if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN && who != RUSAGE_THREAD)
		return -EINVAL;
	if (who == RUSAGE_SELF)
		cpu_ns = process_cpu_ns();
	else if (who == RUSAGE_THREAD)
		cpu_ns = thread_cpu_ns(current);
	/* A system call is a call: time in the kernel is the program's, too. */
	usage.ru_utime.tv_sec = cpu_ns / NS_PER_S;
	usage.ru_utime.tv_usec = cpu_ns % NS_PER_S / NS_PER_US;
	if (who != RUSAGE_CHILDREN)
		usage.ru_maxrss = area_resident_pages() * (PAGE_SIZE / 1024);
	return user_write(to, &usage, offsetof(struct rusage, __reserved));
}
