/*
 * Initial sequence numbers and the hash below them; the Internet checksum.
 * links: net/isn.c net/checksum.c
 */
#include "net/checksum.h"
#include "net/isn.h"

#include "arch/arch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static uint64_t now_ns, next_random = 1;

uint64_t clock_ns(void)
{
	return now_ns;
}

uint64_t arch_random(void)
{
	return next_random++ * 0x9e3779b97f4a7c15;
}

/* Aumasson, Bernstein: SipHash, appendix A: key 00..0f, message 00..0e. */
static void siphash_is_the_published_one(void **state)
{
	uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	uint8_t message[15];

	for (unsigned i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t)i;
	assert_int_equal(siphash(key, message, sizeof(message)), 0xa129ca6149be45e5);
	/* From the reference implementation's vectors: nothing, and one full word. */
	assert_int_equal(siphash(key, message, 0), 0x726fdb47dd0e0e31);
	assert_int_equal(siphash(key, message, 8), 0x93f5f5799a932462);
}

static void a_connection_begins_above_its_predecessor(void **state)
{
	uint32_t first, later;

	isn_init();
	now_ns = 0;
	first = initial_sequence_number(1, 80, 2, 4000);
	assert_int_equal(initial_sequence_number(1, 80, 2, 4000), first);
	now_ns = NS_PER_S;
	later = initial_sequence_number(1, 80, 2, 4000);
	assert_int_equal(later - first, NS_PER_S / 64);
}

static void neighbors_tell_nothing(void **state)
{
	uint32_t differences[64];

	isn_init();
	now_ns = 0;
	for (unsigned i = 0; i < 64; i++)
		differences[i] = initial_sequence_number(1, 80, 2, (uint16_t)(4001 + i)) -
				 initial_sequence_number(1, 80, 2, (uint16_t)(4000 + i));
	for (unsigned i = 0; i < 64; i++)
		for (unsigned j = 0; j < i; j++)
			assert_int_not_equal(differences[i], differences[j]);
}

/* RFC 1071, section 3. */
static void the_checksum_of_the_rfc(void **state)
{
	uint8_t bytes[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };

	assert_int_equal(__builtin_bswap16(internet_checksum(bytes, sizeof(bytes))), 0xddf2);
}

static void the_checksum_is_the_sum_at_every_length(void **state)
{
	uint8_t bytes[100];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37 + 200);
	for (unsigned start = 0; start < 8; start++)
		for (unsigned len = 0; start + len <= sizeof(bytes); len++) {
			uint32_t sum = 0;

			for (unsigned i = 0; i < len; i++)
				sum += i % 2 ? (uint32_t)bytes[start + i] << 8 : bytes[start + i];
			while (sum >> 16)
				sum = (sum & 0xffff) + (sum >> 16);
			assert_int_equal(internet_checksum(bytes + start, (int)len), sum);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_is_the_published_one),
		cmocka_unit_test(a_connection_begins_above_its_predecessor),
		cmocka_unit_test(neighbors_tell_nothing),
		cmocka_unit_test(the_checksum_of_the_rfc),
		cmocka_unit_test(the_checksum_is_the_sum_at_every_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
