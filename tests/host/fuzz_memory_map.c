/*
 * Any memory map: what comes out is sorted, disjoint, whole pages of RAM, and touches nothing
 * that was not RAM or was taken; and unless ranges were dropped, no usable page is missing.
 *
 * links: arch/x86_64/memory_map.c
 */
#include "arch/x86_64/memory_map.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT (1ul << 46)

static void require(bool condition)
{
	if (!condition)
		abort();
}

static bool touches(uint64_t start, uint64_t size, paddr_t page)
{
	uint64_t last = size - 1 > UINT64_MAX - start ? UINT64_MAX : start + size - 1;

	return size != 0 && start < page + PAGE_SIZE && last >= page;
}

static bool covered(const struct memory_map_entry *map, unsigned n, paddr_t page)
{
	for (unsigned i = 0; i < n; i++) {
		if (map[i].type == MEMORY_MAP_RAM && map[i].address <= page &&
		    map[i].size >= page + PAGE_SIZE - map[i].address)
			return true;
	}
	return false;
}

/* The rule, page by page. (A page that two entries make up together counts as not covered: what
 * comes out may hold fewer pages than RAM, never more.) */
static bool forbidden(const struct memory_map_entry *map, unsigned n,
		      const struct memory_range *taken, unsigned ntaken, paddr_t page)
{
	for (unsigned i = 0; i < n; i++) {
		if (map[i].type != MEMORY_MAP_RAM && touches(map[i].address, map[i].size, page))
			return true;
	}
	for (unsigned i = 0; i < ntaken; i++) {
		if (taken[i].start < taken[i].end &&
		    touches(taken[i].start, taken[i].end - taken[i].start, page))
			return true;
	}
	return page >= LIMIT;
}

static bool contains(const struct memory_range *ranges, unsigned n, paddr_t page)
{
	for (unsigned i = 0; i < n; i++) {
		if (page >= ranges[i].start && page < ranges[i].end)
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory_map_entry map[MAX_MAP_ENTRIES];
	struct memory_range taken[MAX_TAKEN_RANGES];
	struct memory_range ranges[MAX_MEMORY_RANGES];
	unsigned n = 0, ntaken = 0, nranges;
	uint64_t dropped = 0;

	/* Five bytes an entry: two small numbers scaled up, so that entries meet. */
	for (; size >= 5 && n < MAX_MAP_ENTRIES; data += 5, size -= 5) {
		unsigned scale = data[4] & 63;
		uint64_t start = (uint64_t)data[0] << scale, length = (uint64_t)data[1] << scale;

		start += (uint64_t)data[2] << 4;
		if (data[4] & 64 && ntaken < MAX_TAKEN_RANGES)
			taken[ntaken++] = (struct memory_range){ start, start + length };
		else
			map[n++] = (struct memory_map_entry){ start, length,
							      data[3] & 1 ? 1 : data[3], 0 };
	}
	nranges = memory_map_usable(map, n, taken, ntaken, LIMIT, ranges, &dropped);
	require(nranges <= MAX_MEMORY_RANGES);
	for (unsigned i = 0; i < nranges; i++) {
		require(ranges[i].start < ranges[i].end && ranges[i].end <= LIMIT);
		require(is_aligned(ranges[i].start | ranges[i].end, PAGE_SIZE));
		require(i == 0 || ranges[i - 1].end < ranges[i].start);
		require(!forbidden(map, n, taken, ntaken, ranges[i].start));
		require(!forbidden(map, n, taken, ntaken, ranges[i].end - PAGE_SIZE));
	}
	/* The pages where something changes: at the ends of every entry. */
	for (unsigned i = 0; i < n; i++) {
		const paddr_t ends[] = { map[i].address, map[i].address + map[i].size,
					 map[i].address + map[i].size - PAGE_SIZE };

		for (unsigned j = 0; j < array_size(ends); j++) {
			paddr_t page = align_down(ends[j], PAGE_SIZE);

			if (page >= LIMIT)
				continue;
			if (forbidden(map, n, taken, ntaken, page))
				require(!contains(ranges, nranges, page));
			else if (covered(map, n, page) && dropped == 0)
				require(contains(ranges, nranges, page));
		}
	}
	return 0;
}
