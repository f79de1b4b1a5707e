/*
 * The application's vectors of buffers, in kernel memory.
 *
 * Few entries lie in the structure itself, for which nothing is to be given back. For many memory is
 * allocated: then a handler of a signal, which may never return, must not run before it is freed
 * (signal_hold()).
 */
#pragma once

#include "mm/object.h"
#include "posix/user_memory.h"

#include <sys/uio.h>

#define IOV_FEW 8u
#define IOV_LIMIT 1024u /* UIO_MAXIOV; the caller has looked at it */
#define TRANSFER_LIMIT 0x7ffff000ul /* as much as any Linux call moves */

struct user_iovec {
	struct iovec *iov;
	struct iovec few[IOV_FEW];
};

/* Copy `niov` entries, whose buffers lie in the application's memory and are no more than TRANSFER_LIMIT
 * together: they are cut there, as Linux does. 0, -EFAULT, -EINVAL, -ENOMEM. */
static inline long user_iovec_read(struct user_iovec *vector, const struct iovec *from,
				   unsigned niov)
{
	size_t left = TRANSFER_LIMIT;
	long result = 0;

	vector->iov = vector->few;
	if (unlikely(niov > IOV_FEW))
		vector->iov = object_alloc(niov * sizeof(struct iovec));
	if (unlikely(!vector->iov))
		return -ENOMEM;
	if (user_read(vector->iov, from, niov * sizeof(struct iovec)))
		result = -EFAULT;
	for (unsigned i = 0; i < niov && !result; i++) {
		struct iovec *iov = &vector->iov[i];

		if ((ssize_t)iov->iov_len < 0)
			result = -EINVAL;
		else if (unlikely(user_range_is_bad(iov->iov_base, iov->iov_len)))
			result = -EFAULT;
		iov->iov_len = min(iov->iov_len, left);
		left -= iov->iov_len;
	}
	if (unlikely(result) && vector->iov != vector->few)
		object_free(vector->iov);
	return result;
}

static inline void user_iovec_free(struct user_iovec *vector)
{
	if (unlikely(vector->iov != vector->few))
		object_free(vector->iov);
}
