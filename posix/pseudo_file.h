/*
 * Pseudo files: the few paths that exist without a file system.
 *
 * A path is one line in a table: /dev in posix/device_files.c, /proc and /sys in
 * posix/proc_files.c.
 */
#pragma once

#include "posix/file.h"

struct text;

struct pseudo_file {
	const char *path;
	unsigned mode; /* S_IFCHR, S_IFREG and permissions */
	/* One of: operations of a file without state; or what the file contains when it is opened. */
	const struct file_operations *operations;
	void (*print)(struct text *text);
};

extern const struct pseudo_file device_files[];
extern const unsigned ndevice_files;
extern const struct pseudo_file proc_files[];
extern const unsigned nproc_files;

/* Text that grows. After a failed allocation it stays as it is and `failed` is set. */
struct text {
	char *bytes;
	size_t length, room;
	bool failed;
};

void text_print(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A file that holds what was printed (takes it over), read-only. NULL without memory. */
struct file *text_file_create(struct text *text);

/* The console's operations (posix/console_file.c), for /dev/console and the descriptors 0 to 2. */
extern const struct file_operations console_operations;
/* Descriptors 0, 1 and 2. Thread context, before the application starts. */
void console_files_open(void);
