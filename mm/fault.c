/*
 * Page faults: a page that an area promises appears when it is first touched.
 *
 * The frame is allocated and cleared before the lock is taken again, since clearing 2 MiB takes
 * longer than anybody should wait for a lock; what was decided before is then checked once more.
 */
#include "arch/arch.h"
#include "lavra/counters.h"
#include "mm/area.h"
#include "mm/area_set.h"
#include "mm/frame.h"
#include "mm/mm.h"

#include <errno.h>

static CORE_LOCAL const char *fault_reason;

const char *mm_fault_reason(void)
{
	return fault_reason ? fault_reason : "no page fault was refused";
}

enum step {
	RETRY, /* the access may be tried again */
	REFUSE, /* and the reason is set */
	NEED_SMALL, /* a page */
	NEED_HUGE, /* 2 MiB, or a page will do */
};

static enum step refuse(const char *reason)
{
	fault_reason = reason;
	return REFUSE;
}

/* A fault on a page of the image, the null page, a stack guard, ... : none of ours. */
static enum step refuse_page(void)
{
	return refuse("the page does not allow this access");
}

/* What the fault needs, or could use: how much memory is free is not asked, since that changes between
 * the first look and the second. The lock is held. */
static enum step decide(const struct page_fault *fault, struct area **area)
{
	vaddr_t address = fault->address;
	unsigned need = fault->write ? PAGE_WRITE : fault->execute ? PAGE_EXECUTE : 0;
	size_t page_size = PAGE_SIZE;
	unsigned protection;
	paddr_t frame;

	*area = tree_find(areas, address);
	if (!*area || (*area)->start > address)
		return refuse("nothing is mapped there");
	if (!((*area)->attributes & PAGE_PROTECTION) || need & ~(*area)->attributes)
		return refuse_page();
	if (arch_lookup(address, &frame, &protection, &page_size)) {
		/* Another core was faster, or this core's TLB is behind a mprotect() that allowed more. */
		if (!protection || need & ~protection)
			return refuse_page();
		arch_tlb_flush_local(align_down(address, PAGE_SIZE), 1);
		return RETRY;
	}
	return page_may_be_huge(*area, address) ? NEED_HUGE : NEED_SMALL;
}

static enum step decide_locked(const struct page_fault *fault)
{
	struct area *area;
	enum step step;

	areas_lock();
	step = decide(fault, &area);
	areas_unlock();
	return step;
}

/* Give the fault `frame`, a page of `size`, if that is still what it needs. */
static int supply(const struct page_fault *fault, paddr_t frame, size_t size)
{
	vaddr_t address = fault->address;
	struct area *area;
	int error = -EAGAIN;
	enum step step;

	areas_lock();
	step = decide(fault, &area);
	if (step == NEED_HUGE || (step == NEED_SMALL && size == PAGE_SIZE))
		error = page_insert(align_down(address, size), frame, size, area->attributes);
	areas_unlock();
	if (error)
		frame_free(frame, size == PAGE_SIZE ? 0 : HUGE_PAGE_ORDER);
	else
		counters.page_faults++;
	return error;
}

/* -EAGAIN and -EEXIST: another core changed things meanwhile. Look again, if need be by a new fault. */
static bool is_race(int error)
{
	return error == -EAGAIN || error == -EEXIST;
}

static enum step supply_huge(const struct page_fault *fault)
{
	paddr_t frame = frame_alloc_zeroed(HUGE_PAGE_ORDER);
	int error = frame ? supply(fault, frame, HUGE_PAGE_SIZE) : -ENOMEM;

	return !error || is_race(error) ? RETRY : NEED_SMALL;
}

static enum step supply_small(const struct page_fault *fault)
{
	paddr_t frame = frame_alloc_zeroed(0);
	int error = frame ? supply(fault, frame, PAGE_SIZE) : -ENOMEM;

	return !error || is_race(error) ? RETRY : refuse("memory is out");
}

bool mm_handle_fault(const struct page_fault *fault)
{
	enum step step;

	if (!is_user_range(fault->address, 1)) {
		refuse("this address is never mapped for applications");
		return false;
	}
	if (fault->protection_key) {
		refuse("the protection key of the page forbids it");
		return false;
	}
	step = decide_locked(fault);
	if (step == NEED_HUGE)
		step = memory_is_plentiful() ? supply_huge(fault) : NEED_SMALL;
	if (step == NEED_SMALL)
		step = supply_small(fault);
	return step == RETRY;
}
