#include "tests/host/area_scene.h"

#include "mm/area.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "tests/host/fake_memory.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

size_t initial_free;

/* ---- files, in the test's own frames ---- */

struct file files[NFILES];

static long file_page(struct page_source *source, uint64_t index, bool create, paddr_t *frame)
{
	struct file *file = (struct file *)source;

	if (index >= file->npages)
		return -ENXIO;
	if (!file->frames[index] && create) {
		file->frames[index] = frame_alloc_zeroed(0);
		if (!file->frames[index])
			return -ENOMEM;
	}
	*frame = file->frames[index];
	return 0;
}

static void file_reference(struct page_source *source)
{
	((struct file *)source)->references++;
}

static void file_unreference(struct page_source *source)
{
	assert_true(((struct file *)source)->references-- > 0);
}

static uint64_t file_name(struct page_source *source, char *path, size_t size)
{
	snprintf(path, size, "/file%td", (struct file *)source - files);
	return 7;
}

static const struct page_source_operations file_operations = {
	.page = file_page,
	.reference = file_reference,
	.unreference = file_unreference,
	.name = file_name,
};

void file_truncate(struct file *file, uint64_t npages)
{
	uint64_t before = file->npages;

	file->npages = npages;
	page_source_shrunk(&file->source, npages);
	for (uint64_t i = npages; i < before; i++) {
		if (file->frames[i])
			frame_free(file->frames[i], 0);
		file->frames[i] = file->stamps[i] = 0;
	}
}

int area_scene_setup(void **state)
{
	fake_memory_boot(RAM);
	object_init_core();
	area_init();
	initial_free = frame_free_count();
	for (unsigned i = 0; i < NFILES; i++)
		files[i].source.operations = &file_operations;
	return 0;
}

int everything_is_back(void **state)
{
	long result = area_unmap(USER_START, USER_END - USER_START);

	for (unsigned i = 0; i < NFILES; i++) {
		file_truncate(&files[i], 0);
		if (files[i].references || files[i].source.nmappings) {
			printf("left behind: file %u, %u references, %u mappings\n", i,
			       files[i].references, files[i].source.nmappings);
			return -1;
		}
	}
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

bool access_page(vaddr_t address, bool write)
{
	const struct page_fault fault = { .address = address, .write = write };

	return mm_handle_fault(&fault);
}

size_t page_size_at(vaddr_t address)
{
	unsigned protection;
	size_t page_size;
	paddr_t frame;

	return arch_lookup(address, &frame, &protection, &page_size) ? page_size : 0;
}
