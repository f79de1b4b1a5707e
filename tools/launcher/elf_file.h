/*
 * What a program or a library says of itself in its ELF headers (System V ABI, chapters 4 and 5, and its
 * AMD64 supplement). The bytes are not trusted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_MAX_NEEDED 256

struct elf_file {
	bool is_image; /* of Lavra, or another kernel: it has a PVH entry */
	bool has_entry;
	uint64_t memory_end; /* the physical address behind its segments */
	const char *interpreter; /* these point into the file's bytes; NULL if there is none */
	const char *rpath, *runpath;
	unsigned nneeded;
	const char *needed[ELF_MAX_NEEDED];
};

/* Read the headers of the `size` bytes. Returns NULL, or why this is neither a program for x86-64 nor a
 * library: a sentence's end after the file's name (static memory). */
const char *elf_file_parse(const unsigned char *bytes, size_t size, struct elf_file *file);
