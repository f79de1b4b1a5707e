/*
 * What is booted: an image, or the image that runs Linux programs together with a program; and the files
 * that it is given.
 */
#pragma once

#include "tools/launcher/options.h"

#include <stdint.h>

struct boot_files {
	char *image;
	const char *initrd; /* NULL: none */
	uint64_t image_end; /* bytes of memory up to here are the image's */
	uint64_t size; /* of the initrd */
	int fd; /* -1, or the archive that was packed, which QEMU inherits */
	char fd_path[32];
};

/* Look at the image or program, pack what is asked for, and see that it all fits into the memory. `launcher`:
 * where this program is, absolute; the image for programs is beside it. NULL, or what is wrong in a sentence. */
const char *boot_files_prepare(struct boot_files *files, const struct options *options,
			       const char *launcher);
void boot_files_free(struct boot_files *files);
