/*
 * Directories: names, and what they stand for.
 *
 * A directory has a hash table (open addressing) for finding a name, and an array in which every name
 * keeps its position while it exists, for reading the directory in pieces while it changes. Both are
 * replaced by larger ones as they fill up. Reading takes no lock; changes hold tree_lock
 * (posix/fs/tree.h). What a reader may still be looking at is freed after an epoch.
 */
#pragma once

#include "posix/fs/inode.h"

struct entry {
	struct inode *inode;
	struct inode *directory; /* a reference is held */
	uint32_t hash;
	uint32_t position;
	bool removed; /* under tree_lock; read without */
	uint8_t length;
	struct deferred deferred;
	char name[]; /* NUL-terminated */
};

#define DIRECTORY_ENTRIES_MAX (160u * 1024) /* -ENOSPC beyond; 5/8 of the largest table */

uint32_t name_hash(const char *name, size_t length);
/* The length of the name at the start of a path, and its hash. */
size_t name_scan(const char *path, uint32_t *hash);
struct entry *directory_find(const struct directory *directory, const char *name, size_t length,
			     uint32_t hash);
/* The first entry at a position of at least *position, which becomes its position; NULL: no more. */
struct entry *directory_next(const struct directory *directory, uint32_t *position);

/* A name that is in no directory yet; takes a reference to `directory`. NULL without memory. */
struct entry *entry_create(struct inode *directory, struct inode *inode, const char *name,
			   size_t length);
/* Free it when no core can look at it any more, with its reference. */
void entry_free(struct entry *entry);
/* The same at once: nobody can look at it. */
void entry_destroy(struct entry *entry);

/* With tree_lock: put in a name that is not there. 0, -ENOMEM or -ENOSPC. */
int directory_insert(struct directory *directory, struct entry *entry);
/* With tree_lock: the place of `old` becomes that of `new`, which has the same name. */
void directory_replace(struct directory *directory, struct entry *old, struct entry *new);
/* With tree_lock. The entry itself stays the caller's. */
void directory_remove(struct directory *directory, struct entry *entry);
/* Free what an empty directory still has: nobody looks any more. */
void directory_destroy(struct directory *directory);
