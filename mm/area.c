/*
 * Virtual areas: the calls that change them. The semantics, down to the order in which errors are
 * found, are Linux's (mmap(2), munmap(2), mprotect(2)), but for a failure that Linux notices
 * halfway: here it is found first, and nothing is changed.
 */
#include "mm/area.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/area_set.h"
#include "mm/frame.h"
#include "smp/shootdown.h"

#include <errno.h>
#include <sys/mman.h>

/* ---- mmap ---- */

#define LOW_END 0x80000000ul /* of MAP_32BIT */

struct request {
	vaddr_t address;
	size_t length;
	int flags;
	struct mapping mapping;
	struct code_refusal refusal;
};

static long find_place(const struct request *request)
{
	vaddr_t address = request->address;
	size_t length = request->length;
	int flags = request->flags;

	if (flags & MAP_FIXED_NOREPLACE && !areas_are_free(address, address + length))
		return -EEXIST;
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
		return address;
	/* The address is a wish. */
	address = align_down(address, PAGE_SIZE);
	if (is_user_range(address, length) && areas_are_free(address, address + length) &&
	    (!(flags & MAP_32BIT) || address + length <= LOW_END))
		return address;
	address = flags & MAP_32BIT ? areas_choose_below(length, LOW_END) : areas_choose(length);
	return address ? (long)address : -ENOMEM;
}

/* ---- code that may not be executable ---- */

static void report(const struct code_refusal *refusal, const char *path, uint64_t offset)
{
	kprintf("lavra: %s holds %s at %#lx, by which it could change protection keys: with "
		"isolation=off it runs\n",
		*path ? path : "memory that is to be executable", refusal->name, offset);
}

/* A mapping that was refused; its place was in refusal->address. */
static void report_source(const struct request *request, struct page_source *source)
{
	char path[256] = "";

	if (source->operations->name)
		source->operations->name(source, path, sizeof(path));
	report(&request->refusal, path, request->refusal.offset);
}

static void report_if_there(const struct area_description *description, void *refusal_)
{
	const struct code_refusal *refusal = refusal_;
	vaddr_t address = refusal->address;

	if (address < description->start || address >= description->end)
		return;
	report(refusal, description->path,
	       *description->path ? address - description->start + description->offset : address);
}

/* ---- mmap, under the lock ---- */

static long map_locked(struct edit *edit, struct request *request)
{
	long place = find_place(request);
	vaddr_t end = place + request->length;
	int error;

	if (place < 0)
		return place;
	if (request->mapping.source && code_is_checked(request->mapping.attributes)) {
		long result = code_look_at_source(&request->mapping, place, end, &request->refusal);

		if (result)
			return result;
	}
	error = pages_drop(place, end);
	if (error)
		return error;
	edit_remove(edit, place, end);
	if (request->flags & MAP_POPULATE && request->mapping.attributes & PAGE_PROTECTION &&
	    !request->mapping.source) {
		error = pages_populate(place, end, request->mapping.attributes);
		if (error)
			return error;
	}
	edit_add(edit, place, end, &request->mapping);
	return place;
}

static long map(struct request *request, int prot)
{
	bool fixed = request->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
	int type = request->flags & MAP_TYPE;
	struct edit edit;

	if (!request->length || (fixed && !is_aligned(request->address, PAGE_SIZE)) ||
	    (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE))
		return -EINVAL;
	if (prot & PROT_WRITE && prot & PROT_EXEC)
		return -EACCES;
	if (!round_length(&request->length) || request->length > USER_END - USER_START ||
	    (!request->mapping.source && is_beyond_reason(request->length)) ||
	    request->flags & MAP_HUGETLB)
		return -ENOMEM;
	if (fixed && !is_user_range(request->address, request->length))
		return request->address < USER_START ? -EPERM : -ENOMEM;
	request->mapping.attributes |= prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
	if (type != MAP_PRIVATE)
		request->mapping.attributes |= AREA_SHARED;
	if (!edit_begin(&edit, EDIT_AREAS))
		return -ENOMEM;
	return edit_end(&edit, map_locked(&edit, request));
}

long area_map(vaddr_t address, size_t length, int prot, int flags)
{
	struct request request = { .address = address, .length = length, .flags = flags };

	if (flags & MAP_STACK)
		request.mapping.attributes |= AREA_SMALL_PAGES;
	if (flags & MAP_POPULATE && length >> PAGE_SHIFT > frame_free_count())
		return -ENOMEM;
	return map(&request, prot);
}

long area_map_source(vaddr_t address, size_t length, int prot, int flags,
		     struct page_source *source, uint64_t first_page)
{
	struct request request = { .address = address,
				   .length = length,
				   .flags = flags,
				   .mapping = { .source = source, .first_page = first_page } };
	uint64_t npages = length >> PAGE_SHIFT;
	long result;

	/* Offsets in a file are signed, in bytes. */
	if (first_page > INT64_MAX >> PAGE_SHIFT || npages > (INT64_MAX >> PAGE_SHIFT) - first_page)
		return -EOVERFLOW;
	if (flags & MAP_SOURCE_READ_ONLY && (flags & MAP_TYPE) != MAP_PRIVATE) {
		if (prot & PROT_WRITE)
			return -EACCES;
		request.mapping.attributes |= AREA_NEVER_WRITTEN;
	}
	/* Whoever can write to the file could bring code that nobody has looked at. */
	if (code_is_checked((unsigned)prot) && (flags & MAP_TYPE) != MAP_PRIVATE) {
		kprintf("lavra: a shared mapping of a file may not be executable with isolation\n");
		return -EACCES;
	}
	result = map(&request, prot);
	if (request.refusal.name)
		report_source(&request, source);
	if (result > 0 && flags & MAP_POPULATE)
		source_populate(result, result + request.length);
	return result;
}

