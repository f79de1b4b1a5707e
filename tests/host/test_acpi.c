/*
 * ACPI tables, whole and broken.
 * links: arch/x86_64/acpi.c
 */
#include "tests/host/acpi_tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct acpi_info info;

static void parse(uint32_t boot_apic_id)
{
	acpi_parse(&fake, acpi_find_rsdp(&fake), boot_apic_id, &info);
}

static void a_pc_is_understood(void **state)
{
	(void)state;
	put_pc(4);
	parse(0);
	assert_null(info.problem);
	assert_true(info.madt_found && info.fadt_found);
	assert_int_equal(info.ncores, 4);
	assert_int_equal(info.cores[3].apic_id, 3);
	assert_int_equal(info.local_apic, 0xfee00000);
	assert_int_equal(info.pm1a_control.address, 0x604);
	assert_int_equal(info.pm_timer.address, 0x608);
	assert_true(info.pm_timer_32bit);
	assert_int_equal(info.reset.address, 0xcf9);
	assert_int_equal(info.reset_value, 0xf);
	assert_int_equal(info.century_register, 0x32);
	assert_true(info.soft_off_found);
	assert_int_equal(info.soft_off_type_a, 5);
	assert_int_equal(info.soft_off_type_b, 0);
	assert_int_equal(info.npci_segments, 1);
	assert_int_equal(info.pci_segments[0].base, 0xb0000000);
	assert_int_equal(info.pci_segments[0].last_bus, 255);
}

static void the_boot_core_is_core_0(void **state)
{
	(void)state;
	put_pc(4);
	parse(2);
	assert_int_equal(info.ncores, 4);
	assert_int_equal(info.cores[0].apic_id, 2);
	assert_int_equal(info.cores[0].uid, 2);
	assert_int_equal(info.cores[1].apic_id, 0);
	assert_int_equal(info.cores[3].apic_id, 3);
}

static void a_core_listed_twice_counts_once(void **state)
{
	uint32_t length = 44;

	(void)state;
	put_pc(1);
	length += put_local_apic(MADT + length, 0, 0, 1);
	length += put_local_apic(MADT + length, 1, 1, 1);
	length += put_local_x2apic(MADT + length, 1, 1, 1);
	length += put_local_x2apic(MADT + length, 2, 0x12345, 1);
	finish_table(MADT, "APIC", length);
	parse(0);
	assert_int_equal(info.ncores, 3);
	assert_int_equal(info.cores[2].apic_id, 0x12345);
	assert_int_equal(info.cores[2].uid, 2);
}

static void disabled_and_broadcast_entries_are_no_cores(void **state)
{
	uint32_t length = 44;

	(void)state;
	put_pc(1);
	length += put_local_apic(MADT + length, 0, 0, 1);
	length += put_local_apic(MADT + length, 1, 1, 0);
	length += put_local_apic(MADT + length, 2, 2, 2); /* online capable, not enabled */
	length += put_local_apic(MADT + length, 3, 0xff, 1);
	length += put_local_x2apic(MADT + length, 4, 0xffffffff, 1);
	finish_table(MADT, "APIC", length);
	parse(0);
	assert_int_equal(info.ncores, 1);
	assert_int_equal(info.cores_disabled, 2);
}

static void more_cores_than_fit_are_counted(void **state)
{
	(void)state;
	put_pc(200);
	parse(150);
	assert_int_equal(info.ncores, MAX_CORES);
	assert_int_equal(info.cores_surplus, 200 - MAX_CORES);
	assert_int_equal(info.cores[0].apic_id, 150);
}

static void address_override_and_nmi_pins_are_taken(void **state)
{
	uint32_t at = 44;

	(void)state;
	put_pc(1);
	at += put_local_apic(MADT + at, 0, 0, 1);
	put(MADT + at, 5, 1);
	put(MADT + at + 1, 12, 1);
	put(MADT + at + 4, 0x1fee00000, 8);
	at += 12;
	put(MADT + at, 0xff0604, 3); /* type 4, length 6, all cores */
	put(MADT + at + 3, 0, 2);
	put(MADT + at + 5, 1, 1);
	at += 6;
	put(MADT + at, 0x0c0a, 2); /* type 10, length 12 */
	put(MADT + at + 4, 7, 4);
	put(MADT + at + 8, 0, 1);
	at += 12;
	finish_table(MADT, "APIC", at);
	parse(0);
	assert_null(info.problem);
	assert_int_equal(info.local_apic, 0x1fee00000);
	assert_int_equal(info.nlocal_nmis, 2);
	assert_true(info.local_nmis[0].all);
	assert_int_equal(info.local_nmis[0].pin, 1);
	assert_false(info.local_nmis[1].all);
	assert_int_equal(info.local_nmis[1].uid, 7);
}

