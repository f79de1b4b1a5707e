/*
 * Virtual areas against a model of one entry per page, with every failure of memory in turn.
 *
 * links: tests/host/fake_memory.c mm/frame.c mm/object.c mm/area_tree.c mm/area.c mm/resident.c
 * links: mm/fault.c mm/remap.c
 */
#include "arch/arch.h"
#include "mm/area.h"
#include "mm/area_tree.h"
#include "mm/frame.h"
#include "mm/mm.h"
#include "mm/object.h"
#include "tests/host/fake_memory.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define RAM (176ul << 20) /* so that 2 MiB pages are used */

#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
#define FIXED (ANONYMOUS | MAP_FIXED)
#define READ_WRITE (PROT_READ | PROT_WRITE)

static size_t initial_free;

static int setup(void **state)
{
	fake_memory_boot(RAM);
	object_init_core();
	area_init();
	initial_free = frame_free_count();
	return 0;
}

static int everything_is_back(void **state)
{
	long result = area_unmap(USER_START, USER_END - USER_START);

	object_trim();
	if (result || area_resident_pages() || fake_stale_entries() || fake_tables() ||
	    object_bytes_in_use() || frame_free_count() != initial_free) {
		printf(
		    "left behind: unmap %ld, %zu pages, %zu stale, %zu tables, %zu bytes, %zd frames\n",
		    result, area_resident_pages(), fake_stale_entries(), fake_tables(),
		    object_bytes_in_use(), initial_free - frame_free_count());
		return -1;
	}
	return 0;
}

static bool access_page(vaddr_t address, bool write)
{
	const struct page_fault fault = { .address = address, .write = write };

	return mm_handle_fault(&fault);
}

static size_t page_size_at(vaddr_t address)
{
	unsigned protection;
	size_t page_size;
	paddr_t frame;

	return arch_lookup(address, &frame, &protection, &page_size) ? page_size : 0;
}

/* ---- the model: a window of addresses, four bytes and a stamp for each page ---- */

#define WINDOW_PAGES 4096 /* 16 MiB */
#define WINDOW 0x1000000000ul
#define PAGE_AT(page) (WINDOW + (vaddr_t)(page)*PAGE_SIZE)

static struct model {
	bool mapped, small;
	uint8_t prot;
	uint64_t stamp; /* at the start of the page */
} model[WINDOW_PAGES];

struct seen {
	vaddr_t start, end;
	int prot;
	unsigned page;
};

/* Each area is a run of equal pages of the model, as long as can be. */
static void compare_area(vaddr_t start, vaddr_t end, int prot, void *argument)
{
	unsigned *next = argument;
	unsigned first = (start - WINDOW) / PAGE_SIZE, last = (end - WINDOW) / PAGE_SIZE;

	assert_in_range(start, WINDOW, PAGE_AT(WINDOW_PAGES));
	assert_in_range(end, start + 1, PAGE_AT(WINDOW_PAGES));
	for (; *next < first; ++*next)
		assert_false(model[*next].mapped);
	assert_false(first > 0 && model[first - 1].mapped && model[first - 1].prot == prot &&
		     model[first - 1].small == model[first].small);
	for (; *next < last; ++*next) {
		assert_true(model[*next].mapped);
		assert_int_equal(model[*next].prot, prot);
		assert_int_equal(model[*next].small, model[first].small);
	}
}

static void compare_areas(void)
{
	unsigned next = 0;

	area_for_each(compare_area, &next);
	for (; next < WINDOW_PAGES; next++)
		assert_false(model[next].mapped);
}

static void compare_pages(void)
{
	size_t resident = 0;

	for (unsigned page = 0; page < WINDOW_PAGES; page++) {
		uint64_t *memory = fake_pointer(PAGE_AT(page));
		unsigned protection;
		size_t page_size;
		paddr_t frame;

		if (!memory) {
			assert_int_equal(model[page].stamp, 0);
			continue;
		}
		resident++;
		assert_true(model[page].mapped);
		arch_lookup(PAGE_AT(page), &frame, &protection, &page_size);
		assert_int_equal(protection, model[page].prot);
		assert_int_equal(*memory, model[page].stamp);
		assert_false(model[page].small && page_size != PAGE_SIZE);
	}
	assert_int_equal(area_resident_pages(), resident);
	assert_int_equal(fake_stale_entries(), 0);
}

