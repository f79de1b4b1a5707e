/*
 * tar: ustar and pax (POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"), GNU's long
 * names and large numbers (GNU tar manual, "Basic Tar Format"), and the format before them.
 */
#include "posix/fs/archive_format.h"
#include "posix/fs/fs.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define BLOCK 512

struct tar_header {
	char name[100], mode[8], user[8], group[8], size[12], time[12], checksum[8];
	char type;
	char link[100], magic[6], version[2], user_name[32], group_name[32], major[8], minor[8];
	char prefix[155], padding[12];
};
_Static_assert(sizeof(struct tar_header) == BLOCK, "a header is a block");

/* What comes in entries of its own before the entry that it is about. */
struct extension {
	bool has_path, has_target, has_size;
	uint64_t size;
};

struct tar_entry {
	const struct tar_header *header;
	uint64_t size;
	const char *bytes;
	struct archive_attributes attributes;
};

/* ---- numbers ---- */

/* Octal, between blanks; or, if the first bit is set, binary. */
static bool parse_number(const char *field, size_t length, uint64_t *value)
{
	size_t i = 0;

	*value = 0;
	if (field[0] & 0x80) {
		if (field[0] & 0x40)
			return false; /* negative */
		*value = field[0] & 0x3f;
		for (i = 1; i < length; i++) {
			if (*value >> 56)
				return false;
			*value = *value << 8 | (unsigned char)field[i];
		}
		return true;
	}
	while (i < length && field[i] == ' ')
		i++;
	for (; i < length && field[i] >= '0' && field[i] <= '7'; i++) {
		if (*value >> 61)
			return false;
		*value = *value << 3 | (unsigned)(field[i] - '0');
	}
	return i == length || field[i] == ' ' || field[i] == 0;
}

static bool parse_decimal(const char *digits, const char *end, uint64_t *value)
{
	*value = 0;
	if (digits == end)
		return false;
	for (; digits < end; digits++) {
		if (*digits < '0' || *digits > '9' || *value > (UINT64_MAX - 9) / 10)
			return false;
		*value = *value * 10 + (unsigned)(*digits - '0');
	}
	return true;
}

/* The sum of all bytes, those of the checksum itself taken as blanks. Old ones summed signed bytes. */
static bool checksum_is_right(const struct tar_header *header)
{
	const char *bytes = (const char *)header;
	uint64_t said;
	int64_t sum = 0, signed_sum = 0;

	for (size_t i = 0; i < BLOCK; i++) {
		bool own = i >= offsetof(struct tar_header, checksum) &&
			   i < offsetof(struct tar_header, checksum) + sizeof(header->checksum);

		sum += own ? ' ' : (unsigned char)bytes[i];
		signed_sum += own ? ' ' : (signed char)bytes[i];
	}
	return parse_number(header->checksum, sizeof(header->checksum), &said) &&
	       ((int64_t)said == sum || (int64_t)said == signed_sum);
}

bool archive_is_tar(const char *bytes, size_t length)
{
	const struct tar_header *header = (const void *)bytes;

	return length >= BLOCK &&
	       (memcmp(header->magic, "ustar", 5) == 0 || checksum_is_right(header));
}

/* ---- extensions ---- */

static int set_path(struct unpacking *unpacking, struct extension *extension, const char *name,
		    size_t length)
{
	extension->has_path = true;
	return archive_path(unpacking, unpacking->path, name, length);
}

static int set_target(struct unpacking *unpacking, struct extension *extension, const char *target,
		      size_t length)
{
	extension->has_target = true;
	return archive_target(unpacking, target, length);
}

static int read_pax_record(struct unpacking *unpacking, struct extension *extension,
			   const char *key, const char *end)
{
	const char *value = memchr(key, '=', end - key);
	size_t length;

	if (!value)
		return archive_fail(unpacking, -EINVAL, "a pax record is damaged");
	length = value - key;
	value++;
	if (length == 4 && memcmp(key, "path", 4) == 0)
		return set_path(unpacking, extension, value, end - value);
	if (length == 8 && memcmp(key, "linkpath", 8) == 0)
		return set_target(unpacking, extension, value, end - value);
	if (length == 4 && memcmp(key, "size", 4) == 0) {
		extension->has_size = true;
		if (!parse_decimal(value, end, &extension->size))
			return archive_fail(unpacking, -EINVAL, "a pax record is damaged");
	}
	if (length > 10 && memcmp(key, "GNU.sparse", 10) == 0)
		return archive_fail(unpacking, -EINVAL,
				    "it has sparse files: make it without (tar, no --sparse)");
	return 0; /* times to the nanosecond, names of users, ... */
}

