/*
 * /proc of the whole machine: what Lavra tells of itself, and the files that Linux programs read.
 *
 * /proc/lavra/cores is a table: a line of names, by which a reader finds its columns, then one line per
 * core. /proc/lavra/totals has a name and a number on each line. Names stay; more come.
 */
#include "posix/file/file.h"
#include "posix/fs/pseudo.h"

#include "lavra/counters.h"
#include "posix/proc/totals.h"
#include "posix/process/machine.h"

#include <sys/stat.h>
#include <sys/utsname.h>

static void print_cores(struct text *text, unsigned number)
{
	uint64_t now = clock_ns();

	text_print(text, "core");
#define X(name, help) text_print(text, " " #name);
	COUNTERS(X)
#undef X
	text_print(text, " uptime_ns package physical thread\n");
	for (core_id_t core = 0; core < ncores; core++) {
		struct counters c = counters_of(core);

		text_print(text, "%u", core);
#define X(name, help) text_print(text, " %lu", c.name);
		COUNTERS(X)
#undef X
		text_print(text, " %lu %u %u %u\n", now, cores[core].package, cores[core].physical,
			   cores[core].thread);
	}
}

static void print_totals(struct text *text, unsigned number)
{
#define X(name, value, help) text_print(text, #name " %lu\n", (unsigned long)(value));
	TOTALS(X)
#undef X
}

static void print_cpuinfo(struct text *text, unsigned number)
{
	for (core_id_t core = 0; core < ncores; core++)
		text_print(text, "processor\t: %u\nphysical id\t: %u\ncore id\t\t: %u\n\n", core,
			   cores[core].package, cores[core].physical);
}

static void print_meminfo(struct text *text, unsigned number)
{
	size_t page_kib = PAGE_SIZE / 1024;

	text_print(text, "MemTotal:       %8zu kB\n", frame_total() * page_kib);
	text_print(text, "MemFree:        %8zu kB\n", frame_free_count() * page_kib);
	text_print(text, "MemAvailable:   %8zu kB\n", frame_free_count() * page_kib);
	text_print(text, "Buffers:               0 kB\nCached:                0 kB\n");
	text_print(text, "SwapTotal:             0 kB\nSwapFree:              0 kB\n");
}

static void print_uptime(struct text *text, unsigned number)
{
	uint64_t centiseconds = clock_ns() / (NS_PER_S / 100), idle = 0;

	for (core_id_t core = 0; core < ncores; core++)
		idle += counters_of(core).idle_ns / (NS_PER_S / 100);
	text_print(text, "%lu.%02lu %lu.%02lu\n", centiseconds / 100, centiseconds % 100,
		   idle / 100, idle % 100);
}

#define TICK_NS_OF_LINUX (10 * NS_PER_MS) /* AT_CLKTCK: 100 a second */

/* A system call is a call: what a core does not idle away is the program's time. */
static void print_core_times(struct text *text, uint64_t busy_ns, uint64_t idle_ns)
{
	text_print(text, "%lu 0 0 %lu 0 0 0 0 0 0\n", (unsigned long)(busy_ns / TICK_NS_OF_LINUX),
		   (unsigned long)(idle_ns / TICK_NS_OF_LINUX));
}

static void print_stat(struct text *text, unsigned number)
{
	uint64_t now = clock_ns(), idle = 0, interrupts = 0, switches = 0;

	for (core_id_t core = 0; core < ncores; core++) {
		struct counters c = counters_of(core);

		idle += c.idle_ns;
		interrupts += c.interrupts + c.timer_interrupts + c.ipis;
		switches += c.context_switches;
	}
	text_print(text, "cpu  ");
	print_core_times(text, ncores * now - idle, idle);
	for (core_id_t core = 0; core < ncores; core++) {
		uint64_t idle_ns = counters_of(core).idle_ns;

		text_print(text, "cpu%u ", core);
		print_core_times(text, now - idle_ns, idle_ns);
	}
	text_print(text,
		   "intr %lu\nctxt %lu\nbtime %lu\nprocesses 1\nprocs_running 1\n"
		   "procs_blocked 0\n",
		   interrupts, switches, (unsigned long)(clock_epoch_ns / NS_PER_S));
}

static void print_loadavg(struct text *text, unsigned number)
{
	text_print(text, "0.00 0.00 0.00 1/%u 1\n", thread_count());
}

static void print_version(struct text *text, unsigned number)
{
	struct utsname name;

	machine_name(&name);
	text_print(text, "%s version %s %s\n", name.sysname, name.release, name.version);
}

static void print_filesystems(struct text *text, unsigned number)
{
	text_print(text, "nodev\tproc\nnodev\tsysfs\nnodev\ttmpfs\n");
}

#define TEXT(name, function)                                                                       \
	{                                                                                          \
		.path = name, .mode = S_IFREG | 0444, .print = function                            \
	}

const struct pseudo_node proc_nodes[] = {
	TEXT("/proc/lavra/cores", print_cores),
	TEXT("/proc/lavra/totals", print_totals),
	TEXT("/proc/cpuinfo", print_cpuinfo),
	TEXT("/proc/meminfo", print_meminfo),
	TEXT("/proc/stat", print_stat),
	TEXT("/proc/uptime", print_uptime),
	TEXT("/proc/loadavg", print_loadavg),
	TEXT("/proc/version", print_version),
	TEXT("/proc/filesystems", print_filesystems),
	{ .path = "/proc/self", .mode = S_IFLNK | 0777, .target = "1" },
	{ .path = "/proc/mounts", .mode = S_IFLNK | 0777, .target = "self/mounts" },
};
const unsigned nproc_nodes = array_size(proc_nodes);
