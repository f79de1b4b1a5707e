/*
 * Making nodes: what fs_make_*() (posix/fs/fs.h) and the system calls share.
 */
#pragma once

#include "posix/fs/tree.h"

struct pseudo_node;

/* A directory or an empty regular file; `made`, if not NULL, becomes it with a reference. 0, -ENOSPC or
 * what name_add() says. */
int make_node(const struct name *name, unsigned mode, enum volume volume, struct inode **made);
int make_symlink(const struct name *name, const char *target);
/* Any type but directory and symbolic link. */
int make_special(const struct name *name, unsigned mode, uint64_t device);
/* What a line of a table of pseudo files says. Boot thread. */
int make_pseudo(const struct pseudo_node *pseudo);
