/*
 * Vectors of buffers (struct iovec).
 */
#pragma once

#include "lavra/types.h"

#include <sys/uio.h>

static inline size_t iov_total(const struct iovec *iov, unsigned niov)
{
	size_t total = 0;

	for (unsigned i = 0; i < niov; i++)
		total += iov[i].iov_len;
	return total;
}

/* The part of `iov` from byte `done` on, at most `room` entries of it. Returns how many. */
static inline unsigned iov_rest(const struct iovec *iov, unsigned niov, size_t done,
				struct iovec *rest, unsigned room)
{
	unsigned n = 0;

	for (unsigned i = 0; i < niov && n < room; i++) {
		if (done >= iov[i].iov_len) {
			done -= iov[i].iov_len;
			continue;
		}
		rest[n].iov_base = (char *)iov[i].iov_base + done;
		rest[n].iov_len = iov[i].iov_len - done;
		done = 0;
		n++;
	}
	return n;
}
