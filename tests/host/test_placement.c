/*
 * The pin map, on machines that hwloc makes up.
 *
 * links: tools/launcher/complaint.c tools/launcher/placement.c
 * libraries: -lhwloc
 */
#include "tools/launcher/placement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static hwloc_topology_t make_machine(const char *description)
{
	hwloc_topology_t topology;

	assert_int_equal(hwloc_topology_init(&topology), 0);
	if (hwloc_topology_set_synthetic(topology, description) < 0)
		fail_msg("hwloc does not know '%s'", description);
	hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
	assert_int_equal(hwloc_topology_load(topology), 0);
	return topology;
}

/* The map in words: CPUs | CPUs of other threads | node, * if memory is bound to it | shape. */
static const char *describe(const struct placement *placement)
{
	static char text[1024];
	size_t length = 0;
	char *others;

	if (!placement->pinned)
		return placement->too_many ? "too many" : "off";
	for (unsigned i = 0; i < placement->ncpus; i++)
		length += snprintf(text + length, sizeof(text) - length, i ? ",%u" : "%u",
				   placement->cpu[i]);
	assert_true(hwloc_bitmap_list_asprintf(&others, placement->others) >= 0);
	snprintf(text + length, sizeof(text) - length, " | %s | %d%s | %u.%u.%u.%u", others,
		 placement->node, placement->bind_memory ? "*" : "", placement->shape.sockets,
		 placement->shape.dies, placement->shape.cores, placement->shape.threads);
	free(others);
	return text;
}

