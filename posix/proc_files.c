/*
 * /proc and /sys: what Lavra tells of itself, and the few files that Linux programs read.
 *
 * /proc/lavra/cores is a table: a line of names, then one line per core. /proc/lavra/totals has
 * a name and a number on each line. Both only ever grow at their ends.
 */
#include "posix/pseudo_file.h"

#include "arch/arch.h"
#include "lavra/counters.h"
#include "mm/area.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "net/socket.h"
#include "sched/thread.h"
#include "smp/core.h"

#include <sys/mman.h>
#include <sys/stat.h>

static void print_cores(struct text *text)
{
	uint64_t now = clock_ns();

	text_print(text, "core");
#define X(name, help) text_print(text, " " #name);
	COUNTERS(X)
#undef X
	text_print(text, " uptime_ns package physical thread\n");
	for (core_id_t core = 0; core < ncores; core++) {
		const struct counters *c = counters_of(core);

		text_print(text, "%u", core);
#define X(name, help) text_print(text, " %lu", c->name);
		COUNTERS(X)
#undef X
		text_print(text, " %lu %u %u %u\n", now, cores[core].package, cores[core].physical,
			   cores[core].thread);
	}
}

static void print_totals(struct text *text)
{
	text_print(text, "cores %u\n", ncores);
	text_print(text, "uptime_ns %lu\n", clock_ns());
	text_print(text, "threads %u\n", thread_count());
	text_print(text, "descriptors %u\n", fd_count());
	text_print(text, "sockets %u\n", socket_count());
	text_print(text, "tcp_control_blocks %u\n", tcp_control_block_count());
	text_print(text, "tcp_time_wait %u\n", tcp_time_wait_count());
	text_print(text, "pages_total %zu\n", frame_total());
	text_print(text, "pages_free %zu\n", frame_free_count());
	text_print(text, "pages_mapped %zu\n", area_resident_pages());
	text_print(text, "object_bytes %zu\n", object_bytes_in_use());
}

static void print_area(vaddr_t start, vaddr_t end, int prot, void *argument)
{
	text_print(argument, "%08lx-%08lx %c%c%cp 00000000 00:00 0\n", start, end,
		   prot & PROT_READ ? 'r' : '-', prot & PROT_WRITE ? 'w' : '-',
		   prot & PROT_EXEC ? 'x' : '-');
}

static void print_maps(struct text *text)
{
	area_for_each(print_area, text);
}

static void print_cpuinfo(struct text *text)
{
	for (core_id_t core = 0; core < ncores; core++)
		text_print(text, "processor\t: %u\nphysical id\t: %u\ncore id\t\t: %u\n\n", core,
			   cores[core].package, cores[core].physical);
}

static void print_meminfo(struct text *text)
{
	size_t page_kib = PAGE_SIZE / 1024;

	text_print(text, "MemTotal:       %8zu kB\n", frame_total() * page_kib);
	text_print(text, "MemFree:        %8zu kB\n", frame_free_count() * page_kib);
	text_print(text, "MemAvailable:   %8zu kB\n", frame_free_count() * page_kib);
	text_print(text, "Buffers:               0 kB\nCached:                0 kB\n");
	text_print(text, "SwapTotal:             0 kB\nSwapFree:              0 kB\n");
}

/* Fields of Linux's proc(5): what programs look for is the 24th, the resident pages. */
static void print_stat(struct text *text)
{
	text_print(text,
		   "1 (lavra) R 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 %u 0 0 0 %zu"
		   " 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
		   thread_count(), area_resident_pages());
}

static void print_uptime(struct text *text)
{
	uint64_t centiseconds = clock_ns() / (NS_PER_S / 100), idle = 0;

	for (core_id_t core = 0; core < ncores; core++)
		idle += counters_of(core)->idle_ns / (NS_PER_S / 100);
	text_print(text, "%lu.%02lu %lu.%02lu\n", centiseconds / 100, centiseconds % 100,
		   idle / 100, idle % 100);
}

static void print_online(struct text *text)
{
	if (ncores == 1)
		text_print(text, "0\n");
	else
		text_print(text, "0-%u\n", ncores - 1);
}

static void print_overcommit(struct text *text)
{
	text_print(text, "1\n"); /* pages appear when they are touched */
}

static void print_somaxconn(struct text *text)
{
	text_print(text, "4096\n");
}

#define TEXT(path, print)                                                                          \
	{                                                                                          \
		path, S_IFREG | 0444, NULL, print                                                  \
	}

const struct pseudo_file proc_files[] = {
	TEXT("/proc/lavra/cores", print_cores),
	TEXT("/proc/lavra/totals", print_totals),
	TEXT("/proc/self/maps", print_maps),
	TEXT("/proc/self/stat", print_stat),
	TEXT("/proc/cpuinfo", print_cpuinfo),
	TEXT("/proc/meminfo", print_meminfo),
	TEXT("/proc/uptime", print_uptime),
	TEXT("/proc/sys/net/core/somaxconn", print_somaxconn),
	TEXT("/proc/sys/vm/overcommit_memory", print_overcommit),
	TEXT("/sys/devices/system/cpu/online", print_online),
};
const unsigned nproc_files = array_size(proc_files);
