#include "tools/launcher/pin.h"

#include "tools/launcher/complaint.h"
#include "tools/launcher/plural.h"
#include "tools/launcher/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <hwloc/linux.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* For QEMU to come up and to answer; with much memory on a loaded machine it takes its time. */
#define PATIENCE_MS 60000

const char *pin_prepare(struct pin *pin, const struct options *options)
{
	hwloc_bitmap_t own;

	*pin = (struct pin){ .ours = -1, .theirs = -1 };
	pin->usable = hwloc_bitmap_alloc();
	own = hwloc_bitmap_alloc();
	if (!pin->usable || !own || hwloc_topology_init(&pin->topology) < 0)
		abort();
	/* Also those that a cgroup forbids, to tell them from those that do not exist. */
	hwloc_topology_set_flags(pin->topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
	if (hwloc_topology_load(pin->topology) < 0) {
		hwloc_bitmap_free(own);
		return complain("this machine's topology cannot be read: hwloc: %s",
				strerror(errno));
	}
	hwloc_bitmap_and(pin->usable, hwloc_topology_get_topology_cpuset(pin->topology),
			 hwloc_topology_get_allowed_cpuset(pin->topology));
	/* HWLOC_SYNTHETIC and HWLOC_XMLFILE describe another machine, on which this process does not run. */
	if (hwloc_topology_is_thissystem(pin->topology) &&
	    hwloc_get_cpubind(pin->topology, own, HWLOC_CPUBIND_PROCESS) == 0)
		hwloc_bitmap_and(pin->usable, pin->usable, own);
	hwloc_bitmap_free(own);
	return placement_choose(&pin->placement, pin->topology, pin->usable, &options->pin,
				options->cores);
}

const char *pin_connect(struct pin *pin)
{
	int ends[2];

	if (!pin->placement.pinned)
		return NULL;
	if (!hwloc_topology_is_thissystem(pin->topology))
		return complain("--pin: hwloc was told of another machine (HWLOC_SYNTHETIC or "
				"HWLOC_XMLFILE), so its CPUs are not here: unset that, or look at "
				"the map with --dry-run");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return complain("socketpair: %s", strerror(errno));
	pin->ours = ends[0];
	/* Inherited, and not in the place of an input or output that was closed. */
	pin->theirs = fcntl(ends[1], F_DUPFD, 3);
	close(ends[1]);
	if (pin->theirs < 0)
		return complain("a descriptor for QEMU's control socket: %s", strerror(errno));
	return NULL;
}

const char *pin_before_exec(const struct pin *pin)
{
	const struct placement *placement = &pin->placement;
	hwloc_obj_t node;

	if (!placement->pinned)
		return NULL;
	if (hwloc_set_cpubind(pin->topology, placement->others, HWLOC_CPUBIND_PROCESS) < 0)
		return complain("--pin: QEMU cannot be put on its CPUs: %s (give --pin off)",
				strerror(errno));
	if (!placement->bind_memory)
		return NULL;
	node = hwloc_get_numanode_obj_by_os_index(pin->topology, (unsigned)placement->node);
	if (hwloc_set_membind(pin->topology, node->nodeset, HWLOC_MEMBIND_BIND,
			      HWLOC_MEMBIND_THREAD | HWLOC_MEMBIND_BYNODESET) < 0)
		fprintf(stderr,
			"lavra: memory cannot be bound to NUMA node %d: %s; it lies where the host "
			"puts it (a container forbids it without CAP_SYS_NICE)\n",
			placement->node, strerror(errno));
	return NULL;
}

static const char *move_threads(const struct pin *pin, const json_t *answer)
{
	const struct placement *placement = &pin->placement;
	int threads[MAX_CPUS];
	const char *wrong = qmp_read_threads(answer, threads, placement->ncpus);

	for (unsigned i = 0; i < placement->ncpus && !wrong; i++) {
		hwloc_obj_t processor = placement_processor(pin->topology, placement->cpu[i]);

		if (hwloc_linux_set_tid_cpubind(pin->topology, threads[i], processor->cpuset) < 0)
			wrong = complain("--pin: virtual CPU %u cannot be put on CPU %u: %s (give "
					 "--pin off)",
					 i, placement->cpu[i], strerror(errno));
	}
	return wrong;
}

const char *pin_apply(struct pin *pin, const sigset_t *signals, bool begin, bool *interrupted)
{
	struct qmp qmp;
	json_t *answer = NULL;
	const char *wrong;
	int signal_fd;

	if (!pin->placement.pinned)
		return NULL;
	close(pin->theirs); /* QEMU has it; so its end is seen */
	pin->theirs = -1;
	/* It is only looked at: the signal stays for the one who waits for QEMU. */
	signal_fd = signalfd(-1, signals, SFD_CLOEXEC);
	if (signal_fd < 0)
		return complain("signalfd: %s", strerror(errno));
	wrong = qmp_open(&qmp, pin->ours, signal_fd, PATIENCE_MS);
	if (!wrong)
		wrong = qmp_call(&qmp, "query-cpus-fast", &answer);
	if (!wrong)
		wrong = move_threads(pin, answer);
	if (!wrong && begin)
		wrong = qmp_call(&qmp, "cont", NULL);
	json_decref(answer);
	*interrupted = qmp.interrupted;
	qmp_close(&qmp);
	close(signal_fd);
	close(pin->ours);
	pin->ours = -1;
	return wrong;
}

void pin_free(struct pin *pin)
{
	if (pin->ours >= 0)
		close(pin->ours);
	if (pin->theirs >= 0)
		close(pin->theirs);
	placement_free(&pin->placement);
	hwloc_bitmap_free(pin->usable);
	if (pin->topology)
		hwloc_topology_destroy(pin->topology);
}

const char *pin_too_many(const struct pin *pin)
{
	int usable = hwloc_bitmap_weight(pin->usable);

	return complain("nothing is pinned: %u virtual CPUs are more than %d CPU%s",
			pin->placement.ncpus, usable, plural(usable));
}

void pin_print(const struct pin *pin, const char *prefix)
{
	const struct placement *placement = &pin->placement;
	char *list;

	if (placement->too_many)
		printf("%s%s\n", prefix, pin_too_many(pin));
	if (!placement->pinned)
		return;
	for (unsigned i = 0; i < placement->ncpus; i++)
		printf("%svCPU %u on CPU %u\n", prefix, i, placement->cpu[i]);
	if (hwloc_bitmap_list_asprintf(&list, placement->others) < 0)
		abort();
	printf("%sQEMU's other threads on CPU %s\n", prefix, list);
	free(list);
	if (placement->bind_memory)
		printf("%smemory on NUMA node %d\n", prefix, placement->node);
}