static const struct {
	const char *machine;
	const char *usable; /* "": all */
	struct pin_request pin;
	unsigned ncpus;
	const char *map; /* or a part of what is refused, behind a ! */
} cases[] = {
#define AUTO                                                                                       \
	{                                                                                          \
		.kind = PIN_AUTO                                                                   \
	}
#define NODE(number)                                                                               \
	{                                                                                          \
		.kind = PIN_NUMA, .node = (number)                                                 \
	}
#define LIST(count, ...)                                                                           \
	{                                                                                          \
		.kind = PIN_LIST, .ncpus = (count), .cpus = { __VA_ARGS__ }                        \
	}
	/* One package without siblings. */
	{ "pack:1 core:4 pu:1", "", AUTO, 2, "0,1 | 2-3 | 0 | 1.1.2.1" },
	{ "pack:1 core:4 pu:1", "", AUTO, 4, "0,1,2,3 | 0-3 | 0 | 1.1.4.1" },
	{ "pack:1 core:4 pu:1", "", AUTO, 5, "too many" },
	{ "pack:1 core:1 pu:1", "", AUTO, 1, "0 | 0 | 0 | 1.1.1.1" },
	{ "pack:1 core:3 pu:1", "", AUTO, 2, "0,1 | 2 | 0 | 1.1.2.1" },
	/* Siblings: one a core, and the other threads on cores of their own. */
	{ "pack:1 core:4 pu:2", "", AUTO, 3, "0,2,4 | 6-7 | 0 | 1.1.3.1" },
	{ "pack:1 core:4 pu:2", "", AUTO, 4, "0,2,4,6 | 1,3,5,7 | 0 | 1.1.4.1" },
	/* More virtual CPUs than cores: whole cores. */
	{ "pack:1 core:4 pu:2", "", AUTO, 6, "0,1,2,3,4,5 | 6-7 | 0 | 1.1.3.2" },
	{ "pack:1 core:4 pu:2", "", AUTO, 8, "0,1,2,3,4,5,6,7 | 0-7 | 0 | 1.1.4.2" },
	{ "pack:1 core:4 pu:2", "", AUTO, 5, "0,1,2,3,4 | 6-7 | 0 | 0.0.0.0" },
	{ "pack:1 core:2 pu:4", "", AUTO, 8, "0,1,2,3,4,5,6,7 | 0-7 | 0 | 1.1.2.4" },
	/* Siblings numbered as Linux does, all first threads first. */
	{ "pack:1 core:4 pu:2(indexes=core)", "", AUTO, 4, "0,1,2,3 | 4-7 | 0 | 1.1.4.1" },
	{ "pack:1 core:4 pu:2(indexes=core)", "", AUTO, 8, "0,4,1,5,2,6,3,7 | 0-7 | 0 | 1.1.4.2" },
	{ "pack:1 core:4 pu:2(indexes=core)", "", LIST(4, 0, 1, 2, 3), 4,
	  "0,1,2,3 | 4-7 | 0 | 1.1.4.1" },
	{ "pack:1 core:4 pu:2(indexes=core)", "", LIST(4, 0, 4, 1, 5), 4,
	  "0,4,1,5 | 2-3,6-7 | 0 | 1.1.2.2" },
	{ "pack:1 core:4 pu:2(indexes=core)", "", LIST(4, 0, 1, 4, 5), 4,
	  "0,1,4,5 | 2-3,6-7 | 0 | 0.0.0.0" },
	/* Packages that are nodes. */
	{ "pack:2 numa:1 core:4 pu:1", "", AUTO, 3, "0,1,2 | 3 | 0* | 1.1.3.1" },
	{ "pack:2 numa:1 core:4 pu:1", "", AUTO, 4, "0,1,2,3 | 4-7 | 0* | 1.1.4.1" },
	{ "pack:2 numa:1 core:4 pu:1", "", AUTO, 6, "0,1,2,4,5,6 | 3,7 | -1 | 2.1.3.1" },
	{ "pack:2 numa:1 core:4 pu:1", "", AUTO, 5, "0,1,2,3,4 | 5-7 | -1 | 0.0.0.0" },
	{ "pack:2 numa:1 core:4 pu:1", "", AUTO, 8, "0,1,2,3,4,5,6,7 | 0-7 | -1 | 2.1.4.1" },
	{ "pack:2 numa:1 core:4 pu:1", "", NODE(1), 4, "4,5,6,7 | 0-3 | 1* | 1.1.4.1" },
	{ "pack:2 numa:1 core:4 pu:1", "", NODE(2), 1, "!no NUMA node 2" },
	{ "pack:2 numa:1 core:4 pu:1", "", NODE(1), 5, "!4 CPUs for this process" },
	{ "pack:2 numa:1 core:4 pu:1", "0-3", NODE(1), 1, "!0 CPUs for this process" },
	/* The node with a core to spare comes before the first one that fits. */
	{ "pack:2 numa:1 core:4 pu:1", "0-1,4-7", AUTO, 2, "4,5 | 6-7 | 1* | 1.1.2.1" },
	{ "pack:2 numa:1 core:4 pu:1", "2-5", AUTO, 2, "2,3 | 4-5 | 0* | 1.1.2.1" },
	{ "pack:2 numa:1 core:4 pu:2", "", AUTO, 4, "0,2,4,6 | 8-15 | 0* | 1.1.4.1" },
	{ "pack:2 numa:1 core:4 pu:2", "", AUTO, 16,
	  "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15 | 0-15 | -1 | 2.1.4.2" },
	/* Nodes inside a package, packages of one node, several dies. */
	{ "pack:1 numa:2 core:3 pu:2", "", AUTO, 2, "0,2 | 4-5 | 0* | 1.1.2.1" },
	{ "pack:1 numa:2 core:3 pu:2", "", AUTO, 4, "0,2,6,8 | 4-5,10-11 | -1 | 1.1.4.1" },
	{ "numa:1 pack:2 core:2 pu:1", "", AUTO, 4, "0,1,2,3 | 0-3 | 0 | 2.1.2.1" },
	{ "pack:1 die:2 core:2 pu:2", "", AUTO, 8, "0,1,2,3,4,5,6,7 | 0-7 | 0 | 1.2.2.2" },
	{ "pack:2 die:2 core:2 pu:1", "", AUTO, 8, "0,1,2,3,4,5,6,7 | 0-7 | 0 | 2.2.2.1" },
	/* Odd numbers. */
	{ "pack:3 numa:1 core:3 pu:1", "", AUTO, 9, "0,1,2,3,4,5,6,7,8 | 0-8 | -1 | 3.1.3.1" },
	{ "pack:3 numa:1 core:5 pu:3", "", AUTO, 7, "0,3,6,9,12,15,18 | 21-44 | -1 | 0.0.0.0" },
	{ "pack:3 numa:1 core:2 pu:3", "", NODE(2), 4, "12,13,14,15 | 0-11 | 2* | 0.0.0.0" },
	/* Only some CPUs may be used. */
	{ "pack:1 core:4 pu:2", "1,3,6-7", AUTO, 3, "1,3,6 | 7 | 0 | 1.1.3.1" },
	{ "pack:1 core:4 pu:2", "1,3,6-7", AUTO, 4, "1,3,6,7 | 1,3,6-7 | 0 | 0.0.0.0" },
	{ "pack:1 core:4 pu:2", "1,3", AUTO, 3, "too many" },
	/* Lists. */
	{ "pack:1 core:4 pu:1", "", LIST(2, 3, 1), 2, "3,1 | 0,2 | 0 | 1.1.2.1" },
	{ "pack:1 core:4 pu:1", "", LIST(3, 0, 1, 3), 2, "0,1 | 3 | 0 | 1.1.2.1" },
	{ "pack:1 core:4 pu:1", "", LIST(2, 0, 4), 2, "!no CPU 4" },
	{ "pack:1 core:4 pu:1", "0-1", LIST(2, 0, 2), 2, "!CPU 2 is not for this process" },
	{ "pack:1 core:4 pu:1", "", LIST(2, 0, 2), 3, "!2 CPUs for 3 virtual ones" },
	{ "pack:1 core:4 pu:1", "", LIST(1, 2), 2, "!names 1 CPU for 2 virtual ones" },
	{ "pack:1 core:2 pu:1", "0", NODE(0), 2, "!node 0 has 1 CPU for this process" },
	{ "pack:2 numa:1 core:2 pu:1", "", LIST(2, 3, 2), 2, "3,2 | 0-1 | 1* | 1.1.2.1" },
	{ "pack:2 numa:1 core:2 pu:1", "", { .kind = PIN_OFF }, 2, "off" },
};