static bool model_covers(unsigned page, unsigned count)
{
	for (unsigned i = page; i < page + count; i++)
		if (!model[i].mapped)
			return false;
	return true;
}

static bool model_is_one_area(unsigned page, unsigned count)
{
	for (unsigned i = page; i < page + count; i++)
		if (!model[i].mapped || model[i].prot != model[page].prot ||
		    model[i].small != model[page].small)
			return false;
	return true;
}

static bool model_is_free(unsigned page, unsigned count)
{
	for (unsigned i = page; i < page + count; i++)
		if (model[i].mapped)
			return false;
	return true;
}

static const int protections[] = { PROT_NONE,  PROT_READ,  READ_WRITE,
				   READ_WRITE, READ_WRITE, PROT_READ | PROT_EXEC };

static int random_protection(void)
{
	return protections[rand() % array_size(protections)];
}

/* A fresh start for some MiB: what is cut up small would stay so. */
static void large_map(void)
{
	unsigned page = rand() % 4 * 1024;

	assert_int_equal(area_map(PAGE_AT(page), 1024 * PAGE_SIZE, READ_WRITE, FIXED),
			 PAGE_AT(page));
	for (unsigned i = page; i < page + 1024; i++)
		model[i] = (struct model){ .mapped = true, .prot = READ_WRITE };
}

static void random_map(unsigned page, unsigned count)
{
	int prot = random_protection();
	int flags = ANONYMOUS | (rand() % 4 ? MAP_FIXED : MAP_FIXED_NOREPLACE) |
		    (rand() % 8 ? 0 : MAP_POPULATE) | (rand() % 4 ? 0 : MAP_STACK);
	long result = area_map(PAGE_AT(page), count * PAGE_SIZE - rand() % PAGE_SIZE, prot, flags);

	if (flags & MAP_FIXED_NOREPLACE && !model_is_free(page, count)) {
		assert_int_equal(result, -EEXIST);
		return;
	}
	assert_int_equal(result, PAGE_AT(page));
	for (unsigned i = page; i < page + count; i++) {
		model[i] =
		    (struct model){ .mapped = true, .prot = prot, .small = flags & MAP_STACK };
		if (flags & MAP_POPULATE && prot)
			assert_non_null(fake_pointer(PAGE_AT(i)));
	}
}

static void random_unmap(unsigned page, unsigned count)
{
	assert_int_equal(area_unmap(PAGE_AT(page), count * PAGE_SIZE), 0);
	memset(&model[page], 0, count * sizeof(*model));
}

static void random_protect(unsigned page, unsigned count)
{
	int prot = random_protection();
	long result = area_protect(PAGE_AT(page), count * PAGE_SIZE, prot);

	assert_int_equal(result, model_covers(page, count) ? 0 : -ENOMEM);
	if (result)
		return;
	for (unsigned i = page; i < page + count; i++)
		model[i].prot = prot;
}

static void random_advise(unsigned page, unsigned count)
{
	static const int advices[] = { MADV_DONTNEED, MADV_FREE, MADV_WILLNEED, MADV_HUGEPAGE };
	int advice = advices[rand() % array_size(advices)];
	long result = area_advise(PAGE_AT(page), count * PAGE_SIZE, advice);

	assert_int_equal(result, model_covers(page, count) ? 0 : -ENOMEM);
	if (advice == MADV_DONTNEED || advice == MADV_FREE)
		for (unsigned i = page; i < page + count; i++)
			model[i].stamp = 0;
}

static void random_access(unsigned page)
{
	static uint64_t last_stamp;
	bool write = rand() % 2;
	bool allowed = model[page].mapped && model[page].prot &&
		       (!write || model[page].prot & PROT_WRITE);

	assert_int_equal(access_page(PAGE_AT(page) + rand() % PAGE_SIZE, write), allowed);
	assert_int_equal(area_check(PAGE_AT(page) + 5, 100, write ? PROT_WRITE : PROT_READ),
			 allowed);
	if (!allowed)
		return;
	assert_int_equal(*(uint64_t *)fake_pointer(PAGE_AT(page)), model[page].stamp);
	if (write)
		*(uint64_t *)fake_pointer(PAGE_AT(page)) = model[page].stamp = ++last_stamp;
}