static void a_bad_checksum_leaves_the_table_out(void **state)
{
	(void)state;
	put_pc(4);
	fake_memory[MADT + 9]++;
	parse(0);
	assert_non_null(info.problem);
	assert_false(info.madt_found);
	assert_int_equal(info.ncores, 1);
	assert_true(info.fadt_found);

	put_pc(4);
	fake_memory[FADT + 70]++;
	parse(0);
	assert_false(info.fadt_found);
	assert_int_equal(info.pm1a_control.address, 0);
	assert_int_equal(info.ncores, 4);

	put_pc(4);
	fake_memory[DSDT + 90]++;
	parse(0);
	assert_false(info.soft_off_found);
	assert_true(info.fadt_found);
}

static void impossible_lengths_are_refused(void **state)
{
	static const uint32_t lengths[] = { 0, 35, 0x7fffffff, 0xffffffff, FAKE_MEMORY_SIZE };

	(void)state;
	for (size_t i = 0; i < array_size(lengths); i++) {
		put_pc(4);
		put(MADT + 4, lengths[i], 4);
		parse(0);
		assert_false(info.madt_found);
		assert_non_null(info.problem);
	}
	/* Long enough for a header, not for its own fields. */
	put_pc(4);
	finish_table(MADT, "APIC", 40);
	finish_table(FADT, "FACP", 80);
	finish_table(MCFG, "MCFG", 50);
	parse(0);
	assert_false(info.madt_found);
	assert_false(info.fadt_found);
	assert_int_equal(info.npci_segments, 0);
}

static void entries_without_length_end_the_list(void **state)
{
	(void)state;
	for (unsigned length = 0; length < 2; length++) {
		put_pc(4);
		put(MADT + 44 + 16 + 1, length, 1); /* the third entry */
		finish_table(MADT, "APIC", 44 + 4 * 8);
		parse(0);
		assert_int_equal(info.ncores, 2);
		assert_non_null(info.problem);
	}
	put_pc(4);
	put(MADT + 44 + 24 + 1, 9, 1); /* the last one reaches past the end */
	finish_table(MADT, "APIC", 44 + 4 * 8);
	parse(0);
	assert_int_equal(info.ncores, 3);
	assert_non_null(info.problem);
}

static void a_root_that_leads_back_to_itself_ends(void **state)
{
	static paddr_t tables[256];

	(void)state;
	put_pc(2);
	for (unsigned i = 0; i < 256; i++)
		tables[i] = i % 2 ? ROOT : RSDP;
	tables[255] = MADT;
	put_xsdt(256, tables);
	parse(0);
	assert_int_equal(info.ncores, 2);
}

static void pointers_out_of_memory_are_refused(void **state)
{
	static const paddr_t tables[] = { UINT64_MAX, UINT64_MAX - 35, FAKE_MEMORY_SIZE - 20, 0,
					  MADT };

	(void)state;
	put_pc(2);
	put_xsdt(5, tables);
	parse(0);
	assert_int_equal(info.ncores, 2);
	put_rsdp(2, 0, UINT64_MAX - 7);
	parse(0);
	assert_int_equal(info.ncores, 1);
	assert_non_null(info.problem);
	acpi_parse(&fake, UINT64_MAX - 3, 9, &info);
	assert_int_equal(info.ncores, 1);
	assert_int_equal(info.cores[0].apic_id, 9);
}

static void the_old_root_serves_if_the_new_one_is_broken(void **state)
{
	(void)state;
	put_pc(3);
	put(0x70000 + 36, MADT, 4);
	put(0x70000 + 40, FADT, 4);
	finish_table(0x70000, "RSDT", 44);
	put_rsdp(2, 0x70000, ROOT);
	fake_memory[ROOT + 9]++;
	parse(0);
	assert_int_equal(info.ncores, 3);
	put_rsdp(0, 0x70000, 0);
	parse(0);
	assert_int_equal(info.ncores, 3);
	assert_true(info.fadt_found);
}

