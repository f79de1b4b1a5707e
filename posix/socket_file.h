/*
 * Sockets as files: net/'s sockets behind descriptors.
 */
#pragma once

#include "posix/file.h"

struct socket;

struct socket_file {
	struct file file;
	struct socket *socket;
};

/* Is it a socket? Any core. */
bool file_is_socket(const struct file *file);
bool file_is_stream_socket(const struct file *file);

/* A file for a socket that this core's net/ made or accepted (its home may be elsewhere; thread
 * context). Takes the socket over; NULL without memory: the socket is closed. */
struct file *socket_file_create(struct socket *socket, bool stream, int status_flags);

static inline struct socket *socket_of(struct file *file)
{
	return container_of(file, struct socket_file, file)->socket;
}
