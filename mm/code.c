/*
 * Pages that become executable, with isolation: code that could change protection keys must not be among
 * them (arch_code_check() in arch/arch.h).
 *
 * What is executable stays as it was when it was looked at: no page is writable and executable, a file's
 * page is copied, a shared mapping of a file is not executable at all, and code does not move. So a page
 * is looked at once, together with what lies at the ends of its neighbours, when it becomes executable: at
 * a page fault, or by mprotect(). A mapping of a file is refused ahead by what the file holds then, so
 * that who asks for it hears of it; what the file holds later meets the page fault.
 *
 * Anonymous memory needs no look when it appears: zeros are no part of such an instruction.
 */
#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/area.h"
#include "mm/area_set.h"

#include <errno.h>
#include <string.h>

bool code_is_checked(unsigned attributes)
{
	return attributes & PAGE_EXECUTE && arch_isolation();
}

/* ---- the page at an address ---- */

static uint8_t *page_memory(vaddr_t address, unsigned *protection)
{
	size_t page_size;
	paddr_t frame;

	if (!is_user_range(address, PAGE_SIZE) ||
	    !arch_lookup(address, &frame, protection, &page_size))
		return NULL;
	return phys_to_virt(align_down(frame, PAGE_SIZE));
}

static uint8_t *executable_page(vaddr_t address)
{
	unsigned protection;
	uint8_t *page = page_memory(address, &protection);

	return page && protection & PAGE_EXECUTE ? page : NULL;
}

/* What the mapping, which starts at `start`, has at `address`; NULL if nothing, or nothing but zeros. */
static uint8_t *source_page(const struct mapping *mapping, vaddr_t start, vaddr_t address)
{
	uint64_t index = mapping->first_page + ((address - start) >> PAGE_SHIFT);
	paddr_t frame = 0;

	if (mapping->source->operations->page(mapping->source, index, false, &frame) || !frame)
		return NULL;
	return phys_to_virt(frame);
}

static bool refused(const struct code_page *code, bool look_only, struct code_refusal *refusal)
{
	long offset;

	refusal->name = arch_code_check(code, look_only, &offset);
	refusal->address = code->address + (vaddr_t)offset;
	return refusal->name;
}

/* ---- files ---- */

long code_look_at_source(const struct mapping *mapping, vaddr_t start, vaddr_t end,
			 struct code_refusal *refusal)
{
	struct code_page code = { .before_is_code = true };

	code.page = source_page(mapping, start, start);
	for (code.address = start; code.address < end; code.address += PAGE_SIZE) {
		code.after = code.address + PAGE_SIZE < end
				 ? source_page(mapping, start, code.address + PAGE_SIZE)
				 : NULL;
		if (code.page && refused(&code, true, refusal)) {
			refusal->offset =
			    (mapping->first_page << PAGE_SHIFT) + (refusal->address - start);
			return -EACCES;
		}
		code.before = code.page;
		code.page = code.after;
	}
	return 0;
}

long code_prepare_copy(const struct area *area, vaddr_t address, paddr_t copy)
{
	struct mapping mapping = mapping_at(area, area->start);
	struct code_page code = {
		.address = address,
		.page = phys_to_virt(copy),
		.before = executable_page(address - PAGE_SIZE),
		.after = executable_page(address + PAGE_SIZE),
		.before_is_code = true,
		.after_is_code = true,
	};
	struct code_refusal refusal;

	/* One that is not there yet is looked at when it comes; it tells what belongs together. */
	if (!code.before && address > area->start) {
		code.before = source_page(&mapping, area->start, address - PAGE_SIZE);
		code.before_is_code = false;
	}
	return refused(&code, false, &refusal) ? -EACCES : 0;
}

/* ---- mprotect ---- */

/* The page at `address` as it is going to be executable, if it is there now. */
static uint8_t *prepared_page(vaddr_t address, vaddr_t start, vaddr_t end, bool *is_own)
{
	unsigned protection = 0;
	uint8_t *page = page_memory(address, &protection);

	*is_own = page && !(protection & PAGE_BORROWED);
	if (!page || address < start || address >= end)
		return page && protection & PAGE_EXECUTE ? page : NULL;
	return page;
}

static long look_at_sources(vaddr_t start, vaddr_t end, struct code_refusal *refusal)
{
	while (start < end) {
		const struct area *area = tree_find(areas, start);
		vaddr_t stop = min(area->end, end);

		if (area->source) {
			struct mapping mapping = mapping_at(area, start);
			long error = area->attributes & AREA_SHARED ? -EACCES : 0;

			if (!error)
				error = code_look_at_source(&mapping, start, stop, refusal);
			if (error)
				return error;
		}
		start = stop;
	}
	return 0;
}

static long check_present(vaddr_t start, vaddr_t end, bool look_only, struct code_refusal *refusal)
{
	struct code_page code = { .address = start };

	while (code.address < end) {
		bool is_own;

		code.page = prepared_page(code.address, start, end, &is_own);
		if (is_own) {
			code.before = prepared_page(code.address - PAGE_SIZE, start, end,
						    &code.before_is_code);
			code.after = prepared_page(code.address + PAGE_SIZE, start, end,
						   &code.after_is_code);
			if (refused(&code, look_only, refusal))
				return -EACCES;
		} else if (code.page && !look_only) {
			int error = pages_drop(code.address, code.address + PAGE_SIZE);

			if (error)
				return error;
		}
		code.address += PAGE_SIZE;
	}
	return 0;
}

long code_prepare(vaddr_t start, vaddr_t end, struct code_refusal *refusal)
{
	long error = look_at_sources(start, end, refusal);

	if (!error)
		error = check_present(start, end, true, refusal);
	return error ? error : check_present(start, end, false, refusal);
}
