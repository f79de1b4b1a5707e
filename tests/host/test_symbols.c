/*
 * The look-up of names in a backtrace.
 *
 * links: arch/x86_64/symbols.c
 */
#include "arch/x86_64/symbols.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char names[] = "first\0second\0third";
static const struct symbol_entry table[] = { { 0x100, 0 }, { 0x140, 6 }, { 0x1000, 13 } };

static void assert_found(uint64_t offset, const char *name, uint64_t distance)
{
	uint64_t found_distance = UINT64_MAX;
	const char *found = symbols_find(table, 3, names, offset, &found_distance);

	assert_non_null(found);
	assert_string_equal(found, name);
	assert_int_equal(found_distance, distance);
}

static void finds_the_symbol_at_or_before(void **state)
{
	assert_found(0x100, "first", 0);
	assert_found(0x13f, "first", 0x3f);
	assert_found(0x140, "second", 0);
	assert_found(0xfff, "second", 0xebf);
	assert_found(0x1000, "third", 0);
	assert_found(0xffffffffff, "third", 0xffffffffff - 0x1000);
}

static void finds_nothing_before_the_first_or_in_an_empty_table(void **state)
{
	uint64_t distance;

	assert_null(symbols_find(table, 3, names, 0xff, &distance));
	assert_null(symbols_find(table, 0, names, 0x100, &distance));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_symbol_at_or_before),
		cmocka_unit_test(finds_nothing_before_the_first_or_in_an_empty_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