static void random_check(unsigned page, unsigned count)
{
	int prot = rand() % 2 ? PROT_READ : PROT_WRITE;
	bool allowed = true;

	for (unsigned i = page; i < page + count; i++)
		allowed &= model[i].mapped && model[i].prot &&
			   (prot == PROT_READ || model[i].prot & PROT_WRITE);
	assert_int_equal(area_check(PAGE_AT(page), count * PAGE_SIZE, prot), allowed);
}

static void random_remap(unsigned page, unsigned count)
{
	unsigned new_count = 1 + rand() % (2 * count);
	unsigned target = rand() % (WINDOW_PAGES - new_count + 1);
	struct model *moved = calloc(new_count, sizeof(*moved));
	bool fixed = rand() % 2;
	bool overlaps = target < page + count && page < target + new_count;
	unsigned kept = min(count, new_count);
	long result;

	if (!fixed && (new_count > count && page + new_count > WINDOW_PAGES))
		new_count = kept = count;
	result = area_remap(PAGE_AT(page), count * PAGE_SIZE, new_count * PAGE_SIZE,
			    fixed ? MREMAP_MAYMOVE | MREMAP_FIXED : 0, PAGE_AT(target));
	if (fixed && overlaps) {
		assert_int_equal(result, -EINVAL);
	} else if (!model_is_one_area(page, count)) {
		assert_int_equal(result, -EFAULT);
	} else if (fixed) {
		assert_int_equal(result, PAGE_AT(target));
		memcpy(moved, &model[page], kept * sizeof(*moved));
		for (unsigned i = kept; i < new_count; i++)
			moved[i] = (struct model){ true, model[page].small, model[page].prot, 0 };
		memset(&model[page], 0, count * sizeof(*model));
		memcpy(&model[target], moved, new_count * sizeof(*moved));
	} else if (new_count <= count) {
		assert_int_equal(result, PAGE_AT(page));
		memset(&model[page + new_count], 0, (count - new_count) * sizeof(*model));
	} else if (model_is_free(page + count, new_count - count)) {
		assert_int_equal(result, PAGE_AT(page));
		for (unsigned i = page + count; i < page + new_count; i++)
			model[i] = (struct model){ true, model[page].small, model[page].prot, 0 };
	} else {
		assert_int_equal(result, -ENOMEM);
	}
	free(moved);
}

static void random_operation(void)
{
	unsigned page = rand() % WINDOW_PAGES;
	unsigned most = rand() % 4 ? 40 : 1600;
	unsigned count = 1 + rand() % most;

	if (rand() % 4 == 0)
		page = align_down(page, 512u);
	if (rand() % 32 == 0)
		large_map();
	count = min(count, WINDOW_PAGES - page);
	switch (rand() % 16) {
	case 0:
	case 1:
	case 2:
		random_map(page, count);
		break;
	case 3:
	case 4:
		random_unmap(page, count);
		break;
	case 5:
	case 6:
		random_protect(page, count);
		break;
	case 7:
		random_advise(page, count);
		break;
	case 8:
	case 9:
		random_remap(page, count);
		break;
	case 10:
		random_check(page, count);
		break;
	default:
		for (unsigned i = 0; i < 8; i++)
			random_access(page + rand() % count);
	}
}

static void random_operations_match_the_model(void **state)
{
	size_t huge_seen = 0;

	memset(model, 0, sizeof(model));
	srand(3);
	for (unsigned round = 0; round < 8000; round++) {
		random_operation();
		compare_areas();
		if (round % 16 == 0)
			compare_pages();
		for (unsigned page = 0; page < WINDOW_PAGES && round % 16 == 0; page += 512)
			huge_seen += page_size_at(PAGE_AT(page)) == HUGE_PAGE_SIZE;
	}
	compare_pages();
	assert_in_range(huge_seen, 100, SIZE_MAX); /* else the test misses its subject */
}

/* ---- each call by itself ---- */