/* "LENGTH KEY=VALUE\n", the length of the whole record in decimal. */
static int read_pax(struct unpacking *unpacking, struct extension *extension,
		    const struct tar_entry *entry)
{
	const char *at = entry->bytes, *end = entry->bytes + entry->size;
	int result = 0;

	while (at < end && !result) {
		const char *blank = memchr(at, ' ', end - at);
		uint64_t length;

		if (!blank || !parse_decimal(at, blank, &length) || length > (size_t)(end - at) ||
		    length < (size_t)(blank - at) + 2 || at[length - 1] != '\n')
			return archive_fail(unpacking, -EINVAL, "a pax record is damaged");
		result = read_pax_record(unpacking, extension, blank + 1, at + length - 1);
		at += length;
	}
	return result;
}

/* ---- entries ---- */

/* The header and the contents; `at` is behind them. */
static int read_parts(struct unpacking *unpacking, const struct extension *extension,
		      struct tar_entry *entry)
{
	const struct tar_header *header;
	uint64_t mode, user, group, seconds;

	unpacking->header = unpacking->at;
	header = entry->header = (const void *)archive_take(unpacking, BLOCK);
	if (!header)
		return archive_fail(unpacking, -EINVAL, "it is cut off: no end of the tar archive");
	if (!header->name[0] && !header->checksum[0])
		return 0; /* the end */
	if (!checksum_is_right(header))
		return archive_fail(unpacking, -EINVAL, "the checksum of a tar header is wrong");
	if (!parse_number(header->size, sizeof(header->size), &entry->size) ||
	    !parse_number(header->mode, sizeof(header->mode), &mode) ||
	    !parse_number(header->user, sizeof(header->user), &user) ||
	    !parse_number(header->group, sizeof(header->group), &group) ||
	    !parse_number(header->time, sizeof(header->time), &seconds))
		return archive_fail(unpacking, -EINVAL, "a tar header is damaged");
	entry->attributes =
	    (struct archive_attributes){ mode & 07777, user, group, seconds * 1000000000ul };
	/* Not everything has contents, whatever its size says. */
	if (header->type && strchr("123456", header->type))
		entry->size = 0;
	else if (extension->has_size)
		entry->size = extension->size;
	entry->bytes = archive_take(unpacking, entry->size);
	if (!entry->bytes)
		return archive_fail(unpacking, -EINVAL, "it is cut off inside a file of %lu bytes",
				    entry->size);
	return 0;
}

/* The name in the header: ustar has a second field for its beginning, GNU uses that for other things. */
static int header_path(struct unpacking *unpacking, const struct tar_header *header)
{
	char name[sizeof(header->prefix) + 1 + sizeof(header->name)];
	size_t length = 0;

	if (memcmp(header->magic, "ustar", 6) == 0 && header->prefix[0]) {
		length = strnlen(header->prefix, sizeof(header->prefix));
		memcpy(name, header->prefix, length);
		name[length++] = '/';
	}
	memcpy(name + length, header->name, sizeof(header->name));
	return archive_path(unpacking, unpacking->path, name,
			    length + strnlen(header->name, sizeof(header->name)));
}

/* `target` of a hard link is a name in the archive. */
static int make_hard_link(struct unpacking *unpacking)
{
	int result =
	    archive_path(unpacking, unpacking->existing, unpacking->target, ARCHIVE_PATH_MAX);

	if (result)
		return result;
	return archive_made(unpacking, fs_make_hard_link(unpacking->path, unpacking->existing));
}

