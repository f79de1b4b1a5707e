/*
 * Page faults: a page that an area promises appears when it is first touched.
 *
 * The frame is allocated and cleared before the lock is taken again, since clearing 2 MiB takes
 * longer than anybody should wait for a lock; what was decided before is then checked once more. What
 * a file has in memory is mapped at once.
 */
#include "arch/arch.h"
#include "lavra/counters.h"
#include "mm/area.h"
#include "mm/area_set.h"
#include "mm/frame.h"
#include "mm/mm.h"
#include "mm/page_source.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static CORE_LOCAL const char *fault_reason;
static CORE_LOCAL int fault_signal, fault_code;

const char *mm_fault_reason(void)
{
	return fault_reason ? fault_reason : "no page fault was refused";
}

int mm_fault_signal(int *code)
{
	*code = fault_code;
	return fault_signal;
}

enum step {
	RETRY, /* the access may be tried again */
	REFUSE, /* and the reason is set */
	NEED_SMALL, /* a page */
	NEED_HUGE, /* 2 MiB, or a page will do */
	NEED_SOURCE, /* the source's own page */
	NEED_COPY, /* a page with what the source has there */
};

static enum step refuse(const char *reason, int signal, int code)
{
	fault_reason = reason;
	fault_signal = signal;
	fault_code = code;
	return REFUSE;
}

/* A fault on a page of the image, the null page, a stack guard, ... : none of ours. */
static enum step refuse_page(void)
{
	return refuse("the page does not allow this access", SIGSEGV, SEGV_ACCERR);
}

static enum step refuse_for_memory(void)
{
	return refuse("memory is out", SIGKILL, SI_KERNEL);
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
		return refuse("nothing is mapped there", SIGSEGV, SEGV_MAPERR);
	if (!((*area)->attributes & PAGE_PROTECTION) || need & ~(*area)->attributes)
		return refuse_page();
	if (arch_lookup(address, &frame, &protection, &page_size)) {
		if (fault->write && protection & PAGE_COPIED_FIRST)
			return NEED_COPY;
		/* Another core was faster, or this core's TLB is behind a mprotect() that allowed more. */
		if (!(protection & PAGE_ACCESS) || need & ~protection)
			return refuse_page();
		arch_tlb_flush_local(align_down(address, PAGE_SIZE), 1);
		return RETRY;
	}
	if ((*area)->source) {
		/* What is executed must stay as it was when it was looked at. */
		bool copied = (fault->write && !((*area)->attributes & AREA_SHARED)) ||
			      code_is_checked((*area)->attributes);

		return copied ? NEED_COPY : NEED_SOURCE;
	}
	return page_may_be_huge(*area, address) ? NEED_HUGE : NEED_SMALL;
}

/* -EAGAIN and -EEXIST: another core changed things meanwhile. Look again, if need be by a new fault. */
static bool is_race(int error)
{
	return error == -EAGAIN || error == -EEXIST;
}

/* ---- files ---- */

static long ask_source(const struct area *area, vaddr_t address, bool create, paddr_t *frame)
{
	struct page_source *source = area->source;

	*frame = 0;
	return source->operations->page(source, source_page_at(area, address), create, frame);
}

static enum step refuse_source(long error)
{
	if (error == -ENOMEM)
		return refuse_for_memory();
	if (error == -EACCES)
		return refuse("its code could change protection keys: isolation=off runs it",
			      SIGSEGV, SEGV_ACCERR);
	return refuse(error == -ENOSPC ? "there is no room for this page of the mapped file"
				       : "the mapped file ends before it",
		      SIGBUS, BUS_ADRERR);
}

/* Pages around one that was touched are likely to be next. */
#define AROUND (16 * PAGE_SIZE)

/* Map what the source has there already and costs no memory. The lock is held. */
static void map_around(const struct area *area, vaddr_t address)
{
	vaddr_t start = max(align_down(address, AROUND), area->start);
	vaddr_t end = min(align_down(address, AROUND) + AROUND, area->end);

	if (code_is_checked(area->attributes))
		return;
	for (vaddr_t page = start; page < end; page += PAGE_SIZE) {
		size_t page_size;
		unsigned protection;
		paddr_t frame;

		if (arch_lookup(page, &frame, &protection, &page_size))
			continue;
		if (ask_source(area, page, false, &frame))
			return; /* the end of the file */
		if (frame && page_insert(page, frame, PAGE_SIZE, area->attributes, PAGE_BORROWED))
			return;
	}
}