static void wrong_arguments_are_refused(void **state)
{
	const vaddr_t a = WINDOW;

	assert_int_equal(area_map(0, 0, READ_WRITE, ANONYMOUS), -EINVAL);
	assert_int_equal(area_map(0, PAGE_SIZE, READ_WRITE, MAP_ANONYMOUS), -EINVAL);
	assert_int_equal(area_map(a + 1, PAGE_SIZE, READ_WRITE, FIXED), -EINVAL);
	assert_int_equal(area_map(0, PAGE_SIZE, PROT_WRITE | PROT_EXEC, ANONYMOUS), -EACCES);
	assert_int_equal(area_map(0, PAGE_SIZE, READ_WRITE | PROT_EXEC, ANONYMOUS), -EACCES);
	assert_int_equal(area_map(0, SIZE_MAX, READ_WRITE, ANONYMOUS), -ENOMEM);
	assert_int_equal(area_map(0, SIZE_MAX - PAGE_SIZE, READ_WRITE, ANONYMOUS), -ENOMEM);
	assert_int_equal(area_map(0, USER_END, READ_WRITE, ANONYMOUS), -ENOMEM);
	assert_int_equal(area_map(0, RAM * 64 + PAGE_SIZE, READ_WRITE, ANONYMOUS), -ENOMEM);
	assert_int_equal(area_map(0, PAGE_SIZE, READ_WRITE, FIXED), -EPERM);
	assert_int_equal(area_map(USER_END, PAGE_SIZE, READ_WRITE, FIXED), -ENOMEM);
	assert_int_equal(area_map(USER_END - PAGE_SIZE, 2 * PAGE_SIZE, READ_WRITE, FIXED), -ENOMEM);
	assert_int_equal(area_map(DIRECT_MAP, PAGE_SIZE, READ_WRITE, FIXED), -ENOMEM);
	assert_int_equal(area_map(0, RAM, READ_WRITE, ANONYMOUS | MAP_POPULATE), -ENOMEM);
	assert_int_equal(area_map(0, HUGE_PAGE_SIZE, READ_WRITE, ANONYMOUS | MAP_HUGETLB), -ENOMEM);

	assert_int_equal(area_unmap(a + 1, PAGE_SIZE), -EINVAL);
	assert_int_equal(area_unmap(a, 0), -EINVAL);
	assert_int_equal(area_unmap(a, SIZE_MAX), -EINVAL);
	assert_int_equal(area_unmap(USER_END, PAGE_SIZE), -EINVAL);
	assert_int_equal(area_unmap(DIRECT_MAP, PAGE_SIZE), -EINVAL);
	assert_int_equal(area_unmap(a, PAGE_SIZE), 0); /* nothing there is no error */

	assert_int_equal(area_protect(a + 1, PAGE_SIZE, PROT_READ), -EINVAL);
	assert_int_equal(area_protect(a, PAGE_SIZE, 0x80), -EINVAL);
	assert_int_equal(area_protect(a, 0, PROT_READ), 0);
	assert_int_equal(area_protect(a, PAGE_SIZE, PROT_READ), -ENOMEM);
	assert_int_equal(area_protect(a, SIZE_MAX, PROT_READ), -ENOMEM);
	assert_int_equal(area_protect(DIRECT_MAP, PAGE_SIZE, PROT_READ), -ENOMEM);

	assert_int_equal(area_advise(a + 1, PAGE_SIZE, MADV_DONTNEED), -EINVAL);
	assert_int_equal(area_advise(a, PAGE_SIZE, 7), -EINVAL);
	assert_int_equal(area_advise(a, PAGE_SIZE, 1000), -EINVAL);
	assert_int_equal(area_advise(a, PAGE_SIZE, -1), -EINVAL);
	assert_int_equal(area_advise(a, 0, MADV_DONTNEED), 0);
	assert_int_equal(area_advise(a, PAGE_SIZE, MADV_DONTNEED), -ENOMEM);
	assert_int_equal(area_advise(DIRECT_MAP, PAGE_SIZE, MADV_DONTNEED), -ENOMEM);

	assert_int_equal(area_remap(a + 1, PAGE_SIZE, PAGE_SIZE, 0, 0), -EINVAL);
	assert_int_equal(area_remap(a, PAGE_SIZE, 0, 0, 0), -EINVAL);
	assert_int_equal(area_remap(a, 0, PAGE_SIZE, 0, 0), -EINVAL);
	assert_int_equal(area_remap(a, PAGE_SIZE, PAGE_SIZE, 0x80, 0), -EINVAL);
	assert_int_equal(area_remap(a, PAGE_SIZE, PAGE_SIZE, MREMAP_FIXED, a + 2 * PAGE_SIZE),
			 -EINVAL);
	assert_int_equal(area_remap(a, PAGE_SIZE, PAGE_SIZE, MREMAP_FIXED | MREMAP_MAYMOVE, a + 1),
			 -EINVAL);
	assert_int_equal(area_remap(a, PAGE_SIZE, PAGE_SIZE, 0, 0), -EFAULT);
	assert_int_equal(area_remap(DIRECT_MAP, PAGE_SIZE, PAGE_SIZE, 0, 0), -EFAULT);

	assert_true(area_check(0, 0, PROT_READ));
	assert_false(area_check(0, 1, PROT_READ));
	assert_false(area_check(UINT64_MAX, 1, PROT_READ));
	assert_false(area_check(UINT64_MAX - 10, 100, PROT_READ));
	assert_false(area_check(DIRECT_MAP, 1, PROT_READ));
	assert_false(area_check(USER_END - 1, 2, PROT_READ));
}

