/* Pages that several cores touch, and memory that runs out. */
#include "tests/guest/test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define MOST_THREADS 8
#define PAGES 256ul

static pthread_barrier_t barrier;
static char *pages;

static void pin_to(long core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
}

static long core_count(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count < MOST_THREADS ? count : MOST_THREADS;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

#define ROUNDS 20

static void *touch_all(void *core)
{
	pin_to((long)core);
	for (int round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&barrier);
		for (size_t page = 0; page < PAGES; page++)
			atomic_fetch_add((atomic_long *)(pages + page * PAGE), 1);
		pthread_barrier_wait(&barrier); /* the main thread looks, and drops them */
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

TEST(a_page_first_touched_by_all_cores_is_one_page)
{
	pthread_t threads[MOST_THREADS];
	long cores = core_count();

	pages = mmap(NULL, PAGES * PAGE, READ_WRITE, PRIVATE, -1, 0);
	CHECK(pages != MAP_FAILED);
	pthread_barrier_init(&barrier, NULL, cores + 1);
	for (long core = 0; core < cores; core++)
		CHECK_EQ(pthread_create(&threads[core], NULL, touch_all, (void *)core), 0);
	for (int round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		for (size_t page = 0; page < PAGES; page++)
			CHECK_EQ(*(long *)(pages + page * PAGE), cores);
		CHECK_EQ(madvise(pages, PAGES * PAGE, MADV_DONTNEED), 0);
		pthread_barrier_wait(&barrier);
	}
	for (long core = 0; core < cores; core++)
		pthread_join(threads[core], NULL);
	pthread_barrier_destroy(&barrier);
	munmap(pages, PAGES * PAGE);
}

static atomic_long wanted, writers_stop;

static void *write_wanted(void *core)
{
	pin_to((long)core);
	while (!atomic_load(&writers_stop)) {
		*(volatile long *)(pages + (long)core * PAGE) = atomic_load(&wanted);
		sched_yield();
	}
	return NULL;
}

/* A core that kept an old translation would go on writing to the old page. */
TEST(dropped_pages_are_dropped_on_every_core)
{
	pthread_t threads[MOST_THREADS];
	long cores = core_count();

	pages = mmap(NULL, MOST_THREADS * PAGE, READ_WRITE, PRIVATE, -1, 0);
	CHECK(pages != MAP_FAILED);
	atomic_store(&writers_stop, 0);
	for (long core = 0; core < cores; core++)
		CHECK_EQ(pthread_create(&threads[core], NULL, write_wanted, (void *)core), 0);
	for (long round = 1; round <= 100; round++) {
		double end = seconds() + 10;

		CHECK_EQ(madvise(pages, MOST_THREADS * PAGE, MADV_DONTNEED), 0);
		atomic_store(&wanted, round);
		for (long core = 0; core < cores; core++) {
			volatile long *word = (volatile long *)(pages + core * PAGE);

			while (*word != round && seconds() < end)
				sched_yield();
			CHECK_EQ(*word, round);
		}
	}
	atomic_store(&writers_stop, 1);
	for (long core = 0; core < cores; core++)
		pthread_join(threads[core], NULL);
	munmap(pages, MOST_THREADS * PAGE);
}

static size_t free_bytes(void)
{
	struct sysinfo info;

	CHECK_EQ(sysinfo(&info), 0);
	return info.freeram * info.mem_unit;
}

TEST(more_memory_than_there_is_cannot_be_populated)
{
	size_t before = free_bytes(), length = before / PAGE * PAGE;

	errno = 0;
	CHECK(mmap(NULL, 2 * length, READ_WRITE, PRIVATE | MAP_POPULATE, -1, 0) == MAP_FAILED);
	CHECK_EQ(errno, ENOMEM);
	CHECK(free_bytes() + 32 * PAGE > before);
	/* Promised but not touched, it costs nothing. */
	pages = mmap(NULL, 4 * length, READ_WRITE, PRIVATE | MAP_NORESERVE, -1, 0);
	CHECK(pages != MAP_FAILED);
	pages[3 * length] = 1;
	CHECK_EQ(munmap(pages, 4 * length), 0);
}
