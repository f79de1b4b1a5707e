/* Mappings, malloc() from many threads, random numbers. */
#include "tests/guest/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define PAGE 4096ul
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)

TEST(mmap_gives_zeros_and_munmap_takes_them)
{
	char *memory = mmap(NULL, 10 * PAGE, READ_WRITE, PRIVATE, -1, 0), *again;
	unsigned char residency[10];

	CHECK(memory != MAP_FAILED);
	for (size_t i = 0; i < 10 * PAGE; i += 512)
		if (memory[i])
			CHECK(!"a new page is not zero");
	memset(memory, 7, 10 * PAGE);
	CHECK_EQ(mincore(memory, 10 * PAGE, residency), 0);
	CHECK_EQ(residency[9], 1);
	CHECK_EQ(madvise(memory, 10 * PAGE, MADV_DONTNEED), 0);
	CHECK_EQ(memory[5 * PAGE], 0);
	CHECK_EQ(munmap(memory, 10 * PAGE), 0);
	errno = 0;
	CHECK(mincore(memory, PAGE, residency) == -1 && errno == ENOMEM);
	again = mmap(memory, PAGE, READ_WRITE, PRIVATE | MAP_FIXED, -1, 0);
	CHECK(again == memory && *again == 0);
	CHECK(mmap(memory, PAGE, READ_WRITE, PRIVATE | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
	CHECK_EQ(errno, EEXIST);
	munmap(memory, PAGE);
}

TEST(mprotect_and_mremap)
{
	char *memory = mmap(NULL, 4 * PAGE, PROT_NONE, PRIVATE, -1, 0), *moved;

	CHECK_EQ(mprotect(memory + PAGE, 2 * PAGE, READ_WRITE), 0);
	memory[PAGE] = 1;
	memory[3 * PAGE - 1] = 2;
	CHECK_EQ(mprotect(memory + PAGE, PAGE, PROT_READ), 0);
	CHECK_EQ(memory[PAGE], 1);
	CHECK_EQ(mprotect(memory + PAGE, PAGE, READ_WRITE), 0);
	moved = mremap(memory + PAGE, 2 * PAGE, 600 * PAGE, MREMAP_MAYMOVE);
	CHECK(moved != MAP_FAILED);
	CHECK_EQ(moved[0], 1);
	CHECK_EQ(moved[2 * PAGE - 1], 2);
	CHECK_EQ(moved[600 * PAGE - 1], 0);
	munmap(moved, 600 * PAGE);
	munmap(memory, 4 * PAGE);
}

TEST(mmap_errors)
{
	errno = 0;
	CHECK(mmap(NULL, 0, READ_WRITE, PRIVATE, -1, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, PAGE, READ_WRITE, MAP_PRIVATE, 4321, 0) == MAP_FAILED && errno == EBADF);
	CHECK(mmap(NULL, PAGE, READ_WRITE, MAP_PRIVATE, 1, 0) == MAP_FAILED && errno == ENODEV);
	CHECK(mmap(NULL, PAGE, READ_WRITE | PROT_EXEC, PRIVATE, -1, 0) == MAP_FAILED);
	CHECK(mmap(NULL, 1ul << 60, READ_WRITE, PRIVATE, -1, 0) == MAP_FAILED && errno == ENOMEM);
}

TEST(dev_zero_can_be_mapped)
{
	int fd = open("/dev/zero", O_RDWR);
	char *memory = mmap(NULL, PAGE, READ_WRITE, MAP_PRIVATE, fd, 0);

	CHECK(memory != MAP_FAILED && memory[100] == 0);
	if (memory != MAP_FAILED) {
		memory[100] = 1;
		munmap(memory, PAGE);
	}
	close(fd);
}

TEST(malloc_of_what_cannot_be_had_fails)
{
	volatile size_t huge = 1ul << 50;
	void *memory;

	errno = 0;
	memory = malloc(huge);
	CHECK(memory == NULL && errno == ENOMEM);
	free(memory);
}

struct block {
	size_t size;
	unsigned char fill;
	unsigned char *bytes;
};

static bool intact(const struct block *block)
{
	for (size_t i = 0; i < block->size; i++)
		if (block->bytes[i] != block->fill)
			return false;
	return true;
}

static struct block *_Atomic mailbox[16];

/* Blocks of all sizes, filled, checked, resized, and handed to other threads to be freed. */
static void *allocate(void *argument)
{
	unsigned state = (long)argument * 2654435761u + 1;

	for (int i = 0; i < 3000; i++) {
		struct block *block, *other;

		state = state * 1664525 + 1013904223;
		block = malloc(sizeof(*block));
		block->size = (state >> 8) % (i % 100 == 0 ? 300000 : 2000) + 1;
		block->fill = state >> 24;
		block->bytes = malloc(block->size);
		memset(block->bytes, block->fill, block->size);
		if (state & 64) {
			size_t size = block->size / 2 + 1;

			block->bytes = realloc(block->bytes, size);
			block->size = size;
		}
		other = atomic_exchange(&mailbox[state >> 28], block);
		if (other) {
			if (!intact(other))
				CHECK(!"a block was changed by somebody else");
			free(other->bytes);
			free(other);
		}
	}
	return NULL;
}

TEST(malloc_from_many_threads)
{
	pthread_t threads[8];

	for (long i = 0; i < 8; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, allocate, (void *)i), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < 16; i++) {
		struct block *block = atomic_exchange(&mailbox[i], NULL);

		if (block) {
			CHECK(intact(block));
			free(block->bytes);
			free(block);
		}
	}
}

TEST(getrandom_differs)
{
	unsigned char a[300], b[300];
	int same = 0;

	CHECK_EQ(getrandom(a, sizeof(a), 0), sizeof(a));
	CHECK_EQ(getrandom(b, sizeof(b), GRND_NONBLOCK), sizeof(b));
	for (size_t i = 0; i < sizeof(a); i++)
		same += a[i] == b[i];
	/* 1.2 are expected; 20 have a chance of less than 1e-17. */
	CHECK(same < 20);
	errno = 0;
	CHECK(getrandom(a, 10, 64) == -1 && errno == EINVAL);
	CHECK(getrandom(NULL, 10, 0) == -1 && errno == EFAULT);
}
