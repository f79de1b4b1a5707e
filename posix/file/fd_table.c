/*
 * Descriptors: which file a number names.
 *
 * Looking one up takes no lock: a directory of chunks that are made when first needed and
 * never freed. Who puts a file under a number has taken that number before, and who takes the file out has
 * the number then.
 *
 * Free numbers are in two levels of bits, where the lowest is found. Where there are several cores, each has some
 * in a stock of its own: those that it closed, and with one that it took what shares a line of the table with
 * it. So cores that open and close do not meet.
 */
#include "posix/file/file.h"

#include "mm/object.h"

#include <ck_pr.h>
#include <ck_spinlock.h>
#include <errno.h>
#include <string.h>

#define WORD 64u
/* A cache line of a chunk. */
#define LINE (64u / sizeof(struct file *))
/* These numbers are in no stock: who closes one of the standard descriptors gets it with the next that is opened,
 * on whatever core. */
#define COMMON LINE

/* Few on each of many cores, so that numbers stay low there, too. */
#define STOCK_MAX 256u
#define STOCK_MIN 16u
#define STOCK_OF_ALL 1024u

struct file **fd_chunks[FD_MAX / FD_CHUNK];

/* Both locks' last place is in docs/locking.md: nothing is called with them held but the object allocator. */
static ck_spinlock_t fd_lock = CK_SPINLOCK_INITIALIZER;
static uint64_t used[FD_MAX / WORD]; /* or in a stock */
static uint64_t full[FD_MAX / WORD / WORD]; /* which words of `used` have no zero */
static unsigned lowest_unused; /* written with fd_lock; any core reads it */
static uint64_t close_on_exec_bits[FD_MAX / WORD]; /* atomic; of a free number what it was last */
static unsigned limit = FD_MAX;

/* A core's. */
static struct stock {
	ck_spinlock_t lock; /* within fd_lock, or alone */
	uint16_t count;
	uint16_t numbers[STOCK_MAX]; /* a heap: the first is the lowest */
	int opened; /* of all descriptors, less those that were closed here */
} __attribute__((aligned(64))) stocks[MAX_CORES];

static unsigned stock_max(void)
{
	return ncores == 1 ? 0 : min(max(STOCK_OF_ALL / ncores, STOCK_MIN), STOCK_MAX);
}

/* ---- a stock; these three with its lock ---- */

/* There is room. */
static void stock_put(struct stock *stock, unsigned number)
{
	unsigned i = stock->count++;

	for (; i > 0 && stock->numbers[(i - 1) / 2] > number; i = (i - 1) / 2)
		stock->numbers[i] = stock->numbers[(i - 1) / 2];
	stock->numbers[i] = (uint16_t)number;
}

/* The lowest; there is one. */
static unsigned stock_pop(struct stock *stock)
{
	unsigned lowest = stock->numbers[0], last = stock->numbers[--stock->count];
	unsigned i = 0, child;

	for (; (child = 2 * i + 1) < stock->count; i = child) {
		if (child + 1 < stock->count && stock->numbers[child + 1] < stock->numbers[child])
			child++;
		if (stock->numbers[child] >= last)
			break;
		stock->numbers[i] = stock->numbers[child];
	}
	stock->numbers[i] = (uint16_t)last;
	return lowest;
}

/* The last ones, which are not the lowest, go to `numbers`: how many. */
static unsigned stock_halve(struct stock *stock, uint16_t *numbers)
{
	unsigned count = stock->count / 2;

	stock->count -= count;
	memcpy(numbers, stock->numbers + stock->count, count * sizeof(*numbers));
	return count;
}

/* The lowest of those from `from` on, or FD_MAX. */
static unsigned stock_lowest(struct stock *stock, unsigned from)
{
	unsigned lowest = FD_MAX;

	ck_spinlock_lock(&stock->lock);
	for (unsigned i = 0; i < stock->count; i++)
		if (stock->numbers[i] >= from && stock->numbers[i] < lowest)
			lowest = stock->numbers[i];
	ck_spinlock_unlock(&stock->lock);
	return lowest;
}

/* False: it is not there. */
static bool stock_take(struct stock *stock, unsigned number)
{
	unsigned count;
	bool found = false;

	ck_spinlock_lock(&stock->lock);
	count = stock->count;
	stock->count = 0;
	for (unsigned i = 0; i < count; i++) {
		unsigned other = stock->numbers[i];

		if (other == number)
			found = true;
		else
			stock_put(stock, other);
	}
	ck_spinlock_unlock(&stock->lock);
	return found;
}

