/*
 * Any bytes as an archive: nothing outside them is read, and only sound paths are made of them.
 *
 * links: posix/fs/archive.c posix/fs/archive_cpio.c posix/fs/archive_tar.c tests/host/fake_fs.c
 * links: tests/host/host_object.c
 */
#include "posix/fs/archive.h"
#include "tests/host/fake_fs.h"

#include <stdlib.h>
#include <string.h>

/* Tar's checksums, which no mutation would get right. */
static void mend_checksums(unsigned char *bytes, size_t size)
{
	for (size_t at = 0; at + 512 <= size; at += 512) {
		unsigned sum = 8 * ' ';

		if (memcmp(bytes + at + 257, "ustar", 5) != 0)
			continue;
		for (unsigned i = 0; i < 512; i++)
			if (i < 148 || i >= 156)
				sum += bytes[at + i];
		for (unsigned i = 6; i-- > 0; sum >>= 3)
			bytes[at + 148 + i] = '0' + (sum & 7);
		bytes[at + 154] = 0;
		bytes[at + 155] = ' ';
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *bytes = malloc(size ? size : 1);
	struct archive_error error = { 0 };

	memcpy(bytes, data, size);
	mend_checksums(bytes, size);
	if (archive_unpack((char *)bytes, size, &error, NULL, NULL) &&
	    (error.offset > size || !*error.text))
		abort();
	fake_fs_clear();
	free(bytes);
	return 0;
}
