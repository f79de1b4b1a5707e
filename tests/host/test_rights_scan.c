/*
 * Instructions that change rights are found in code at any place, and told from what only looks like one.
 *
 * links: arch/x86_64/rights_scan.c arch/x86_64/instruction.c
 */
#include "arch/x86_64/rights_scan.h"

#include "arch/x86_64/instruction.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIZE 200

/* As the SDM's table of opcodes says it, one place at a time. */
static bool is_one(const uint8_t *at)
{
	if (at[0] != 0x0f)
		return false;
	if (at[1] == 0x01)
		return at[2] == 0xef;
	if (at[1] == 0xae)
		return at[2] < 0xc0 && (at[2] & 0x38) == 0x28;
	return at[1] == 0xc7 && at[2] < 0xc0 && (at[2] & 0x38) == 0x18;
}

static void it_is_found_at_every_place(void **state)
{
	static const uint8_t wanted[][3] = { { 0x0f, 0x01, 0xef }, { 0x0f, 0xae, 0x2f },
					     { 0x0f, 0xae, 0x6c }, { 0x0f, 0xae, 0xad },
					     { 0x0f, 0xc7, 0x1f }, { 0x0f, 0xc7, 0x5c } };

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		for (size_t at = 0; at + 3 <= SIZE; at++)
			for (unsigned filling = 0; filling < 256; filling += 15) {
				uint8_t code[SIZE];

				memset(code, (int)filling, SIZE);
				memcpy(code + at, wanted[i], 3);
				assert_int_equal(rights_find(code, SIZE, 0), at);
				assert_int_equal(rights_find(code, at + 3, at), at);
				assert_int_equal(rights_find(code, at + 2, 0), at + 2);
				assert_int_equal(rights_find(code, SIZE, at + 1), SIZE);
			}
}

static void every_triple_is_judged_rightly(void **state)
{
	for (unsigned second = 0; second < 256; second++)
		for (unsigned third = 0; third < 256; third++) {
			const uint8_t code[3] = { 0x0f, (uint8_t)second, (uint8_t)third };

			assert_int_equal(rights_find(code, 3, 0) == 0, is_one(code));
		}
}

static void short_code_has_none(void **state)
{
	static const uint8_t code[] = { 0x0f, 0x01 };

	for (size_t size = 0; size < 3; size++)
		assert_int_equal(rights_find(code, size, 0), size);
}

static void random_bytes_are_searched_as_by_hand(void **state)
{
	static const uint8_t likely[] = { 0x0f, 0x01, 0xef, 0xae, 0x2f, 0xc7, 0x1f, 0x00 };
	uint8_t code[97];

	srandom(1);
	for (unsigned run = 0; run < 100000; run++) {
		size_t expected = 0, from = (size_t)random() % 20;

		for (size_t i = 0; i < sizeof(code); i++)
			code[i] = likely[random() % 8];
		for (expected = from; expected + 3 <= sizeof(code) && !is_one(code + expected);)
			expected++;
		if (expected + 3 > sizeof(code))
			expected = sizeof(code);
		assert_int_equal(rights_find(code, sizeof(code), from), expected);
	}
}

/* ---- what it is ---- */

