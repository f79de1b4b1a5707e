/*
 * Names of addresses, from the table that tools/symbols puts into an image.
 */
#pragma once

#include "lavra/types.h"

struct symbol_entry {
	uint32_t offset; /* from IMAGE_OFFSET; sorted */
	uint32_t name; /* from symbol_names */
};

/* The name of what contains `offset`: the last entry that does not lie behind it. NULL: none. */
const char *symbols_find(const struct symbol_entry *table, size_t nentries, const char *names,
			 uint64_t offset, uint64_t *distance);

/* The function at `address` of this image; NULL if it has no table or no such function. */
const char *symbol_name(uint64_t address, uint64_t *distance);