/* ---- munmap ---- */

long area_unmap(vaddr_t address, size_t length)
{
	struct edit edit;
	int error;

	if (!is_aligned(address, PAGE_SIZE) || !length || !round_length(&length) ||
	    address > USER_END || length > USER_END - address)
		return -EINVAL;
	if (!edit_begin(&edit, EDIT_AREAS))
		return -ENOMEM;
	error = pages_drop(address, address + length);
	if (!error)
		edit_remove(&edit, address, address + length);
	return edit_end(&edit, error);
}

/* ---- mprotect ---- */

/* Change these attributes of all areas in the range, whose ends are boundaries. */
static void set_attributes(struct edit *edit, vaddr_t start, vaddr_t end, unsigned changed,
			   unsigned attributes)
{
	while (start < end) {
		struct area *area = tree_find(areas, start);

		start = area->end;
		area->attributes = (area->attributes & ~changed) | attributes;
		edit_merge(edit, area);
	}
}

/* Does any area in the range have one of the attributes? */
static bool any_has(vaddr_t start, vaddr_t end, unsigned attributes)
{
	while (start < end) {
		const struct area *area = tree_find(areas, start);

		if (area->attributes & attributes)
			return true;
		start = area->end;
	}
	return false;
}

static bool all_have_key(vaddr_t start, vaddr_t end, unsigned key)
{
	while (start < end) {
		const struct area *area = tree_find(areas, start);

		if ((area->attributes & AREA_KEY_MASK) != AREA_KEY(key))
			return false;
		start = area->end;
	}
	return true;
}

/* Pages are as their areas say. */
static void restore_protection(vaddr_t start, vaddr_t end)
{
	while (start < end) {
		const struct area *area = tree_find(areas, start);
		vaddr_t stop = min(area->end, end);

		/* Nothing is left that would have to be split. */
		arch_protect(start, stop - start,
			     (area->attributes & PAGE_PROTECTION) | PAGE_KEYS_KEPT);
		start = stop;
	}
}

/* Look at what is to be executable, and be it by nobody written meanwhile. */
static long prepare_code(vaddr_t start, vaddr_t end, struct code_refusal *refusal)
{
	long error = arch_protect(start, end - start, PROT_READ | PAGE_KEYS_KEPT);

	if (error)
		return error;
	if (any_has(start, end, PAGE_PROTECTION & ~PROT_READ))
		tlb_shootdown(start, (end - start) >> PAGE_SHIFT);
	error = code_prepare(start, end, refusal);
	if (error)
		restore_protection(start, end);
	return error;
}

static long protect_locked(struct edit *edit, vaddr_t start, vaddr_t end, unsigned protection,
			   int key, struct code_refusal *refusal)
{
	bool new_key;
	long error;

	if (!areas_cover(start, end))
		return -ENOMEM;
	if (protection & PROT_WRITE && any_has(start, end, AREA_NEVER_WRITTEN))
		return -EACCES;
	if (code_is_checked(protection)) {
		error = prepare_code(start, end, refusal);
		if (error)
			return error;
	}
	new_key = key != AREA_KEYS_KEPT && !all_have_key(start, end, (unsigned)key);
	error = arch_protect(start, end - start,
			     protection | (key == AREA_KEYS_KEPT ? PAGE_KEYS_KEPT : PAGE_KEY(key)));
	if (error)
		return error;
	/* A TLB that still has less than is allowed now costs a fault, which puts it right; one
	 * that has more, or another key, must lose it. */
	if (new_key || any_has(start, end, PAGE_PROTECTION & ~protection))
		tlb_shootdown(start, (end - start) >> PAGE_SHIFT);
	edit_cut(edit, start, end);
	if (key == AREA_KEYS_KEPT)
		set_attributes(edit, start, end, PAGE_PROTECTION, protection);
	else
		set_attributes(edit, start, end, PAGE_PROTECTION | AREA_KEY_MASK,
			       protection | AREA_KEY(key));
	return 0;
}

long area_protect(vaddr_t address, size_t length, int prot)
{
	return area_protect_key(address, length, prot, AREA_KEYS_KEPT);
}

long area_protect_key(vaddr_t address, size_t length, int prot, int key)
{
	struct code_refusal refusal = { 0 };
	struct edit edit;
	long result;

	if (!is_aligned(address, PAGE_SIZE) || prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC))
		return -EINVAL;
	if (!length)
		return 0;
	if (prot & PROT_WRITE && prot & PROT_EXEC)
		return -EACCES;
	if (!round_length(&length) || !is_user_range(address, length) ||
	    !edit_begin(&edit, EDIT_AREAS))
		return -ENOMEM;
	result = edit_end(&edit, protect_locked(&edit, address, address + length, (unsigned)prot,
						key, &refusal));
	if (refusal.name)
		area_for_each(report_if_there, &refusal);
	return result;
}
