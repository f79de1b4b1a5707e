/*
 * The ring of bytes in a pipe, which may hold packets between plain bytes (pipe2() with O_DIRECT).
 *
 * All of it is its pipe's home core's. `reserved` and `reading` are for who moves bytes between a pipe
 * and something that may block (posix/file/splice_calls.c).
 */
#pragma once

#include "lavra/types.h"

#include <sys/uio.h>

#define PIPE_RING_BYTES (64u << 10) /* as Linux */
#define PIPE_RING_LEAST PAGE_SIZE
#define PIPE_RING_MOST (256u << 10) /* one object of the kernel's; Linux: 1 MiB */
#define PIPE_PACKETS 64u /* a page of the ring each, at most */

struct pipe_packet {
	uint32_t from, to; /* positions */
};

struct pipe_ring {
	char *bytes;
	uint32_t size; /* a power of two */
	uint32_t in, out; /* bytes ever written and read, modulo 2^32 */
	uint32_t reserved; /* of the free bytes: somebody is about to write them */
	bool reading; /* somebody has copied bytes and is about to take them out */
	uint32_t first_packet, npackets;
	struct pipe_packet packets[PIPE_PACKETS]; /* a ring of them, oldest first */
};

/* 0 or -ENOMEM. */
int pipe_ring_init(struct pipe_ring *ring, uint32_t size);
void pipe_ring_free(struct pipe_ring *ring);
/* Rounded up as Linux does. 0, -EBUSY (it holds more), -ENOMEM, -EINVAL, -EPERM (too large). */
int pipe_ring_resize(struct pipe_ring *ring, size_t size);

static inline uint32_t pipe_ring_filled(const struct pipe_ring *ring)
{
	return ring->in - ring->out;
}

/* What can be written now. */
static inline uint32_t pipe_ring_room(const struct pipe_ring *ring)
{
	return ring->size - pipe_ring_filled(ring) - ring->reserved;
}

/* A packet more has a place. */
bool pipe_ring_takes_packet(const struct pipe_ring *ring);

/* Bytes moved, 0 if there are none or no room. A packet is read as a whole: what does not fit is lost.
 * Where memory of the vector's is not there only whole pages are moved, as on Linux; -EFAULT: none. */
ssize_t pipe_ring_read(struct pipe_ring *ring, const struct iovec *iov, unsigned niov);
/* `packets`: each page or less of it is one. */
ssize_t pipe_ring_write(struct pipe_ring *ring, const struct iovec *iov, unsigned niov,
			bool packets);
/* Copy up to `length` bytes from the beginning, and later take out some of them. */
size_t pipe_ring_peek(const struct pipe_ring *ring, char *to, size_t length);
void pipe_ring_skip(struct pipe_ring *ring, size_t length);
