/*
 * /proc/1, which is /proc/self: the process and its threads, in the formats of Linux's proc(5).
 */
#include "posix/file/file.h"
#include "posix/fs/lookup.h"
#include "posix/fs/open_file.h"
#include "posix/fs/pseudo.h"
#include "posix/process/limits.h"

#include "arch/arch.h"
#include "lavra/counters.h"
#include "lavra/console.h"
#include "mm/area.h"
#include "mm/frame.h"
#include "sched/thread.h"
#include "smp/core.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROCESS 1u
#define TICK_NS_OF_LINUX (10 * NS_PER_MS) /* AT_CLKTCK: 100 a second */

long sys_getuid(void);
long sys_getgid(void);
unsigned umask_now(void);

/* ---- what the application was started with ---- */

static struct {
	const char *bytes;
	size_t length;
} arguments, environment, auxiliary_vector;
static const char *executable;

void proc_set_executable(const char *path)
{
	executable = path;
}

void proc_set_arguments(const char *bytes, size_t length)
{
	arguments.bytes = bytes;
	arguments.length = length;
}

void proc_set_environment(const char *bytes, size_t length)
{
	environment.bytes = bytes;
	environment.length = length;
}

void proc_set_auxiliary_vector(const void *vector, size_t length)
{
	auxiliary_vector.bytes = vector;
	auxiliary_vector.length = length;
}

static void print_cmdline(struct text *text, unsigned number)
{
	text_append(text, arguments.bytes, arguments.length);
}

static void print_environ(struct text *text, unsigned number)
{
	text_append(text, environment.bytes, environment.length);
}

static void print_auxv(struct text *text, unsigned number)
{
	text_append(text, auxiliary_vector.bytes, auxiliary_vector.length);
}

static void print_exe(struct text *text, unsigned number)
{
	if (executable)
		text_print(text, "%s", executable);
}

/* ---- memory ---- */

struct sizes {
	size_t all, code, writable;
};

static void add_area(const struct area_description *area, void *argument)
{
	struct sizes *sizes = argument;
	size_t pages = (area->end - area->start) / PAGE_SIZE;

	sizes->all += pages;
	sizes->code += area->prot & PROT_EXEC ? pages : 0;
	sizes->writable += area->prot & PROT_WRITE ? pages : 0;
}

static struct sizes area_sizes(void)
{
	struct sizes sizes = { 0 };

	area_for_each(add_area, &sizes);
	return sizes;
}

static void print_area(const struct area_description *area, void *argument)
{
	text_print(argument, "%08lx-%08lx %c%c%c%c %08lx 00:%02x %lu%s%s\n", area->start, area->end,
		   area->prot & PROT_READ ? 'r' : '-', area->prot & PROT_WRITE ? 'w' : '-',
		   area->prot & PROT_EXEC ? 'x' : '-', area->shared ? 's' : 'p', area->offset,
		   area->inode ? 1 : 0, area->inode,
		   *area->path ? "                          " : "", area->path);
}

static void print_maps(struct text *text, unsigned number)
{
	area_for_each(print_area, text);
}

static void print_statm(struct text *text, unsigned number)
{
	struct sizes sizes = area_sizes();

	text_print(text, "%zu %zu 0 %zu 0 %zu 0\n", sizes.all, area_resident_pages(), sizes.code,
		   sizes.writable);
}

/* ---- threads ---- */

struct next_thread {
	unsigned from, found;
};

static void look_at_thread(struct thread *thread, void *argument)
{
	struct next_thread *next = argument;
	unsigned tid = thread->tid;

	if (tid >= 1 && tid >= next->from)
		next->found = min(next->found, tid);
}

static unsigned next_thread(unsigned from)
{
	struct next_thread next = { from, NO_NUMBER };

	thread_for_each(look_at_thread, &next);
	return next.found;
}

/* The thread that a file of /proc/1/task/N is about; for /proc/1 itself the first there is. It may be
 * looked at until the caller blocks or polls. */
