/*
 * The applications' memcpy(), memmove() and memset() against plain loops: every length up to 300 and
 * some large ones, every alignment, every overlap, and not a byte beyond.
 *
 * links: posix/libc/string.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void *lavra_memcpy(void *destination, const void *source, size_t len);
void *lavra_memmove(void *destination, const void *source, size_t len);
void *lavra_memset(void *destination, int value, size_t len);

#define ROOM 8192
static unsigned char expected[ROOM], found[ROOM], source[ROOM];

static const size_t large[] = { 511, 512, 513, 1000, 1024, 1460, 4095, 4096, 4097, 7000 };
#define NLARGE (sizeof(large) / sizeof(large[0]))

/* The n-th length to try, or -1 after the last. */
static long length(unsigned n)
{
	if (n <= 300)
		return n;
	return n - 301 < NLARGE ? (long)large[n - 301] : -1;
}

static void fill(unsigned char *area, unsigned seed)
{
	for (size_t i = 0; i < ROOM; i++) {
		seed = seed * 1103515245 + 12345;
		area[i] = seed >> 16;
	}
}

static void check(const char *what, size_t to, size_t from, size_t len)
{
	for (size_t i = 0; i < ROOM; i++)
		if (expected[i] != found[i])
			fail_msg("%s(to %zu, from %zu, %zu bytes): byte %zu is %02x, not %02x",
				 what, to, from, len, i, found[i], expected[i]);
}

static void test_memcpy(void **state)
{
	fill(source, 1);
	for (unsigned n = 0; length(n) >= 0; n++)
		for (size_t to = 64; to < 80; to++)
			for (size_t from = 0; from<16; from += n> 100 ? 3 : 1) {
				size_t len = length(n);

				memset(expected, 0xee, ROOM);
				memset(found, 0xee, ROOM);
				for (size_t i = 0; i < len; i++)
					expected[to + i] = source[from + i];
				assert_ptr_equal(lavra_memcpy(found + to, source + from, len),
						 found + to);
				check("memcpy", to, from, len);
			}
}

static void move_and_check(size_t to, size_t from, size_t len)
{
	fill(expected, len);
	fill(found, len);
	memcpy(source, expected, ROOM);
	for (size_t i = 0; i < len; i++)
		expected[to + i] = source[from + i];
	assert_ptr_equal(lavra_memmove(found + to, found + from, len), found + to);
	check("memmove", to, from, len);
}

static void test_memmove_overlapping(void **state)
{
	for (unsigned n = 0; length(n) >= 0; n += n < 140 ? 1 : 7)
		for (long distance = -130; distance <= 130; distance += n < 140 ? 3 : 1)
			move_and_check(512 + n % 16, 512 + n % 16 + distance, length(n));
}

static void test_memmove_every_alignment(void **state)
{
	for (size_t to = 512; to < 528; to++)
		for (size_t from = 512; from < 528; from++)
			for (size_t len = 0; len < 300; len += 11)
				move_and_check(to, from, len);
}

static void test_memmove_far_apart(void **state)
{
	for (unsigned n = 0; length(n) >= 0 && length(n) < 3000; n += 5) {
		move_and_check(7, 4100, length(n));
		move_and_check(4100, 7, length(n));
	}
}

static void test_memset(void **state)
{
	static const int values[] = { 0, 1, 0x80, 0xff, -2, 0x1234 };

	for (unsigned n = 0; length(n) >= 0; n++)
		for (size_t to = 64; to < 80; to++) {
			size_t len = length(n);
			int value = values[n % 6];

			memset(expected, 0xee, ROOM);
			memset(found, 0xee, ROOM);
			for (size_t i = 0; i < len; i++)
				expected[to + i] = value;
			assert_ptr_equal(lavra_memset(found + to, value, len), found + to);
			check("memset", to, 0, len);
		}
}

/* The sanitizer sees reads and writes beyond the ends of exact allocations. */
static void test_nothing_beyond_is_touched(void **state)
{
	for (size_t len = 1; len <= 300; len++) {
		unsigned char *from = malloc(len), *to = malloc(len);

		lavra_memset(from, len, len);
		lavra_memcpy(to, from, len);
		assert_memory_equal(to, from, len);
		lavra_memmove(from, to, len);
		lavra_memmove(from, from, len);
		assert_memory_equal(to, from, len);
		free(from);
		free(to);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memcpy),
		cmocka_unit_test(test_memmove_overlapping),
		cmocka_unit_test(test_memmove_every_alignment),
		cmocka_unit_test(test_memmove_far_apart),
		cmocka_unit_test(test_memset),
		cmocka_unit_test(test_nothing_beyond_is_touched),
	};

	return cmocka_run_group_tests_name("libc string", tests, NULL, NULL);
}
