/*
 * What an ELF file asks for: ELF64, x86-64, executable or position-independent (System V gABI 4.1,
 * chapters 4 and 5; psABI for AMD64, chapter 5).
 *
 * The file comes from outside and is not trusted: every field is checked before it is used, so that
 * what elf_parse() has accepted can be mapped without another look.
 */
#pragma once

#include "lavra/types.h"

/* Reads exactly `length` bytes of the file at `offset`, within `size`. 0 or -errno. */
struct elf_reader {
	long (*read)(struct elf_reader *reader, uint64_t offset, void *to, size_t length);
	uint64_t size; /* of the file */
};

struct elf_segment {
	uint64_t address; /* in the file's own numbering: see `fixed` */
	uint64_t offset, file_size; /* address and offset are alike modulo PAGE_SIZE */
	uint64_t memory_size; /* at least file_size: zeros follow */
	unsigned protection; /* PAGE_*; never PAGE_WRITE and PAGE_EXECUTE together */
};

#define ELF_HEADER_SIZE 56 /* a program header: elf_parse() accepts no other */
#define ELF_SEGMENTS_MAX 32
#define ELF_INTERPRETER_BYTES 256

struct elf_program {
	bool fixed; /* to be mapped at exactly its addresses; else anywhere, all moved alike */
	bool wants_executable_stack;
	uint64_t entry; /* in an executable segment */
	uint64_t headers; /* where the program headers are in memory, 0: nowhere */
	unsigned nheaders;
	uint64_t start, end; /* around all segments, page-aligned */
	uint64_t alignment; /* of `start`'s final place; a power of two, at least PAGE_SIZE */
	unsigned nsegments; /* at least one */
	struct elf_segment segments[ELF_SEGMENTS_MAX]; /* ascending, on pages of their own */
	char interpreter[ELF_INTERPRETER_BYTES]; /* a path, or "" */
	char reason[96]; /* of a refusal */
};

/* Fills *program. Returns true, or false and *reason says what is wrong with the file: it reads as
 * a sentence after the file's name. Any context. */
bool elf_parse(struct elf_reader *reader, struct elf_program *program);
