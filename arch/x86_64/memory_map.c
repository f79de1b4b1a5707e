#include "arch/x86_64/memory_map.h"

/* Taking a hole out of a set of ranges adds at most one range. */
#define MAX_PIECES (2 * MAX_MAP_ENTRIES + MAX_TAKEN_RANGES)

/* Only the boot core comes here, once at a time; too large for its stack. */
static struct memory_range pieces[MAX_PIECES];
static unsigned npieces;

/* The first address after an entry; one that wraps around ends at the top of the address space. */
static paddr_t entry_end(const struct memory_map_entry *entry)
{
	paddr_t end = entry->address + entry->size;

	return end < entry->address ? UINT64_MAX : end;
}

static paddr_t page_up(paddr_t address)
{
	paddr_t up = align_up(address, PAGE_SIZE);

	return up < address ? align_down(UINT64_MAX, PAGE_SIZE) : up;
}

static void remove_piece(unsigned index)
{
	npieces--;
	for (unsigned i = index; i < npieces; i++)
		pieces[i] = pieces[i + 1];
}

static void insert_piece(unsigned index, struct memory_range range)
{
	for (unsigned i = npieces; i > index; i--)
		pieces[i] = pieces[i - 1];
	pieces[index] = range;
	npieces++;
}

/* Add a range: keeps the pieces sorted, disjoint and not adjacent. */
static void add(paddr_t start, paddr_t end)
{
	unsigned i = 0;

	while (i < npieces && pieces[i].end < start)
		i++;
	while (i < npieces && pieces[i].start <= end) {
		start = min(start, pieces[i].start);
		end = max(end, pieces[i].end);
		remove_piece(i);
	}
	insert_piece(i, (struct memory_range){ .start = start, .end = end });
}

static void take_out(paddr_t start, paddr_t end)
{
	for (unsigned i = 0; i < npieces;) {
		struct memory_range piece = pieces[i];

		if (piece.end <= start || piece.start >= end) {
			i++;
			continue;
		}
		remove_piece(i);
		if (piece.start < start)
			insert_piece(i++, (struct memory_range){ piece.start, start });
		if (piece.end > end)
			insert_piece(i++, (struct memory_range){ end, piece.end });
	}
}

static void drop_smallest(uint64_t *dropped)
{
	unsigned smallest = 0;

	for (unsigned i = 1; i < npieces; i++) {
		if (pieces[i].end - pieces[i].start < pieces[smallest].end - pieces[smallest].start)
			smallest = i;
	}
	*dropped += pieces[smallest].end - pieces[smallest].start;
	remove_piece(smallest);
}

unsigned memory_map_usable(const struct memory_map_entry *entries, unsigned nentries,
			   const struct memory_range *taken, unsigned ntaken, paddr_t limit,
			   struct memory_range ranges[MAX_MEMORY_RANGES], uint64_t *dropped)
{
	npieces = 0;
	for (unsigned i = 0; i < nentries; i++) {
		paddr_t start = page_up(entries[i].address);
		paddr_t end = align_down(min(entry_end(&entries[i]), limit), PAGE_SIZE);

		if (entries[i].type == MEMORY_MAP_RAM && start < end)
			add(start, end);
	}
	for (unsigned i = 0; i < nentries; i++) {
		if (entries[i].type != MEMORY_MAP_RAM && entries[i].size != 0)
			take_out(align_down(entries[i].address, PAGE_SIZE),
				 page_up(entry_end(&entries[i])));
	}
	for (unsigned i = 0; i < ntaken; i++) {
		if (taken[i].start < taken[i].end)
			take_out(align_down(taken[i].start, PAGE_SIZE), page_up(taken[i].end));
	}
	while (npieces > MAX_MEMORY_RANGES)
		drop_smallest(dropped);
	for (unsigned i = 0; i < npieces; i++)
		ranges[i] = pieces[i];
	return npieces;
}
