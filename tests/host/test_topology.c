/*
 * Topology out of CPUID, for processors as their manuals and emulators describe them.
 * links: arch/x86_64/topology.c
 */
#include "arch/x86_64/topology.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct leaf {
	uint32_t leaf, subleaf;
	struct cpuid value;
};

static const struct leaf *leaves;

/* Leaves that are not listed read as zero; the list ends with leaf UINT32_MAX. */
static struct cpuid read_leaf(uint32_t leaf, uint32_t subleaf)
{
	for (const struct leaf *l = leaves; l->leaf != UINT32_MAX; l++)
		if (l->leaf == leaf && l->subleaf == subleaf)
			return l->value;
	return (struct cpuid){ 0 };
}
#define END                                                                                        \
	{                                                                                          \
		UINT32_MAX, 0,                                                                     \
		{                                                                                  \
			0, 0, 0, 0                                                                 \
		}                                                                                  \
	}
#define INTEL(last)                                                                                \
	{                                                                                          \
		0, 0,                                                                              \
		{                                                                                  \
			(last), 0x756e6547, 0x6c65746e, 0x49656e69                                 \
		}                                                                                  \
	}
#define AMD(last)                                                                                  \
	{                                                                                          \
		0, 0,                                                                              \
		{                                                                                  \
			(last), 0x68747541, 0x444d4163, 0x69746e65                                 \
		}                                                                                  \
	}

static void assert_fields(const struct leaf *list, unsigned thread_bits, unsigned package_shift)
{
	struct topology_fields fields;

	leaves = list;
	fields = topology_read(read_leaf);
	assert_int_equal(fields.thread_bits, thread_bits);
	assert_int_equal(fields.package_shift, package_shift);
}

static void leaf_1f_has_dies_between(void **state)
{
	static const struct leaf list[] = {
		INTEL(0x1f),
		{ 0x1f, 0, { 1, 2, 0x100, 0 } },
		{ 0x1f, 1, { 4, 16, 0x201, 0 } },
		{ 0x1f, 2, { 6, 64, 0x502, 0 } }, /* dies */
		{ 0xb, 0, { 1, 2, 0x100, 0 } },
		{ 0xb, 1, { 4, 16, 0x201, 0 } },
		END,
	};

	(void)state;
	assert_fields(list, 1, 6);
}

static void leaf_b_serves_without_1f(void **state)
{
	static const struct leaf list[] = {
		INTEL(0x1f), /* 0x1f exists and is empty */
		{ 0xb, 0, { 1, 2, 0x100, 0 } },
		{ 0xb, 1, { 5, 20, 0x201, 0 } },
		END,
	};

	(void)state;
	assert_fields(list, 1, 5);
}

static void a_shrinking_shift_is_not_believed(void **state)
{
	static const struct leaf list[] = {
		INTEL(0xb),
		{ 0xb, 0, { 5, 2, 0x100, 0 } },
		{ 0xb, 1, { 1, 20, 0x201, 0 } },
		{ 1, 0, { 0, 8 << 16, 0, 1u << 28 } },
		{ 4, 0, { 3u << 26, 0, 0, 0 } },
		END,
	};

	(void)state;
	assert_fields(list, 1, 3); /* from leaves 1 and 4 */
}

static void leaves_1_and_4_of_an_old_processor(void **state)
{
	static const struct leaf single[] = { INTEL(4), END };
	static const struct leaf four_cores[] = {
		INTEL(4),
		{ 1, 0, { 0, 4 << 16, 0, 1u << 28 } },
		{ 4, 0, { 3u << 26, 0, 0, 0 } },
		END,
	};
	static const struct leaf six_cores_two_threads[] = {
		INTEL(4),
		{ 1, 0, { 0, 12 << 16, 0, 1u << 28 } },
		{ 4, 0, { 5u << 26, 0, 0, 0 } },
		END,
	};

	(void)state;
	assert_fields(single, 0, 0);
	assert_fields(four_cores, 0, 2);
	assert_fields(six_cores_two_threads, 1, 4);
}

static void amd_leaves(void **state)
{
	static const struct leaf zen[] = {
		AMD(1),
		{ 0x80000000, 0, { 0x8000001e, 0, 0, 0 } },
		{ 0x80000001, 0, { 0, 0, 1u << 22, 0 } },
		{ 0x80000008, 0, { 0, 0, 6u << 12 | 31, 0 } },
		{ 0x8000001e, 0, { 0, 1u << 8, 0, 0 } },
		END,
	};
	static const struct leaf old[] = {
		AMD(1),
		{ 0x80000000, 0, { 0x80000008, 0, 0, 0 } },
		{ 0x80000008, 0, { 0, 0, 5, 0 } }, /* 6 cores, no size of the field */
		END,
	};

	(void)state;
	assert_fields(zen, 1, 6);
	assert_fields(old, 0, 3);
}

static void numbers_are_dense(void **state)
{
	/* Two packages, of 3 and 1 cores, two threads each; identifiers with gaps and out of order. */
	static const uint32_t ids[] = { 0x10, 0x11, 0x14, 0x15, 0x1c, 0x1d, 0x81, 0x80 };
	static const unsigned expected[][3] = { { 0, 0, 0 }, { 0, 0, 1 }, { 0, 1, 0 }, { 0, 1, 1 },
						{ 0, 2, 0 }, { 0, 2, 1 }, { 1, 0, 0 }, { 1, 0, 1 } };
	struct core list[8];

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		list[i] =
		    (struct core){ .apic_id = ids[i], .package = 99, .physical = 99, .thread = 99 };
	topology_number(list, 8, (struct topology_fields){ .thread_bits = 1, .package_shift = 4 });
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(list[i].package, expected[i][0]);
		assert_int_equal(list[i].physical, expected[i][1]);
		assert_int_equal(list[i].thread, expected[i][2]);
	}
}

static void single_core_packages(void **state)
{
	struct core list[3] = { { .apic_id = 0 }, { .apic_id = 1 }, { .apic_id = 2 } };

	(void)state;
	topology_number(list, 3, (struct topology_fields){ 0 });
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(list[i].package, i);
		assert_int_equal(list[i].physical, 0);
		assert_int_equal(list[i].thread, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaf_1f_has_dies_between),
		cmocka_unit_test(leaf_b_serves_without_1f),
		cmocka_unit_test(a_shrinking_shift_is_not_believed),
		cmocka_unit_test(leaves_1_and_4_of_an_old_processor),
		cmocka_unit_test(amd_leaves),
		cmocka_unit_test(numbers_are_dense),
		cmocka_unit_test(single_core_packages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
