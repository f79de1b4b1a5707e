/*
 * The topology of the machine that runs the test: our decoding of its CPUID leaves against what
 * hwloc says of the same processors.
 * links: arch/x86_64/topology.c
 * libraries: -lhwloc
 */
#include "arch/x86_64/topology.h"

#include <cpuid.h>
#include <hwloc.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct cpuid read_here(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid value = { 0 };

	__get_cpuid_count(leaf, subleaf, &value.eax, &value.ebx, &value.ecx, &value.edx);
	return value;
}

/* Of the processor that runs this (SDM vol. 2A, CPUID leaves 0BH and 01H). */
static uint32_t apic_id_here(void)
{
	struct cpuid extended = read_here(0xb, 0);

	return extended.ebx ? extended.edx : read_here(1, 0).ebx >> 24;
}

static void decodes_as_hwloc_does(void **state)
{
	struct core found[MAX_CORES] = { 0 };
	hwloc_obj_t units[MAX_CORES];
	struct topology_fields fields = { 0 };
	hwloc_topology_t topology;
	unsigned count = 0;
	cpu_set_t before;

	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(hwloc_topology_init(&topology), 0);
	assert_int_equal(hwloc_topology_load(topology), 0);
	for (int i = 0; i < hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU) && count < MAX_CORES;
	     i++) {
		hwloc_obj_t unit = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PU, (unsigned)i);
		cpu_set_t only;

		CPU_ZERO(&only);
		CPU_SET(unit->os_index, &only);
		if (sched_setaffinity(0, sizeof(only), &only) != 0)
			continue; /* not ours to use */
		fields = topology_read(read_here);
		found[count].apic_id = apic_id_here();
		units[count++] = unit;
	}
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	assert_true(count > 0);
	topology_number(found, count, fields);

	/* Numbers differ between the two; which processors share a core and a package does not. */
	for (unsigned a = 0; a < count; a++) {
		for (unsigned b = 0; b < count; b++) {
			hwloc_obj_t common =
			    hwloc_get_common_ancestor_obj(topology, units[a], units[b]);
			bool same_package = found[a].package == found[b].package;
			bool same_core = same_package && found[a].physical == found[b].physical;
			hwloc_obj_t core =
			    hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_CORE, units[a]);
			hwloc_obj_t package =
			    hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE, units[a]);

			if (a == b)
				continue;
			assert_int_equal(same_core,
					 core && hwloc_obj_is_in_subtree(topology, common, core));
			assert_int_equal(same_package, package && hwloc_obj_is_in_subtree(
								      topology, common, package));
		}
	}
	hwloc_topology_destroy(topology);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(decodes_as_hwloc_does) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
