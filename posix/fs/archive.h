/*
 * Archives: files that come with the image or from the loader are unpacked into the file system.
 *
 * Understood are cpio in its "newc" formats (070701, 070702 with checksums) and tar (ustar, pax,
 * GNU's long names and large numbers, and the format before them). Archives may follow each other, with
 * zeros between. Nothing in an archive is trusted; a name leads nowhere but below "/", and one with ".."
 * is refused. Compressed archives are refused with a word on what to do.
 */
#pragma once

#include "lavra/types.h"

struct archive_error {
	size_t offset; /* of the header that is wrong */
	char text[320];
};

/*
 * Unpack `length` bytes through the fs_make_*() functions (posix/fs/fs.h): 0, or -EINVAL (no
 * archive, damaged, cut off), or what the file system said; `error` then tells where and what. What came
 * before it stays. `consumed(offset, argument)`, if not NULL, is told that no byte before `offset`
 * is needed any more. Thread context.
 */
int archive_unpack(const char *bytes, size_t length, struct archive_error *error,
		   void (*consumed)(size_t offset, void *argument), void *argument);

/*
 * Unpack the image's own archive (an application's files/), and over it what the loader brought (-initrd),
 * whose memory is given back meanwhile. Something wrong ends the image with a message: a server
 * without its files is no server. Boot thread, once.
 */
void archive_unpack_all(void);
/* Remember where the loader's archives are. Boot core. */
struct boot_info; /* arch/boot_info.h; lives as long as the image */
void archive_note_modules(const struct boot_info *info);
