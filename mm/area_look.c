/* What others ask about areas. */
#include "arch/arch.h"
#include "mm/area.h"
#include "mm/area_set.h"
#include "mm/page_source.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Pages that are there say themselves what is allowed: no lock, which keeps the system calls of
 * a request free of shared writes. Returns where the first page is that does not say so. */
static vaddr_t check_pages(vaddr_t address, vaddr_t end, unsigned prot)
{
	while (address < end) {
		size_t page_size = PAGE_SIZE;
		unsigned protection;
		paddr_t frame;

		if (!arch_lookup(address, &frame, &protection, &page_size) ||
		    !(protection & PAGE_ACCESS) || prot & ~protection & ~PROT_READ)
			break;
		address = align_down(address, page_size) + page_size;
		if (!address)
			return end; /* the last page there is */
	}
	return address;
}

bool area_check(vaddr_t address, size_t length, int prot)
{
	vaddr_t end = address + length;
	bool allowed = true;

	if (!length)
		return true;
	if (end < address)
		return false;
	if (address >= KVA_START) /* the image, and kernel stacks, on which kernel threads call */
		return check_pages(address, end, prot) >= end;
	if (!is_user_range(address, length))
		return false;
	address = check_pages(address, end, prot);
	if (address >= end)
		return true;
	areas_lock();
	while (allowed && address < end) {
		const struct area *area = tree_find(areas, address);

		allowed = area && area->start <= address && area->attributes & PAGE_PROTECTION &&
			  !(prot & ~area->attributes & ~PROT_READ);
		if (allowed)
			address = area->end;
	}
	areas_unlock();
	return allowed;
}

bool area_is_mapped(vaddr_t address, size_t length)
{
	bool covered;

	if (!round_length(&length) || !is_user_range(address, length))
		return !length;
	areas_lock();
	covered = areas_cover(address, address + length);
	areas_unlock();
	return covered;
}

/* A file's page is in memory whether it is mapped yet or not. */
static bool source_has(const struct area *area, vaddr_t address)
{
	struct page_source *source = area->source;
	paddr_t frame = 0;

	return source->operations->page(source, source_page_at(area, address), false, &frame) ==
		   0 &&
	       frame;
}

long area_residency(vaddr_t address, size_t npages, unsigned char *residency)
{
	vaddr_t end = address + npages * PAGE_SIZE;
	long result = 0;

	areas_lock();
	for (; address < end && !result; address += PAGE_SIZE, residency++) {
		const struct area *area = tree_find(areas, address);
		unsigned protection;
		size_t page_size;
		paddr_t frame;

		if (!area || area->start > address)
			result = -ENOMEM;
		else
			*residency = arch_lookup(address, &frame, &protection, &page_size) ||
				     (area->source && source_has(area, address));
	}
	areas_unlock();
	return result;
}

/* The first area that ends above `next`. Holds a reference of its source. */
static bool describe_next(vaddr_t next, struct area_description *description,
			  struct page_source **source)
{
	const struct area *area;

	areas_lock();
	area = tree_find(areas, next);
	if (area) {
		*source = area->source;
		if (*source)
			(*source)->operations->reference(*source);
		*description = (struct area_description){
			.start = area->start,
			.end = area->end,
			.prot = area->attributes & PAGE_PROTECTION,
			.shared = area->attributes & AREA_SHARED,
			.heap = area->attributes & AREA_HEAP,
			.offset = area->source ? area->first_page << PAGE_SHIFT : 0,
		};
	}
	areas_unlock();
	return area;
}

void area_for_each(void (*visit)(const struct area_description *, void *), void *argument)
{
	struct area_description description;
	struct page_source *source;

	/* Not under the lock, since `visit` may write to application memory. */
	for (vaddr_t next = 0; describe_next(next, &description, &source); next = description.end) {
		strcpy(description.path, description.heap ? "[heap]" : "");
		if (source && source->operations->name)
			description.inode = source->operations->name(source, description.path,
								     sizeof(description.path));
		if (source)
			source->operations->unreference(source);
		visit(&description, argument);
	}
}
