/*
 * Pipes: a ring of bytes with two ends, each a file of its own.
 *
 * Both ends have the pipe's home core, the creator's. The ring lives until both ends are gone.
 */
#pragma once

#include "posix/file/file.h"
#include "posix/file/pipe_ring.h"

struct pipe_end;

struct pipe {
	struct pipe_end *reader, *writer; /* NULL once closed */
	struct pipe_ring ring;
};

struct pipe_end {
	struct file file; /* first */
	struct pipe *pipe;
};

/* The pipe of which `file` is that end, or NULL. */
struct pipe *pipe_of_reader(struct file *file);
struct pipe *pipe_of_writer(struct file *file);

/* F_GETPIPE_SZ and F_SETPIPE_SZ: the size, or -EBADF (not a pipe), -EBUSY, ... Thread context; `file`
 * is stale afterwards. */
long pipe_get_size(struct file *file);
long pipe_set_size(struct file *file, unsigned long size);

/* At home: bytes were written or taken out, those at the other end are told. `was_full` is what
 * pipe_is_full() said before. */
bool pipe_is_full(const struct pipe *pipe);
void pipe_filled(struct pipe *pipe);
void pipe_emptied(struct pipe *pipe, bool was_full);
