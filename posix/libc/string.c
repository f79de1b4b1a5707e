/*
 * memcpy(), memmove(), memset() for applications: short lengths by two overlapping moves, long ones
 * 64 bytes at a time through vector registers. Linked before musl, whose versions move by string
 * instructions, which take tens of cycles to start.
 *
 * The three stand in one object: musl's memmove() needs a hidden name inside its memcpy().
 * All of a move's loads of a step come before its stores, so memmove() is the same code where the
 * areas do not overlap destructively.
 */
#include <emmintrin.h>
#include <stddef.h>
#include <stdint.h>

#ifdef LAVRA_HOST_TEST
/* Beside the C library's own. */
#define memcpy lavra_memcpy
#define memmove lavra_memmove
#define memset lavra_memset
void *memcpy(void *restrict destination, const void *restrict source, size_t len);
void *memmove(void *destination, const void *source, size_t len);
void *memset(void *destination, int value, size_t len);
#else
#include <string.h>
#endif

/* Any address, any other type's memory. */
typedef uint16_t unaligned16 __attribute__((aligned(1), may_alias));
typedef uint32_t unaligned32 __attribute__((aligned(1), may_alias));
typedef uint64_t unaligned64 __attribute__((aligned(1), may_alias));

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE __m128i load(const char *source)
{
	return _mm_loadu_si128((const __m128i *)source);
}

ALWAYS_INLINE void store(char *destination, __m128i value)
{
	_mm_storeu_si128((__m128i *)destination, value);
}

/* Up to 64 bytes; everything is read before anything is written. */
ALWAYS_INLINE void *move_short(char *destination, const char *source, size_t len)
{
	const char *source_end = source + len;
	char *end = destination + len;

	if (len >= 32) {
		__m128i a = load(source), b = load(source + 16);
		__m128i c = load(source_end - 32), d = load(source_end - 16);

		store(destination, a);
		store(destination + 16, b);
		store(end - 32, c);
		store(end - 16, d);
	} else if (len >= 16) {
		__m128i a = load(source), b = load(source_end - 16);

		store(destination, a);
		store(end - 16, b);
	} else if (len >= 8) {
		uint64_t a = *(const unaligned64 *)source;
		uint64_t b = *(const unaligned64 *)(source_end - 8);

		*(unaligned64 *)destination = a;
		*(unaligned64 *)(end - 8) = b;
	} else if (len >= 4) {
		uint32_t a = *(const unaligned32 *)source;
		uint32_t b = *(const unaligned32 *)(source_end - 4);

		*(unaligned32 *)destination = a;
		*(unaligned32 *)(end - 4) = b;
	} else if (len >= 2) {
		uint16_t a = *(const unaligned16 *)source;
		uint16_t b = *(const unaligned16 *)(source_end - 2);

		*(unaligned16 *)destination = a;
		*(unaligned16 *)(end - 2) = b;
	} else if (len == 1) {
		*destination = *source;
	}
	return destination;
}

/* More than 64 bytes, from the front: the destination does not lie inside the source's rest. */
ALWAYS_INLINE void move_forward(char *destination, const char *source, size_t len)
{
	/* The last 64 bytes, and the first 16, are read before they can be overwritten. */
	const char *source_end = source + len;
	char *end = destination + len;
	__m128i head = load(source);
	__m128i tail0 = load(source_end - 64), tail1 = load(source_end - 48);
	__m128i tail2 = load(source_end - 32), tail3 = load(source_end - 16);
	size_t to_aligned = 16 - ((uintptr_t)destination & 15);
	char *position = destination + to_aligned;

	source += to_aligned;
	for (; position + 64 < end; position += 64, source += 64) {
		__m128i a = load(source), b = load(source + 16);
		__m128i c = load(source + 32), d = load(source + 48);

		_mm_store_si128((__m128i *)position, a);
		_mm_store_si128((__m128i *)(position + 16), b);
		_mm_store_si128((__m128i *)(position + 32), c);
		_mm_store_si128((__m128i *)(position + 48), d);
	}
	store(end - 64, tail0);
	store(end - 48, tail1);
	store(end - 32, tail2);
	store(end - 16, tail3);
	store(destination, head);
}

/* More than 64 bytes, from the back: the destination begins inside the source. */
ALWAYS_INLINE void move_backward(char *destination, const char *source, size_t len)
{
	__m128i tail = load(source + len - 16);
	__m128i head0 = load(source), head1 = load(source + 16);
	__m128i head2 = load(source + 32), head3 = load(source + 48);
	char *end = destination + len;
	size_t from_aligned = (uintptr_t)end & 15;
	char *position = end - from_aligned;

	source += len - from_aligned;
	for (; position - 64 > destination; position -= 64, source -= 64) {
		__m128i a = load(source - 16), b = load(source - 32);
		__m128i c = load(source - 48), d = load(source - 64);

		_mm_store_si128((__m128i *)(position - 16), a);
		_mm_store_si128((__m128i *)(position - 32), b);
		_mm_store_si128((__m128i *)(position - 48), c);
		_mm_store_si128((__m128i *)(position - 64), d);
	}
	store(end - 16, tail);
	store(destination, head0);
	store(destination + 16, head1);
	store(destination + 32, head2);
	store(destination + 48, head3);
}

void *memcpy(void *restrict destination, const void *restrict source, size_t len)
{
	if (len <= 64)
		return move_short(destination, source, len);
	move_forward(destination, source, len);
	return destination;
}

void *memmove(void *destination, const void *source, size_t len)
{
	if (len <= 64)
		return move_short(destination, source, len);
	if ((uintptr_t)destination - (uintptr_t)source >= len)
		move_forward(destination, source, len);
	else
		move_backward(destination, source, len);
	return destination;
}

void *memset(void *destination, int value, size_t len)
{
	char *start = destination, *end = start + len, *position;
	uint64_t pattern = 0x0101010101010101ull * (uint8_t)value;
	__m128i vector;

	if (len < 16) {
		if (len >= 8) {
			*(unaligned64 *)start = pattern;
			*(unaligned64 *)(end - 8) = pattern;
		} else if (len >= 4) {
			*(unaligned32 *)start = pattern;
			*(unaligned32 *)(end - 4) = pattern;
		} else if (len >= 2) {
			*(unaligned16 *)start = pattern;
			*(unaligned16 *)(end - 2) = pattern;
		} else if (len == 1) {
			*start = pattern;
		}
		return destination;
	}
	vector = _mm_set1_epi64x(pattern);
	store(start, vector);
	store(end - 16, vector);
	if (len <= 32)
		return destination;
	store(start + 16, vector);
	store(end - 32, vector);
	if (len <= 64)
		return destination;
	position = (char *)(((uintptr_t)start + 32) & ~(uintptr_t)15);
	for (; position + 64 <= end; position += 64) {
		_mm_store_si128((__m128i *)position, vector);
		_mm_store_si128((__m128i *)(position + 16), vector);
		_mm_store_si128((__m128i *)(position + 32), vector);
		_mm_store_si128((__m128i *)(position + 48), vector);
	}
	/* Fewer than 64 bytes are left, 32 of them written. */
	if (position < end - 32) {
		store(position, vector);
		store(position + 16, vector);
	}
	return destination;
}