static void maps_are_the_expected_ones(void **state)
{
	unsigned failed = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		hwloc_topology_t topology = make_machine(cases[i].machine);
		hwloc_bitmap_t usable =
		    hwloc_bitmap_dup(hwloc_topology_get_topology_cpuset(topology));
		struct placement placement;
		const char *wrong, *found;

		if (*cases[i].usable)
			hwloc_bitmap_list_sscanf(usable, cases[i].usable);
		wrong =
		    placement_choose(&placement, topology, usable, &cases[i].pin, cases[i].ncpus);
		found = wrong ? wrong : describe(&placement);
		if (*cases[i].map == '!' ? !wrong || !strstr(wrong, cases[i].map + 1)
					 : wrong || strcmp(found, cases[i].map) != 0) {
			print_error("%s (%s), %u virtual: '%s' and not '%s'\n", cases[i].machine,
				    cases[i].usable, cases[i].ncpus, found, cases[i].map);
			failed++;
		}
		placement_free(&placement);
		hwloc_bitmap_free(usable);
		hwloc_topology_destroy(topology);
	}
	assert_int_equal(failed, 0);
}

/* What holds for every map of `ncpus`, whatever the machine. */
static void check_rules(const char *machine, hwloc_topology_t topology, hwloc_const_bitmap_t usable,
			unsigned ncpus)
{
	const struct pin_request pin = { .kind = PIN_AUTO };
	hwloc_bitmap_t used = hwloc_bitmap_alloc(), cores = hwloc_bitmap_alloc();
	struct placement placement;
	unsigned shared = 0, ncores = 0, nodes_that_fit = 0;
	hwloc_obj_t object = NULL;

	assert_null(placement_choose(&placement, topology, usable, &pin, ncpus));
	assert_true(placement.pinned);
	for (unsigned i = 0; i < ncpus; i++) {
		object = placement_processor(topology, placement.cpu[i]);
		assert_non_null(object);
		if (hwloc_bitmap_isset(used, placement.cpu[i]) ||
		    !hwloc_bitmap_isset(usable, placement.cpu[i]))
			fail_msg("%s, %u: CPU %u twice, or not usable", machine, ncpus,
				 placement.cpu[i]);
		hwloc_bitmap_set(used, placement.cpu[i]);
		object = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_CORE, object);
		shared += hwloc_bitmap_intersects(cores, object->cpuset);
		hwloc_bitmap_or(cores, cores, object->cpuset);
	}
	object = NULL;
	while ((object = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, object)))
		ncores += hwloc_bitmap_intersects(object->cpuset, usable);
	if (shared && ncpus <= ncores)
		fail_msg("%s: %u on %u cores, and some share one", machine, ncpus, ncores);
	while ((object = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, object))) {
		hwloc_obj_t core = NULL;
		unsigned here = 0;

		while ((core = hwloc_get_next_obj_inside_cpuset_by_type(topology, object->cpuset,
									HWLOC_OBJ_CORE, core)))
			here += hwloc_bitmap_intersects(core->cpuset, usable);
		nodes_that_fit += here >= ncpus;
	}
	if (nodes_that_fit && placement.node < 0)
		fail_msg("%s: %u fit one node, and are on several", machine, ncpus);
	assert_true(hwloc_bitmap_isincluded(placement.others, usable));
	assert_false(hwloc_bitmap_iszero(placement.others));
	/* A core without a virtual CPU is left, so the other threads are on none that has one. */
	hwloc_bitmap_andnot(used, usable, cores);
	if (!hwloc_bitmap_iszero(used) && hwloc_bitmap_intersects(placement.others, cores))
		fail_msg("%s, %u: other threads share a core that they need not", machine, ncpus);
	if (placement.shape.sockets)
		assert_int_equal(placement.shape.sockets * placement.shape.dies *
				     placement.shape.cores * placement.shape.threads,
				 ncpus);
	placement_free(&placement);
	hwloc_bitmap_free(used);
	hwloc_bitmap_free(cores);
}

