/*
 * Kernel objects between cores: each thread is a core, frees what others allocated, and gets back
 * what others freed. The sanitizer watches the hand-over.
 *
 * links: tests/host/fake_memory.c mm/frame.c mm/object.c
 */
#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "smp/core.h"
#include "tests/host/fake_memory.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CORES 4
#define ROUNDS 20000
#define SHELVES 256

static size_t initial_free;
static pthread_barrier_t barrier;
/* Objects on offer, taken and put by exchange. */
static void *shelf[SHELVES];

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* An object says how long it is and is filled with its first byte. */
static void fill(unsigned char *object, size_t size, unsigned char pattern)
{
	memset(object, pattern, size);
	memcpy(object, &size, sizeof(size));
}

static void check(const unsigned char *object)
{
	size_t size;

	memcpy(&size, object, sizeof(size));
	for (size_t i = sizeof(size); i < size; i++)
		assert(object[i] == object[sizeof(size)]);
}

static void *run_core(void *argument)
{
	core_id_t core = (core_id_t)(uintptr_t)argument;
	unsigned seed = core + 1;

	fake_core_register(core);
	object_init_core();
	pthread_barrier_wait(&barrier);
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t size = 16 + next_random(&seed) % (next_random(&seed) % 32 ? 600 : 10000);
		unsigned place = next_random(&seed) % SHELVES;
		void *object = object_alloc(size);

		assert(object);
		fill(object, size, (unsigned char)round);
		object = __atomic_exchange_n(&shelf[place], object, __ATOMIC_ACQ_REL);
		if (object) {
			check(object);
			object_free(object);
		}
		if (round % 64 == 0)
			object_collect();
		if (round % 1024 == 0)
			(void)(object_bytes_in_use() + frame_free_count());
	}
	pthread_barrier_wait(&barrier);
	for (unsigned place = core; place < SHELVES; place += CORES)
		object_free(shelf[place]);
	pthread_barrier_wait(&barrier);
	if (core == 0)
		assert(object_bytes_in_use() == 0);
	object_trim();
	assert(!object_collect());
	pthread_barrier_wait(&barrier);
	if (core == 0)
		assert(frame_free_count() == initial_free);
	pthread_barrier_wait(&barrier); /* its window ends with the thread */
	return NULL;
}

static void objects_travel_between_cores(void **state)
{
	pthread_t threads[CORES];
	fake_memory_boot(64ul << 20);
	initial_free = frame_free_count();
	pthread_barrier_init(&barrier, NULL, CORES);
	ncores = CORES;
	for (core_id_t core = 0; core < CORES; core++)
		cores[core].online = true;
	for (uintptr_t core = 0; core < CORES; core++)
		assert_int_equal(pthread_create(&threads[core], NULL, run_core, (void *)core), 0);
	for (unsigned core = 0; core < CORES; core++)
		assert_int_equal(pthread_join(threads[core], NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_travel_between_cores),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
