/*
 * Areas from several cores at once: all touch the same pages, and each maps, touches and unmaps
 * its own; and all map the same file, which one of them cuts off.
 *
 * links: tests/host/fake_memory.c mm/frame.c mm/object.c mm/area_tree.c mm/area_set.c mm/area.c
 * links: mm/resident.c mm/fault.c mm/remap.c mm/advise.c mm/area_look.c mm/brk.c mm/page_source.c mm/code.c
 * links: arch/x86_64/rights_pages.c arch/x86_64/rights_scan.c arch/x86_64/instruction.c
 */
#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/area.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "mm/page_source.h"
#include "smp/core.h"
#include "tests/host/fake_memory.h"

#include <errno.h>
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

/* ---- a file ---- */

#define FILE_PAGES 64

static struct {
	struct page_source source;
	unsigned references;
	uint64_t npages;
	paddr_t frames[FILE_PAGES];
} file;

static long file_page(struct page_source *source, uint64_t index, bool create, paddr_t *frame)
{
	paddr_t made;

	if (index >= __atomic_load_n(&file.npages, __ATOMIC_ACQUIRE))
		return -ENXIO;
	*frame = __atomic_load_n(&file.frames[index], __ATOMIC_ACQUIRE);
	if (*frame || !create)
		return 0;
	made = frame_alloc_zeroed(0);
	if (!made)
		return -ENOMEM;
	if (__atomic_compare_exchange_n(&file.frames[index], frame, made, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		*frame = made;
	else
		frame_free(made, 0);
	return 0;
}

static void file_reference(struct page_source *source)
{
	__atomic_fetch_add(&file.references, 1, __ATOMIC_RELAXED);
}

static void file_unreference(struct page_source *source)
{
	assert(__atomic_fetch_sub(&file.references, 1, __ATOMIC_RELAXED) > 0);
}

static const struct page_source_operations file_operations = {
	.page = file_page,
	.reference = file_reference,
	.unreference = file_unreference,
};

/* One core at a time. */
static void file_truncate(uint64_t npages)
{
	uint64_t before = file.npages;

	__atomic_store_n(&file.npages, npages, __ATOMIC_RELEASE);
	page_source_shrunk(&file.source, npages);
	for (uint64_t i = npages; i < before; i++) {
		paddr_t frame = __atomic_exchange_n(&file.frames[i], 0, __ATOMIC_ACQ_REL);

		if (frame)
			frame_free(frame, 0);
	}
}

static void own_mapping(unsigned *seed)
{
	int flags = next_random(seed) % 2 ? MAP_SHARED : MAP_PRIVATE;
	uint64_t first = next_random(seed) % FILE_PAGES;
	size_t length = (1 + next_random(seed) % FILE_PAGES) * PAGE_SIZE;
	long address = area_map_source(0, length, READ_WRITE, flags, &file.source, first);

	assert(address > 0);
	for (unsigned i = 0; i < 8; i++)
		touch((vaddr_t)address + next_random(seed) % length); /* perhaps SIGBUS */
	if (next_random(seed) % 2)
		assert(area_protect((vaddr_t)address, PAGE_SIZE, PROT_READ) == 0);
	assert(area_unmap((vaddr_t)address, length) == 0);
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
		own_mapping(&seed);
		if (core == 0)
			file_truncate(next_random(&seed) % FILE_PAGES);
		assert(touch(SHARED + next_random(&seed) % (SHARED_PAGES * PAGE_SIZE)));
		if (next_random(&seed) % 8 == 0)
			assert(area_advise(SHARED, SHARED_PAGES * PAGE_SIZE, MADV_DONTNEED) == 0);
	}
	pthread_barrier_wait(&barrier);
	if (core == 0) {
		assert(area_unmap(USER_START, USER_END - USER_START) == 0);
		file_truncate(0);
		assert(file.references == 0 && file.source.nmappings == 0);
	}
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
	file.source.operations = &file_operations;
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
