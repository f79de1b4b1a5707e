/*
 * brk(2): the area that grows after the program. A program that is loaded says where it begins;
 * for one that is linked into the image it has a place of its own, far from where mmap() chooses.
 */
#include "arch/arch.h"
#include "mm/area.h"
#include "mm/area_set.h"

#include <sys/mman.h>

#define DEFAULT_START 0x4000000000ul /* 256 GiB: mmap() chooses from 2 TiB down */

/* Guarded by the area lock. As on Linux the end is a byte's address; what is mapped ends at a page. */
static vaddr_t heap_start, heap_end;

void brk_set(vaddr_t start)
{
	areas_lock();
	heap_start = heap_end = start;
	areas_unlock();
}

static void set_default(void)
{
	uint64_t random = addresses_are_random ? arch_random() & 0xffff : 0;

	heap_start = heap_end = DEFAULT_START + random * PAGE_SIZE;
}

static bool grow(struct edit *edit, vaddr_t from, vaddr_t to)
{
	const struct mapping mapping = { .attributes = PROT_READ | PROT_WRITE | AREA_HEAP };

	if (is_beyond_reason(to - from) || !areas_are_free(from, to))
		return false;
	edit_add(edit, from, to, &mapping);
	return true;
}

static bool shrink(struct edit *edit, vaddr_t from, vaddr_t to)
{
	if (pages_drop(to, from))
		return false;
	edit_remove(edit, to, from);
	return true;
}

static bool move_end(struct edit *edit, vaddr_t address)
{
	vaddr_t from = align_up(heap_end, PAGE_SIZE), to = align_up(address, PAGE_SIZE);

	if (address < heap_start || address > USER_END)
		return false;
	return to > from ? grow(edit, from, to) : to == from || shrink(edit, from, to);
}

vaddr_t area_brk(vaddr_t address)
{
	struct edit edit;
	vaddr_t end;

	if (!edit_begin(&edit, EDIT_AREAS)) {
		areas_lock();
		end = heap_end;
		areas_unlock();
		return end;
	}
	if (!heap_start)
		set_default();
	if (move_end(&edit, address))
		heap_end = address;
	return edit_end(&edit, heap_end);
}
