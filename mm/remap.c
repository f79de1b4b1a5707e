/* mremap(2): an area grows, shrinks or moves, and its pages with it; none is copied. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MREMAP_* */
#endif
#include "arch/arch.h"
#include "mm/area.h"
#include "mm/area_set.h"
#include "mm/frame.h"

#include <errno.h>
#include <sys/mman.h>

/* What is at a fixed target is cut at both ends, likewise the part that is lost; then the rest is cut
 * off, and there is the new area. */
#define REMAP_AREAS 6

struct remap {
	vaddr_t old, target;
	size_t old_length, new_length;
	struct mapping mapping; /* at `old` */
};

static long shrink(struct edit *edit, const struct remap *remap)
{
	vaddr_t start = remap->old + remap->new_length, end = remap->old + remap->old_length;
	int error = pages_drop(start, end);

	if (error)
		return error;
	edit_remove(edit, start, end);
	return remap->old;
}

static bool grow_in_place(struct edit *edit, const struct remap *remap)
{
	vaddr_t start = remap->old + remap->old_length, end = remap->old + remap->new_length;
	struct mapping more = remap->mapping;

	if (!is_user_range(remap->old, remap->new_length) || !areas_are_free(start, end))
		return false;
	more.first_page += remap->old_length >> PAGE_SHIFT;
	edit_add(edit, start, end, &more);
	return true;
}

/* To remap->target, which is empty. */
static long move(struct edit *edit, const struct remap *remap)
{
	size_t length = min(remap->old_length, remap->new_length);
	int error;

	/* It was looked at where it is, beside its neighbours (code.c). */
	if (code_is_checked(remap->mapping.attributes))
		return -EACCES;
	error = pages_move(remap->old, remap->target, length, remap->mapping.attributes);

	if (error)
		return error;
	edit_remove(edit, remap->old, remap->old + remap->old_length);
	edit_add(edit, remap->target, remap->target + remap->new_length, &remap->mapping);
	return remap->target;
}

/* To where the caller says: what is there, and what the area loses, goes first, as on Linux. */
static long move_fixed(struct edit *edit, struct remap *remap)
{
	vaddr_t end = remap->target + remap->new_length;
	int error = pages_drop(remap->target, end);

	if (error)
		return error;
	edit_remove(edit, remap->target, end);
	if (remap->new_length < remap->old_length) {
		long kept = shrink(edit, remap);

		if (kept < 0)
			return kept;
		remap->old_length = remap->new_length;
	}
	return move(edit, remap);
}

static long remap_locked(struct edit *edit, struct remap *remap, int flags)
{
	const struct area *area = tree_find(areas, remap->old);

	if (!area || area->start > remap->old || area->end - remap->old < remap->old_length)
		return -EFAULT;
	remap->mapping = mapping_at(area, remap->old);
	if (flags & MREMAP_FIXED)
		return move_fixed(edit, remap);
	if (remap->new_length == remap->old_length)
		return remap->old;
	if (remap->new_length < remap->old_length)
		return shrink(edit, remap);
	if (grow_in_place(edit, remap))
		return remap->old;
	if (!(flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	remap->target = areas_choose(remap->new_length);
	return remap->target ? move(edit, remap) : -ENOMEM;
}

long area_remap(vaddr_t old, size_t old_length, size_t new_length, int flags, vaddr_t new_address)
{
	struct remap remap = { .old = old, .target = new_address };
	struct edit edit;

	if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED) || !is_aligned(old, PAGE_SIZE) ||
	    !round_length(&old_length) || !round_length(&new_length) || !old_length || !new_length)
		return -EINVAL;
	if (flags & MREMAP_FIXED &&
	    (!(flags & MREMAP_MAYMOVE) || !is_aligned(new_address, PAGE_SIZE) ||
	     !is_user_range(new_address, new_length) ||
	     (new_address < old + old_length && old < new_address + new_length)))
		return -EINVAL;
	if (!is_user_range(old, old_length))
		return -EFAULT;
	if (new_length > USER_END - USER_START || !edit_begin(&edit, REMAP_AREAS))
		return -ENOMEM;
	remap.old_length = old_length;
	remap.new_length = new_length;
	return edit_end(&edit, remap_locked(&edit, &remap, flags));
}
