/*
 * The ring of a pipe against a model of it: a list of bytes and of packets.
 * links: posix/file/pipe_ring.c
 */
#include "posix/file/pipe_ring.h"

#include "mm/object.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool memory_is_out;

void *object_alloc(size_t size)
{
	return memory_is_out ? NULL : malloc(size);
}

void object_free(void *object)
{
	free(object);
}

#define MODEL_BYTES 600000u
#define MODEL_PACKETS 10000u

/* All that was ever written in a round; positions do not wrap around. */
static struct model {
	unsigned char bytes[MODEL_BYTES];
	size_t in, out;
	struct {
		size_t from, to;
	} packets[MODEL_PACKETS];
	unsigned first, npackets;
} model;

static unsigned seed = 1;

static unsigned number(unsigned below)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 16) % below;
}

static unsigned split(struct iovec *iov, unsigned char *bytes, size_t length)
{
	size_t first = length ? number((unsigned)length + 1) : 0;

	iov[0] = (struct iovec){ bytes, first };
	iov[1] = (struct iovec){ bytes, 0 };
	iov[2] = (struct iovec){ bytes + first, length - first };
	return 3;
}

static void write_some(struct pipe_ring *ring)
{
	static unsigned char bytes[20000];
	size_t length = 1 + number(number(4) ? 300 : sizeof(bytes) - 1), written;
	bool packets = number(3) == 0;
	struct iovec iov[3];

	if (model.in + length > MODEL_BYTES || model.npackets + 6 > MODEL_PACKETS)
		return;
	for (size_t i = 0; i < length; i++)
		bytes[i] = (unsigned char)number(256);
	written = pipe_ring_write(ring, iov, split(iov, bytes, length), packets);
	assert_true(written <= length);
	memcpy(model.bytes + model.in, bytes, written);
	if (!packets) {
		assert_true(written == length || pipe_ring_room(ring) == 0);
		model.in += written;
		return;
	}
	for (size_t done = 0; done < written;) {
		size_t part = written - done < PAGE_SIZE ? written - done : PAGE_SIZE;

		model.packets[model.npackets].from = model.in;
		model.in += part;
		model.packets[model.npackets++].to = model.in;
		done += part;
	}
}

/* Is the next byte that of a packet? And where does what can be read together end? */
static bool next_piece(size_t *end)
{
	*end = model.in;
	if (model.first == model.npackets)
		return false;
	if (model.packets[model.first].from == model.out) {
		*end = model.packets[model.first].to;
		return true;
	}
	*end = model.packets[model.first].from;
	return false;
}

static void read_some(struct pipe_ring *ring)
{
	static unsigned char bytes[20000];
	size_t room = 1 + number(number(4) ? 300 : sizeof(bytes) - 1), end, expected, got;
	bool packet = next_piece(&end);
	struct iovec iov[3];

	got = pipe_ring_read(ring, iov, split(iov, bytes, room));
	expected = end - model.out < room ? end - model.out : room;
	assert_int_equal(got, expected);
	assert_memory_equal(bytes, model.bytes + model.out, got);
	model.out = packet ? end : model.out + got;
	model.first += packet;
}

static void peek_and_skip(struct pipe_ring *ring)
{
	static char bytes[70000];
	size_t end, got = pipe_ring_peek(ring, bytes, number(sizeof(bytes))), taken;
	bool packet = next_piece(&end);

	assert_true(got <= end - model.out);
	assert_memory_equal(bytes, model.bytes + model.out, got);
	taken = got ? number((unsigned)got + 1) : 0;
	pipe_ring_skip(ring, taken);
	model.out += taken;
	if (!packet)
		return;
	model.packets[model.first].from = model.out;
	model.first += model.out == end;
}

static void resize(struct pipe_ring *ring)
{
	size_t wanted = 1 + number(PIPE_RING_MOST);
	int result = pipe_ring_resize(ring, wanted);

	if (result == -EBUSY)
		assert_true(pipe_ring_filled(ring) > 0);
	else
		assert_true(result == 0 && ring->size >= wanted);
}

static void a_ring_does_as_its_model(void **state)
{
	struct pipe_ring ring;

	for (unsigned round = 0; round < 40; round++) {
		memset(&model, 0, sizeof(model));
		assert_int_equal(pipe_ring_init(&ring, PIPE_RING_BYTES), 0);
		/* Positions wrap around within the round. */
		ring.in = ring.out = 0u - number(300000);
		for (unsigned i = 0; i < 3000; i++) {
			unsigned what = number(20);

			if (what < 9)
				write_some(&ring);
			else if (what < 17)
				read_some(&ring);
			else if (what < 19)
				peek_and_skip(&ring);
			else if (number(10) == 0)
				resize(&ring);
			assert_int_equal(pipe_ring_filled(&ring), model.in - model.out);
			assert_int_equal(ring.npackets, model.npackets - model.first);
		}
		pipe_ring_free(&ring);
	}
}

static void sizes_that_are_refused(void **state)
{
	struct pipe_ring ring;
	struct iovec iov = { (char[5000]){ 0 }, 5000 };

	memory_is_out = true;
	assert_int_equal(pipe_ring_init(&ring, PIPE_RING_BYTES), -ENOMEM);
	memory_is_out = false;
	assert_int_equal(pipe_ring_init(&ring, PIPE_RING_BYTES), 0);
	assert_int_equal(pipe_ring_write(&ring, &iov, 1, false), 5000);
	assert_int_equal(pipe_ring_resize(&ring, 0), -EINVAL);
	assert_int_equal(pipe_ring_resize(&ring, PIPE_RING_MOST + 1), -EPERM);
	assert_int_equal(pipe_ring_resize(&ring, 4096), -EBUSY);
	memory_is_out = true;
	assert_int_equal(pipe_ring_resize(&ring, 8192), -ENOMEM);
	memory_is_out = false;
	assert_int_equal(ring.size, PIPE_RING_BYTES);
	ring.reserved = 3000;
	assert_int_equal(pipe_ring_resize(&ring, 4097), 0);
	assert_int_equal(pipe_ring_room(&ring), 192);
	assert_int_equal(pipe_ring_write(&ring, &iov, 1, false), 192);
	pipe_ring_free(&ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ring_does_as_its_model),
		cmocka_unit_test(sizes_that_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
