#include "tools/launcher/placement.h"

#include "tools/launcher/complaint.h"
#include "tools/launcher/plural.h"

#include <stdlib.h>

static hwloc_bitmap_t new_set(void)
{
	hwloc_bitmap_t set = hwloc_bitmap_alloc();

	if (!set)
		abort();
	return set;
}

hwloc_obj_t placement_processor(hwloc_topology_t topology, unsigned cpu)
{
	return hwloc_get_pu_obj_by_os_index(topology, cpu);
}

/* What siblings share; a processor alone where the host does not tell. */
static hwloc_obj_t core_of(hwloc_topology_t topology, hwloc_obj_t processor)
{
	hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_CORE, processor);

	return core ? core : processor;
}

int placement_node(hwloc_topology_t topology, hwloc_obj_t processor)
{
	hwloc_obj_t node = NULL;

	/* The first of those that have it: a second one is memory of another kind. */
	while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)))
		if (hwloc_bitmap_isset(node->cpuset, processor->os_index))
			return (int)node->os_index;
	return -1;
}

/* The next core in `set` after `core`, in the order of the topology; NULL: no more. `members` becomes its
 * processors in `set`. */
static hwloc_obj_t next_core(hwloc_topology_t topology, hwloc_const_bitmap_t set, hwloc_obj_t core,
			     hwloc_bitmap_t members)
{
	hwloc_obj_t processor =
	    core ? hwloc_get_obj_inside_cpuset_by_type(topology, core->cpuset, HWLOC_OBJ_PU, 0)
		 : NULL;
	unsigned from = processor ? processor->logical_index : 0;

	for (;; from++) {
		hwloc_obj_t found;

		processor = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PU, from);
		if (!processor)
			return NULL;
		if (!hwloc_bitmap_isset(set, processor->os_index))
			continue;
		found = core_of(topology, processor);
		if (found == core)
			continue;
		hwloc_bitmap_and(members, found->cpuset, set);
		return found;
	}
}

static unsigned count_cores(hwloc_topology_t topology, hwloc_const_bitmap_t set)
{
	hwloc_bitmap_t members = new_set();
	hwloc_obj_t core = NULL;
	unsigned count = 0;

	while ((core = next_core(topology, set, core, members)))
		count++;
	hwloc_bitmap_free(members);
	return count;
}

static unsigned count(hwloc_const_bitmap_t set)
{
	return (unsigned)hwloc_bitmap_weight(set);
}

/* Virtual CPUs on the cores in `set`, at most `most` of them: one a core, or all processors of one core
 * after the other. Not on what is in `taken`, which grows. */
static unsigned fill(struct placement *placement, hwloc_topology_t topology,
		     hwloc_const_bitmap_t set, hwloc_bitmap_t taken, unsigned from, unsigned most,
		     bool siblings)
{
	hwloc_bitmap_t members = new_set();
	hwloc_obj_t core = NULL;
	unsigned placed = 0;

	while (placed < most && (core = next_core(topology, set, core, members))) {
		if (hwloc_bitmap_intersects(taken, core->cpuset))
			continue;
		for (int cpu = hwloc_bitmap_first(members); cpu >= 0 && placed < most;
		     cpu = hwloc_bitmap_next(members, cpu)) {
			placement->cpu[from + placed++] = (unsigned)cpu;
			if (!siblings)
				break;
		}
		hwloc_bitmap_or(taken, taken, core->cpuset);
	}
	hwloc_bitmap_free(members);
	return placed;
}

/* The part of `usable` in one NUMA node that has `cores` cores and `processors` processors; the first such.
 * Returns false if no node has. */
static bool find_node(hwloc_topology_t topology, hwloc_const_bitmap_t usable, unsigned cores,
		      unsigned processors, hwloc_bitmap_t part)
{
	hwloc_obj_t node = NULL;

	while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node))) {
		hwloc_bitmap_and(part, node->cpuset, usable);
		if (count(part) >= processors && count_cores(topology, part) >= cores)
			return true;
	}
	return false;
}