/* ---- numbers; the caller holds fd_lock ---- */

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
	return __atomic_load_n(&bits[i / WORD], __ATOMIC_RELAXED) >> i % WORD & 1;
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

static unsigned lowest_unused_from(unsigned from)
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

static void set_used(unsigned fd, bool on)
{
	set_bit(used, fd, on);
	set_bit(full, fd / WORD, used[fd / WORD] == UINT64_MAX);
}

/* After set_used(). */
static void publish_lowest(void)
{
	__atomic_store_n(&lowest_unused, lowest_unused_from(0), __ATOMIC_RELAXED);
}

/* The rest of the line of `fd`, so that no other core writes to it. */
static void stock_line(unsigned fd)
{
	struct stock *stock = &stocks[this_core];

	ck_spinlock_lock(&stock->lock);
	for (unsigned next = fd + 1; next % LINE && next < fd_limit() && stock->count < stock_max();
	     next++)
		if (!get_bit(used, next)) {
			set_used(next, true);
			stock_put(stock, next);
		}
	ck_spinlock_unlock(&stock->lock);
	publish_lowest();
}

/* One that is unused: the same, or a negative errno. */
static int use(unsigned fd)
{
	if (!make_chunk(fd))
		return -ENOMEM;
	set_used(fd, true);
	publish_lowest();
	return (int)fd;
}

/* The lowest number from `from` on that has no file, wherever it is; or a negative errno. */
static int take_lowest(unsigned from)
{
	for (;;) {
		unsigned fd = lowest_unused_from(from);
		struct stock *of = NULL;

		for (core_id_t core = 0; core < ncores; core++) {
			unsigned lowest = stock_lowest(&stocks[core], from);

			if (lowest < fd) {
				fd = lowest;
				of = &stocks[core];
			}
		}
		if (fd >= fd_limit())
			return -EMFILE;
		if (!of)
			return use(fd);
		/* Unless its core has taken it meanwhile. */
		if (stock_take(of, fd))
			return (int)fd;
	}
}

/* The lowest that is in nobody's stock, if there is one. */
static int take_unused(void)
{
	int fd;

	if (lowest_unused >= fd_limit())
		return take_lowest(0);
	fd = use(lowest_unused);
	if (fd >= (int)COMMON)
		stock_line((unsigned)fd);
	return fd;
}

/* ---- numbers; no lock is held ---- */

/* The lowest of this core's stock, or what is in none. */
static int take_near(void)
{
	struct stock *stock = &stocks[this_core];
	bool common = __atomic_load_n(&lowest_unused, __ATOMIC_RELAXED) < COMMON;
	int fd = -EMFILE;

	ck_spinlock_lock(&stock->lock);
	if (stock->count && stock->numbers[0] < fd_limit() && likely(!common))
		fd = (int)stock_pop(stock);
	ck_spinlock_unlock(&stock->lock);
	if (likely(fd >= 0))
		return fd;
	ck_spinlock_lock(&fd_lock);
	fd = take_unused();
	ck_spinlock_unlock(&fd_lock);
	return fd;
}

static int take_from(unsigned from)
{
	int fd;

	ck_spinlock_lock(&fd_lock);
	fd = take_lowest(from);
	ck_spinlock_unlock(&fd_lock);
	return fd;
}

/* This one, or -ENOMEM; -EBUSY: somebody has it. */
static int take(unsigned fd)
{
	int result;

	ck_spinlock_lock(&fd_lock);
	result = get_bit(used, fd) ? -EBUSY : use(fd);
	for (core_id_t core = 0; core < ncores && result == -EBUSY; core++)
		if (stock_take(&stocks[core], fd))
			result = (int)fd;
	ck_spinlock_unlock(&fd_lock);
	return result;
}

