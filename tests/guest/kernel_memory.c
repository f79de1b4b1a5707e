/*
 * Kernel memory on the machine: objects between cores, and what happens when there is none left.
 */
#include "tests/guest/test.h"

#include "arch/arch.h"
#include "mm/area.h"
#include "mm/frame.h"
#include "mm/kva.h"
#include "mm/object.h"
#include "sched/thread.h"
#include "smp/core.h"
#include "smp/mailbox.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Touch the stack that a case needs while there is memory for it. */
static __attribute__((noinline)) void touch_stack(void)
{
	volatile char bytes[8192];

	for (size_t i = 0; i < sizeof(bytes); i += 1024)
		bytes[i] = 0;
}

static void trim(void *argument)
{
	object_trim();
}

static size_t free_when_trimmed(void)
{
	size_t count = 0, last;

	/* What a round sends home the next one finds there, and what was deferred (a thread that
	 * ended) is freed by and by: until nothing comes any more. */
	do {
		last = count;
		thread_prepare_block();
		thread_block(clock_ns() + 20 * NS_PER_MS);
		core_call_all(trim, NULL);
		core_call_all(trim, NULL);
		count = frame_free_count();
	} while (count != last);
	return count;
}

/* Is at least what was free before free again, after a time? More may be: what an earlier case left
 * to be freed by and by, on a slow host after its count was taken. */
static bool is_free_again(size_t pages, size_t bytes)
{
	uint64_t end = clock_ns() + 5 * NS_PER_S;

	while (free_when_trimmed() < pages || object_bytes_in_use() > bytes)
		if (clock_ns() > end)
			return false;
	return true;
}

#define OBJECTS 500

static void **shelf[MAX_CORES];

static void allocate_objects(void *argument)
{
	for (unsigned i = 0; i < OBJECTS; i++) {
		shelf[this_core][i] = object_alloc(16 + i * 5);
		CHECK(shelf[this_core][i]);
		memset(shelf[this_core][i], (int)this_core + 1, 16);
	}
}

static void free_objects_of_neighbour(void *argument)
{
	core_id_t neighbour = (this_core + 1) % ncores;

	for (unsigned i = 0; i < OBJECTS; i++) {
		CHECK_EQ(*(unsigned char *)shelf[neighbour][i], neighbour + 1);
		object_free(shelf[neighbour][i]);
	}
}

KERNEL_TEST(objects_freed_on_other_cores_go_home)
{
	size_t free_before = free_when_trimmed();
	size_t bytes_before = object_bytes_in_use();

	for (core_id_t core = 0; core < ncores; core++)
		shelf[core] = object_alloc(OBJECTS * sizeof(void *));
	for (unsigned round = 0; round < 5; round++) {
		core_call_all(allocate_objects, NULL);
		core_call_all(free_objects_of_neighbour, NULL);
	}
	for (core_id_t core = 0; core < ncores; core++)
		object_free(shelf[core]);
	CHECK(is_free_again(free_before, bytes_before));
}

static void never_runs(void *argument)
{
	CHECK(!"a thread without memory runs");
}

#define POPULATE (MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE)

/* Page tables of the upper levels, once made, stay: let them be there before anything is counted. */
static void make_tables(void)
{
	long address = area_map(0, 1000 * PAGE_SIZE, PROT_READ, POPULATE);
	void *stack = kva_stack_alloc(3);

	CHECK(address > 0);
	CHECK_EQ(area_unmap((vaddr_t)address, 1000 * PAGE_SIZE), 0);
	CHECK(stack != NULL);
	kva_stack_free(stack, 3);
}

static paddr_t hog; /* a chain of frames, each of which holds the next one's address */

static size_t take_all_frames(void)
{
	paddr_t frame;
	size_t count = 0;

	hog = 0;
	while ((frame = frame_alloc(0)) != 0) {
		*(paddr_t *)phys_to_virt(frame) = hog;
		hog = frame;
		count++;
	}
	return count;
}

static void give_frames(size_t count)
{
	while (hog && count--) {
		paddr_t frame = hog;

		hog = *(paddr_t *)phys_to_virt(frame);
		frame_free(frame, 0);
	}
}

/* Tables that were taken out wait for two more to follow them (arch/x86_64/table_pages.c). */
#define WAITING_TABLES 8

KERNEL_TEST(without_memory_everything_fails_and_nothing_leaks)
{
	size_t before, resident;

	if (frame_total() > (1ul << 30) / PAGE_SIZE)
		SKIP("taking so much memory takes too long");
	touch_stack();
	make_tables();
	before = free_when_trimmed();
	resident = area_resident_pages();
	/* Some lie on the other cores' stacks. */
	CHECK(take_all_frames() + 33 * ncores > before);
	CHECK(object_alloc(OBJECT_MAX) == NULL);
	CHECK(object_alloc(PAGE_SIZE) == NULL);
	CHECK(kva_stack_alloc(7) == NULL);
	CHECK(thread_create("none", this_core, never_runs, NULL) == NULL);
	CHECK_EQ(area_map(0, PAGE_SIZE, PROT_READ, POPULATE), -ENOMEM);
	/* Enough for the pages, but not for their tables. */
	give_frames(1500);
	CHECK_EQ(area_map(0, frame_free_count() * PAGE_SIZE, PROT_READ, POPULATE), -ENOMEM);
	CHECK_EQ(area_resident_pages(), resident);
	give_frames(SIZE_MAX);
	CHECK(is_free_again(before - WAITING_TABLES + 1, SIZE_MAX));
	/* And it all works again. */
	make_tables();
	CHECK(is_free_again(before - WAITING_TABLES + 1, SIZE_MAX));
}

KERNEL_TEST(a_kernel_stack_ends_in_a_guard)
{
	char *top = kva_stack_alloc(3);

	CHECK(top != NULL);
	memset(top - 3 * PAGE_SIZE, 1, 3 * PAGE_SIZE);
	CHECK(kva_is_guard((vaddr_t)top - 3 * PAGE_SIZE - 1));
	CHECK(!kva_is_guard((vaddr_t)top - 1));
	kva_stack_free(top, 3);
}
