/*
 * cpio, "newc" (cpio(5); Documentation/driver-api/early-userspace/buffer-format.rst of Linux).
 *
 * A file with several names has an entry for each; the contents come with one of them, with others
 * before and after it. So names are kept until the contents are there, or the archive ends.
 */
#include "mm/object.h"
#include "posix/fs/archive_format.h"
#include "posix/fs/fs.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

struct newc_header {
	char magic[6];
	char fields[13][8]; /* hexadecimal */
};

enum newc_field {
	INO,
	MODE,
	USER,
	GROUP,
	LINKS,
	TIME,
	SIZE,
	DEVICE_MAJOR,
	DEVICE_MINOR,
	RDEV_MAJOR,
	RDEV_MINOR,
	NAME_SIZE,
	CHECKSUM,
};

#define END_NAME "TRAILER!!!"

struct cpio_entry {
	uint32_t fields[13];
	bool has_checksum;
	const char *bytes;
};

struct link_name {
	struct link_name *next;
	char path[];
};

/* A file of which there are several names. */
struct cpio_links {
	struct cpio_links *next;
	uint32_t ino, major, minor;
	bool made; /* the first of the names is a file already */
	struct archive_attributes attributes;
	struct link_name *names;
};

bool archive_is_cpio(const char *bytes, size_t length)
{
	return length >= 6 && (memcmp(bytes, "070701", 6) == 0 || memcmp(bytes, "070702", 6) == 0);
}

static bool parse_hex(const char digits[8], uint32_t *value)
{
	*value = 0;
	for (unsigned i = 0; i < 8; i++) {
		char c = digits[i];
		unsigned digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if (c >= 'a' && c <= 'f')
			digit = c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			digit = c - 'A' + 10;
		else
			return false;
		*value = *value << 4 | digit;
	}
	return true;
}

static struct archive_attributes attributes_of(const struct cpio_entry *entry)
{
	return (struct archive_attributes){
		.mode = entry->fields[MODE] & 07777,
		.user = entry->fields[USER],
		.group = entry->fields[GROUP],
		.modified_ns = entry->fields[TIME] * 1000000000ul,
	};
}

/* ---- files with several names ---- */

static struct cpio_links *find_links(struct unpacking *unpacking, const struct cpio_entry *entry)
{
	const uint32_t *fields = entry->fields;
	struct cpio_links **bucket = &unpacking->links[fields[INO] % LINK_BUCKETS], *links;

	for (links = *bucket; links; links = links->next)
		if (links->ino == fields[INO] && links->major == fields[DEVICE_MAJOR] &&
		    links->minor == fields[DEVICE_MINOR])
			return links;
	links = object_alloc_zeroed(sizeof(*links));
	if (!links)
		return NULL;
	links->ino = fields[INO];
	links->major = fields[DEVICE_MAJOR];
	links->minor = fields[DEVICE_MINOR];
	links->next = *bucket;
	*bucket = links;
	return links;
}

/* Make the file under its present name, and then the names that came before it. */
static int make_links(struct unpacking *unpacking, struct cpio_links *links, const char *bytes,
		      size_t size)
{
	int result = archive_make_file(unpacking, links->attributes.mode, bytes, size);

	if (!result)
		result = archive_finish(unpacking, &links->attributes);
	if (result)
		return result;
	for (struct link_name *name = links->names; name && !result; name = name->next)
		if (strcmp(name->path, unpacking->path) != 0)
			result = fs_make_hard_link(name->path, unpacking->path);
	links->made = true;
	return archive_made(unpacking, result);
}

static int note_name(struct unpacking *unpacking, struct cpio_links *links)
{
	size_t length = strlen(unpacking->path);
	struct link_name *name = object_alloc(sizeof(*name) + length + 1);

	if (!name)
		return archive_made(unpacking, -ENOMEM);
	memcpy(name->path, unpacking->path, length + 1);
	name->next = links->names;
	links->names = name;
	return 0;
}

static int read_linked_file(struct unpacking *unpacking, const struct cpio_entry *entry)
{
	struct cpio_links *links = find_links(unpacking, entry);
	uint32_t size = entry->fields[SIZE];
	int result;

	if (!links)
		return archive_made(unpacking, -ENOMEM);
	links->attributes = attributes_of(entry);
	if (links->made && !size) /* the names are those of the file by now */
		return archive_made(unpacking,
				    fs_make_hard_link(unpacking->path, links->names->path));
	result = note_name(unpacking, links);
	return result || !size ? result : make_links(unpacking, links, entry->bytes, size);
}

/* At the end of an archive: those whose contents never came are empty. */
static int finish_links(struct unpacking *unpacking)
{
	int result = 0;

	for (unsigned i = 0; i < LINK_BUCKETS && !result; i++)
		for (struct cpio_links *links = unpacking->links[i]; links && !result;
		     links = links->next) {
			if (links->made || !links->names)
				continue;
			strcpy(unpacking->path, links->names->path);
			result = make_links(unpacking, links, NULL, 0);
		}
	return result;
}

