/*
 * Pseudo files: nodes of /dev, /proc and /sys, each a line in a table (posix/proc/device_files.c,
 * posix/proc/proc_files.c and others).
 *
 * A path whose last part ends in '#' stands for as many names as there are numbers: "/proc/1/fd/#" for
 * each descriptor. The functions of such a node, and of what lies in it, get the number.
 */
#pragma once

#include "posix/file/file.h"

struct text;

#define NO_NUMBER UINT32_MAX

struct pseudo_node {
	const char *path;
	unsigned mode; /* type and permissions */
	uint64_t device; /* st_rdev */
	/* One of: operations of a device, a file without state; what a file contains; where a
	 * symbolic link leads. */
	const struct file_operations *operations;
	void (*print)(struct text *text, unsigned number);
	const char *target;
	/* A file that can be written takes what is written at once: 0 or -errno. */
	int (*write)(const char *bytes, size_t length, unsigned number);
	/* Numbered: the first that exists from `from` on, or NO_NUMBER. */
	unsigned (*next)(unsigned from);
	/* A link that leads to an open file whatever its text says: that of the descriptor, ... */
	struct file *(*follow)(unsigned number);
	/* ... or to a directory. */
	struct inode *(*directory)(void);
};

/* Text that grows. After a failed allocation it stays as it is and `failed` is set. */
struct text {
	char *bytes;
	size_t length, room;
	bool failed;
};

void text_print(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_append(struct text *text, const void *bytes, size_t length);

extern const struct pseudo_node device_nodes[], proc_nodes[], self_nodes[], sys_nodes[];
extern const unsigned ndevice_nodes, nproc_nodes, nself_nodes, nsys_nodes;

/* The console's operations (posix/file/console_file.c). */
extern const struct file_operations console_operations;

/* Descriptors 0, 1 and 2: /dev/console. Thread context, before the application starts. */
void console_files_open(void);

/* What /proc/self/exe, cmdline, environ and auxv tell; the memory lives as long as the image. Boot
 * thread. */
void proc_set_executable(const char *path);
void proc_set_arguments(const char *arguments, size_t length); /* each ends with its NUL */
void proc_set_environment(const char *environment, size_t length);
void proc_set_auxiliary_vector(const void *vector, size_t length);
