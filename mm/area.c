/*
 * Virtual areas: the calls that change them. The semantics, down to the order in which errors are
 * found, are Linux's (mmap(2), munmap(2), mprotect(2), madvise(2)), but for a failure that Linux
 * notices halfway: here it is found first, and nothing is changed.
 */
#include "mm/area.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/area_set.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "mm/stack_touch.h"
#include "smp/shootdown.h"

#include <ck_pr.h>
#include <ck_spinlock.h>
#include <errno.h>
#include <sys/mman.h>

/* Anonymous memory is promised beyond what there is, as allocators reserve far more than they use;
 * but a single request for more than this many times the memory is a mistake. */
#define OVERCOMMIT 64

struct area *areas;

static struct {
	ck_spinlock_t lock;
} CACHE_ALIGNED area_lock = { CK_SPINLOCK_INITIALIZER };

/* Below it addresses are chosen first: the end of the application's range, less a random part. */
static READ_MOSTLY vaddr_t choose_below;

void areas_lock(void)
{
	stack_touch(4096);
	/* The holder may wait for this core's TLB, and the code that faulted may have disabled
	 * interrupts. */
	while (!ck_spinlock_trylock(&area_lock.lock)) {
		tlb_interrupt();
		ck_pr_stall();
	}
}

void areas_unlock(void)
{
	ck_spinlock_unlock(&area_lock.lock);
}

void area_init(void)
{
	choose_below = USER_END - (arch_random() & 0xff) * (HUGE_PAGE_SIZE * 64);
}

/* ---- edits ---- */

/* Both ends of a removal may cut an area in two, and the new one is a third. */
#define EDIT_AREAS 3

static void edit_keep(struct edit *edit, struct area *area)
{
	area->left = edit->spare;
	edit->spare = area;
}

static struct area *edit_take(struct edit *edit)
{
	struct area *area = edit->spare;

	assert(area);
	edit->spare = area->left;
	return area;
}

static void edit_free(struct edit *edit)
{
	while (edit->spare)
		object_free(edit_take(edit));
}

bool edit_begin(struct edit *edit)
{
	edit->spare = NULL;
	for (unsigned i = 0; i < EDIT_AREAS; i++) {
		struct area *area = object_alloc(sizeof(*area));

		if (!area) {
			edit_free(edit);
			return false;
		}
		edit_keep(edit, area);
	}
	areas_lock();
	return true;
}

long edit_end(struct edit *edit, long result)
{
	areas_unlock();
	edit_free(edit);
	return result;
}

static bool continues(const struct area *above, vaddr_t end, unsigned attributes)
{
	return above && above->start == end && above->attributes == attributes;
}

void edit_add(struct edit *edit, vaddr_t start, vaddr_t end, unsigned attributes)
{
	struct area *below = tree_find(areas, start - 1);
	struct area *area;

	/* More than one, if an edit has just cut what is above. */
	while (continues(area = tree_find(areas, end), end, attributes)) {
		end = area->end;
		tree_remove(&areas, area);
		edit_keep(edit, area);
	}
	if (below && below->end == start && below->attributes == attributes) {
		tree_resize(areas, below, below->start, end);
		return;
	}
	area = edit_take(edit);
	area->start = start;
	area->end = end;
	area->attributes = attributes;
	tree_insert(&areas, area);
}

/* Make `address` a boundary if it lies inside an area. */
static void edit_cut(struct edit *edit, vaddr_t address)
{
	struct area *area = tree_find(areas, address);
	struct area *upper;

	if (!area || area->start >= address)
		return;
	upper = edit_take(edit);
	upper->start = address;
	upper->end = area->end;
	upper->attributes = area->attributes;
	tree_resize(areas, area, area->start, address);
	tree_insert(&areas, upper);
}

