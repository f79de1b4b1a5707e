/*
 * The file system: one tree of names in memory, for the kernel's own use.
 *
 * There is one lookup for everything: files that applications make, what an archive brought, and the
 * pseudo files of /dev, /proc and /sys are inodes (posix/fs/inode.h) with names in directories
 * (posix/fs/directory.h). The system calls are in posix/fs/ *_calls.c.
 *
 * - Looking up a path, opening, reading and closing take no lock and write no line that another core
 *   reads. Changes of the tree hold one spinlock (posix/fs/tree.h), changes of one file's contents
 *   that file's mutex.
 * - Nothing is behind the memory: what is written is there until the image ends.
 * - Every user may do everything; modes and owners are stored and told.
 * - A file that does not fit gets -ENOSPC while a reserve for the rest of the image is left.
 *
 * All functions here: thread context. Paths are absolute.
 */
#pragma once

#include "lavra/types.h"

#include <sys/types.h>

struct inode;

/* The initial tree, and what the archives hold. Boot thread, once, before the application. */
void fs_init(void);

/*
 * Make one node; missing directories above it are made with mode 0755. 0 or -errno.
 *
 * A directory that exists gets the new mode; a file, symbolic link or device that exists is replaced,
 * as archives do; where a directory stands in the way the result is -EISDIR. `mode` has permission
 * bits only.
 */
int fs_make_directory(const char *path, unsigned mode);
int fs_make_file(const char *path, unsigned mode, const void *bytes, size_t length);
/* More for a regular file that is there. */
int fs_append_file(const char *path, const void *bytes, size_t length);
int fs_make_symlink(const char *path, const char *target);
int fs_make_hard_link(const char *path, const char *existing);
/* `mode` also says the type: S_IFCHR, S_IFBLK or S_IFIFO. */
int fs_make_device(const char *path, unsigned mode, uint64_t device);
/* The owner, and the time of the last change in nanoseconds since 1970, of what is there. */
int fs_set_owner(const char *path, unsigned user, unsigned group);
int fs_set_time(const char *path, uint64_t modified_ns);
/* Does something have this name? */
bool fs_exists(const char *path);

/* Read a whole file of at most `room` bytes: its length or -errno (-EFBIG: it is longer). */
ssize_t fs_read_file(const char *path, void *buffer, size_t room);

/*
 * Names of Unix sockets (bind(2), connect(2)). Paths may be relative, as applications give them.
 * `socket` is whatever the caller wants to find again.
 */
/* Make a socket node: 0 and a reference to it, -EADDRINUSE if the name exists, or another -errno. */
int fs_bind_socket(const char *path, unsigned mode, void *socket, struct inode **node);
/* The node stays without its socket (connect() is refused from now on); drops the reference. */
void fs_unbind_socket(struct inode *node);
/* 0 and the socket, which may be looked at until the caller blocks or polls; -ECONNREFUSED: a node
 * without one, or no socket; -ENOENT, ... */
int fs_find_socket(const char *path, void **socket);