static void free_links(struct unpacking *unpacking)
{
	for (unsigned i = 0; i < LINK_BUCKETS; i++) {
		struct cpio_links *links;

		while ((links = unpacking->links[i])) {
			unpacking->links[i] = links->next;
			while (links->names) {
				struct link_name *name = links->names;

				links->names = name->next;
				object_free(name);
			}
			object_free(links);
		}
	}
}

/* ---- entries ---- */

/* The header, the name and the contents; `at` is behind them. */
static int read_parts(struct unpacking *unpacking, struct cpio_entry *entry, const char **name)
{
	const struct newc_header *header;
	size_t name_size;

	unpacking->header = unpacking->at;
	header = (const void *)archive_take(unpacking, sizeof(*header));
	if (!header)
		return archive_fail(unpacking, -EINVAL, "it is cut off: no " END_NAME);
	if (!archive_is_cpio(header->magic, sizeof(header->magic)))
		return archive_fail(unpacking, -EINVAL, "no cpio header where one must be");
	entry->has_checksum = header->magic[5] == '2';
	for (unsigned i = 0; i < array_size(entry->fields); i++)
		if (!parse_hex(header->fields[i], &entry->fields[i]))
			return archive_fail(unpacking, -EINVAL, "a cpio header is damaged");
	name_size = entry->fields[NAME_SIZE];
	if (!name_size || name_size > ARCHIVE_PATH_MAX)
		return archive_fail(unpacking, -EINVAL, "a name of %zu bytes", name_size);
	*name = archive_take(unpacking, name_size);
	archive_align(unpacking, 4);
	if (!*name)
		return archive_fail(unpacking, -EINVAL, "it is cut off inside a name");
	if ((*name)[name_size - 1])
		return archive_fail(unpacking, -EINVAL, "a name does not end");
	entry->bytes = archive_take(unpacking, entry->fields[SIZE]);
	archive_align(unpacking, 4);
	if (!entry->bytes)
		return archive_fail(unpacking, -EINVAL, "it is cut off: %.200s has %u bytes", *name,
				    entry->fields[SIZE]);
	return archive_path(unpacking, unpacking->path, *name, name_size);
}

/* The sum of all bytes, of contents only. */
static bool checksum_is_right(const struct cpio_entry *entry)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < entry->fields[SIZE]; i++)
		sum += (unsigned char)entry->bytes[i];
	return sum == entry->fields[CHECKSUM];
}

static int make_regular(struct unpacking *unpacking, const struct cpio_entry *entry)
{
	struct archive_attributes attributes = attributes_of(entry);
	int result;

	if (entry->has_checksum && entry->fields[SIZE] && !checksum_is_right(entry))
		return archive_fail(unpacking, -EINVAL, "the checksum of %.200s is wrong",
				    unpacking->path);
	if (entry->fields[LINKS] > 1)
		return read_linked_file(unpacking, entry);
	result = archive_make_file(unpacking, attributes.mode, entry->bytes, entry->fields[SIZE]);
	return result ? result : archive_finish(unpacking, &attributes);
}

static int make_node(struct unpacking *unpacking, const struct cpio_entry *entry)
{
	const uint32_t *fields = entry->fields;
	struct archive_attributes attributes = attributes_of(entry);
	int result;

	switch (fields[MODE] & S_IFMT) {
	case S_IFDIR:
		result = fs_make_directory(unpacking->path, attributes.mode);
		break;
	case S_IFLNK:
		result = archive_target(unpacking, entry->bytes, fields[SIZE]);
		if (result)
			return result;
		/* Its own owner and time tell nobody anything. */
		return archive_made(unpacking, fs_make_symlink(unpacking->path, unpacking->target));
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
		result = fs_make_device(unpacking->path, fields[MODE] & (S_IFMT | 07777),
					makedev(fields[RDEV_MAJOR], fields[RDEV_MINOR]));
		break;
	case S_IFSOCK:
		return 0; /* of a process that is not here */
	default:
		return archive_fail(unpacking, -EINVAL, "%.200s is of an unknown type: mode 0x%x",
				    unpacking->path, fields[MODE]);
	}
	result = archive_made(unpacking, result);
	return result ? result : archive_finish(unpacking, &attributes);
}

static int read_entries(struct unpacking *unpacking)
{
	for (;;) {
		struct cpio_entry entry = { 0 };
		const char *name = "";
		int result = read_parts(unpacking, &entry, &name);

		if (result)
			return result;
		if (strcmp(name, END_NAME) == 0)
			return finish_links(unpacking);
		result = S_ISREG(entry.fields[MODE]) ? make_regular(unpacking, &entry)
						     : make_node(unpacking, &entry);
		if (result)
			return result;
		if (unpacking->consumed)
			unpacking->consumed(unpacking->at, unpacking->argument);
	}
}

int archive_read_cpio(struct unpacking *unpacking)
{
	int result = read_entries(unpacking);

	free_links(unpacking);
	return result;
}