void edit_remove(struct edit *edit, vaddr_t start, vaddr_t end)
{
	struct area *area;

	edit_cut(edit, start);
	edit_cut(edit, end);
	while ((area = tree_find(areas, start)) && area->start < end) {
		tree_remove(&areas, area);
		edit_keep(edit, area);
	}
}

/* ---- questions ---- */

bool areas_cover(vaddr_t start, vaddr_t end)
{
	while (start < end) {
		const struct area *area = tree_find(areas, start);

		if (!area || area->start > start)
			return false;
		start = area->end;
	}
	return true;
}

bool areas_are_free(vaddr_t start, vaddr_t end)
{
	const struct area *area = tree_find(areas, start);

	return !area || area->start >= end;
}

vaddr_t areas_choose(size_t length)
{
	size_t align = length >= HUGE_PAGE_SIZE ? HUGE_PAGE_SIZE : PAGE_SIZE;
	vaddr_t address = tree_find_gap(areas, USER_START, choose_below, length, align);

	return address ? address : tree_find_gap(areas, USER_START, USER_END, length, align);
}

bool round_length(size_t *length)
{
	size_t rounded = align_up(*length, PAGE_SIZE);

	if (rounded < *length)
		return false;
	*length = rounded;
	return true;
}

bool is_user_range(vaddr_t start, size_t length)
{
	return start >= USER_START && start <= USER_END && length <= USER_END - start;
}

/* ---- mmap ---- */

static long find_place(vaddr_t address, size_t length, int flags)
{
	if (flags & MAP_FIXED_NOREPLACE && !areas_are_free(address, address + length))
		return -EEXIST;
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
		return address;
	/* The address is a wish. */
	address = align_down(address, PAGE_SIZE);
	if (is_user_range(address, length) && areas_are_free(address, address + length))
		return address;
	address = areas_choose(length);
	return address ? (long)address : -ENOMEM;
}

static long map_locked(struct edit *edit, vaddr_t address, size_t length, unsigned attributes,
		       int flags)
{
	long place = find_place(address, length, flags);
	int error;

	if (place < 0)
		return place;
	error = pages_drop(place, place + length);
	if (error)
		return error;
	edit_remove(edit, place, place + length);
	if (flags & MAP_POPULATE && attributes & PAGE_PROTECTION) {
		error = pages_populate(place, place + length, attributes);
		if (error)
			return error;
	}
	edit_add(edit, place, place + length, attributes);
	return place;
}

long area_map(vaddr_t address, size_t length, int prot, int flags)
{
	unsigned attributes = prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
	bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
	struct edit edit;

	if (!length || !(flags & MAP_TYPE) || (fixed && !is_aligned(address, PAGE_SIZE)))
		return -EINVAL;
	if (prot & PROT_WRITE && prot & PROT_EXEC)
		return -EACCES;
	if (!round_length(&length) || length > USER_END - USER_START ||
	    length >> PAGE_SHIFT > frame_total() * OVERCOMMIT || flags & MAP_HUGETLB)
		return -ENOMEM;
	if (fixed && !is_user_range(address, length))
		return address < USER_START ? -EPERM : -ENOMEM;
	if (flags & MAP_POPULATE && length >> PAGE_SHIFT > frame_free_count())
		return -ENOMEM;
	if (flags & MAP_STACK)
		attributes |= AREA_SMALL_PAGES;
	if (!edit_begin(&edit))
		return -ENOMEM;
	return edit_end(&edit, map_locked(&edit, address, length, attributes, flags));
}

/* ---- munmap ---- */

long area_unmap(vaddr_t address, size_t length)
{
	struct edit edit;
	int error;

	if (!is_aligned(address, PAGE_SIZE) || !length || !round_length(&length) ||
	    address > USER_END || length > USER_END - address)
		return -EINVAL;
	if (!edit_begin(&edit))
		return -ENOMEM;
	error = pages_drop(address, address + length);
	if (!error)
		edit_remove(&edit, address, address + length);
	return edit_end(&edit, error);
}

/* ---- mprotect ---- */

