/*
 * Packing files for an image: cpio (newc), into a file without a name, which ends with its last user.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct pack {
	int fd; /* the archive */
	uint64_t size; /* of it, so far */
	uint32_t ninodes; /* given so far: entries need numbers of their own */
	struct pack_link *links; /* files with several names, by their numbers on this machine */
};

/* Each returns NULL, or what is wrong in a sentence (static memory). */

const char *pack_open(struct pack *pack);
/* Everything in the folder `path`, as it is: names sorted; sockets are left out. */
const char *pack_folder(struct pack *pack, const char *path);
/* One file at `path` (without a slash in front), and the folders above it. */
const char *pack_file(struct pack *pack, const char *path, unsigned mode, const void *bytes,
		      size_t size);
/* The bytes of an archive that is there already. */
const char *pack_archive(struct pack *pack, const char *path);
/* The end. The descriptor stays, at its beginning. */
const char *pack_finish(struct pack *pack);
void pack_close(struct pack *pack);
