/*
 * Byte rings against a model: whatever is put in comes out, in order, through rings that grow, in
 * pieces of all sizes.
 *
 * links: smp/byte_ring.c
 */
#include "smp/byte_ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/object.h"

static long objects;
static bool out_of_memory;

void *object_alloc(size_t size)
{
	void *object = NULL;

	if (out_of_memory || posix_memalign(&object, CACHE_LINE, size) != 0)
		return NULL;
	objects++;
	return object;
}

void object_free(void *object)
{
	objects -= object != NULL;
	free(object);
}

void epoch_defer(struct deferred *deferred, void (*release)(struct deferred *))
{
	release(deferred);
}

static unsigned random_state;

static unsigned pick(unsigned n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 10) % n;
}

static uint8_t byte_at(size_t at)
{
	return (uint8_t)(at * 37 + (at >> 8));
}

/* `length` bytes in up to four pieces, some of them empty. */
static unsigned cut(uint8_t *bytes, size_t length, struct iovec iov[4])
{
	for (unsigned i = 0; i < 3; i++) {
		size_t here = pick(3) ? pick((unsigned)length + 1) : 0;

		iov[i] = (struct iovec){ bytes, here };
		bytes += here;
		length -= here;
	}
	iov[3] = (struct iovec){ bytes, length };
	return 4;
}

#define RING_LIMIT 4096

static size_t put_some(struct byte_ring **producer, size_t at)
{
	static uint8_t bytes[3000];
	size_t length = pick(sizeof(bytes)) + 1, skip = pick(2) ? pick(100) : 0, done;
	struct iovec iov[4];

	for (size_t i = 0; i < length; i++)
		bytes[i] = byte_at(at - skip + i);
	skip = min(skip, length);
	done = byte_ring_copy_in(*producer, iov, cut(bytes, length, iov), skip);
	assert_true(done <= length - skip);
	if (done < length - skip) {
		struct byte_ring *next;

		assert_int_equal(byte_ring_room(*producer), 0);
		next = pick(4) ? NULL : byte_ring_grow(*producer, RING_LIMIT);
		if (next)
			*producer = next;
	}
	return done;
}

static size_t take_some(struct byte_ring **consumer, size_t at, size_t waiting)
{
	static uint8_t bytes[3000];
	size_t length = pick(sizeof(bytes)), done;
	bool peek = pick(3) == 0, discard = pick(5) == 0;
	struct iovec iov[4];

	done = byte_ring_copy_out(consumer, iov, cut(bytes, length, iov), peek, discard);
	assert_true(done <= min(length, waiting));
	/* A look sees no further than one ring; all that waits can be taken. */
	if (peek)
		assert_true(done > 0 || !waiting || !length);
	else
		assert_int_equal(done, min(length, waiting));
	for (size_t i = 0; !discard && i < done; i++)
		assert_int_equal(bytes[i], byte_at(at + i));
	return peek ? 0 : done;
}

static void bytes_come_out_in_order(void **state)
{
	for (unsigned seed = 1; seed <= 300; seed++) {
		struct byte_ring *producer = byte_ring_create(200 + seed), *consumer = producer;
		size_t in = 0x1000, out = in;

		random_state = seed * 7919;
		/* The counts run over. */
		producer->head = producer->tail = producer->head_seen = 0u - pick(5000);
		for (unsigned i = 0; i < 2000; i++) {
			if (pick(2))
				in += put_some(&producer, in);
			else
				out += take_some(&consumer, out, in - out);
			assert_int_equal(byte_ring_length(consumer), in - out);
			assert_int_equal(byte_ring_is_empty(consumer), in == out);
		}
		byte_ring_free(consumer);
		assert_int_equal(objects, 0);
	}
}

static void room_is_told_at_a_third(void **state)
{
	struct byte_ring *ring = byte_ring_create(192 + sizeof(struct byte_ring));
	uint8_t bytes[192] = { 0 };
	struct iovec iov = { bytes, sizeof(bytes) };

	assert_true(byte_ring_has_room(ring));
	iov.iov_len = 192 - 63;
	assert_int_equal(byte_ring_copy_in(ring, &iov, 1, 0), 129);
	assert_false(byte_ring_has_room(ring));
	iov.iov_len = 1;
	assert_int_equal(byte_ring_copy_out(&ring, &iov, 1, false, false), 1);
	assert_true(byte_ring_has_room(ring));
	byte_ring_free(ring);
}

static void without_memory_it_stays_small(void **state)
{
	struct byte_ring *ring = byte_ring_create(300);

	out_of_memory = true;
	assert_null(byte_ring_grow(ring, RING_LIMIT));
	assert_null(byte_ring_create(300));
	out_of_memory = false;
	assert_null(byte_ring_grow(ring, 300));
	byte_ring_free(ring);
	assert_int_equal(objects, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_come_out_in_order),
		cmocka_unit_test(room_is_told_at_a_third),
		cmocka_unit_test(without_memory_it_stays_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
