/*
 * What the file system finds on the host in place of files, descriptors and mappings: memory, epochs
 * and the sources of posix/fs/ themselves are the real ones.
 */
#pragma once

#include "tests/host/fake_memory.h"

#include "lavra/types.h"

/* This core's memory, epochs, and a root directory with an empty /tmp. `ncores` is set before. */
void fs_fakes_boot(size_t bytes);
/* Until nothing that was deferred is pending; what is freed then is free. One core only. */
void fs_fakes_settle(void);
