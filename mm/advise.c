/*
 * madvise(2). Most advice is accepted and has no effect; what drops pages does.
 */
#include "arch/arch.h"
#include "mm/area.h"
#include "mm/area_set.h"

#include <errno.h>
#include <sys/mman.h>

static bool is_known(int advice)
{
	return advice >= 0 && advice <= MADV_PAGEOUT &&
	       (advice <= MADV_DONTNEED || advice >= MADV_FREE);
}

/* Shared anonymous memory keeps its contents when a mapping does not need them: they would be the
 * only ones. */
static bool keeps_contents(const struct area *area)
{
	return area->attributes & AREA_SHARED && !area->source;
}

static const struct area *next_kept(vaddr_t start, vaddr_t end)
{
	const struct area *area = tree_find(areas, start);

	while (area && area->start < end && !keeps_contents(area))
		area = tree_find(areas, area->end);
	return area && area->start < end ? area : NULL;
}

/* MADV_DONTNEED: as on Linux, what is mapped is dropped even if something in the range is not. */
static long drop(vaddr_t start, vaddr_t end)
{
	while (start < end) {
		const struct area *kept = next_kept(start, end);
		vaddr_t stop = kept ? kept->start : end;

		if (stop > start) {
			int error = pages_drop(start, stop);

			if (error)
				return error;
		}
		start = kept ? kept->end : end;
	}
	return 0;
}

/* MADV_FREE is for private anonymous memory only, MADV_REMOVE for shared memory that is no file. */
static bool all_suit(vaddr_t start, vaddr_t end, unsigned shared)
{
	while (start < end) {
		const struct area *area = tree_find(areas, start);

		if (!area || area->start >= end)
			return true;
		if (area->source || (area->attributes & AREA_SHARED) != shared)
			return false;
		start = area->end;
	}
	return true;
}

static long advise_locked(vaddr_t start, vaddr_t end, int advice)
{
	long result = 0;

	if (advice == MADV_DONTNEED)
		result = drop(start, end);
	else if (advice == MADV_FREE)
		result = all_suit(start, end, 0) ? pages_drop(start, end) : -EINVAL;
	else if (advice == MADV_REMOVE)
		result = all_suit(start, end, AREA_SHARED) ? pages_drop(start, end) : -EINVAL;
	return result || areas_cover(start, end) ? result : -ENOMEM;
}

long area_advise(vaddr_t address, size_t length, int advice)
{
	long result;

	if (!is_aligned(address, PAGE_SIZE) || !round_length(&length) || !is_known(advice))
		return -EINVAL;
	if (!length)
		return 0;
	if (!is_user_range(address, length))
		return -ENOMEM;
	areas_lock();
	result = advise_locked(address, address + length, advice);
	areas_unlock();
	return result;
}