static int make_device(struct unpacking *unpacking, const struct tar_entry *entry, unsigned type)
{
	const struct tar_header *header = entry->header;
	uint64_t major = 0, minor = 0;

	if (type != S_IFIFO && (!parse_number(header->major, sizeof(header->major), &major) ||
				!parse_number(header->minor, sizeof(header->minor), &minor)))
		return archive_fail(unpacking, -EINVAL, "a tar header is damaged");
	return archive_made(unpacking,
			    fs_make_device(unpacking->path, type | entry->attributes.mode,
					   makedev(major, minor)));
}

static bool names_directory(const struct tar_header *header)
{
	size_t length = strnlen(header->name, sizeof(header->name));

	return length && header->name[length - 1] == '/';
}

/* What is not an extension. */
static int make(struct unpacking *unpacking, const struct tar_entry *entry)
{
	const struct archive_attributes *attributes = &entry->attributes;
	int result;

	switch (entry->header->type) {
	case '0':
	case '7': /* contiguous */
	case 0: /* before ustar, which also wrote directories like this */
		if (entry->header->type == 0 && names_directory(entry->header))
			result = archive_made(unpacking,
					      fs_make_directory(unpacking->path, attributes->mode));
		else
			result = archive_make_file(unpacking, attributes->mode, entry->bytes,
						   entry->size);
		break;
	case '1':
		return make_hard_link(unpacking);
	case '2':
		return archive_made(unpacking, fs_make_symlink(unpacking->path, unpacking->target));
	case '3':
		result = make_device(unpacking, entry, S_IFCHR);
		break;
	case '4':
		result = make_device(unpacking, entry, S_IFBLK);
		break;
	case '5':
	case 'D': /* a directory, with a list of what was in it */
		result =
		    archive_made(unpacking, fs_make_directory(unpacking->path, attributes->mode));
		break;
	case '6':
		result = make_device(unpacking, entry, S_IFIFO);
		break;
	case 'V': /* the name of the archive */
		return 0;
	case 'S':
		return archive_fail(unpacking, -EINVAL,
				    "it has sparse files: make it without (tar, no --sparse)");
	default:
		return archive_fail(unpacking, -EINVAL, "a tar entry of unknown type 0x%02x",
				    (unsigned char)entry->header->type);
	}
	return result ? result : archive_finish(unpacking, attributes);
}

/* Take what the entry tells of the next one. Returns 0 if it is one that does. */
static int extend(struct unpacking *unpacking, struct extension *extension,
		  const struct tar_entry *entry)
{
	switch (entry->header->type) {
	case 'x':
	case 'X': /* Solaris' */
		return read_pax(unpacking, extension, entry);
	case 'L':
		return set_path(unpacking, extension, entry->bytes, entry->size);
	case 'K':
		return set_target(unpacking, extension, entry->bytes, entry->size);
	}
	return 0; /* 'g': of all that follow; there is nothing in it that would matter */
}

static int complete(struct unpacking *unpacking, const struct extension *extension,
		    const struct tar_entry *entry)
{
	const struct tar_header *header = entry->header;
	int result = 0;

	if (!extension->has_path)
		result = header_path(unpacking, header);
	if (!result && !extension->has_target && (header->type == '1' || header->type == '2'))
		result = archive_target(unpacking, header->link, sizeof(header->link));
	return result;
}

int archive_read_tar(struct unpacking *unpacking)
{
	size_t start = unpacking->at;

	for (struct extension extension = { 0 };;) {
		struct tar_entry entry;
		int result = read_parts(unpacking, &extension, &entry);

		if (result)
			return result;
		if (!entry.header->name[0] && !entry.header->checksum[0])
			return 0;
		/* Blocks are counted from the archive's beginning. */
		unpacking->at =
		    min(start + align_up(unpacking->at - start, BLOCK), unpacking->length);
		if (entry.header->type && strchr("xXLKg", entry.header->type)) {
			result = extend(unpacking, &extension, &entry);
		} else {
			result = complete(unpacking, &extension, &entry);
			if (!result)
				result = make(unpacking, &entry);
			extension = (struct extension){ 0 };
		}
		if (result)
			return result;
		if (unpacking->consumed)
			unpacking->consumed(unpacking->at, unpacking->argument);
	}
}
