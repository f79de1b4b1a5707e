/*
 * Byte ring: a stream of bytes from one core to another.
 *
 * One producer, one consumer; no lock and no atomic read-modify-write. Each side writes one line
 * of its own and remembers what it last read of the other's, so that a line crosses only when
 * there is news. A ring that proves too small is followed by a larger one: the consumer goes on
 * there when it has emptied the first. Each side keeps a pointer to the ring it is at.
 *
 * Which core is the producer or the consumer may change, if a message orders the change.
 */
#pragma once

#include "lavra/types.h"
#include "smp/epoch.h"

#include <sys/uio.h>

struct byte_ring {
	/* The producer writes these. The counts run on modulo 2^32. */
	uint32_t tail CACHE_ALIGNED; /* bytes ever put in; atomic */
	uint32_t put_at;
	uint32_t head_seen;
	uint32_t size; /* constant */
	struct byte_ring *next; /* atomic: what follows was put there */
	/* The consumer writes these. */
	uint32_t head CACHE_ALIGNED; /* bytes ever taken out; atomic */
	uint32_t take_at;
	struct deferred deferred;
	uint8_t bytes[] CACHE_ALIGNED;
};

/* An object of `object_size` bytes, its header included. NULL without memory. Any core. */
struct byte_ring *byte_ring_create(size_t object_size);
/* This ring and those that follow it; nobody may be looking at them. */
void byte_ring_free(struct byte_ring *ring);

/* ---- the producer ---- */

/* Where the next bytes go, in up to two pieces, if `wanted` are to be put in: all the room there is
 * if it is less, perhaps not all if it is more. Returns how many pieces; 0: it is full. */
unsigned byte_ring_space(struct byte_ring *ring, size_t wanted, struct iovec space[2]);
/* They are there now. */
void byte_ring_put(struct byte_ring *ring, uint32_t length);
/* Put the bytes behind `skip` of `iov` in, as many as there is room for; returns how many. Of the
 * application's memory what is there: -EFAULT if that is none. */
ssize_t byte_ring_copy_in(struct byte_ring *ring, const struct iovec *iov, unsigned niov,
			  size_t skip);
/* The ring that follows: larger, or NULL (it is of `limit` bytes, or memory is out). */
struct byte_ring *byte_ring_grow(struct byte_ring *ring, size_t limit);
/* Free bytes, as the consumer left it. */
uint32_t byte_ring_room(struct byte_ring *ring);

/* ---- the consumer ---- */

/* The bytes that wait, in up to two pieces; goes on to the next ring if *ring is used up. */
unsigned byte_ring_data(struct byte_ring **ring, struct iovec data[2]);
/* They are used: the producer may write there again. */
void byte_ring_take(struct byte_ring *ring, uint32_t length);
/* Copy waiting bytes to `iov` (or drop them, with `discard`), and take them unless `peek`. Returns how
 * many; -EFAULT if there is none of the application's memory for them. */
ssize_t byte_ring_copy_out(struct byte_ring **ring, const struct iovec *iov, unsigned niov,
			   bool peek, bool discard);

/* ---- any core: snapshots ---- */

bool byte_ring_is_empty(const struct byte_ring *ring);
/* Bytes in it and in those that follow. */
uint32_t byte_ring_length(const struct byte_ring *ring);
/* Is there room for a third of it? What a writer is told of. */
bool byte_ring_has_room(const struct byte_ring *ring);