/* From Debian 12's glibc: the end of _dl_runtime_resolve_xsavec, and of pkey_set. */
static const uint8_t resolve[] = {
	0x31, 0xd2, 0x48, 0x89, 0x94, 0x24, 0x50, 0x02, 0x00, 0x00, 0x48, 0x89, 0x94, 0x24,
	0x58, 0x02, 0x00, 0x00, 0x48, 0x89, 0x94, 0x24, 0x60, 0x02, 0x00, 0x00, 0x0f, 0xc7,
	0x64, 0x24, 0x40, 0x48, 0x8b, 0x73, 0x10, 0x48, 0x8b, 0x7b, 0x08, 0xe8, 0xc6, 0xdb,
	0xff, 0xff, 0x49, 0x89, 0xc3, 0xb8, 0xee, 0x00, 0x00, 0x00, 0x31, 0xd2, 0x0f, 0xae,
	0x6c, 0x24, 0x40, 0x4c, 0x8b, 0x4c, 0x24, 0x30, 0x4c, 0x8b, 0x44, 0x24, 0x28,
};
static const uint8_t pkey_set[] = {
	0x83, 0xff, 0x0f, 0x77, 0x2b, 0x83, 0xfe, 0x03, 0x77, 0x26, 0x31, 0xc9, 0x8d, 0x3c,
	0x3f, 0x0f, 0x01, 0xee, 0x41, 0x89, 0xc1, 0x89, 0xf9, 0xba, 0x03, 0x00, 0x00, 0x00,
	0x45, 0x31, 0xc0, 0xd3, 0xe2, 0xd3, 0xe6, 0x44, 0x89, 0xc1, 0x89, 0xd0, 0x44, 0x89,
	0xc2, 0xf7, 0xd0, 0x44, 0x21, 0xc8, 0x09, 0xf0, 0x0f, 0x01, 0xef, 0x31, 0xc0, 0xc3,
};
/* From libnettle: rol $0xf,%r15d; add %ebp,%edi. */
static const uint8_t nettle[] = {
	0x21, 0xc8, 0x44, 0x89, 0xc2, 0x41, 0x31, 0xc0, 0x89, 0xd1, 0x44, 0x89, 0xe2, 0x31,
	0xc9, 0x44, 0x01, 0xc8, 0x01, 0xdf, 0x44, 0x01, 0xe8, 0x45, 0x31, 0xe0, 0x44, 0x8b,
	0x6c, 0x24, 0xc8, 0x41, 0xc1, 0xc7, 0x0f, 0x01, 0xef, 0x8b, 0x6c, 0x24, 0xbc, 0x41,
};

static void those_of_a_c_library_are_known(void **state)
{
	size_t at = rights_find(resolve, sizeof(resolve), 0);

	assert_int_equal(at, 54);
	assert_string_equal(rights_name(resolve + at), "XRSTOR");
	assert_true(rights_is_instruction(resolve, sizeof(resolve), at));
	at = rights_find(pkey_set, sizeof(pkey_set), 0);
	assert_int_equal(at, 50);
	assert_string_equal(rights_name(pkey_set + at), "WRPKRU");
	assert_true(rights_is_instruction(pkey_set, sizeof(pkey_set), at));
}

static void bytes_of_other_instructions_are_not_taken_for_one(void **state)
{
	uint8_t code[80];
	size_t at = rights_find(nettle, sizeof(nettle), 0);

	assert_int_equal(at, 34);
	assert_false(rights_is_instruction(nettle, sizeof(nettle), at));
	/* mov $0xef010f, %eax behind what would set the operands */
	memset(code, 0x90, sizeof(code));
	memcpy(code + 50, "\x31\xc9\x31\xd2\xb8\x0f\x01\xef\x00", 9);
	at = rights_find(code, sizeof(code), 0);
	assert_int_equal(at, 55);
	assert_false(rights_is_instruction(code, sizeof(code), at));
}

static void operands_must_be_set_and_code_lie_before(void **state)
{
	uint8_t code[80];

	memset(code, 0x90, sizeof(code));
	memcpy(code + 50, "\x31\xc9\x31\xd2\x0f\x01\xef", 7);
	assert_true(rights_is_instruction(code, sizeof(code), 54));
	memcpy(code + 50, "\x31\xc9\x31\xc0\x0f\x01\xef", 7);
	assert_false(rights_is_instruction(code, sizeof(code), 54));
	memcpy(code + 50, "\x90\x31\xd2\x48\x0f\xae\x2f", 7); /* xrstor64 (%rdi) */
	assert_true(rights_is_instruction(code, sizeof(code), 54));
	memcpy(code + 50, "\x90\x31\xd2\x48\x0f\xc7\x1f", 7); /* xrstors64 (%rdi) */
	assert_false(rights_is_instruction(code, sizeof(code), 54));
	memcpy(code, "\x31\xc9\x31\xd2\x0f\x01\xef", 7);
	assert_true(rights_is_instruction(code, sizeof(code), 4));
	assert_false(rights_is_instruction(code + 4, sizeof(code) - 4, 0));
	memcpy(code, "\x31\xc9\x31\xd2\x89\xf8\x0f\x01\xef", 9);
	assert_false(rights_is_instruction(code, sizeof(code), 6));
}

