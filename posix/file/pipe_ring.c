/*
 * The ring of a pipe; the model is in the header.
 */
#include "posix/file/pipe_ring.h"

#include "posix/file/iovec.h"
#include "posix/user_memory.h"

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

/* Copy between the ring from `position` on and linear memory: how many bytes, fewer if memory is not
 * there. */
static size_t copy(const struct pipe_ring *ring, uint32_t position, char *memory, size_t length,
		   bool into_ring)
{
	size_t done = 0;

	while (done < length) {
		uint32_t at = (position + (uint32_t)done) % ring->size;
		size_t part = min(length - done, (size_t)(ring->size - at));
		size_t copied = into_ring ? user_copy_some(ring->bytes + at, memory + done, part)
					  : user_copy_some(memory + done, ring->bytes + at, part);

		done += copied;
		if (unlikely(copied < part))
			break;
	}
	return done;
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

/* What is moved of `done` bytes that could be copied before memory was not there. */
static size_t whole_pages(size_t done)
{
	return align_down(done, PAGE_SIZE);
}

ssize_t pipe_ring_read(struct pipe_ring *ring, const struct iovec *iov, unsigned niov)
{
	uint32_t start = ring->out;
	size_t done = 0;
	bool packet;
	uint32_t length = readable(ring, &packet);

	for (unsigned i = 0; i < niov && length; i++) {
		for (size_t at = 0; at < iov[i].iov_len && length;) {
			size_t part = min((size_t)length, iov[i].iov_len - at);
			size_t copied =
			    copy(ring, ring->out, (char *)iov[i].iov_base + at, part, false);

			done += copied;
			if (unlikely(copied < part)) {
				done = whole_pages(done);
				ring->out = start + (uint32_t)done;
				return done ? (ssize_t)done : -EFAULT;
			}
			ring->out += (uint32_t)part;
			length -= (uint32_t)part;
			at += part;
			if (packet || length)
				continue;
			/* Plain bytes end where a packet begins. */
			length = readable(ring, &packet);
			if (packet)
				return (ssize_t)done;
		}
	}
	if (packet && done) {
		ring->out = ring->packets[ring->first_packet].to;
		drop_packet(ring);
	}
	return (ssize_t)done;
}

/* The bytes from `done` on of a vector: how many, fewer if memory is not there. */
static size_t copy_in(struct pipe_ring *ring, const struct iovec *iov, size_t done, size_t length)
{
	size_t moved = 0;

	while (done >= iov->iov_len)
		done -= iov++->iov_len;
	while (moved < length) {
		size_t part = min(length - moved, iov->iov_len - done);
		size_t copied = copy(ring, ring->in + (uint32_t)moved, (char *)iov->iov_base + done,
				     part, true);

		moved += copied;
		if (unlikely(copied < part))
			break;
		done = 0;
		iov++;
	}
	return moved;
}

ssize_t pipe_ring_write(struct pipe_ring *ring, const struct iovec *iov, unsigned niov,
			bool packets)
{
	size_t total = iov_total(iov, niov), done = 0;

	while (done < total) {
		size_t part = min(total - done, (size_t)pipe_ring_room(ring)), copied;

		if (packets) {
			size_t packet = min(total - done, PAGE_SIZE);

			if (part < packet || !pipe_ring_takes_packet(ring))
				break;
			part = packet;
		}
		if (!part)
			break;
		copied = copy_in(ring, iov, done, part);
		if (unlikely(copied < part)) {
			copied = whole_pages(copied);
			ring->in += (uint32_t)copied;
			done += copied;
			return done ? (ssize_t)done : -EFAULT;
		}
		if (packets)
			add_packet(ring, (uint32_t)part);
		ring->in += (uint32_t)part;
		done += part;
	}
	return (ssize_t)done;
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
