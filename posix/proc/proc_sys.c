/*
 * /proc/sys and /sys: the settings and the hardware that Linux programs ask for. They tell what is so;
 * none can be changed.
 */
#include "posix/file/file.h"
#include "posix/fs/pseudo.h"
#include "posix/process/machine.h"
#include "posix/random.h"

#include "mm/frame.h"
#include "net/socket.h"
#include "smp/core.h"

#include <sys/stat.h>
#include <sys/utsname.h>

/* ---- values that never change ---- */

#define CONSTANT(name, value)                                                                      \
	static void print_##name(struct text *text, unsigned number)                               \
	{                                                                                          \
		text_print(text, value "\n");                                                      \
	}

CONSTANT(zero, "0")
CONSTANT(one, "1") /* overcommit_memory: pages appear when they are touched */
CONSTANT(none, "(none)")
CONSTANT(somaxconn, "4096")
CONSTANT(buffer_bytes, "131072") /* net/: window and send queue of a connection */
CONSTANT(tcp_buffers, "4096\t131072\t131072")
CONSTANT(local_ports, "32768\t60999") /* net/ports.c */
CONSTANT(half_open, "1024")
CONSTANT(congestion, "reno")
CONSTANT(entropy, "256")
CONSTANT(threads_max, "32767")
CONSTANT(pid_max, "32768")
CONSTANT(capabilities, "40")
CONSTANT(pipe_max, "262144") /* PIPE_RING_MOST */
CONSTANT(map_count, "2147483647")
CONSTANT(huge_pages, "always [madvise] never")
CONSTANT(only_first, "0")

static void print_descriptors_max(struct text *text, unsigned number)
{
	text_print(text, "%u\n", FD_MAX);
}

static void print_descriptors(struct text *text, unsigned number)
{
	text_print(text, "%u\t0\t%u\n", fd_count(), FD_MAX);
}

/* ---- names and random numbers ---- */

#define NAME(member)                                                                               \
	static void print_##member(struct text *text, unsigned number)                             \
	{                                                                                          \
		struct utsname name;                                                               \
                                                                                                   \
		machine_name(&name);                                                               \
		text_print(text, "%s\n", name.member);                                             \
	}

NAME(sysname)
NAME(nodename)
NAME(release)
NAME(version)

/* RFC 4122, 4.4: a random one. */
static void print_identifier(struct text *text, const uint8_t bytes[16])
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned byte = bytes[i];

		if (i == 6)
			byte = (byte & 0x0f) | 0x40;
		if (i == 8)
			byte = (byte & 0x3f) | 0x80;
		text_print(text, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", byte);
	}
	text_print(text, "\n");
}

static void print_uuid(struct text *text, unsigned number)
{
	uint8_t bytes[16];

	random_bytes(bytes, sizeof(bytes));
	print_identifier(text, bytes);
}

static uint64_t boot_identifier[2]; /* atomic; 0: not chosen yet */