/* The lock is held. A hole that is read through a private area becomes a page of its own. */
static enum step supply_from_source(const struct page_fault *fault, const struct area *area)
{
	vaddr_t address = align_down(fault->address, PAGE_SIZE);
	paddr_t frame;
	long error = ask_source(area, address, area->attributes & AREA_SHARED, &frame);

	if (error)
		return refuse_source(error);
	if (!frame)
		return NEED_COPY;
	error = page_insert(address, frame, PAGE_SIZE, area->attributes, PAGE_BORROWED);
	if (error && !is_race(error))
		return refuse_for_memory();
	counters.page_faults++;
	map_around(area, address);
	return RETRY;
}

void source_populate(vaddr_t start, vaddr_t end)
{
	for (vaddr_t address = start; address < end;
	     address = align_down(address, AROUND) + AROUND) {
		const struct area *area;

		areas_lock();
		area = tree_find(areas, address);
		if (area && area->start <= address && area->source &&
		    area->attributes & PAGE_PROTECTION)
			map_around(area, address);
		areas_unlock();
	}
}

/* Fill `copy` and put it in place of the source's page. The lock is held. */
static int replace_page(const struct area *area, vaddr_t address, paddr_t copy)
{
	paddr_t original;
	long error = ask_source(area, address, false, &original);

	if (error)
		return error;
	if (original)
		memcpy(phys_to_virt(copy), phys_to_virt(original), PAGE_SIZE);
	else
		memset(phys_to_virt(copy), 0, PAGE_SIZE);
	if (code_is_checked(area->attributes)) {
		error = code_prepare_copy(area, address, copy);
		if (error)
			return error;
	}
	/* No core may read the original any more once this one has written. */
	error = pages_drop(address, address + PAGE_SIZE);
	return error ? error : page_insert(address, copy, PAGE_SIZE, area->attributes, 0);
}

static enum step supply_copy(const struct page_fault *fault)
{
	vaddr_t address = align_down(fault->address, PAGE_SIZE);
	paddr_t copy = frame_alloc(0);
	struct area *area;
	enum step step;
	long error = -EAGAIN;

	if (!copy)
		return refuse_for_memory();
	areas_lock();
	step = decide(fault, &area);
	if ((step == NEED_COPY || step == NEED_SOURCE) && !(area->attributes & AREA_SHARED))
		error = replace_page(area, address, copy);
	areas_unlock();
	if (!error) {
		counters.page_faults++;
		return RETRY;
	}
	frame_free(copy, 0);
	return is_race(error) ? RETRY : refuse_source(error);
}

/* ---- anonymous memory ---- */

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
		error = page_insert(align_down(address, size), frame, size, area->attributes, 0);
	areas_unlock();
	if (error)
		frame_free(frame, size == PAGE_SIZE ? 0 : HUGE_PAGE_ORDER);
	else
		counters.page_faults++;
	return error;
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

	return !error || is_race(error) ? RETRY : refuse_for_memory();
}

/* ---- the interface ---- */

static enum step look(const struct page_fault *fault)
{
	struct area *area;
	enum step step;

	areas_lock();
	step = decide(fault, &area);
	if (step == NEED_SOURCE)
		step = supply_from_source(fault, area);
	areas_unlock();
	return step;
}

bool mm_handle_fault(const struct page_fault *fault)
{
	enum step step;

	if (!is_user_range(fault->address, 1)) {
		refuse("this address is never mapped for applications", SIGSEGV, SEGV_MAPERR);
		return false;
	}
	if (fault->protection_key) {
		refuse("the protection key of the page forbids it", SIGSEGV, SEGV_PKUERR);
		return false;
	}
	step = look(fault);
	if (step == NEED_HUGE)
		step = memory_is_plentiful() ? supply_huge(fault) : NEED_SMALL;
	if (step == NEED_SMALL)
		step = supply_small(fault);
	if (step == NEED_COPY)
		step = supply_copy(fault);
	return step == RETRY;
}
