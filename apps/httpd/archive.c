#include "archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512

struct ustar { /* POSIX.1-1988, 10.1.1 */
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type;
	char link[100], magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155];
	char padding[12];
};

static struct archive_file *files;
static size_t nfiles;
static const struct archive_file *index_file; /* what "/" names */

static const char *media_type(const char *path)
{
	static const struct {
		const char *suffix, *type;
	} types[] = {
		{ ".html", "text/html; charset=utf-8" },
		{ ".css", "text/css; charset=utf-8" },
		{ ".js", "text/javascript; charset=utf-8" },
		{ ".txt", "text/plain; charset=utf-8" },
		{ ".json", "application/json" },
		{ ".svg", "image/svg+xml" },
		{ ".png", "image/png" },
		{ ".ico", "image/x-icon" },
	};
	size_t length = strlen(path);

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		size_t suffix = strlen(types[i].suffix);

		if (length > suffix && strcmp(path + length - suffix, types[i].suffix) == 0)
			return types[i].type;
	}
	return "application/octet-stream";
}

static size_t octal(const char *digits, size_t length)
{
	size_t value = 0;

	for (size_t i = 0; i < length && digits[i] >= '0' && digits[i] <= '7'; i++)
		value = value * 8 + (size_t)(digits[i] - '0');
	return value;
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(((const struct archive_file *)a)->path,
		      ((const struct archive_file *)b)->path);
}

void archive_prepare(struct archive_file *file)
{
	file->header_length =
	    (size_t)snprintf(file->header, sizeof(file->header),
			     "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n",
			     file->type, file->length);
}

int archive_open(const char *start, const char *end)
{
	const char *at = start;

	while (end - at >= BLOCK && *at != '\0') {
		const struct ustar *header = (const struct ustar *)at;
		size_t size = octal(header->size, sizeof(header->size));
		const char *name = header->name;
		size_t name_length = strnlen(name, sizeof(header->name));

		at += BLOCK;
		if (memcmp(header->magic, "ustar", 5) != 0 || size > (size_t)(end - at)) {
			fprintf(stderr, "httpd: the embedded archive is damaged at byte %td\n",
				at - BLOCK - start);
			return -1;
		}
		if (header->type == '0' || header->type == '\0') {
			struct archive_file *more = realloc(files, (nfiles + 1) * sizeof(*files));

			if (!more) {
				fprintf(stderr, "httpd: no memory for the archive's directory\n");
				return -1;
			}
			files = more;
			if (name_length >= 2 && memcmp(name, "./", 2) == 0) {
				name += 2;
				name_length -= 2;
			}
			struct archive_file *file = &files[nfiles++];

			snprintf(file->path, sizeof(file->path), "/%.*s", (int)name_length, name);
			file->path_length = strlen(file->path);
			file->bytes = at;
			file->length = size;
			file->type = media_type(file->path);
			archive_prepare(file);
		}
		at += (size + BLOCK - 1) / BLOCK * BLOCK;
		if (at > end)
			break;
	}
	if (nfiles)
		qsort(files, nfiles, sizeof(*files), compare_paths);
	index_file = archive_find("/index.html", strlen("/index.html"));
	return (int)nfiles;
}

const struct archive_file *archive_find(const char *path, size_t length)
{
	size_t low = 0, high = nfiles;

	if (length == 1 && path[0] == '/')
		return index_file;
	while (low < high) {
		const struct archive_file *file = &files[(low + high) / 2];
		size_t common = length < file->path_length ? length : file->path_length;
		int order = memcmp(path, file->path, common);

		if (order == 0 && length == file->path_length)
			return file;
		if (order < 0 || (order == 0 && length < file->path_length))
			high = (low + high) / 2;
		else
			low = (low + high) / 2 + 1;
	}
	return NULL;
}
