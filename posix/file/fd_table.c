/*
 * Descriptors: which file a number names.
 *
 * Looking one up takes no lock: a directory of chunks that are made when first needed and
 * never freed. Changes hold fd_lock (its last place in docs/locking.md: nothing is called with
 * it held but the object allocator). The lowest free number is found in two levels of bits.
 */
#include "posix/file/file.h"

#include "mm/object.h"

#include <ck_spinlock.h>
#include <errno.h>
#include <string.h>

#define WORD 64u

struct file **fd_chunks[FD_MAX / FD_CHUNK];

static ck_spinlock_t fd_lock = CK_SPINLOCK_INITIALIZER;
static uint64_t used[FD_MAX / WORD];
static uint64_t full[FD_MAX / WORD / WORD]; /* which words of `used` have no zero */
static uint64_t close_on_exec_bits[FD_MAX / WORD];
static unsigned open_count;
static unsigned limit = FD_MAX;

static bool make_chunk(unsigned fd)
{
	struct file **chunk = fd_chunks[fd / FD_CHUNK];

	if (chunk)
		return true;
	chunk = object_alloc_zeroed(FD_CHUNK * sizeof(*chunk));
	if (!chunk)
		return false;
	__atomic_store_n(&fd_chunks[fd / FD_CHUNK], chunk, __ATOMIC_RELEASE);
	return true;
}

static void set_bit(uint64_t *bits, unsigned i, bool on)
{
	uint64_t bit = 1ull << i % WORD;

	bits[i / WORD] = on ? bits[i / WORD] | bit : bits[i / WORD] & ~bit;
}

static bool get_bit(const uint64_t *bits, unsigned i)
{
	return bits[i / WORD] >> i % WORD & 1;
}

/* The caller holds fd_lock, and the chunk exists. */
static void name_file(unsigned fd, struct file *file, bool close_on_exec)
{
	__atomic_store_n(&fd_chunks[fd / FD_CHUNK][fd % FD_CHUNK], file, __ATOMIC_RELEASE);
	if (get_bit(used, fd) != (file != NULL))
		open_count += file ? 1 : -1;
	set_bit(used, fd, file != NULL);
	set_bit(full, fd / WORD, used[fd / WORD] == UINT64_MAX);
	set_bit(close_on_exec_bits, fd, close_on_exec);
}

/* The lowest zero in `bits` (nbits of them, a multiple of 64) from `from` on, or nbits. */
static unsigned lowest_zero(const uint64_t *bits, unsigned nbits, unsigned from)
{
	while (from < nbits) {
		uint64_t zeros = ~bits[from / WORD] >> from % WORD;

		if (zeros)
			return from + __builtin_ctzll(zeros);
		from = (from / WORD + 1) * WORD;
	}
	return nbits;
}

static unsigned lowest_free(unsigned from)
{
	unsigned fd = lowest_zero(used, align_up(from + 1, WORD), from);
	unsigned word;

	if (fd < align_up(from + 1, WORD))
		return fd;
	word = lowest_zero(full, FD_MAX / WORD, from / WORD + 1);
	if (word == FD_MAX / WORD)
		return FD_MAX;
	return word * WORD + __builtin_ctzll(~used[word]);
}

int fd_install(struct file *file, int lowest, bool close_on_exec)
{
	unsigned fd;
	int result;

	if (lowest < 0 || (unsigned)lowest >= limit)
		return -EINVAL;
	ck_spinlock_lock(&fd_lock);
	fd = lowest_free(lowest);
	if (fd >= limit) {
		result = -EMFILE;
	} else if (!make_chunk(fd)) {
		result = -ENOMEM;
	} else {
		name_file(fd, file, close_on_exec);
		result = fd;
	}
	ck_spinlock_unlock(&fd_lock);
	return result;
}

struct file *fd_remove(int fd)
{
	struct file *file;

	ck_spinlock_lock(&fd_lock);
	file = fd_lookup(fd);
	if (file)
		name_file(fd, NULL, false);
	ck_spinlock_unlock(&fd_lock);
	return file;
}

int fd_replace(int fd, struct file *file, bool close_on_exec, struct file **old)
{
	int result = fd;

	if (fd < 0 || (unsigned)fd >= limit)
		return -EBADF;
	ck_spinlock_lock(&fd_lock);
	if (make_chunk(fd)) {
		*old = fd_lookup(fd);
		name_file(fd, file, close_on_exec);
	} else {
		result = -ENOMEM;
	}
	ck_spinlock_unlock(&fd_lock);
	return result;
}

int fd_get_close_on_exec(int fd)
{
	if (!fd_lookup(fd))
		return -EBADF;
	return get_bit(close_on_exec_bits, fd);
}

int fd_set_close_on_exec(int fd, bool on)
{
	int result = 0;

	ck_spinlock_lock(&fd_lock);
	if (fd_lookup(fd))
		set_bit(close_on_exec_bits, fd, on);
	else
		result = -EBADF;
	ck_spinlock_unlock(&fd_lock);
	return result;
}

bool fd_names(const struct file *file)
{
	for (unsigned fd = 0; fd < FD_MAX; fd++) {
		if (!__atomic_load_n(&fd_chunks[fd / FD_CHUNK], __ATOMIC_RELAXED))
			fd += FD_CHUNK - 1;
		else if (fd_lookup((int)fd) == file)
			return true;
	}
	return false;
}

unsigned fd_count(void)
{
	return __atomic_load_n(&open_count, __ATOMIC_RELAXED);
}

unsigned fd_limit(void)
{
	return __atomic_load_n(&limit, __ATOMIC_RELAXED);
}

void fd_set_limit(unsigned new_limit)
{
	__atomic_store_n(&limit, min(new_limit, FD_MAX), __ATOMIC_RELAXED);
}