static void addresses_are_chosen(void **state)
{
	long large, small, hinted, again;

	large = area_map(0, 5 << 20, READ_WRITE, ANONYMOUS);
	assert_true(large > 0 && is_aligned(large, HUGE_PAGE_SIZE));
	small = area_map(0, PAGE_SIZE, PROT_READ, ANONYMOUS);
	assert_true(small > 0 && is_aligned(small, PAGE_SIZE));
	hinted = area_map(WINDOW + 123, PAGE_SIZE, READ_WRITE, ANONYMOUS);
	assert_int_equal(hinted, WINDOW);
	again = area_map(WINDOW, PAGE_SIZE, READ_WRITE, ANONYMOUS);
	assert_true(again > 0 && again != WINDOW);
	assert_int_equal(area_map(WINDOW, PAGE_SIZE, READ_WRITE, ANONYMOUS | MAP_FIXED_NOREPLACE),
			 -EEXIST);
	assert_true(area_map(USER_END, PAGE_SIZE, READ_WRITE, ANONYMOUS) > 0); /* a useless wish */
	/* What was freed is found again. */
	assert_int_equal(area_unmap(large, 5 << 20), 0);
	assert_int_equal(area_map(0, 5 << 20, READ_WRITE, ANONYMOUS), large);
}

static void the_whole_range_can_be_used(void **state)
{
	size_t step = RAM * 32;
	size_t mapped = 0;

	while (area_map(0, step, PROT_NONE, ANONYMOUS) > 0)
		mapped += step;
	assert_true(mapped > USER_END - USER_START - step - HUGE_PAGE_SIZE);
	while (step > PAGE_SIZE) {
		step = align_up(step / 2, PAGE_SIZE);
		while (area_map(0, step, PROT_NONE, ANONYMOUS) > 0)
			mapped += step;
	}
	assert_int_equal(mapped, USER_END - USER_START);
}

static void faults_are_refused_with_reasons(void **state)
{
	struct page_fault fault = { .address = WINDOW, .protection_key = true };

	assert_true(area_map(WINDOW, PAGE_SIZE, PROT_READ, FIXED) > 0);
	assert_true(area_map(WINDOW + PAGE_SIZE, PAGE_SIZE, PROT_NONE, FIXED) > 0);
	assert_false(mm_handle_fault(&fault));
	assert_non_null(strstr(mm_fault_reason(), "protection key"));
	fault.protection_key = false;
	fault.execute = true;
	assert_false(mm_handle_fault(&fault));
	assert_non_null(strstr(mm_fault_reason(), "does not allow"));
	assert_false(access_page(WINDOW, true));
	assert_non_null(strstr(mm_fault_reason(), "does not allow"));
	assert_false(access_page(WINDOW + PAGE_SIZE, false));
	assert_non_null(strstr(mm_fault_reason(), "does not allow"));
	assert_false(access_page(WINDOW + 2 * PAGE_SIZE, false));
	assert_non_null(strstr(mm_fault_reason(), "nothing is mapped"));
	assert_false(access_page(0, false));
	assert_non_null(strstr(mm_fault_reason(), "never mapped"));
	assert_false(access_page(DIRECT_MAP, false));
	/* A page that is there already is no error: another core was faster. */
	assert_true(access_page(WINDOW, false));
	assert_true(access_page(WINDOW, false));
	assert_int_equal(area_resident_pages(), 1);
}

