/*
 * The random generator: ChaCha20's test vector, and what fast key erasure promises.
 *
 * links: posix/random.c
 */
#include "posix/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t seed;
static unsigned seeds_taken;

uint64_t arch_random(void)
{
	seeds_taken++;
	return seed += 0x9e3779b97f4a7c15;
}

/* RFC 8439, 2.3.2 */
static void block_function(void **state)
{
	static const uint8_t expected[64] = {
		0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15, 0x50, 0x0f, 0xdd, 0x1f, 0xa3,
		0x20, 0x71, 0xc4, 0xc7, 0xd1, 0xf4, 0xc7, 0x33, 0xc0, 0x68, 0x03, 0x04, 0x22,
		0xaa, 0x9a, 0xc3, 0xd4, 0x6c, 0x4e, 0xd2, 0x82, 0x64, 0x46, 0x07, 0x9f, 0xaa,
		0x09, 0x14, 0xc2, 0xd7, 0x05, 0xd9, 0x8b, 0x02, 0xa2, 0xb5, 0x12, 0x9c, 0xd1,
		0xde, 0x16, 0x4e, 0xb9, 0xcb, 0xd0, 0x83, 0xe8, 0xa2, 0x50, 0x3c, 0x4e,
	};
	uint32_t input[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
	uint8_t output[64];

	for (unsigned i = 0; i < 8; i++)
		input[4 + i] = 0x03020100 + i * 0x04040404;
	input[12] = 1;
	input[13] = 0x09000000;
	input[14] = 0x4a000000;
	chacha20_block(input, output);
	assert_memory_equal(output, expected, sizeof(output));
}

static void no_block_comes_twice(void **state)
{
	static uint8_t bytes[64 * 1024];

	random_bytes(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i += 512)
		for (size_t j = i + 16; j < i + 512; j += 16)
			assert_memory_not_equal(bytes + i, bytes + j, 16);
	for (size_t i = 512; i < sizeof(bytes); i += 512)
		assert_memory_not_equal(bytes, bytes + i, 32);
}

static void odd_lengths_are_filled_to_the_last_byte(void **state)
{
	for (size_t length = 1; length < 1200; length += 7) {
		uint8_t *bytes = calloc(1, length);
		unsigned zeros = 0;

		/* Each byte is non-zero in one of 8 tries, or the chance was 2^-64. */
		for (int i = 0; i < 8; i++) {
			uint8_t *once = malloc(length);

			random_bytes(once, length);
			for (size_t j = 0; j < length; j++)
				bytes[j] |= once[j];
			free(once);
		}
		for (size_t i = 0; i < length; i++)
			zeros += bytes[i] == 0;
		assert_int_equal(zeros, 0);
		free(bytes);
	}
}

static void the_processor_is_asked_again_after_a_mebibyte(void **state)
{
	uint8_t bytes[4096];
	unsigned before = seeds_taken;

	for (int i = 0; i < 2 * 256; i++)
		random_bytes(bytes, sizeof(bytes));
	assert_in_range(seeds_taken - before, 4, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(block_function),
		cmocka_unit_test(no_block_comes_twice),
		cmocka_unit_test(odd_lengths_are_filled_to_the_last_byte),
		cmocka_unit_test(the_processor_is_asked_again_after_a_mebibyte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
