#include "arch/x86_64/symbols.h"

#include "arch/x86_64/image.h"
#include "arch/x86_64/registers.h"

const char *symbols_find(const struct symbol_entry *table, size_t nentries, const char *names,
			 uint64_t offset, uint64_t *distance)
{
	size_t low = 0, high = nentries;

	/* All before `low` start at or before the offset, all from `high` on behind it. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (table[middle].offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	*distance = offset - table[low - 1].offset;
	return names + table[low - 1].name;
}

#ifndef LAVRA_HOST_TEST
const char *symbol_name(uint64_t address, uint64_t *distance)
{
	if (address < (uint64_t)text_start || address >= (uint64_t)text_end)
		return NULL;
	return symbols_find(symbols_start.entries, symbols_start.nentries,
			    (const char *)&symbols_start.entries[symbols_start.nentries],
			    address - IMAGE_OFFSET, distance);
}
#endif