static void closed_pages_keep_their_contents(void **state)
{
	size_t shootdowns;

	assert_true(area_map(WINDOW, 4 * PAGE_SIZE, READ_WRITE, FIXED) > 0);
	assert_true(access_page(WINDOW, true));
	strcpy(fake_pointer(WINDOW), "secret");
	assert_int_equal(area_protect(WINDOW, PAGE_SIZE, PROT_NONE), 0);
	assert_false(access_page(WINDOW, false));
	assert_false(area_check(WINDOW, 1, PROT_READ));
	shootdowns = fake_shootdowns;
	assert_int_equal(area_protect(WINDOW, PAGE_SIZE, READ_WRITE), 0);
	assert_int_equal(fake_shootdowns, shootdowns); /* gaining rights costs none */
	assert_true(access_page(WINDOW, true));
	assert_string_equal(fake_pointer(WINDOW), "secret");
}

static void untouched_memory_costs_no_shootdown(void **state)
{
	size_t shootdowns = fake_shootdowns;

	assert_true(area_map(WINDOW, 1ul << 30, READ_WRITE, FIXED) > 0);
	assert_int_equal(area_unmap(WINDOW, 1ul << 30), 0);
	assert_int_equal(fake_shootdowns, shootdowns);
}

static void large_pages_where_they_fit(void **state)
{
	vaddr_t start = WINDOW + 3 * PAGE_SIZE, middle = WINDOW + HUGE_PAGE_SIZE;

	assert_true(area_map(start, 3 * HUGE_PAGE_SIZE, READ_WRITE, FIXED) > 0);
	assert_true(access_page(start, true));
	assert_true(access_page(middle + 12345, true));
	assert_int_equal(page_size_at(start), PAGE_SIZE);
	assert_int_equal(page_size_at(middle), HUGE_PAGE_SIZE);
	assert_int_equal(area_resident_pages(), 513);
	/* Cutting one leaves its other pages and their contents. */
	strcpy((char *)fake_pointer(middle) + 5 * PAGE_SIZE, "five");
	assert_int_equal(area_unmap(middle + 2 * PAGE_SIZE, PAGE_SIZE), 0);
	assert_int_equal(area_protect(middle + 7 * PAGE_SIZE, PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(page_size_at(middle), PAGE_SIZE);
	assert_int_equal(area_resident_pages(), 512);
	assert_string_equal(fake_pointer(middle + 5 * PAGE_SIZE), "five");
	/* A stack does not get them. */
	assert_true(area_map(WINDOW, 4 * HUGE_PAGE_SIZE, READ_WRITE, FIXED | MAP_STACK) > 0);
	assert_true(access_page(middle, true));
	assert_int_equal(page_size_at(middle), PAGE_SIZE);
	/* An emptied table is no obstacle. */
	assert_true(area_map(WINDOW, 4 * HUGE_PAGE_SIZE, READ_WRITE, FIXED) > 0);
	assert_true(access_page(middle, true));
	assert_int_equal(page_size_at(middle), HUGE_PAGE_SIZE);
}

/* From 2 MiB pages to small ones to none: each fault that succeeds has mapped its page. */
static void memory_runs_out_page_by_page(void **state)
{
	vaddr_t address = WINDOW;

	assert_true(area_map(WINDOW, 2 * RAM, READ_WRITE, FIXED) > 0);
	while (access_page(address, true)) {
		assert_int_not_equal(page_size_at(address), 0);
		address += PAGE_SIZE;
	}
	assert_string_equal(mm_fault_reason(), "memory is out");
	assert_int_equal(page_size_at(WINDOW), HUGE_PAGE_SIZE);
	assert_int_equal(page_size_at(address - PAGE_SIZE), PAGE_SIZE);
	assert_true(area_resident_pages() > initial_free * 99 / 100);
	assert_true(frame_free_count() < 2);
}

static void remap_moves_to_a_free_place(void **state)
{
	long moved;

	assert_true(area_map(WINDOW, 3 * HUGE_PAGE_SIZE, READ_WRITE, FIXED) > 0);
	assert_true(area_map(WINDOW + 3 * HUGE_PAGE_SIZE, PAGE_SIZE, PROT_READ, FIXED) > 0);
	assert_true(access_page(WINDOW + HUGE_PAGE_SIZE, true));
	strcpy(fake_pointer(WINDOW + HUGE_PAGE_SIZE + 77 * PAGE_SIZE), "moved");
	assert_int_equal(area_remap(WINDOW, 3 * HUGE_PAGE_SIZE, 4 * HUGE_PAGE_SIZE, 0, 0), -ENOMEM);
	moved = area_remap(WINDOW, 3 * HUGE_PAGE_SIZE, 4 * HUGE_PAGE_SIZE, MREMAP_MAYMOVE, 0);
	assert_true(moved > 0 && is_aligned(moved, HUGE_PAGE_SIZE) && moved != WINDOW);
	assert_int_equal(page_size_at(moved + HUGE_PAGE_SIZE), HUGE_PAGE_SIZE);
	assert_string_equal(fake_pointer(moved + HUGE_PAGE_SIZE + 77 * PAGE_SIZE), "moved");
	assert_false(access_page(WINDOW, false));
	assert_true(access_page(moved + 4 * HUGE_PAGE_SIZE - 1, true));
	/* By an odd distance its pages become small. */
	assert_int_equal(area_remap(moved, 4 * HUGE_PAGE_SIZE, 4 * HUGE_PAGE_SIZE,
				    MREMAP_MAYMOVE | MREMAP_FIXED, WINDOW + 5 * PAGE_SIZE),
			 WINDOW + 5 * PAGE_SIZE);
	assert_string_equal(fake_pointer(WINDOW + HUGE_PAGE_SIZE + 82 * PAGE_SIZE), "moved");
}

/* ---- every failure of memory in turn ---- */

struct hog {
	void **objects, **pages;
};

/* Leave exactly `nobjects` areas and `npages` pages to be allocated. */
static void hog_all_but(struct hog *hog, unsigned nobjects, unsigned npages)
{
	static const size_t area_size = sizeof(struct area);
	void **object;

	hog->objects = hog->pages = NULL;
	while ((object = object_alloc(PAGE_SIZE))) {
		*object = hog->pages;
		hog->pages = object;
	}
	while ((object = object_alloc(area_size))) {
		*object = hog->objects;
		hog->objects = object;
	}
	for (; nobjects; nobjects--) {
		object = hog->objects;
		hog->objects = *object;
		object_free(object);
	}
	for (; npages; npages--) {
		object = hog->pages;
		hog->pages = *object;
		object_free(object);
	}
}

static void hog_release(struct hog *hog)
{
	void **object;

	while ((object = hog->objects)) {
		hog->objects = *object;
		object_free(object);
	}
	while ((object = hog->pages)) {
		hog->pages = *object;
		object_free(object);
	}
}

/* What the calls are tried on: [0, 8 MiB) with touched pages, 2 MiB pages and small ones. */
static void scene(void)
{
	memset(model, 0, sizeof(model));
	assert_true(area_map(WINDOW, 4 * HUGE_PAGE_SIZE, READ_WRITE, FIXED) > 0);
	for (unsigned page = 0; page < 2048; page++)
		model[page] = (struct model){ .mapped = true, .prot = READ_WRITE };
	for (unsigned page = 5; page < 2048; page += 512) {
		assert_true(access_page(PAGE_AT(page), true));
		*(uint64_t *)fake_pointer(PAGE_AT(page)) = model[page].stamp = page;
	}
	/* The third block in small pages. */
	assert_int_equal(area_advise(PAGE_AT(1024), HUGE_PAGE_SIZE / 2, MADV_DONTNEED), 0);
	model[1029].stamp = 0;
}

static void scene_is_as_before(void)
{
	compare_areas();
	compare_pages();
}

static long try_unmap_middle(void)
{
	return area_unmap(PAGE_AT(7), 1000 * PAGE_SIZE);
}

static long try_protect_middle(void)
{
	return area_protect(PAGE_AT(3), 1500 * PAGE_SIZE, PROT_READ);
}

static long try_drop_middle(void)
{
	return area_advise(PAGE_AT(10), 100 * PAGE_SIZE, MADV_DONTNEED);
}

static long try_map_over(void)
{
	return area_map(PAGE_AT(100), 100 * PAGE_SIZE, PROT_READ, FIXED);
}

static long try_map_elsewhere(void)
{
	return area_map(PAGE_AT(3000), 100 * PAGE_SIZE, READ_WRITE, FIXED);
}

static long try_populate(void)
{
	return area_map(PAGE_AT(3000), 20 * PAGE_SIZE, READ_WRITE, FIXED | MAP_POPULATE);
}

static long try_populate_one(void)
{
	return area_map(PAGE_AT(3000), PAGE_SIZE, READ_WRITE, FIXED | MAP_POPULATE);
}

static long try_shrink(void)
{
	return area_remap(PAGE_AT(0), 2048 * PAGE_SIZE, 300 * PAGE_SIZE, 0, 0);
}

static long try_move(void)
{
	return area_remap(PAGE_AT(100), 1200 * PAGE_SIZE, 1200 * PAGE_SIZE,
			  MREMAP_MAYMOVE | MREMAP_FIXED, PAGE_AT(2500));
}

static long try_grow(void)
{
	return area_remap(PAGE_AT(0), 2048 * PAGE_SIZE, 2100 * PAGE_SIZE, 0, 0);
}

static long try_touch(void)
{
	if (access_page(PAGE_AT(1024), true))
		return 0;
	assert_string_equal(mm_fault_reason(), "memory is out");
	return -ENOMEM;
}

static void each_failure_leaves_everything_as_it_was(void **state)
{
	static long (*const calls[])(void) = {
		try_unmap_middle,  try_protect_middle, try_drop_middle,	 try_map_over,
		try_map_elsewhere, try_populate,       try_populate_one, try_shrink,
		try_move,	   try_grow,	       try_touch,
	};

	for (unsigned i = 0; i < array_size(calls); i++) {
		unsigned failures = 0, successes = 0;

		for (unsigned objects = 0; objects <= 4; objects++) {
			for (unsigned pages = 0; pages < 26; pages += 1 + pages / 4) {
				struct hog hog;
				long result;

				scene();
				hog_all_but(&hog, objects, pages);
				result = calls[i]();
				if (result < 0) {
					assert_int_equal(result, -ENOMEM);
					scene_is_as_before();
					failures++;
				} else {
					successes++;
				}
				hog_release(&hog);
				assert_int_equal(everything_is_back(NULL), 0);
			}
		}
		assert_true(failures > 0);
		assert_true(successes > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(wrong_arguments_are_refused, everything_is_back),
		cmocka_unit_test_teardown(addresses_are_chosen, everything_is_back),
		cmocka_unit_test_teardown(the_whole_range_can_be_used, everything_is_back),
		cmocka_unit_test_teardown(faults_are_refused_with_reasons, everything_is_back),
		cmocka_unit_test_teardown(closed_pages_keep_their_contents, everything_is_back),
		cmocka_unit_test_teardown(untouched_memory_costs_no_shootdown, everything_is_back),
		cmocka_unit_test_teardown(large_pages_where_they_fit, everything_is_back),
		cmocka_unit_test_teardown(memory_runs_out_page_by_page, everything_is_back),
		cmocka_unit_test_teardown(remap_moves_to_a_free_place, everything_is_back),
		cmocka_unit_test_teardown(random_operations_match_the_model, everything_is_back),
		cmocka_unit_test_teardown(each_failure_leaves_everything_as_it_was,
					  everything_is_back),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
