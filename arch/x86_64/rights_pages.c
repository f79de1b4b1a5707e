/*
 * Pages that become executable: what changes rights in them is made a trap, or refused (rights_scan.h).
 */
#include "arch/x86_64/rights_pages.h"

#include "arch/arch.h"
#include "arch/x86_64/rights_scan.h"

#include <string.h>

/* Bytes of a neighbour that an instruction at the border may have. */
#define OVER_BORDER (RIGHTS_BYTES - 1)

/* ---- the places ---- */

/* Where an instruction was made a trap. Written under the area lock, read without: single words, 0 is none.
 * Those of pages that are gone stay until there is no room. */
static vaddr_t sites[RIGHTS_SITES];

bool rights_is_site(vaddr_t address)
{
	for (unsigned i = 0; i < RIGHTS_SITES; i++)
		if (__atomic_load_n(&sites[i], __ATOMIC_RELAXED) == address)
			return true;
	return false;
}

static const uint8_t *code_byte(vaddr_t address)
{
	unsigned protection;
	size_t page_size;
	paddr_t frame;

	return arch_lookup(address, &frame, &protection, &page_size) && protection & PAGE_EXECUTE
		   ? phys_to_virt(frame)
		   : NULL;
}

static bool is_gone(vaddr_t site)
{
	const uint8_t *byte = code_byte(site + 1);

	return !byte || *byte != RIGHTS_TRAP;
}

static bool note_site(vaddr_t address)
{
	for (unsigned again = 0; again < 2; again++)
		for (unsigned i = 0; i < RIGHTS_SITES; i++)
			if (!sites[i] || sites[i] == address || (again && is_gone(sites[i]))) {
				__atomic_store_n(&sites[i], address, __ATOMIC_RELAXED);
				return true;
			}
	return false;
}

/* ---- a page with what is around it ---- */

struct view {
	uint8_t bytes[RIGHTS_CONTEXT + OVER_BORDER + RIGHTS_CONTEXT];
	size_t size;
	long start; /* of the bytes, from the page's start */
};

static void view_add(struct view *view, const uint8_t *bytes, size_t size)
{
	memcpy(view->bytes + view->size, bytes, size);
	view->size += size;
}

/* The byte at this distance from the page's start, where it may be changed; else NULL. */
static uint8_t *byte_at(const struct code_page *code, long offset)
{
	if (offset < 0)
		return code->before && code->before_is_code ? code->before + PAGE_SIZE + offset
							    : NULL;
	if (offset < (long)PAGE_SIZE)
		return code->page + offset;
	return code->after && code->after_is_code ? code->after + offset - PAGE_SIZE : NULL;
}

/* One begins at `offset`, and at `at` in the bytes. Is it dealt with? */
static bool settle(const struct code_page *code, const uint8_t *bytes, size_t size, size_t at,
		   long offset, bool look_only)
{
	vaddr_t address = code->address + (vaddr_t)offset;
	uint8_t *second = byte_at(code, offset + 1);

	if (!rights_is_instruction(bytes, size, at))
		return false;
	if (look_only)
		return true;
	if (!second || !note_site(address))
		return false;
	/* One byte, so that who runs there meets the one instruction or the other. */
	__atomic_store_n(second, RIGHTS_TRAP, __ATOMIC_RELAXED);
	return true;
}

static const char *look(const struct code_page *code, const uint8_t *bytes, size_t size, long start,
			long first, bool look_only, long *offset)
{
	size_t from = (size_t)(first - start);

	for (size_t at = from; (at = rights_find(bytes, size, at)) < size; at++) {
		*offset = start + (long)at;
		if (!settle(code, bytes, size, at, *offset, look_only))
			return rights_name(bytes + at);
	}
	return NULL;
}

const char *arch_code_check(const struct code_page *code, bool look_only, long *offset)
{
	struct view head = { 0 }, tail = { .start = PAGE_SIZE - RIGHTS_CONTEXT };
	long first = 0;
	const char *name;

	/* The beginning, with the end of the page before it. */
	if (code->before) {
		head.start = -RIGHTS_CONTEXT;
		view_add(&head, code->before + PAGE_SIZE - RIGHTS_CONTEXT, RIGHTS_CONTEXT);
		/* What begins there matters once both are executable. */
		first = code->before_is_code ? -OVER_BORDER : 0;
	}
	view_add(&head, code->page, RIGHTS_CONTEXT + OVER_BORDER);
	name = look(code, head.bytes, head.size, head.start, first, look_only, offset);
	if (!name)
		name = look(code, code->page, PAGE_SIZE, 0, RIGHTS_CONTEXT, look_only, offset);
	if (name || !code->after || (!code->after_is_code && !look_only))
		return name;
	/* The end, with the beginning of the page behind it. */
	view_add(&tail, code->page + PAGE_SIZE - RIGHTS_CONTEXT, RIGHTS_CONTEXT);
	view_add(&tail, code->after, OVER_BORDER);
	return look(code, tail.bytes, tail.size, tail.start, PAGE_SIZE - OVER_BORDER, look_only,
		    offset);
}
