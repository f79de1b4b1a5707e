/*
 * Named pipes: a ring of bytes that any number of readers and writers open by a name.
 *
 * All of its open files have the same home core, that of the first. The ring exists while one is open.
 */
#pragma once

#include "posix/fs/open_file.h"

/* Give `open` its part; waits for the other side as open(2) says. 0, -ENXIO, -EINTR, -ENOMEM. */
int fifo_open(struct open_file *open);
/* Home core. */
void fifo_close(struct open_file *open);
/* Nobody has it open. */
void fifo_destroy(struct fifo *fifo);
