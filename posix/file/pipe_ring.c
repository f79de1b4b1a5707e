/*
 * The ring of a pipe; the model is in the header.
 */
#include "posix/file/pipe_ring.h"

#include "posix/file/iovec.h"

#include "mm/object.h"

#include <errno.h>
#include <string.h>

int pipe_ring_init(struct pipe_ring *ring, uint32_t size)
{
	memset(ring, 0, sizeof(*ring));
	ring->bytes = object_alloc(size);
	ring->size = size;
	return ring->bytes ? 0 : -ENOMEM;
}

void pipe_ring_free(struct pipe_ring *ring)
{
	object_free(ring->bytes);
}

/* Copy between the ring from `position` on and linear memory. */
static void copy(const struct pipe_ring *ring, uint32_t position, char *memory, size_t length,
		 bool into_ring)
{
	while (length) {
		uint32_t at = position % ring->size;
		uint32_t part = min(length, (size_t)(ring->size - at));

		if (into_ring)
			memcpy(ring->bytes + at, memory, part);
		else
			memcpy(memory, ring->bytes + at, part);
		position += part;
		memory += part;
		length -= part;
	}
}

int pipe_ring_resize(struct pipe_ring *ring, size_t size)
{
	uint32_t wanted = PIPE_RING_LEAST, filled = pipe_ring_filled(ring);
	char *bytes;

	if (size == 0)
		return -EINVAL;
	if (size > PIPE_RING_MOST)
		return -EPERM;
	while (wanted < size)
		wanted *= 2;
	if (filled + ring->reserved > wanted)
		return -EBUSY;
	bytes = object_alloc(wanted);
	if (!bytes)
		return -ENOMEM;
	/* Positions stay: they mean another place in the new ring. */
	for (uint32_t i = 0; i < filled;) {
		uint32_t from = (ring->out + i) % ring->size, to = (ring->out + i) % wanted;
		uint32_t part = min(filled - i, min(ring->size - from, wanted - to));

		memcpy(bytes + to, ring->bytes + from, part);
		i += part;
	}
	object_free(ring->bytes);
	ring->bytes = bytes;
	ring->size = wanted;
	return 0;
}

/* ---- packets ---- */

bool pipe_ring_takes_packet(const struct pipe_ring *ring)
{
	return ring->npackets < min(ring->size / (uint32_t)PAGE_SIZE, PIPE_PACKETS);
}

static void add_packet(struct pipe_ring *ring, uint32_t length)
{
	uint32_t at = (ring->first_packet + ring->npackets++) % PIPE_PACKETS;

	ring->packets[at] = (struct pipe_packet){ ring->in, ring->in + length };
}

/* How many bytes there are up to the end of a packet, or up to the next one. */
static uint32_t readable(const struct pipe_ring *ring, bool *packet)
{
	const struct pipe_packet *first = &ring->packets[ring->first_packet];

	*packet = ring->npackets && first->from == ring->out;
	if (!ring->npackets)
		return pipe_ring_filled(ring);
	return (*packet ? first->to : first->from) - ring->out;
}

static void drop_packet(struct pipe_ring *ring)
{
	ring->first_packet = (ring->first_packet + 1) % PIPE_PACKETS;
	ring->npackets--;
}

/* ---- moving bytes ---- */

size_t pipe_ring_read(struct pipe_ring *ring, const struct iovec *iov, unsigned niov)
{
	size_t done = 0;
	bool packet;
	uint32_t length = readable(ring, &packet);

	for (unsigned i = 0; i < niov && length; i++) {
		for (size_t at = 0; at < iov[i].iov_len && length;) {
			size_t part = min((size_t)length, iov[i].iov_len - at);

			copy(ring, ring->out, (char *)iov[i].iov_base + at, part, false);
			ring->out += (uint32_t)part;
			length -= (uint32_t)part;
			done += part;
			at += part;
			if (packet || length)
				continue;
			/* Plain bytes end where a packet begins. */
			length = readable(ring, &packet);
			if (packet)
				return done;
		}
	}
	if (packet && done) {
		ring->out = ring->packets[ring->first_packet].to;
		drop_packet(ring);
	}
	return done;
}

/* The bytes from `done` on of a vector. */
static void copy_in(struct pipe_ring *ring, const struct iovec *iov, size_t done, size_t length)
{
	while (done >= iov->iov_len)
		done -= iov++->iov_len;
	while (length) {
		size_t part = min(length, iov->iov_len - done);

		copy(ring, ring->in, (char *)iov->iov_base + done, part, true);
		ring->in += (uint32_t)part;
		length -= part;
		done = 0;
		iov++;
	}
}

size_t pipe_ring_write(struct pipe_ring *ring, const struct iovec *iov, unsigned niov, bool packets)
{
	size_t total = iov_total(iov, niov), done = 0;

	while (done < total) {
		size_t part = min(total - done, (size_t)pipe_ring_room(ring));

		if (packets) {
			size_t packet = min(total - done, PAGE_SIZE);

			if (part < packet || !pipe_ring_takes_packet(ring))
				break;
			part = packet;
			add_packet(ring, (uint32_t)part);
		}
		if (!part)
			break;
		copy_in(ring, iov, done, part);
		done += part;
	}
	return done;
}

size_t pipe_ring_peek(const struct pipe_ring *ring, char *to, size_t length)
{
	bool packet;

	length = min(length, (size_t)readable(ring, &packet));
	copy(ring, ring->out, to, length, false);
	return length;
}

void pipe_ring_skip(struct pipe_ring *ring, size_t length)
{
	struct pipe_packet *first = &ring->packets[ring->first_packet];
	bool packet;

	readable(ring, &packet);
	ring->out += (uint32_t)length;
	if (!packet)
		return;
	first->from = ring->out;
	if (first->from == first->to)
		drop_packet(ring);
}
