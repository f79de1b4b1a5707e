/*
 * Which processor of the host each virtual CPU runs on: the pin map.
 *
 * The choice is a function of a topology, the processors that may be used and what was asked for; it changes
 * nothing. A processor ("CPU") is what the host's scheduler runs a thread on, by the host's own number; a
 * core is what siblings (SMT) share.
 */
#pragma once

#include "tools/launcher/options.h"

#include <hwloc.h>

struct placement {
	bool pinned; /* or the host's scheduler places all of it */
	bool too_many; /* not pinned because there are more virtual CPUs than processors */
	unsigned ncpus; /* virtual ones */
	unsigned cpu[MAX_CPUS]; /* of each virtual CPU: the host's number */
	hwloc_bitmap_t others; /* where QEMU's other threads run */
	int node; /* the NUMA node that has all virtual CPUs, by its number; -1: several */
	bool bind_memory; /* to that node, as there are others */
	struct machine_shape shape; /* what the guest is told of it; all 0: nothing */
};

/* Choose for `ncpus` virtual CPUs as `pin` says, among the processors in `usable`.
 *
 * auto, numa:N: no two virtual CPUs on one core, unless there are more of them than cores; all on one NUMA
 * node, if one has the cores; QEMU's other threads on a core that has no virtual CPU, where one is left.
 * auto with more virtual CPUs than processors pins nothing. A list is taken as it is; processors
 * behind the last virtual CPU's are for QEMU's other threads.
 *
 * Returns NULL, or what is wrong in a sentence (static memory). placement_free() in either case. */
const char *placement_choose(struct placement *placement, hwloc_topology_t topology,
			     hwloc_const_bitmap_t usable, const struct pin_request *pin,
			     unsigned ncpus);
void placement_free(struct placement *placement);

/* The object of the host's processor `cpu`; NULL if it is none that is online. */
hwloc_obj_t placement_processor(hwloc_topology_t topology, unsigned cpu);
/* The node of a processor, -1 without one. */
int placement_node(hwloc_topology_t topology, hwloc_obj_t processor);
