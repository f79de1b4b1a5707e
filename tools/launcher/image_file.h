/*
 * What an image says of itself in its ELF file: segments, sections, symbols, how it was built. The bytes are
 * not trusted: every offset is looked at before it is used.
 */
#pragma once

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_MAX_SEGMENTS 64
#define IMAGE_MAX_SECTIONS 512

struct image_section {
	const char *name; /* in the file */
	uint64_t address, size, offset, flags; /* flags: SHF_* */
	uint32_t type; /* SHT_* */
};

struct image_file {
	const unsigned char *bytes;
	size_t size;
	unsigned nsegments, nsections;
	Elf64_Phdr segments[IMAGE_MAX_SEGMENTS];
	struct image_section sections[IMAGE_MAX_SECTIONS];
	/* The file's own symbols, as they stand in it: not aligned. NULL: it is stripped. */
	const unsigned char *symbols;
	size_t nsymbols;
	uint64_t names, names_size; /* where their names lie */
	const char *
	    build; /* lines NAME=VALUE of the linker's note (tools/gcc/lavra-link), no NUL behind them */
	size_t build_size; /* 0: there is no note */
};

/* What a symbol is: valid while the file is. */
struct image_symbol {
	const char *name;
	uint64_t address, size;
	unsigned type; /* STT_* */
};

/* NULL, or what is wrong: a sentence's end after the file's name (static memory). */
const char *image_file_parse(struct image_file *file, const unsigned char *bytes, size_t size);
/* Returns false if the symbol is none of the image's: undefined, or without a name that is in the file. */
bool image_file_symbol(const struct image_file *file, size_t number, struct image_symbol *symbol);
/* NULL if there is none of that name. */
const struct image_section *image_file_section(const struct image_file *file, const char *name);
/* The names in the table for backtraces, which a stripped image still has. NULL behind the last one. */
const char *image_file_function(const struct image_file *file, size_t number);
/* Is what is loaded the same in both? */
bool image_file_same(const struct image_file *one, const struct image_file *other);
