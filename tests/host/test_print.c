/*
 * The kernel's formatting against the C library's, and what only the kernel has.
 *
 * links: arch/print.c
 */
#include "lavra/console.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Both must produce the same text and length, also cut short at every size. */
#define SAME(...)                                                                                  \
	do {                                                                                       \
		char ours[128], theirs[128];                                                       \
		for (size_t size = 0; size <= sizeof(ours); size++) {                              \
			memset(ours, '!', sizeof(ours));                                           \
			memset(theirs, '!', sizeof(theirs));                                       \
			int our_length = ksnprintf(ours, size, __VA_ARGS__);                       \
			int their_length = snprintf(theirs, size, __VA_ARGS__);                    \
			assert_int_equal(our_length, their_length);                                \
			assert_memory_equal(ours, theirs, sizeof(ours));                           \
		}                                                                                  \
	} while (0)

static void numbers_are_as_in_the_c_library(void **state)
{
	const int ints[] = { 0, 1, -1, 9, 10, 42, -99, 123456789, INT_MAX, INT_MIN };

	for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++) {
		int n = ints[i];

		SAME("%d|%i|%u|%x|%X", n, n, n, n, n);
		SAME("%5d|%-5d|%05d|%+d|%.3d|%8.3d|%-8.3d|", n, n, n, n, n, n, n);
		SAME("%#x|%#10x|%-#10x|%#010x", n ? n : 1, n ? n : 1, n ? n : 1, n ? n : 1);
		SAME("%*d|%-*d|%.*d", 7, n, 7, n, 4, n);
		SAME("%*d", -7, n);
	}
}

static void lengths_are_as_in_the_c_library(void **state)
{
	SAME("%ld %lu %lx", LONG_MIN, ULONG_MAX, ULONG_MAX);
	SAME("%lld %llu", LLONG_MAX, ULLONG_MAX);
	SAME("%zu %zx", SIZE_MAX, (size_t)0xdead);
	SAME("%hd %hu %hhd %hhu", (short)-3, (unsigned short)65535, (signed char)-7,
	     (unsigned char)255);
}

static void texts_are_as_in_the_c_library(void **state)
{
	SAME("plain");
	SAME("100%%");
	SAME("%s|%10s|%-10s|%.2s|%10.2s|%-10.2s|", "abcd", "abcd", "abcd", "abcd", "abcd", "abcd");
	SAME("%c%c|%3c|%-3c|", 'x', 'y', 'z', 'w');
	SAME("%s", "");
	SAME("%p", (void *)0x1234);
}

static void a_text_that_is_not_terminated_is_read_up_to_the_precision(void **state)
{
	char text[3] = { 'a', 'b', 'c' };
	char out[8];

	assert_int_equal(ksnprintf(out, sizeof(out), "%.3s", text), 3);
	assert_string_equal(out, "abc");
}

/* As the compiler cannot check formats that it does not know. */
static int print(char *out, size_t size, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = kvsnprintf(out, size, format, args);
	va_end(args);
	return n;
}

static void addresses_of_the_network(void **state)
{
	const uint8_t ip[4] = { 10, 0, 2, 255 };
	const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0xff };
	char out[96];

	print(out, sizeof(out), "[%pI] [%pM] [%16pI] [%-16pI]", ip, mac, ip, ip);
	assert_string_equal(
	    out, "[10.0.2.255] [52:54:00:12:34:ff] [      10.0.2.255] [10.0.2.255      ]");
}

static void a_null_string_and_unknown_conversions_do_no_harm(void **state)
{
	char out[32];

	print(out, sizeof(out), "%s", NULL);
	assert_string_equal(out, "(null)");
	print(out, sizeof(out), "a%qb");
	assert_string_equal(out, "a%?b");
	print(out, sizeof(out), "a%");
	assert_string_equal(out, "a%?");
	print(out, sizeof(out), "a%5");
	assert_string_equal(out, "a%?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_as_in_the_c_library),
		cmocka_unit_test(lengths_are_as_in_the_c_library),
		cmocka_unit_test(texts_are_as_in_the_c_library),
		cmocka_unit_test(a_text_that_is_not_terminated_is_read_up_to_the_precision),
		cmocka_unit_test(addresses_of_the_network),
		cmocka_unit_test(a_null_string_and_unknown_conversions_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