static void the_root_pointer_is_searched_where_it_may_lie(void **state)
{
	(void)state;
	put_pc(2);
	assert_int_equal(acpi_find_rsdp(&fake), RSDP);
	/* In the extended BIOS data area, which comes first. */
	put(0x40e, 0x9fc0, 2);
	memcpy(fake_memory + 0x9fc00 + 32, fake_memory + RSDP, 36);
	assert_int_equal(acpi_find_rsdp(&fake), 0x9fc20);
	fake_memory[0x9fc20 + 8]++;
	assert_int_equal(acpi_find_rsdp(&fake), RSDP);
	memset(fake_memory, 0, sizeof(fake_memory));
	assert_int_equal(acpi_find_rsdp(&fake), 0);
}

static void soft_off_values_are_read_in_each_encoding(void **state)
{
	static const struct {
		uint8_t code[16];
		bool found;
		uint8_t a, b;
	} cases[] = {
		{ { 0x08, '_', 'S', '5', '_', 0x12, 0x0a, 4, 0x0a, 7, 0x0a, 6 }, true, 7, 6 },
		{ { 0x08, '_', 'S', '5', '_', 0x12, 0x06, 4, 0, 0, 0, 0 }, true, 0, 0 },
		{ { 0x08, '_', 'S', '5', '_', 0x12, 0x06, 4, 1, 1 }, true, 1, 1 },
		{ { 0x08, '_', 'S', '5', '_', 0x12, 0x46, 0, 4, 0x0a, 3, 1 }, true, 3, 1 },
		{ { 0x08, '_', 'S', '5', '_', 0x12, 0x06, 4, 0x0a, 8, 0 }, false, 0, 0 },
		{ { 0x09, '_', 'S', '5', '_', 0x12, 0x06, 4, 0x0a, 5, 0 }, false, 0, 0 },
		{ { 0x08, '_', 'S', '5', '_', 0x13, 0x06, 4, 0x0a, 5, 0 }, false, 0, 0 },
		{ { 0x08, '_', 'S', '4', '_', 0x12, 0x06, 4, 0x0a, 5, 0 }, false, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		put_pc(1);
		memcpy(fake_memory + DSDT + 60, cases[i].code, 16);
		finish_table(DSDT, "DSDT", 100);
		parse(0);
		assert_int_equal(info.soft_off_found, cases[i].found);
		assert_int_equal(info.soft_off_type_a, cases[i].a);
		assert_int_equal(info.soft_off_type_b, cases[i].b);
	}
	/* Cut off in the middle of the package. */
	for (uint32_t length = 60; length < 73; length++) {
		put_pc(1);
		finish_table(DSDT, "DSDT", length);
		parse(0);
		assert_int_equal(info.soft_off_found, length >= 71);
	}
}

static void a_hardware_reduced_machine_has_other_registers(void **state)
{
	(void)state;
	put_pc(1);
	put(FADT + 112, 1u << 20, 4);
	put(FADT + 244, ACPI_SPACE_MEMORY, 1);
	put(FADT + 245, 8, 1);
	put(FADT + 248, 0xfea00000, 8);
	finish_table(FADT, "FACP", 268);
	parse(0);
	assert_true(info.hardware_reduced);
	assert_int_equal(info.sleep_control.address, 0xfea00000);
	assert_int_equal(info.pm_timer.address, 0);
	assert_int_equal(info.pm1a_control.address, 0);
	assert_int_equal(info.reset.address, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pc_is_understood),
		cmocka_unit_test(the_boot_core_is_core_0),
		cmocka_unit_test(a_core_listed_twice_counts_once),
		cmocka_unit_test(disabled_and_broadcast_entries_are_no_cores),
		cmocka_unit_test(more_cores_than_fit_are_counted),
		cmocka_unit_test(address_override_and_nmi_pins_are_taken),
		cmocka_unit_test(a_bad_checksum_leaves_the_table_out),
		cmocka_unit_test(impossible_lengths_are_refused),
		cmocka_unit_test(entries_without_length_end_the_list),
		cmocka_unit_test(a_root_that_leads_back_to_itself_ends),
		cmocka_unit_test(pointers_out_of_memory_are_refused),
		cmocka_unit_test(the_old_root_serves_if_the_new_one_is_broken),
		cmocka_unit_test(the_root_pointer_is_searched_where_it_may_lie),
		cmocka_unit_test(soft_off_values_are_read_in_each_encoding),
		cmocka_unit_test(a_hardware_reduced_machine_has_other_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