/* One a core, over as few nodes as have enough: the same number on each, if each has it. */
static void spread(struct placement *placement, hwloc_topology_t topology,
		   hwloc_const_bitmap_t usable)
{
	hwloc_bitmap_t taken = new_set(), part = new_set();
	unsigned ncpus = placement->ncpus, cores = 0, nodes = 0, least = ncpus, placed = 0;
	hwloc_obj_t node = NULL;

	while (cores < ncpus &&
	       (node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node))) {
		unsigned here;

		hwloc_bitmap_and(part, node->cpuset, usable);
		here = count_cores(topology, part);
		if (!here)
			continue;
		nodes++;
		cores += here;
		least = here < least ? here : least;
	}
	node = NULL;
	while (nodes && ncpus % nodes == 0 && ncpus / nodes <= least && placed < ncpus &&
	       (node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node))) {
		hwloc_bitmap_and(part, node->cpuset, usable);
		placed += fill(placement, topology, part, taken, placed, ncpus / nodes, false);
	}
	/* What is left, or all of it, wherever there is a core. */
	fill(placement, topology, usable, taken, placed, ncpus - placed, false);
	hwloc_bitmap_free(taken);
	hwloc_bitmap_free(part);
}

/* `usable` has as many processors as there are virtual CPUs. */
static void place(struct placement *placement, hwloc_topology_t topology,
		  hwloc_const_bitmap_t usable)
{
	unsigned ncpus = placement->ncpus;
	hwloc_bitmap_t part = new_set(), taken = new_set();

	if (count_cores(topology, usable) < ncpus) {
		/* Siblings: whole cores, so that the guest's shape is regular and the rest stays free. */
		if (!find_node(topology, usable, 1, ncpus, part))
			hwloc_bitmap_copy(part, usable);
		fill(placement, topology, part, taken, 0, ncpus, true);
	} else if (find_node(topology, usable, ncpus + 1, ncpus + 1, part) ||
		   find_node(topology, usable, ncpus, ncpus, part)) {
		fill(placement, topology, part, taken, 0, ncpus, false);
	} else {
		spread(placement, topology, usable);
	}
	hwloc_bitmap_free(part);
	hwloc_bitmap_free(taken);
}

/* QEMU's other threads: cores without a virtual CPU, of the same node before all; then processors
 * without one; then all that may be used. */
static void place_others(struct placement *placement, hwloc_topology_t topology,
			 hwloc_const_bitmap_t usable)
{
	hwloc_bitmap_t others = placement->others, near = new_set();
	hwloc_obj_t node =
	    placement->node < 0
		? NULL
		: hwloc_get_numanode_obj_by_os_index(topology, (unsigned)placement->node);

	hwloc_bitmap_copy(others, usable);
	for (unsigned i = 0; i < placement->ncpus; i++) {
		hwloc_obj_t processor = placement_processor(topology, placement->cpu[i]);

		hwloc_bitmap_andnot(others, others, core_of(topology, processor)->cpuset);
	}
	if (node)
		hwloc_bitmap_and(near, others, node->cpuset);
	if (!hwloc_bitmap_iszero(near))
		hwloc_bitmap_copy(others, near);
	if (hwloc_bitmap_iszero(others)) {
		hwloc_bitmap_copy(others, usable);
		for (unsigned i = 0; i < placement->ncpus; i++)
			hwloc_bitmap_clr(others, placement->cpu[i]);
	}
	if (hwloc_bitmap_iszero(others))
		hwloc_bitmap_copy(others, usable);
	hwloc_bitmap_free(near);
}

static void find_memory(struct placement *placement, hwloc_topology_t topology)
{
	for (unsigned i = 0; i < placement->ncpus; i++) {
		int node =
		    placement_node(topology, placement_processor(topology, placement->cpu[i]));

		if (i && node != placement->node) {
			placement->node = -1;
			break;
		}
		placement->node = node;
	}
	placement->bind_memory = placement->node >= 0 &&
				 hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE) > 1;
}

/* How many virtual CPUs in a row share one of the objects; 0 if not all objects have as many, or if one
 * comes twice. */
static unsigned run_length(hwloc_obj_t *objects, unsigned ncpus)
{
	unsigned length = 1;

	while (length < ncpus && objects[length] == objects[0])
		length++;
	for (unsigned i = 0; i < ncpus; i++) {
		if (objects[i] != objects[i / length * length])
			return 0;
		for (unsigned before = 0; before < i / length * length; before++)
			if (objects[before] == objects[i])
				return 0;
	}
	return ncpus % length ? 0 : length;
}

/* Regular: every package has as many dies, every die as many cores, every core as many threads. */
static void find_shape(struct placement *placement, hwloc_topology_t topology)
{
	unsigned ncpus = placement->ncpus, threads, per_die, per_package;
	hwloc_obj_t cores[MAX_CPUS], dies[MAX_CPUS], packages[MAX_CPUS];

	for (unsigned i = 0; i < ncpus; i++) {
		hwloc_obj_t processor = placement_processor(topology, placement->cpu[i]);
		hwloc_obj_t root = hwloc_get_root_obj(topology);

		cores[i] = core_of(topology, processor);
		packages[i] =
		    hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE, processor);
		packages[i] = packages[i] ? packages[i] : root;
		dies[i] = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_DIE, processor);
		dies[i] = dies[i] ? dies[i] : packages[i];
	}
	threads = run_length(cores, ncpus);
	per_die = run_length(dies, ncpus);
	per_package = run_length(packages, ncpus);
	if (!threads || !per_die || !per_package || per_die % threads || per_package % per_die)
		return;
	placement->shape = (struct machine_shape){ .sockets = ncpus / per_package,
						   .dies = per_package / per_die,
						   .cores = per_die / threads,
						   .threads = threads };
}