static struct thread *thread_of(unsigned number)
{
	return thread_find(number == NO_NUMBER ? next_thread(1) : number);
}

static char state_of(const struct thread *thread)
{
	return thread->state == THREAD_BLOCKED ? 'S' : 'R';
}

/* All time is user time, there being no border to cross. */
static void add_time(struct thread *thread, void *argument)
{
	*(uint64_t *)argument += thread_cpu_ns(thread);
}

static void print_stat(struct text *text, unsigned number)
{
	const struct thread *thread = thread_of(number);
	uint64_t cpu_ns = 0;

	if (!thread)
		return;
	if (number == NO_NUMBER)
		thread_for_each(add_time, &cpu_ns);
	else
		cpu_ns = thread_cpu_ns(thread);
	text_print(text, "%u (%s) %c 0 1 1 0 -1 4194304 0 0 0 0 %lu 0 0 0 20 0 %u 0 0 %lu %zu",
		   number == NO_NUMBER ? PROCESS : number, thread->name, state_of(thread),
		   (unsigned long)(cpu_ns / TICK_NS_OF_LINUX), thread_count(),
		   area_sizes().all * PAGE_SIZE, area_resident_pages());
	text_print(
	    text, " 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 %u 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
	    thread->core);
}

static void print_comm(struct text *text, unsigned number)
{
	const struct thread *thread = thread_of(number);

	if (thread)
		text_print(text, "%s\n", thread->name);
}

static int write_comm(const char *bytes, size_t length, unsigned number)
{
	struct thread *thread = thread_of(number);
	char name[THREAD_NAME_SIZE] = "";

	if (!thread)
		return -ESRCH;
	memcpy(name, bytes, min(length, sizeof(name) - 1));
	name[strcspn(name, "\n")] = 0;
	memcpy(thread->name, name, sizeof(name));
	return 0;
}

static void print_core_list(struct text *text, uint64_t cores)
{
	const char *comma = "";

	for (unsigned first = 0; first < MAX_CORES; first++) {
		unsigned last = first;

		if (!(cores >> first & 1))
			continue;
		while (last + 1 < MAX_CORES && cores >> (last + 1) & 1)
			last++;
		text_print(text, first == last ? "%s%u" : "%s%u-%u", comma, first, last);
		comma = ",";
		first = last;
	}
}

static void print_status(struct text *text, unsigned number)
{
	const struct thread *thread = thread_of(number);
	struct sizes sizes = area_sizes();
	size_t page_kib = PAGE_SIZE / 1024;
	uint64_t cores;

	if (!thread)
		return;
	cores = __atomic_load_n(&thread->affinity, __ATOMIC_RELAXED) & all_cores_mask();
	text_print(text, "Name:\t%s\nUmask:\t0%u%u%u\nState:\t%c (%s)\n", thread->name,
		   umask_now() >> 6, umask_now() >> 3 & 7, umask_now() & 7, state_of(thread),
		   state_of(thread) == 'R' ? "running" : "sleeping");
	text_print(text, "Tgid:\t%u\nNgid:\t0\nPid:\t%u\nPPid:\t0\nTracerPid:\t0\n", PROCESS,
		   number == NO_NUMBER ? PROCESS : number);
	text_print(text, "Uid:\t%ld\t%ld\t%ld\t%ld\nGid:\t%ld\t%ld\t%ld\t%ld\n", sys_getuid(),
		   sys_getuid(), sys_getuid(), sys_getuid(), sys_getgid(), sys_getgid(),
		   sys_getgid(), sys_getgid());
	text_print(text, "FDSize:\t%u\nGroups:\t\n", fd_limit());
	text_print(text, "VmPeak:\t%8zu kB\nVmSize:\t%8zu kB\n", sizes.all * page_kib,
		   sizes.all * page_kib);
	text_print(text, "VmHWM:\t%8zu kB\nVmRSS:\t%8zu kB\n", area_resident_pages() * page_kib,
		   area_resident_pages() * page_kib);
	text_print(text, "VmData:\t%8zu kB\nVmSwap:\t       0 kB\nThreads:\t%u\n",
		   sizes.writable * page_kib, thread_count());
	text_print(text, "SigPnd:\t%016lx\nSigBlk:\t%016lx\n", thread->signal_pending,
		   thread->signal_mask);
	text_print(text, "NoNewPrivs:\t0\nSeccomp:\t0\nCpus_allowed:\t%lx\nCpus_allowed_list:\t",
		   cores);
	print_core_list(text, cores);
	text_print(text, "\nMems_allowed:\t1\nMems_allowed_list:\t0\n");
}

