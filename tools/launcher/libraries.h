/*
 * What a dynamic program needs beside itself: its interpreter (ld.so) and, one by one, the libraries that
 * it and they name. They are looked for as ld.so(8) does, first in the folder of files, if there is one,
 * then on this machine.
 */
#pragma once

#include "tools/launcher/elf_file.h"

struct library {
	char *path; /* in the image, from the root on, without . and .. */
	char *host_path; /* on this machine; NULL: it comes from the folder */
	unsigned char *bytes;
	size_t size;
	struct elf_file elf;
	const struct library *needed_by;
};

struct libraries {
	const char *folder; /* --files, or NULL */
	bool musl; /* the interpreter is musl's */
	struct library *list[1024]; /* the program itself is the first */
	unsigned count;
};

/* Read a file whole. NULL, or what is wrong in a sentence. The caller frees *bytes. */
const char *read_whole_file(const char *path, unsigned char **bytes, size_t *size);

/* Find all that the program at `path` (in the image), whose bytes these are, needs. NULL, or what is
 * wrong in a sentence. `libraries` takes over `bytes`, and holds memory that libraries_free() gives
 * back. `host_path`: where the program is on this machine. */
const char *libraries_find(struct libraries *libraries, const char *folder, const char *path,
			   unsigned char *bytes, size_t size, const char *host_path);
void libraries_free(struct libraries *libraries);
