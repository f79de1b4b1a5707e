/* Archives: finding out what they are, names, errors. See archive.h. */
#include "posix/fs/archive.h"

#include "lavra/console.h"
#include "mm/object.h"
#include "posix/fs/archive_format.h"
#include "posix/fs/fs.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

const char *archive_take(struct unpacking *unpacking, size_t length)
{
	const char *bytes = unpacking->bytes + unpacking->at;

	if (length > unpacking->length - unpacking->at)
		return NULL;
	unpacking->at += length;
	return bytes;
}

void archive_align(struct unpacking *unpacking, size_t align)
{
	unpacking->at = min(align_up(unpacking->at, align), unpacking->length);
}

int archive_fail(struct unpacking *unpacking, int result, const char *format, ...)
{
	va_list args;

	unpacking->error->offset = unpacking->header;
	va_start(args, format);
	kvsnprintf(unpacking->error->text, sizeof(unpacking->error->text), format, args);
	va_end(args);
	return result;
}

int archive_made(struct unpacking *unpacking, int result)
{
	if (result == -ENOSPC || result == -ENOMEM)
		return archive_fail(unpacking, result, "%.200s does not fit into memory",
				    unpacking->path);
	if (result)
		return archive_fail(unpacking, result, "%.200s cannot be made (error %d)",
				    unpacking->path, -result);
	return 0;
}

/* ---- names ---- */

/* Add a component and the slash before it. False if there is no room. */
static bool add_component(char *path, size_t *used, const char *component, size_t length)
{
	if (*used + 1 + length >= ARCHIVE_PATH_MAX)
		return false;
	path[(*used)++] = '/';
	memcpy(path + *used, component, length);
	*used += length;
	return true;
}

int archive_path(struct unpacking *unpacking, char *path, const char *name, size_t length)
{
	const char *end = name + strnlen(name, length);
	size_t used = 0;

	while (name < end) {
		const char *slash = memchr(name, '/', end - name);
		size_t component = (slash ? slash : end) - name;

		if (component == 2 && name[0] == '.' && name[1] == '.')
			return archive_fail(unpacking, -EINVAL, "a name leads upwards (..)");
		if (component > 255 || (component && !(component == 1 && *name == '.') &&
					!add_component(path, &used, name, component)))
			return archive_fail(unpacking, -EINVAL, "a name is too long");
		name += component + (slash ? 1 : 0);
	}
	if (!used)
		path[used++] = '/';
	path[used] = 0;
	return 0;
}

int archive_target(struct unpacking *unpacking, const char *target, size_t length)
{
	length = strnlen(target, length);
	if (!length || length >= ARCHIVE_PATH_MAX)
		return archive_fail(unpacking, -EINVAL, "a symbolic link's target is %s",
				    length ? "too long" : "missing");
	memcpy(unpacking->target, target, length);
	unpacking->target[length] = 0;
	return 0;
}

/* Large files are written piece by piece, so that memory for one is not needed twice. */
#define PIECE (1ul << 20)

int archive_make_file(struct unpacking *unpacking, unsigned mode, const char *bytes, size_t size)
{
	size_t done = min(size, PIECE);
	int result = fs_make_file(unpacking->path, mode, bytes, done);

	while (!result && done < size) {
		size_t length = min(size - done, PIECE);

		if (unpacking->consumed)
			unpacking->consumed(bytes + done - unpacking->bytes, unpacking->argument);
		result = fs_append_file(unpacking->path, bytes + done, length);
		done += length;
	}
	return archive_made(unpacking, result);
}

int archive_finish(struct unpacking *unpacking, const struct archive_attributes *attributes)
{
	int result = fs_set_owner(unpacking->path, attributes->user, attributes->group);

	return archive_made(
	    unpacking, result ? result : fs_set_time(unpacking->path, attributes->modified_ns));
}

/* ---- what is it? ---- */

static const struct {
	const char *bytes;
	unsigned length;
	const char *advice;
} refused[] = {
	{ "\x1f\x8b", 2, "it is compressed with gzip: unpack it first (gunzip)" },
	{ "BZh", 3, "it is compressed with bzip2: unpack it first (bunzip2)" },
	{ "\xfd\x37zXZ", 5, "it is compressed with xz: unpack it first (unxz)" },
	{ "\x28\xb5\x2f\xfd", 4, "it is compressed with zstd: unpack it first (unzstd)" },
	{ "\x04\x22\x4d\x18", 4, "it is compressed with lz4: unpack it first (unlz4)" },
	{ "\x02\x21\x4c\x18", 4, "it is compressed with lz4: unpack it first (unlz4)" },
	{ "070707", 6, "an old cpio format: use cpio -H newc" },
	{ "\xc7\x71", 2, "an old cpio format: use cpio -H newc" },
	{ "\x71\xc7", 2, "an old cpio format: use cpio -H newc" },
	{ "\x7f"
	  "ELF",
	  4, "it is a program: lavra run PROGRAM packs it" },
	{ "PK\x03\x04", 4, "it is a zip archive: use tar or cpio" },
};

static int refuse(struct unpacking *unpacking)
{
	const char *bytes = unpacking->bytes + unpacking->at;
	size_t left = unpacking->length - unpacking->at;

	for (unsigned i = 0; i < array_size(refused); i++)
		if (left >= refused[i].length &&
		    memcmp(bytes, refused[i].bytes, refused[i].length) == 0)
			return archive_fail(unpacking, -EINVAL, "%s", refused[i].advice);
	return archive_fail(unpacking, -EINVAL, "neither cpio (newc) nor tar");
}

static int unpack(struct unpacking *unpacking)
{
	int result = 0;

	while (!result) {
		const char *bytes;
		size_t left;

		while (unpacking->at < unpacking->length && !unpacking->bytes[unpacking->at])
			unpacking->at++;
		bytes = unpacking->bytes + unpacking->at;
		left = unpacking->length - unpacking->at;
		unpacking->header = unpacking->at;
		if (!left)
			break;
		if (archive_is_cpio(bytes, left))
			result = archive_read_cpio(unpacking);
		else if (archive_is_tar(bytes, left))
			result = archive_read_tar(unpacking);
		else
			result = refuse(unpacking);
	}
	return result;
}

int archive_unpack(const char *bytes, size_t length, struct archive_error *error,
		   void (*consumed)(size_t offset, void *argument), void *argument)
{
	struct unpacking *unpacking = object_alloc_zeroed(sizeof(*unpacking));
	int result;

	if (!unpacking) {
		*error = (struct archive_error){ .text = "there is no memory to read it" };
		return -ENOMEM;
	}
	unpacking->bytes = bytes;
	unpacking->length = length;
	unpacking->error = error;
	unpacking->consumed = consumed;
	unpacking->argument = argument;
	result = unpack(unpacking);
	object_free(unpacking);
	return result;
}
