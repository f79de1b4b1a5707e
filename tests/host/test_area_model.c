/*
 * Areas against a model of one entry per page, with every failure of memory in turn.
 *
 * links: tests/host/fake_memory.c tests/host/area_scene.c mm/frame.c mm/object.c mm/area_tree.c
 * links: mm/area_set.c mm/area.c mm/resident.c mm/fault.c mm/remap.c mm/advise.c mm/area_look.c
 * links: mm/brk.c mm/page_source.c mm/code.c
 * links: arch/x86_64/rights_pages.c arch/x86_64/rights_scan.c arch/x86_64/instruction.c
 */
#include "arch/arch.h"
#include "mm/area.h"
#include "mm/area_tree.h"
#include "mm/frame.h"
#include "mm/mm.h"
#include "mm/object.h"
#include "mm/page_source.h"
#include "tests/host/area_scene.h"
#include "tests/host/fake_memory.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

/* ---- the model: a window of addresses, four bytes and a stamp for each page ---- */

static struct model {
	bool mapped, small;
	uint8_t prot, key;
	uint64_t stamp; /* at the start of the page, if it is not the file's */
	bool shared, never_written;
	bool own; /* of a private mapping of a file: it has become a page of its own */
	struct file *file;
	unsigned index; /* of the file's page */
} model[WINDOW_PAGES];

/* Are the pages, `distance` apart, of one area, if those between them are? */
static bool alike(const struct model *a, const struct model *b, unsigned distance)
{
	return a->mapped == b->mapped && a->prot == b->prot && a->key == b->key &&
	       a->small == b->small && a->shared == b->shared &&
	       a->never_written == b->never_written && a->file == b->file &&
	       (!a->file || a->index + distance == b->index);
}

static uint64_t *stamp_of(struct model *page)
{
	return page->file && !page->own ? &page->file->stamps[page->index] : &page->stamp;
}

static bool is_behind_the_end(const struct model *page)
{
	return page->file && page->index >= page->file->npages;
}

