/*
 * The kernel's memory functions, in assembly, against the C library's: lengths around each of their
 * cases, every alignment, every overlap, and not a byte beyond.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

__asm__(".set memory_host_test, 1\n"
	".include \"arch/x86_64/memory.S\"\n"
	".text\n");

void *kernel_memcpy(void *to, const void *from, size_t len);
void *kernel_memmove(void *to, const void *from, size_t len);
void *kernel_memset(void *to, int byte, size_t len);
int kernel_memcmp(const void *a, const void *b, size_t len);

#define ROOM 4096
static unsigned char source[ROOM], expected[ROOM], found[ROOM];

static const size_t large[] = { 255, 256, 257, 511, 512, 513, 520, 527, 1000, 1024, 1460, 3000 };

/* The n-th length to try; SIZE_MAX after the last. */
static size_t length(size_t n)
{
	if (n <= 80)
		return n;
	return n - 81 < sizeof(large) / sizeof(large[0]) ? large[n - 81] : SIZE_MAX;
}

static void fill(void)
{
	for (size_t i = 0; i < ROOM; i++) {
		source[i] = (unsigned char)(i * 131 + (i >> 8));
		expected[i] = found[i] = (unsigned char)~i;
	}
}

static void memcpy_copies_exactly(void **state)
{
	for (size_t n = 0, len; (len = length(n)) != SIZE_MAX; n++) {
		for (size_t to = 0; to < 16; to++) {
			for (size_t from = 0; from < 16; from += 3) {
				fill();
				memcpy(expected + 64 + to, source + from, len);
				assert_ptr_equal(kernel_memcpy(found + 64 + to, source + from, len),
						 found + 64 + to);
				assert_memory_equal(found, expected, ROOM);
			}
		}
	}
}

static void memmove_moves_over_any_overlap(void **state)
{
	for (size_t n = 0, len; (len = length(n)) != SIZE_MAX; n++) {
		for (long distance = -70; distance <= 70; distance++) {
			fill();
			memcpy(found, source, ROOM);
			memcpy(expected, source, ROOM);
			memmove(expected + 100 + distance, expected + 100, len);
			assert_ptr_equal(kernel_memmove(found + 100 + distance, found + 100, len),
					 found + 100 + distance);
			assert_memory_equal(found, expected, ROOM);
		}
	}
}

static void memset_sets_exactly(void **state)
{
	for (size_t n = 0, len; (len = length(n)) != SIZE_MAX; n++) {
		for (size_t to = 0; to < 16; to++) {
			fill();
			memset(expected + 64 + to, 0xa5, len);
			/* Only the low byte counts. */
			assert_ptr_equal(kernel_memset(found + 64 + to, 0x5ba5, len),
					 found + 64 + to);
			assert_memory_equal(found, expected, ROOM);
		}
	}
}

static int sign(int n)
{
	return (n > 0) - (n < 0);
}

static void memcmp_finds_the_first_difference(void **state)
{
	fill();
	for (size_t len = 0; len < 40; len++) {
		memcpy(found, source, ROOM);
		assert_int_equal(kernel_memcmp(found, source, len), 0);
		for (size_t at = 0; at < len; at++) {
			for (int change = 1; change < 256; change += 127) {
				memcpy(found, source, ROOM);
				found[at] ^= (unsigned char)change;
				found[at + 1] ^= 0x80; /* must not count */
				assert_int_equal(sign(kernel_memcmp(found, source, len)),
						 sign(found[at] - source[at]));
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memcpy_copies_exactly),
		cmocka_unit_test(memmove_moves_over_any_overlap),
		cmocka_unit_test(memset_sets_exactly),
		cmocka_unit_test(memcmp_finds_the_first_difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