/* Set the protection of all areas in the range, whose ends are boundaries. */
static void set_protection(struct edit *edit, vaddr_t start, vaddr_t end, unsigned protection)
{
	while (start < end) {
		struct area *area = tree_find(areas, start);
		unsigned attributes = (area->attributes & ~PAGE_PROTECTION) | protection;
		vaddr_t area_end = area->end;

		/* Out and in again, so that it merges with what is below and above. */
		tree_remove(&areas, area);
		edit_keep(edit, area);
		edit_add(edit, start, area_end, attributes);
		start = tree_find(areas, start)->end;
	}
}

/* Does `protection` take away from any area in the range what it allowed? */
static bool narrows(vaddr_t start, vaddr_t end, unsigned protection)
{
	while (start < end) {
		const struct area *area = tree_find(areas, start);

		if (area->attributes & PAGE_PROTECTION & ~protection)
			return true;
		start = area->end;
	}
	return false;
}

static long protect_locked(struct edit *edit, vaddr_t start, vaddr_t end, unsigned protection)
{
	int error;

	if (!areas_cover(start, end))
		return -ENOMEM;
	error = arch_protect(start, end - start, protection);
	if (error)
		return error;
	/* A TLB that still has less than is allowed now costs a fault, which puts it right. */
	if (narrows(start, end, protection))
		tlb_shootdown(start, (end - start) >> PAGE_SHIFT);
	edit_cut(edit, start);
	edit_cut(edit, end);
	set_protection(edit, start, end, protection);
	return 0;
}

long area_protect(vaddr_t address, size_t length, int prot)
{
	struct edit edit;

	if (!is_aligned(address, PAGE_SIZE) || prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC))
		return -EINVAL;
	if (!length)
		return 0;
	if (prot & PROT_WRITE && prot & PROT_EXEC)
		return -EACCES;
	if (!round_length(&length) || !is_user_range(address, length) || !edit_begin(&edit))
		return -ENOMEM;
	return edit_end(&edit, protect_locked(&edit, address, address + length, prot));
}

/* ---- madvise ---- */

long area_advise(vaddr_t address, size_t length, int advice)
{
	bool drop = advice == MADV_DONTNEED || advice == MADV_FREE;
	long result;

	if (!is_aligned(address, PAGE_SIZE) || !round_length(&length))
		return -EINVAL;
	if (advice < 0 || advice > MADV_PAGEOUT || (advice > MADV_DONTNEED && advice < MADV_FREE))
		return -EINVAL;
	if (!length)
		return 0;
	if (!is_user_range(address, length))
		return -ENOMEM;
	areas_lock();
	/* As on Linux, what is mapped is dropped even if something in the range is not. */
	result = drop ? pages_drop(address, address + length) : 0;
	if (!areas_cover(address, address + length))
		result = -ENOMEM;
	areas_unlock();
	return result;
}

/* ---- what others ask ---- */

/* Pages that are there say themselves what is allowed: no lock, which keeps the system calls of
 * a request free of shared writes. Returns where the first page is that does not say so. */
static vaddr_t check_pages(vaddr_t address, vaddr_t end, unsigned prot)
{
	while (address < end) {
		size_t page_size = PAGE_SIZE;
		unsigned protection;
		paddr_t frame;

		if (!arch_lookup(address, &frame, &protection, &page_size) || !protection ||
		    prot & ~protection & ~PROT_READ)
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

void area_for_each(void (*visit)(vaddr_t start, vaddr_t end, int prot, void *), void *argument)
{
	vaddr_t next = 0;

	/* Not under the lock, since `visit` may write to application memory. */
	for (;;) {
		struct area copy;
		const struct area *area;

		areas_lock();
		area = tree_find(areas, next);
		if (area)
			copy = *area;
		areas_unlock();
		if (!area)
			return;
		visit(copy.start, copy.end, copy.attributes & PAGE_PROTECTION, argument);
		next = copy.end;
	}
}