/* Each area is a run of equal pages of the model, as long as can be. */
static void compare_area(const struct area_description *area, void *argument)
{
	unsigned *next = argument;
	vaddr_t start = area->start, end = area->end;
	int prot = area->prot;
	unsigned first = (start - WINDOW) / PAGE_SIZE, last = (end - WINDOW) / PAGE_SIZE;

	assert_in_range(start, WINDOW, PAGE_AT(WINDOW_PAGES));
	assert_in_range(end, start + 1, PAGE_AT(WINDOW_PAGES));
	for (; *next < first; ++*next)
		assert_false(model[*next].mapped);
	assert_false(first > 0 && alike(&model[first - 1], &model[first], 1));
	assert_int_equal(model[first].prot, prot);
	assert_int_equal(model[first].shared, area->shared);
	assert_int_equal(area->offset, model[first].file ? model[first].index * PAGE_SIZE : 0);
	assert_int_equal(area->inode, model[first].file ? 7 : 0);
	assert_int_equal(strlen(area->path), model[first].file ? 6 : 0);
	for (; *next < last; ++*next)
		assert_true(model[*next].mapped &&
			    alike(&model[first], &model[*next], *next - first));
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
		unsigned protection, expected = model[page].prot | PAGE_KEY(model[page].key);
		size_t page_size;
		paddr_t frame;

		if (!memory) {
			assert_true((model[page].file && !model[page].own) ||
				    model[page].stamp == 0);
			continue;
		}
		resident++;
		assert_true(model[page].mapped);
		arch_lookup(PAGE_AT(page), &frame, &protection, &page_size);
		if (model[page].file && !model[page].own) {
			assert_int_equal(frame, model[page].file->frames[model[page].index]);
			expected |= PAGE_BORROWED;
			if (!model[page].shared)
				expected = (expected & ~PAGE_WRITE) | PAGE_COPIED_FIRST;
		}
		assert_int_equal(protection, expected);
		assert_int_equal(*memory, *stamp_of(&model[page]));
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
		if (!model[i].mapped || !alike(&model[page], &model[i], i - page))
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
	struct file *file = rand() % 2 ? &files[rand() % NFILES] : NULL;
	unsigned index = rand() % 64;
	int flags = (rand() % 4 ? MAP_FIXED : MAP_FIXED_NOREPLACE) |
		    (rand() % 8 ? 0 : MAP_POPULATE) | (rand() % 3 ? MAP_PRIVATE : MAP_SHARED) |
		    (file && rand() % 4 == 0 ? MAP_SOURCE_READ_ONLY : 0) |
		    (file || rand() % 4 ? 0 : MAP_STACK);
	bool never_written = flags & MAP_SOURCE_READ_ONLY && flags & MAP_SHARED;
	size_t length = count * PAGE_SIZE - rand() % PAGE_SIZE;
	long result =
	    file ? area_map_source(PAGE_AT(page), length, prot, flags, &file->source, index)
		 : area_map(PAGE_AT(page), length, prot, flags | MAP_ANONYMOUS);

	if (never_written && prot & PROT_WRITE) {
		assert_int_equal(result, -EACCES);
		return;
	}
	if (flags & MAP_FIXED_NOREPLACE && !model_is_free(page, count)) {
		assert_int_equal(result, -EEXIST);
		return;
	}
	assert_int_equal(result, PAGE_AT(page));
	for (unsigned i = page; i < page + count; i++) {
		model[i] = (struct model){ .mapped = true,
					   .prot = prot,
					   .small = flags & MAP_STACK,
					   .shared = flags & MAP_SHARED,
					   .never_written = never_written,
					   .file = file,
					   .index = file ? index + i - page : 0 };
		if (flags & MAP_POPULATE && prot &&
		    (!file || (!is_behind_the_end(&model[i]) && file->frames[model[i].index])))
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
	int prot = random_protection(), key = rand() % 2 ? rand() % 4 : AREA_KEYS_KEPT;
	long result = area_protect_key(PAGE_AT(page), count * PAGE_SIZE, prot, key);
	bool never_written = false;

	for (unsigned i = page; i < page + count; i++)
		never_written |= model[i].mapped && model[i].never_written;
	assert_int_equal(result, !model_covers(page, count)	      ? -ENOMEM
				 : never_written && prot & PROT_WRITE ? -EACCES
								      : 0);
	if (result)
		return;
	for (unsigned i = page; i < page + count; i++) {
		model[i].prot = prot;
		if (key != AREA_KEYS_KEPT)
			model[i].key = (uint8_t)key;
	}
}

static void random_advise(unsigned page, unsigned count)
{
	static const int advices[] = { MADV_DONTNEED, MADV_FREE, MADV_WILLNEED, MADV_HUGEPAGE };
	int advice = advices[rand() % array_size(advices)];
	long result = area_advise(PAGE_AT(page), count * PAGE_SIZE, advice);
	bool shared = false;

	for (unsigned i = page; i < page + count; i++)
		shared |= model[i].mapped && (model[i].shared || model[i].file);
	if (advice == MADV_FREE && shared) {
		assert_int_equal(result, -EINVAL);
		return;
	}
	assert_int_equal(result, model_covers(page, count) ? 0 : -ENOMEM);
	if (advice != MADV_DONTNEED && advice != MADV_FREE)
		return;
	for (unsigned i = page; i < page + count; i++) {
		if (model[i].file || !model[i].shared)
			model[i].stamp = 0;
		model[i].own = false;
	}
}

/* A file becomes shorter or longer. */
static void random_truncate(void)
{
	struct file *file = &files[rand() % NFILES];
	unsigned npages = rand() % 8 ? rand() % 200 : rand() % FILE_PAGES;

	file_truncate(file, npages);
	for (unsigned i = 0; i < WINDOW_PAGES; i++)
		if (model[i].file == file && model[i].index >= npages) {
			model[i].own = false;
			model[i].stamp = 0;
		}
}

/* What a touched page becomes. */
static void model_touch(struct model *page, bool write)
{
	if (!page->file || page->shared || page->own)
		return;
	if (write || !page->file->frames[page->index]) {
		page->stamp = page->file->stamps[page->index];
		page->own = true;
	}
}

static void random_access(unsigned page)
{
	static uint64_t last_stamp;
	bool write = rand() % 2;
	bool allowed = model[page].mapped && model[page].prot &&
		       (!write || model[page].prot & PROT_WRITE);
	bool there = allowed && !is_behind_the_end(&model[page]);
	int code;

	assert_int_equal(access_page(PAGE_AT(page) + rand() % PAGE_SIZE, write), there);
	assert_int_equal(area_check(PAGE_AT(page) + 5, 100, write ? PROT_WRITE : PROT_READ),
			 allowed);
	if (!there) {
		assert_int_equal(mm_fault_signal(&code), allowed ? SIGBUS : SIGSEGV);
		assert_int_equal(code, allowed		    ? BUS_ADRERR
				       : model[page].mapped ? SEGV_ACCERR
							    : SEGV_MAPERR);
		return;
	}
	model_touch(&model[page], write);
	assert_int_equal(*(uint64_t *)fake_pointer(PAGE_AT(page)), *stamp_of(&model[page]));
	if (write)
		*(uint64_t *)fake_pointer(PAGE_AT(page)) = *stamp_of(&model[page]) = ++last_stamp;
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

/* An untouched page of the same area. */
static struct model model_continued(const struct model *page, unsigned distance)
{
	struct model continued = *page;

	continued.own = false;
	continued.stamp = 0;
	if (continued.file)
		continued.index += distance;
	return continued;
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
			moved[i] = model_continued(&model[page], i);
		memset(&model[page], 0, count * sizeof(*model));
		memcpy(&model[target], moved, new_count * sizeof(*moved));
	} else if (new_count <= count) {
		assert_int_equal(result, PAGE_AT(page));
		memset(&model[page + new_count], 0, (count - new_count) * sizeof(*model));
	} else if (model_is_free(page + count, new_count - count)) {
		assert_int_equal(result, PAGE_AT(page));
		for (unsigned i = page + count; i < page + new_count; i++)
			model[i] = model_continued(&model[page], i - page);
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
	if (rand() % 16 == 0)
		random_truncate();
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
		/* To the end of the area, else it can hardly grow. */
		for (count = 1; model[page].mapped && page + count < WINDOW_PAGES &&
				alike(&model[page], &model[page + count], count);)
			count++;
		random_remap(page, count);
		break;
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
	/* And a file, of which one page is there and one copied. */
	files[0].npages = 20;
	assert_true(area_map_source(PAGE_AT(2200), 20 * PAGE_SIZE, READ_WRITE,
				    MAP_PRIVATE | MAP_FIXED, &files[0].source, 0) > 0);
	files[0].frames[1] = frame_alloc_zeroed(0);
	assert_true(access_page(PAGE_AT(2200), true));
	assert_true(access_page(PAGE_AT(2201), false));
	for (unsigned page = 2200; page < 2220; page++)
		model[page] = (struct model){ .mapped = true,
					      .prot = READ_WRITE,
					      .own = page == 2200,
					      .file = &files[0],
					      .index = page - 2200 };
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

static long try_copy(void)
{
	if (access_page(PAGE_AT(2201), true))
		return 0;
	assert_string_equal(mm_fault_reason(), "memory is out");
	/* The page may be gone, but comes back as it was. */
	return -ENOMEM;
}

static long try_cut_file(void)
{
	return area_protect(PAGE_AT(2205), 3 * PAGE_SIZE, PROT_READ);
}

static long try_move_file(void)
{
	return area_remap(PAGE_AT(2203), 5 * PAGE_SIZE, 9 * PAGE_SIZE,
			  MREMAP_MAYMOVE | MREMAP_FIXED, PAGE_AT(2500));
}

static void each_failure_leaves_everything_as_it_was(void **state)
{
	static long (*const calls[])(void) = {
		try_unmap_middle,  try_protect_middle, try_drop_middle,	 try_map_over,
		try_map_elsewhere, try_populate,       try_populate_one, try_shrink,
		try_move,	   try_grow,	       try_touch,	 try_copy,
		try_cut_file,	   try_move_file,
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
		cmocka_unit_test_teardown(random_operations_match_the_model, everything_is_back),
		cmocka_unit_test_teardown(each_failure_leaves_everything_as_it_was,
					  everything_is_back),
	};

	return cmocka_run_group_tests(tests, area_scene_setup, NULL);
}