/* ---- lengths ---- */

static void lengths_are_those_of_a_disassembler(void **state)
{
	/* Length, then the instruction, each from objdump; others are compared with it in tests/build. */
	static const char *const instructions[] = {
		"\x01\x90",
		"\x05\xe8\x00\x00\x00\x00",
		"\x07\x48\x8b\x05\x00\x00\x00\x00",
		"\x0a\x48\xb8\x01\x02\x03\x04\x05\x06\x07\x08",
		"\x04\x66\xb8\x01\x02",
		"\x06\xf7\x00\x01\x02\x03\x04",
		"\x02\xf7\xd0",
		"\x05\x0f\xae\x6c\x24\x40",
		"\x05\xc5\xf9\x6f\x04\x24",
		"\x06\xc4\xe3\x7d\x19\xc1\x01",
		"\x07\x62\xf1\x7c\x48\x10\x04\x24",
		"\x09\x64\x48\x8b\x04\x25\x28\x00\x00\x00",
	};

	for (size_t i = 0; i < sizeof(instructions) / sizeof(instructions[0]); i++) {
		const uint8_t *code = (const uint8_t *)instructions[i] + 1;
		size_t length = (size_t)instructions[i][0];
		struct instruction instruction;

		assert_true(instruction_decode(code, length, &instruction));
		assert_int_equal(instruction.length, length);
		for (size_t cut = 0; cut < length; cut++)
			assert_false(instruction_decode(code, cut, &instruction));
	}
}

static bool privileged(const char *bytes, size_t size)
{
	struct instruction instruction;

	assert_true(instruction_decode((const uint8_t *)bytes, size, &instruction));
	assert_int_equal(instruction.length, size);
	return instruction_is_privileged(&instruction);
}

static void instructions_of_operating_systems_are_known(void **state)
{
	assert_true(privileged("\x0f\x22\xe0", 3)); /* mov %rax,%cr4 */
	assert_true(privileged("\x0f\x30", 2)); /* wrmsr */
	assert_true(privileged("\x0f\x01\x10", 3)); /* lgdt (%rax) */
	assert_true(privileged("\x0f\x01\xd1", 3)); /* xsetbv */
	assert_true(privileged("\x0f\x00\xd8", 3)); /* ltr %ax */
	assert_true(privileged("\xfa", 1)); /* cli */
	assert_true(privileged("\xec", 1)); /* in */
	assert_false(privileged("\x9d", 1)); /* popf */
	assert_false(privileged("\x0f\x01\xd0", 3)); /* xgetbv */
	assert_false(privileged("\x0f\x01\xf9", 3)); /* rdtscp */
	assert_false(privileged("\x0f\x01\xee", 3)); /* rdpkru */
	assert_false(privileged("\x0f\x01\x00", 3)); /* sgdt */
	assert_false(privileged("\x0f\x31", 2)); /* rdtsc */
	assert_false(privileged("\xc5\xf9\xee\xc1", 4)); /* vpmaxsw */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_found_at_every_place),
		cmocka_unit_test(every_triple_is_judged_rightly),
		cmocka_unit_test(short_code_has_none),
		cmocka_unit_test(random_bytes_are_searched_as_by_hand),
		cmocka_unit_test(those_of_a_c_library_are_known),
		cmocka_unit_test(bytes_of_other_instructions_are_not_taken_for_one),
		cmocka_unit_test(operands_must_be_set_and_code_lie_before),
		cmocka_unit_test(lengths_are_those_of_a_disassembler),
		cmocka_unit_test(instructions_of_operating_systems_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
