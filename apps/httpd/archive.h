/*
 * The files to serve: a ustar archive (POSIX.1-1988) linked into the program.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct archive_file {
	char path[128]; /* from "/" on: "/index.html" */
	size_t path_length;
	const char *bytes;
	size_t length;
	const char *type; /* media type */
	char header[160]; /* of a 200 answer with the whole file, up to where other fields may follow */
	size_t header_length;
};

/* Read the directory of the archive [start, end). Returns how many files it holds, or -1 and says
 * on stderr what is wrong with it. Once, before any lookup. */
int archive_open(const char *start, const char *end);

/* Write the header of a file whose bytes, length and type are set. */
void archive_prepare(struct archive_file *file);

/* The file at `path` ("/" is "/index.html"), or NULL. Any thread. */
const struct archive_file *archive_find(const char *path, size_t length);
