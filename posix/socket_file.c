/*
 * Sockets as files: read, write, readiness and the end. What is a socket's alone is in
 * posix/socket_calls.c.
 */
#include "posix/socket_file.h"

#include "mm/object.h"
#include "net/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static ssize_t socket_file_read(struct file *file, const struct iovec *iov, unsigned niov,
				int64_t offset)
{
	if (unlikely(offset != NO_OFFSET))
		return -ESPIPE;
	return socket_receive(socket_of(file), iov, niov, 0, NULL);
}

static ssize_t socket_file_write(struct file *file, const struct iovec *iov, unsigned niov,
				 int64_t offset)
{
	if (unlikely(offset != NO_OFFSET))
		return -ESPIPE;
	return socket_send(socket_of(file), iov, niov, 0, NULL);
}

static uint32_t socket_file_events(struct file *file)
{
	return socket_events(socket_of(file));
}

static long socket_file_ioctl(struct file *file, unsigned long request, void *argument)
{
	if (request != FIONREAD)
		return -ENOTTY;
	*(int *)argument = socket_readable_bytes(socket_of(file));
	return 0;
}

static int socket_file_stat(struct file *file, struct stat *st)
{
	st->st_mode = S_IFSOCK | 0777;
	st->st_blksize = PAGE_SIZE;
	return 0;
}

static void socket_file_release(struct file *file)
{
	socket_close(socket_of(file));
	file_free(file);
}

static const struct file_operations stream_operations = {
	.kind = "stream socket",
	.followed = true,
	.writes_all = true,
	.read = socket_file_read,
	.write = socket_file_write,
	.events = socket_file_events,
	.ioctl = socket_file_ioctl,
	.stat = socket_file_stat,
	.release = socket_file_release,
};

static const struct file_operations datagram_operations = {
	.kind = "datagram socket",
	.followed = true,
	.read = socket_file_read,
	.write = socket_file_write,
	.events = socket_file_events,
	.ioctl = socket_file_ioctl,
	.stat = socket_file_stat,
	.release = socket_file_release,
};

bool file_is_stream_socket(const struct file *file)
{
	return file->operations == &stream_operations;
}

bool file_is_socket(const struct file *file)
{
	return file->operations == &stream_operations || file->operations == &datagram_operations;
}

static void socket_file_notify(void *owner, uint32_t events)
{
	file_notify(owner, events);
}

static long set_owner(void *argument)
{
	struct file *file = argument;

	socket_set_owner(socket_of(file), socket_file_notify, file);
	return 0;
}

static long close_socket(void *argument)
{
	socket_close(argument);
	return 0;
}

struct file *socket_file_create(struct socket *socket, bool stream, int status_flags)
{
	struct socket_file *created = object_alloc(sizeof(*created));

	if (!created) {
		core_call(socket_home(socket), close_socket, socket);
		return NULL;
	}
	file_init(&created->file, stream ? &stream_operations : &datagram_operations,
		  (status_flags & O_NONBLOCK) | O_RDWR, NULL);
	created->file.home = socket_home(socket);
	created->socket = socket;
	/* What became true before the owner was set is found by asking for the events. */
	file_call(&created->file, set_owner, &created->file);
	return &created->file;
}
