/*
 * A file system for the tests of the archive readers: what was made, in a list.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_node {
	char path[4096];
	unsigned mode; /* with the type */
	char *bytes; /* contents, or the target */
	size_t length;
	uint64_t device, modified_ns;
	unsigned user, group;
	unsigned inode; /* names of one file have the same */
};

/* NULL if nothing has this path. */
struct fake_node *fake_fs_find(const char *path);
size_t fake_fs_count(void);
void fake_fs_clear(void);
/* From now on the calls succeed this many times, then fail with -ENOSPC. */
void fake_fs_fail_after(size_t calls);