/* Into the stock of this core; if that is full half of it becomes anybody's. */
static void give_back(unsigned fd)
{
	struct stock *stock = &stocks[this_core];
	uint16_t unused[STOCK_MAX / 2];
	unsigned nunused = 0;

	if (likely(fd >= COMMON && stock_max())) {
		ck_spinlock_lock(&stock->lock);
		if (unlikely(stock->count >= stock_max()))
			nunused = stock_halve(stock, unused);
		stock_put(stock, fd);
		ck_spinlock_unlock(&stock->lock);
	} else {
		unused[nunused++] = (uint16_t)fd;
	}
	if (likely(!nunused))
		return;
	ck_spinlock_lock(&fd_lock);
	for (unsigned i = 0; i < nunused; i++)
		set_used(unused[i], false);
	publish_lowest();
	ck_spinlock_unlock(&fd_lock);
}

/* ---- files under numbers ---- */

static struct file **slot_of(unsigned fd)
{
	return &fd_chunks[fd / FD_CHUNK][fd % FD_CHUNK];
}

/* Looked at first: a server gives the same to all its connections, and the word is many descriptors'. */
static void set_close_on_exec(unsigned fd, bool on)
{
	uint64_t *word = &close_on_exec_bits[fd / WORD], bit = 1ull << fd % WORD;

	if (get_bit(close_on_exec_bits, fd) == on)
		return;
	if (on)
		__atomic_fetch_or(word, bit, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(word, ~bit, __ATOMIC_RELAXED);
}

static void count_opened(int more)
{
	int *opened = &stocks[this_core].opened;

	__atomic_store_n(opened, *opened + more, __ATOMIC_RELAXED);
}

/* The caller has taken the number. */
static void put_file(unsigned fd, struct file *file, bool close_on_exec)
{
	set_close_on_exec(fd, close_on_exec);
	__atomic_store_n(slot_of(fd), file, __ATOMIC_RELEASE);
	count_opened(1);
}

int fd_install(struct file *file, int lowest, bool close_on_exec)
{
	int fd;

	if (lowest < 0 || (unsigned)lowest >= fd_limit())
		return -EINVAL;
	fd = lowest ? take_from((unsigned)lowest) : take_near();
	if (fd >= 0)
		put_file((unsigned)fd, file, close_on_exec);
	return fd;
}

struct file *fd_remove(int fd)
{
	struct file *file = fd_lookup(fd);

	if (!file)
		return NULL;
	/* Who takes it out has the number. */
	file = __atomic_exchange_n(slot_of((unsigned)fd), NULL, __ATOMIC_ACQ_REL);
	if (!file)
		return NULL;
	count_opened(-1);
	give_back((unsigned)fd);
	return file;
}

int fd_replace(int fd, struct file *file, bool close_on_exec, struct file **old)
{
	int result;

	if (fd < 0 || (unsigned)fd >= fd_limit())
		return -EBADF;
	for (;;) {
		*old = fd_lookup(fd);
		if (*old) {
			if (__atomic_compare_exchange_n(slot_of((unsigned)fd), old, file, false,
							__ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
				set_close_on_exec((unsigned)fd, close_on_exec);
				return fd;
			}
		} else {
			result = take((unsigned)fd);
			if (result >= 0)
				put_file((unsigned)fd, file, close_on_exec);
			if (result != -EBUSY)
				return result;
		}
		/* Another core is about to put a file there, or to give the number back. */
		ck_pr_stall();
	}
}

int fd_get_close_on_exec(int fd)
{
	if (!fd_lookup(fd))
		return -EBADF;
	return get_bit(close_on_exec_bits, (unsigned)fd);
}

int fd_set_close_on_exec(int fd, bool on)
{
	if (!fd_lookup(fd))
		return -EBADF;
	set_close_on_exec((unsigned)fd, on);
	return 0;
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

/* ---- counting ---- */

unsigned fd_count(void)
{
	int count = 0;

	for (core_id_t core = 0; core < ncores; core++)
		count += __atomic_load_n(&stocks[core].opened, __ATOMIC_RELAXED);
	return (unsigned)max(count, 0);
}

bool fd_is_free(void)
{
	if (likely(__atomic_load_n(&lowest_unused, __ATOMIC_RELAXED) < fd_limit()))
		return true;
	for (core_id_t core = 0; core < ncores; core++)
		if (stock_lowest(&stocks[core], 0) < fd_limit())
			return true;
	return false;
}

unsigned fd_limit(void)
{
	return __atomic_load_n(&limit, __ATOMIC_RELAXED);
}

void fd_set_limit(unsigned new_limit)
{
	__atomic_store_n(&limit, min(new_limit, FD_MAX), __ATOMIC_RELAXED);
}
