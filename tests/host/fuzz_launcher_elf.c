/*
 * Any bytes as a program: the launcher reads nothing outside them, and the names it finds are strings.
 *
 * links: tools/launcher/elf_file.c
 */
#include "tools/launcher/elf_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *bytes = malloc(size ? size : 1); /* of exactly this size, and aligned */
	struct elf_file file;
	size_t length = 0;

	memcpy(bytes, data, size);
	if (!elf_file_parse(bytes, size, &file)) {
		for (unsigned i = 0; i < file.nneeded; i++)
			length += strlen(file.needed[i]);
		length += file.rpath ? strlen(file.rpath) : 0;
		length += file.runpath ? strlen(file.runpath) : 0;
		length += file.interpreter ? strlen(file.interpreter) : 0;
		if (length > size * (file.nneeded + 3))
			abort();
	}
	free(bytes);
	return 0;
}