/* Why a processor that was asked for cannot be had; NULL if it can. */
static const char *check_processor(hwloc_topology_t topology, hwloc_const_bitmap_t usable,
				   unsigned cpu)
{
	char *list = NULL;
	const char *wrong = NULL;

	if (hwloc_bitmap_isset(usable, cpu))
		return NULL;
	if (hwloc_bitmap_list_asprintf(&list, usable) < 0)
		abort();
	if (!hwloc_bitmap_isset(hwloc_topology_get_complete_cpuset(topology), cpu))
		wrong = complain("--pin: this machine has no CPU %u; it may use %s", cpu, list);
	else if (!placement_processor(topology, cpu))
		wrong = complain("--pin: CPU %u is offline; %s may be used", cpu, list);
	else
		wrong = complain("--pin: CPU %u is not for this process (its cgroup or its own "
				 "affinity); %s may be used",
				 cpu, list);
	free(list);
	return wrong;
}

static const char *take_list(struct placement *placement, hwloc_topology_t topology,
			     hwloc_const_bitmap_t usable, const struct pin_request *pin)
{
	const char *wrong;

	for (unsigned i = 0; i < pin->ncpus; i++) {
		wrong = check_processor(topology, usable, pin->cpus[i]);
		if (wrong)
			return wrong;
	}
	if (pin->ncpus < placement->ncpus)
		return complain(
		    "--pin names %u CPU%s for %u virtual one%s: name more, or take fewer "
		    "with --cores",
		    pin->ncpus, plural(pin->ncpus), placement->ncpus, plural(placement->ncpus));
	for (unsigned i = 0; i < placement->ncpus; i++)
		placement->cpu[i] = pin->cpus[i];
	return NULL;
}

static const char *take_node(struct placement *placement, hwloc_topology_t topology,
			     hwloc_const_bitmap_t usable, unsigned number)
{
	hwloc_obj_t node = hwloc_get_numanode_obj_by_os_index(topology, number);
	hwloc_bitmap_t part;
	const char *wrong = NULL;

	if (!node)
		return complain("--pin: this machine has no NUMA node %u; 'lavra topology' shows "
				"those it has",
				number);
	part = new_set();
	hwloc_bitmap_and(part, node->cpuset, usable);
	if (count(part) < placement->ncpus)
		wrong =
		    complain("--pin: NUMA node %u has %u CPU%s for this process, fewer than the "
			     "%u virtual one%s: take fewer with --cores, or another node",
			     number, count(part), plural(count(part)), placement->ncpus,
			     plural(placement->ncpus));
	else
		place(placement, topology, part);
	hwloc_bitmap_free(part);
	return wrong;
}

const char *placement_choose(struct placement *placement, hwloc_topology_t topology,
			     hwloc_const_bitmap_t usable, const struct pin_request *pin,
			     unsigned ncpus)
{
	const char *wrong = NULL;

	*placement = (struct placement){ .ncpus = ncpus, .node = -1, .others = new_set() };
	if (pin->kind == PIN_OFF)
		return NULL;
	if (pin->kind == PIN_AUTO && count(usable) < ncpus) {
		placement->too_many = true;
		return NULL;
	}
	if (pin->kind == PIN_LIST)
		wrong = take_list(placement, topology, usable, pin);
	else if (pin->kind == PIN_NUMA)
		wrong = take_node(placement, topology, usable, pin->node);
	else
		place(placement, topology, usable);
	if (wrong)
		return wrong;
	placement->pinned = true;
	find_memory(placement, topology);
	find_shape(placement, topology);
	place_others(placement, topology, usable);
	if (pin->kind == PIN_LIST && pin->ncpus > ncpus) {
		hwloc_bitmap_zero(placement->others);
		for (unsigned i = ncpus; i < pin->ncpus; i++)
			hwloc_bitmap_set(placement->others, pin->cpus[i]);
	}
	return NULL;
}

void placement_free(struct placement *placement)
{
	hwloc_bitmap_free(placement->others);
	placement->others = NULL;
}
