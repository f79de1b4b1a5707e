/*
 * Any bytes as an image that is looked at: nothing outside them is read, and names are strings.
 *
 * links: tools/launcher/image_file.c
 */
#include "tools/launcher/image_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *bytes = malloc(size ? size : 1); /* of exactly this size, and aligned */
	static struct image_file file;
	struct image_symbol symbol;
	size_t length = 0;
	const char *name;

	memcpy(bytes, data, size);
	if (!image_file_parse(&file, bytes, size)) {
		for (unsigned i = 0; i < file.nsections; i++)
			length += strlen(file.sections[i].name);
		for (size_t i = 0; i < file.nsymbols; i++)
			if (image_file_symbol(&file, i, &symbol))
				length += strlen(symbol.name);
		for (size_t i = 0; (name = image_file_function(&file, i)); i++)
			length += strlen(name);
		for (size_t i = 0; i < file.build_size; i++)
			length += file.build[i] == '=';
		if (!image_file_same(&file, &file) || length > size * size)
			abort();
	}
	free(bytes);
	return 0;
}
