/*
 * Areas from several cores at once: all touch the same pages, and each maps, touches and unmaps
 * its own.
 *
 * links: tests/host/fake_memory.c mm/frame.c mm/object.c mm/area_tree.c mm/area.c mm/resident.c
 * links: mm/fault.c mm/remap.c
 */
#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/area.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "smp/core.h"
#include "tests/host/fake_memory.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define CORES 4
#define ROUNDS 200
#define SHARED 0x1000000000ul
#define SHARED_PAGES 2048ul
#define READ_WRITE (PROT_READ | PROT_WRITE)

static pthread_barrier_t barrier;
static size_t initial_free;

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static bool touch(vaddr_t address)
{
	const struct page_fault fault = { .address = address, .write = true };

	return mm_handle_fault(&fault);
}

static void own_area(unsigned *seed)
{
	size_t length = (1 + next_random(seed) % 1100) * PAGE_SIZE;
	size_t half = align_up(length / 2, PAGE_SIZE);
	long address = area_map(0, length, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);

	assert(address > 0);
	for (unsigned i = 0; i < 8; i++)
		assert(touch((vaddr_t)address + next_random(seed) % length));
	assert(area_protect((vaddr_t)address, half, PROT_READ) == 0);
	assert(!touch((vaddr_t)address));
	assert(area_advise((vaddr_t)address, length, MADV_DONTNEED) == 0);
	assert(area_unmap((vaddr_t)address, length) == 0);
}

static void *run_core(void *argument)
{
	core_id_t core = (core_id_t)(uintptr_t)argument;
	unsigned seed = core + 1;

	fake_core_register(core);
	object_init_core();
	pthread_barrier_wait(&barrier);
	if (core == 0)
		assert(area_map(SHARED, SHARED_PAGES * PAGE_SIZE, READ_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) == SHARED);
	pthread_barrier_wait(&barrier);
	for (unsigned page = 0; page < SHARED_PAGES; page++)
		assert(touch(SHARED + page * PAGE_SIZE));
	pthread_barrier_wait(&barrier);
	if (core == 0)
		assert(area_resident_pages() == SHARED_PAGES);
	pthread_barrier_wait(&barrier);
	for (unsigned round = 0; round < ROUNDS; round++) {
		own_area(&seed);
		assert(touch(SHARED + next_random(&seed) % (SHARED_PAGES * PAGE_SIZE)));
		if (next_random(&seed) % 8 == 0)
			assert(area_advise(SHARED, SHARED_PAGES * PAGE_SIZE, MADV_DONTNEED) == 0);
	}
	pthread_barrier_wait(&barrier);
	if (core == 0)
		assert(area_unmap(USER_START, USER_END - USER_START) == 0);
	object_trim();
	pthread_barrier_wait(&barrier);
	object_trim();
	pthread_barrier_wait(&barrier);
	if (core == 0)
		assert(area_resident_pages() == 0 && object_bytes_in_use() == 0 &&
		       frame_free_count() == initial_free);
	pthread_barrier_wait(&barrier); /* its window ends with the thread */
	return NULL;
}

static void cores_change_areas_together(void **state)
{
	pthread_t threads[CORES];
	fake_memory_boot(256ul << 20);
	area_init();
	ncores = CORES;
	initial_free = frame_free_count();
	pthread_barrier_init(&barrier, NULL, CORES);
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
		cmocka_unit_test(cores_change_areas_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
