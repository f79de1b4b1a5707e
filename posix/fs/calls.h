/*
 * What the system calls of the file system share.
 */
#pragma once

#include "mm/object.h"
#include "posix/user_memory.h"

#include <limits.h>

unsigned umask_now(void);

/* A path of the application's, in kernel memory. 0, -EFAULT, -ENAMETOOLONG. */
static inline int path_read(char path[PATH_MAX], const char *from)
{
	long length = user_read_string(path, from, PATH_MAX);

	return length < 0 ? (int)length : 0;
}

/* Two are too much for a stack. */
struct two_paths {
	char first[PATH_MAX], second[PATH_MAX];
};

/* 0 and *paths, which the caller frees by object_free(), -EFAULT, -ENAMETOOLONG, -ENOMEM. */
static inline int two_paths_read(struct two_paths **paths, const char *first, const char *second)
{
	int error = -ENOMEM;

	*paths = object_alloc(sizeof(**paths));
	if (*paths)
		error = path_read((*paths)->first, first);
	if (!error)
		error = path_read((*paths)->second, second);
	if (error)
		object_free(*paths);
	return error;
}