/* ---- descriptors ---- */

static unsigned next_descriptor(unsigned from)
{
	for (unsigned fd = from; fd < FD_MAX; fd++)
		if (fd_lookup(fd))
			return fd;
	return NO_NUMBER;
}

static struct file *follow_descriptor(unsigned number)
{
	return fd_lookup(number);
}

static void print_descriptor(struct text *text, unsigned number)
{
	struct file *file = fd_lookup(number);
	struct inode *inode = file ? file_inode(file) : NULL;
	char path[PATH_MAX / 4];
	const char *start;

	if (!file)
		return;
	if (!inode) {
		text_print(text, "%s:[%lu]", file->operations->kind, (unsigned long)file >> 4);
		return;
	}
	start = path_of(__atomic_load_n(&inode->entry, __ATOMIC_ACQUIRE), path, sizeof(path));
	if (start)
		text_append(text, start, path + sizeof(path) - start);
}

static void print_cwd(struct text *text, unsigned number)
{
	char path[PATH_MAX / 4];
	const char *start = path_of(__atomic_load_n(&working_directory()->entry, __ATOMIC_ACQUIRE),
				    path, sizeof(path));

	if (start)
		text_append(text, start, path + sizeof(path) - start);
}

/* ---- what the process may use ---- */

static const struct {
	int resource;
	const char *name, *unit;
} limits[] = {
	{ RLIMIT_CPU, "Max cpu time", "seconds" },
	{ RLIMIT_FSIZE, "Max file size", "bytes" },
	{ RLIMIT_DATA, "Max data size", "bytes" },
	{ RLIMIT_STACK, "Max stack size", "bytes" },
	{ RLIMIT_CORE, "Max core file size", "bytes" },
	{ RLIMIT_RSS, "Max resident set", "bytes" },
	{ RLIMIT_NPROC, "Max processes", "processes" },
	{ RLIMIT_NOFILE, "Max open files", "files" },
	{ RLIMIT_MEMLOCK, "Max locked memory", "bytes" },
	{ RLIMIT_AS, "Max address space", "bytes" },
	{ RLIMIT_LOCKS, "Max file locks", "locks" },
	{ RLIMIT_SIGPENDING, "Max pending signals", "signals" },
	{ RLIMIT_MSGQUEUE, "Max msgqueue size", "bytes" },
	{ RLIMIT_NICE, "Max nice priority", "" },
	{ RLIMIT_RTPRIO, "Max realtime priority", "" },
	{ RLIMIT_RTTIME, "Max realtime timeout", "us" },
};

static void print_limit(struct text *text, rlim_t value)
{
	if (value == RLIM_INFINITY)
		text_print(text, "%-20s ", "unlimited");
	else
		text_print(text, "%-20lu ", (unsigned long)value);
}