static void print_boot_id(struct text *text, unsigned number)
{
	uint64_t words[2];

	for (unsigned i = 0; i < 2; i++) {
		uint64_t seen = 0;

		random_bytes(&words[i], sizeof(words[i]));
		if (!__atomic_compare_exchange_n(&boot_identifier[i], &seen, words[i] | 1, false,
						 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			words[i] = seen;
		else
			words[i] |= 1;
	}
	print_identifier(text, (const uint8_t *)words);
}

/* ---- cores ---- */

static void print_online(struct text *text, unsigned number)
{
	if (ncores == 1)
		text_print(text, "0\n");
	else
		text_print(text, "0-%u\n", ncores - 1);
}

static void print_last_core(struct text *text, unsigned number)
{
	text_print(text, "%u\n", MAX_CORES - 1);
}

static unsigned next_core(unsigned from)
{
	return from < ncores ? from : NO_NUMBER;
}

static void print_package(struct text *text, unsigned core)
{
	text_print(text, "%u\n", cores[core].package);
}

static void print_physical(struct text *text, unsigned core)
{
	text_print(text, "%u\n", cores[core].physical);
}

static void print_siblings(struct text *text, unsigned core)
{
	const char *comma = "";

	for (core_id_t other = 0; other < ncores; other++)
		if (cores[other].package == cores[core].package &&
		    cores[other].physical == cores[core].physical) {
			text_print(text, "%s%u", comma, other);
			comma = ",";
		}
	text_print(text, "\n");
}

static void print_neighbours(struct text *text, unsigned core)
{
	const char *comma = "";

	for (core_id_t other = 0; other < ncores; other++)
		if (cores[other].package == cores[core].package) {
			text_print(text, "%s%u", comma, other);
			comma = ",";
		}
	text_print(text, "\n");
}

#define TEXT(name, function)                                                                       \
	{                                                                                          \
		.path = name, .mode = S_IFREG | 0444, .print = function                            \
	}
#define KERNEL "/proc/sys/kernel/"
#define CORE "/proc/sys/net/core/"
#define IPV4 "/proc/sys/net/ipv4/"
#define CPU "/sys/devices/system/cpu/"
#define NODE "/sys/devices/system/node/"
#define HUGE_PAGES "/sys/kernel/mm/transparent_hugepage/"

const struct pseudo_node sys_nodes[] = {
	TEXT(KERNEL "cap_last_cap", print_capabilities),
	TEXT(KERNEL "domainname", print_none),
	TEXT(KERNEL "hostname", print_nodename),
	TEXT(KERNEL "osrelease", print_release),
	TEXT(KERNEL "ostype", print_sysname),
	TEXT(KERNEL "version", print_version),
	TEXT(KERNEL "pid_max", print_pid_max),
	TEXT(KERNEL "threads-max", print_threads_max),
	TEXT(KERNEL "random/boot_id", print_boot_id),
	TEXT(KERNEL "random/uuid", print_uuid),
	TEXT(KERNEL "random/entropy_avail", print_entropy),
	TEXT("/proc/sys/fs/file-max", print_descriptors_max),
	TEXT("/proc/sys/fs/file-nr", print_descriptors),
	TEXT("/proc/sys/fs/nr_open", print_descriptors_max),
	TEXT("/proc/sys/fs/pipe-max-size", print_pipe_max),
	TEXT("/proc/sys/vm/max_map_count", print_map_count),
	TEXT("/proc/sys/vm/nr_hugepages", print_zero),
	TEXT("/proc/sys/vm/overcommit_memory", print_one),
	TEXT("/proc/sys/vm/swappiness", print_zero),
	TEXT(CORE "rmem_default", print_buffer_bytes),
	TEXT(CORE "rmem_max", print_buffer_bytes),
	TEXT(CORE "somaxconn", print_somaxconn),
	TEXT(CORE "wmem_default", print_buffer_bytes),
	TEXT(CORE "wmem_max", print_buffer_bytes),
	TEXT(IPV4 "ip_local_port_range", print_local_ports),
	TEXT(IPV4 "ip_unprivileged_port_start", print_zero),
	TEXT(IPV4 "tcp_congestion_control", print_congestion),
	TEXT(IPV4 "tcp_max_syn_backlog", print_half_open),
	TEXT(IPV4 "tcp_rmem", print_tcp_buffers),
	TEXT(IPV4 "tcp_syncookies", print_zero),
	TEXT(IPV4 "tcp_wmem", print_tcp_buffers),
	TEXT(CPU "kernel_max", print_last_core),
	TEXT(CPU "online", print_online),
	TEXT(CPU "possible", print_online),
	TEXT(CPU "present", print_online),
	{ .path = CPU "cpu#", .mode = S_IFDIR | 0555, .next = next_core },
	TEXT(CPU "cpu#/topology/core_id", print_physical),
	TEXT(CPU "cpu#/topology/core_siblings_list", print_neighbours),
	TEXT(CPU "cpu#/topology/physical_package_id", print_package),
	TEXT(CPU "cpu#/topology/thread_siblings_list", print_siblings),
	TEXT(NODE "online", print_only_first),
	TEXT(NODE "possible", print_only_first),
	TEXT(NODE "node0/cpulist", print_online),
	TEXT(HUGE_PAGES "enabled", print_huge_pages),
};
const unsigned nsys_nodes = array_size(sys_nodes);
