/*
 * Names of addresses, from the table that tools/symbols puts into an image after it is linked.
 */
#pragma once

#include "lavra/types.h"

struct symbol_entry {
	uint32_t offset; /* from IMAGE_OFFSET; sorted */
	uint32_t name; /* from the first name */
};

/* The last segment of an image. boot.S reads the size. */
struct symbol_table {
	uint32_t nentries;
	uint32_t size; /* of all of it in memory, in bytes: whole pages */
	struct symbol_entry entries[]; /* the names follow, each with its NUL */
};

/* The name of what contains `offset`: the last entry that does not lie behind it. NULL: none. */
const char *symbols_find(const struct symbol_entry *table, size_t nentries, const char *names,
			 uint64_t offset, uint64_t *distance);

/* The function at `address` of this image; NULL if it has no table or no such function. */
const char *symbol_name(uint64_t address, uint64_t *distance);