static void print_limits(struct text *text, unsigned number)
{
	text_print(text, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (unsigned i = 0; i < array_size(limits); i++) {
		struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

		process_limit(limits[i].resource, NULL, &limit);
		text_print(text, "%-25s ", limits[i].name);
		print_limit(text, limit.rlim_cur);
		print_limit(text, limit.rlim_max);
		text_print(text, "%-10s\n", limits[i].unit);
	}
}

static void print_mounts(struct text *text, unsigned number)
{
	text_print(text, "lavra / tmpfs rw,relatime 0 0\nproc /proc proc rw 0 0\n"
			 "sysfs /sys sysfs rw 0 0\n");
}

static void print_mountinfo(struct text *text, unsigned number)
{
	text_print(text, "1 1 0:1 / / rw,relatime - tmpfs lavra rw\n"
			 "2 1 0:2 / /proc rw - proc proc rw\n3 1 0:3 / /sys rw - sysfs sysfs rw\n");
}

static void print_cgroup(struct text *text, unsigned number)
{
	text_print(text, "0::/\n");
}

/* Nobody kills for memory here; servers write it all the same, and read it back. */
static int oom_score_adjustment;

static void print_oom_score_adjustment(struct text *text, unsigned number)
{
	text_print(text, "%d\n", oom_score_adjustment);
}

static int write_oom_score_adjustment(const char *bytes, size_t length, unsigned number)
{
	bool negative = length && bytes[0] == '-';
	int value = 0;

	for (size_t i = negative; i < length && bytes[i] != '\n'; i++) {
		if (bytes[i] < '0' || bytes[i] > '9')
			return -EINVAL;
		value = value * 10 + (bytes[i] - '0');
		if (value > 1000)
			return -EINVAL;
	}
	oom_score_adjustment = negative ? -value : value;
	return 0;
}

static void print_zero(struct text *text, unsigned number)
{
	text_print(text, "0\n");
}

static void print_own_thread(struct text *text, unsigned number)
{
	text_print(text, "1/task/%d", current->tid);
}

#define TEXT(name, function)                                                                       \
	{                                                                                          \
		.path = name, .mode = S_IFREG | 0444, .print = function                            \
	}
#define WRITABLE(name, function, write_function)                                                   \
	{                                                                                          \
		.path = name, .mode = S_IFREG | 0644, .print = function, .write = write_function   \
	}
#define OF_THREAD "/proc/1/task/#"

const struct pseudo_node self_nodes[] = {
	TEXT("/proc/1/auxv", print_auxv),
	TEXT("/proc/1/cgroup", print_cgroup),
	TEXT("/proc/1/cmdline", print_cmdline),
	WRITABLE("/proc/1/comm", print_comm, write_comm),
	TEXT("/proc/1/environ", print_environ),
	TEXT("/proc/1/limits", print_limits),
	TEXT("/proc/1/maps", print_maps),
	TEXT("/proc/1/mountinfo", print_mountinfo),
	TEXT("/proc/1/mounts", print_mounts),
	TEXT("/proc/1/oom_score", print_zero),
	WRITABLE("/proc/1/oom_score_adj", print_oom_score_adjustment, write_oom_score_adjustment),
	TEXT("/proc/1/stat", print_stat),
	TEXT("/proc/1/statm", print_statm),
	TEXT("/proc/1/status", print_status),
	{ .path = "/proc/1/exe", .mode = S_IFLNK | 0777, .print = print_exe },
	{ .path = "/proc/1/root", .mode = S_IFLNK | 0777, .target = "/" },
	{ .path = "/proc/1/cwd",
	  .mode = S_IFLNK | 0777,
	  .print = print_cwd,
	  .directory = working_directory },
	{ .path = "/proc/1/fd/#",
	  .mode = S_IFLNK | 0700,
	  .print = print_descriptor,
	  .next = next_descriptor,
	  .follow = follow_descriptor },
	{ .path = OF_THREAD, .mode = S_IFDIR | 0555, .next = next_thread },
	TEXT(OF_THREAD "/stat", print_stat),
	TEXT(OF_THREAD "/status", print_status),
	WRITABLE(OF_THREAD "/comm", print_comm, write_comm),
	{ .path = "/proc/thread-self", .mode = S_IFLNK | 0777, .print = print_own_thread },
};
const unsigned nself_nodes = array_size(self_nodes);
