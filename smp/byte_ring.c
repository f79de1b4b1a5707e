#include "smp/byte_ring.h"

#include "arch/x86_64/user_access.h"
#include "mm/object.h"

#include <errno.h>
#include <string.h>

#define GROWTH 8 /* a ring is followed by one so many times its size */

struct byte_ring *byte_ring_create(size_t object_size)
{
	struct byte_ring *ring = object_alloc(object_size);

	if (!ring)
		return NULL;
	memset(ring, 0, sizeof(*ring));
	ring->size = (uint32_t)(object_size - offsetof(struct byte_ring, bytes));
	return ring;
}

void byte_ring_free(struct byte_ring *ring)
{
	while (ring) {
		struct byte_ring *next = ring->next;

		object_free(ring);
		ring = next;
	}
}

static size_t object_size_of(const struct byte_ring *ring)
{
	return ring->size + offsetof(struct byte_ring, bytes);
}

/* `length` bytes from `at` on, in up to two pieces. */
static unsigned pieces(struct byte_ring *ring, uint32_t at, uint32_t length, struct iovec out[2])
{
	uint32_t first = min(length, ring->size - at);

	out[0] = (struct iovec){ ring->bytes + at, first };
	if (first == length)
		return length != 0;
	out[1] = (struct iovec){ ring->bytes, length - first };
	return 2;
}

static uint32_t advance(const struct byte_ring *ring, uint32_t at, uint32_t length)
{
	at += length;
	return at < ring->size ? at : at - ring->size;
}

/* ---- the producer ---- */

static inline uint32_t room_seen(const struct byte_ring *ring)
{
	return ring->size - (ring->tail - ring->head_seen);
}

uint32_t byte_ring_room(struct byte_ring *ring)
{
	/* Acquire: pairs with the release in byte_ring_take(): the bytes there were read. */
	ring->head_seen = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
	return room_seen(ring);
}

unsigned byte_ring_space(struct byte_ring *ring, size_t wanted, struct iovec space[2])
{
	uint32_t room = room_seen(ring);

	/* The consumer's line is read only if what it is known to have left is not enough. */
	if (room < wanted)
		room = byte_ring_room(ring);
	return pieces(ring, ring->put_at, room, space);
}

void byte_ring_put(struct byte_ring *ring, uint32_t length)
{
	ring->put_at = advance(ring, ring->put_at, length);
	/* Release: pairs with the acquires of the consumer's side: the bytes come first. */
	__atomic_store_n(&ring->tail, ring->tail + length, __ATOMIC_RELEASE);
}

ssize_t byte_ring_copy_in(struct byte_ring *ring, const struct iovec *iov, unsigned niov,
			  size_t skip)
{
	struct iovec space[2];
	unsigned nspace, part = 0;
	size_t wanted = 0, done = 0;
	bool there = true;

	for (unsigned i = 0; i < niov; i++)
		wanted += iov[i].iov_len;
	nspace = byte_ring_space(ring, wanted - min(skip, wanted), space);
	for (unsigned i = 0; i < niov && part < nspace && there; i++) {
		const uint8_t *from = iov[i].iov_base;
		size_t length = iov[i].iov_len, skipped = min(skip, length);

		skip -= skipped;
		from += skipped;
		length -= skipped;
		while (length && part < nspace) {
			size_t here = min(length, space[part].iov_len);

			there = user_copy(space[part].iov_base, from, here);
			if (unlikely(!there))
				break;
			from += here;
			length -= here;
			done += here;
			space[part].iov_base = (uint8_t *)space[part].iov_base + here;
			space[part].iov_len -= here;
			part += space[part].iov_len == 0;
		}
	}
	if (done)
		byte_ring_put(ring, (uint32_t)done);
	return done || likely(there) ? (ssize_t)done : -EFAULT;
}

struct byte_ring *byte_ring_grow(struct byte_ring *ring, size_t limit)
{
	size_t size = object_size_of(ring);
	struct byte_ring *next = size < limit ? byte_ring_create(min(size * GROWTH, limit)) : NULL;

	/* Release: pairs with the acquire in byte_ring_data(). */
	if (next)
		__atomic_store_n(&ring->next, next, __ATOMIC_RELEASE);
	return next;
}

/* ---- the consumer ---- */

static void reclaim(struct deferred *deferred)
{
	object_free(container_of(deferred, struct byte_ring, deferred));
}

static inline uint32_t waiting(const struct byte_ring *ring)
{
	/* Acquire: pairs with the release in byte_ring_put(). */
	return __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) - ring->head;
}

unsigned byte_ring_data(struct byte_ring **at, struct iovec data[2])
{
	struct byte_ring *ring = *at, *next;
	uint32_t length;

	while (!(length = waiting(ring))) {
		next = __atomic_load_n(&ring->next, __ATOMIC_ACQUIRE);
		if (!next)
			return 0;
		/* The last bytes were put in before the next ring was. */
		if (waiting(ring))
			continue;
		__atomic_store_n(at, next, __ATOMIC_RELEASE);
		/* Others may be looking whether it is empty. */
		epoch_defer(&ring->deferred, reclaim);
		ring = next;
	}
	return pieces(ring, ring->take_at, length, data);
}

void byte_ring_take(struct byte_ring *ring, uint32_t length)
{
	ring->take_at = advance(ring, ring->take_at, length);
	/* Release: pairs with the acquire in byte_ring_room(): the bytes were read before. */
	__atomic_store_n(&ring->head, ring->head + length, __ATOMIC_RELEASE);
}

ssize_t byte_ring_copy_out(struct byte_ring **ring, const struct iovec *iov, unsigned niov,
			   bool peek, bool discard)
{
	size_t total = 0, filled = 0; /* of iov[0] */
	bool there = true;

	for (;;) {
		struct iovec data[2];
		unsigned ndata = byte_ring_data(ring, data);
		uint32_t done = 0;

		for (unsigned part = 0; part < ndata && there; part++) {
			const uint8_t *from = data[part].iov_base;
			size_t left = data[part].iov_len;

			while (left && niov) {
				size_t here = min(left, iov->iov_len - filled);

				there = discard ||
					user_copy((uint8_t *)iov->iov_base + filled, from, here);
				if (unlikely(!there))
					break;
				from += here;
				left -= here;
				done += (uint32_t)here;
				filled += here;
				if (filled == iov->iov_len) {
					iov++;
					niov--;
					filled = 0;
				}
			}
		}
		total += done;
		if (done && !peek)
			byte_ring_take(*ring, done);
		if (unlikely(!there))
			return total ? (ssize_t)total : -EFAULT;
		/* A larger ring may follow with more. */
		if (peek || !done || !niov || !__atomic_load_n(&(*ring)->next, __ATOMIC_RELAXED))
			return (ssize_t)total;
	}
}

/* ---- any core ---- */

bool byte_ring_is_empty(const struct byte_ring *ring)
{
	return !byte_ring_length(ring);
}

uint32_t byte_ring_length(const struct byte_ring *ring)
{
	uint32_t length = 0;

	for (; ring; ring = __atomic_load_n(&ring->next, __ATOMIC_ACQUIRE)) {
		/* In this order a head that is newer than the tail shows as a negative length. */
		uint32_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
		int32_t here = (int32_t)(tail - __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE));

		length += here > 0 ? (uint32_t)here : 0;
	}
	return length;
}

bool byte_ring_has_room(const struct byte_ring *ring)
{
	uint32_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
	uint32_t used = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) - head;

	return (int32_t)(ring->size - used) >= (int32_t)(ring->size / 3);
}
