/*
 * A program's segments in memory.
 */
#pragma once

#include "lavra/types.h"
#include "posix/elf/elf_file.h"

struct file;

struct elf_image {
	vaddr_t bias; /* what was added to the file's addresses */
	vaddr_t entry, headers; /* headers 0: not in memory */
	vaddr_t end; /* behind the last segment, page-aligned */
};

/* The file as elf_parse() reads it. Thread context, as are all here. */
struct elf_file_reader {
	struct elf_reader reader;
	struct file *file;
};
/* `size` is that of the file. */
void elf_file_reader_init(struct elf_file_reader *reader, struct file *file, uint64_t size);

/* Map what elf_parse() has accepted: text that is not writable, data that is not executable, zeros
 * behind them. A program that is not fixed begins at `wish`, if that is free (0: anywhere). 0, or
 * -errno: -EEXIST if the addresses of a fixed one are taken, -ENOMEM, or the file's. After an error
 * the address space may hold a part of it. */
long elf_load(struct file *file, const struct elf_program *program, vaddr_t wish,
	      struct elf_image *image);