static void rules_hold_on_every_machine(void **state)
{
	static const char *const machines[] = {
		"pack:1 core:1 pu:2",	     "pack:1 core:7 pu:1",
		"pack:2 core:3 pu:2",	     "pack:4 numa:1 core:2 pu:2",
		"pack:2 numa:2 core:3 pu:2", "pack:3 numa:1 core:5 pu:1",
		"numa:2 pack:2 core:2 pu:2", "pack:1 die:3 core:3 pu:2",
		"pack:1 core:13 pu:3",	     "pack:2 numa:1 core:16 pu:2",
		"pack:5 numa:1 core:1 pu:1", "pack:2 numa:4 core:1 pu:4",
	};
	unsigned random = 1;

	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
		hwloc_topology_t topology = make_machine(machines[i]);
		hwloc_bitmap_t usable =
		    hwloc_bitmap_dup(hwloc_topology_get_topology_cpuset(topology));

		/* All of them, then ever fewer, of which some cores have only one sibling left. */
		while (!hwloc_bitmap_iszero(usable)) {
			unsigned weight = (unsigned)hwloc_bitmap_weight(usable);
			int lost = hwloc_bitmap_first(usable);

			for (unsigned ncpus = 1; ncpus <= weight && ncpus <= MAX_CPUS; ncpus++)
				check_rules(machines[i], topology, usable, ncpus);
			random = random * 1103515245u + 12345;
			for (unsigned skip = (random >> 16) % weight; skip; skip--)
				lost = hwloc_bitmap_next(usable, lost);
			hwloc_bitmap_clr(usable, (unsigned)lost);
		}
		hwloc_bitmap_free(usable);
		hwloc_topology_destroy(topology);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(maps_are_the_expected_ones),
		cmocka_unit_test(rules_hold_on_every_machine),
	};

	return cmocka_run_group_tests_name("placement", tests, NULL, NULL);
}
