/*
 * What the readers of the two formats share. See archive.h.
 */
#pragma once

#include "posix/fs/archive.h"

#define ARCHIVE_PATH_MAX 4096 /* with the NUL, as everywhere */
#define LINK_BUCKETS 256

struct unpacking {
	const char *bytes;
	size_t length;
	size_t at; /* the next byte to be read */
	size_t header; /* where the present entry begins */
	struct archive_error *error;
	void (*consumed)(size_t offset, void *argument);
	void *argument;
	struct cpio_links *links[LINK_BUCKETS]; /* names of files that have several */
	char path[ARCHIVE_PATH_MAX]; /* of the present entry */
	char target[ARCHIVE_PATH_MAX]; /* of the present link, as it is written there */
	char existing[ARCHIVE_PATH_MAX]; /* of the present hard link */
};

struct archive_attributes {
	unsigned mode; /* without the type */
	unsigned user, group;
	uint64_t modified_ns;
};

/* Each reads from `at` on, where its magic number was seen, to behind the end of the archive. */
int archive_read_cpio(struct unpacking *unpacking);
int archive_read_tar(struct unpacking *unpacking);
bool archive_is_cpio(const char *bytes, size_t length);
bool archive_is_tar(const char *bytes, size_t length);

/* The next `length` bytes, or NULL if the archive ends before. */
const char *archive_take(struct unpacking *unpacking, size_t length);
/* Skip to a multiple of `align` from the beginning; the end of the archive is good enough. */
void archive_align(struct unpacking *unpacking, size_t align);

/* Say what is wrong with the present entry. Returns `result`. */
int archive_fail(struct unpacking *unpacking, int result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* For what one of the functions of the file system returned: 0 or -errno. */
int archive_made(struct unpacking *unpacking, int result);

/* Make an absolute path of a name in the archive, into `path` (ARCHIVE_PATH_MAX): "/" for the root, no
 * empty or "." components. 0, or what archive_fail() returned. */
int archive_path(struct unpacking *unpacking, char *path, const char *name, size_t length);
/* A symbolic link's target, as it is. */
int archive_target(struct unpacking *unpacking, const char *target, size_t length);
/* A file at `path` with the `size` bytes of the archive from `bytes` on: 0, or what archive_fail()
 * returned. The bytes are gone then, but for those of the archive's reader itself. */
int archive_make_file(struct unpacking *unpacking, unsigned mode, const char *bytes, size_t size);
/* Give what is at `path` its owner and time. */
int archive_finish(struct unpacking *unpacking, const struct archive_attributes *attributes);
