/*
 * The socket system calls, apart from those that move data (posix/socket/message_calls.c): what they check
 * is the same for all kinds of sockets, what they do is the kind's (posix/socket/socket_kind.h).
 */
#include "posix/signal/signal.h"
#include "posix/socket/socket_calls.h"
#include "posix/socket/socket_kind.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define SOCKET_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)
#define TYPE_MASK 0xf /* SOCK_TYPE_MASK: the rest of the type is flags */
#define TYPES 11

long socket_lookup(int fd, struct file **file)
{
	*file = fd_lookup(fd);
	if (unlikely(!*file))
		return -EBADF;
	if (unlikely(!socket_kind_of(*file)))
		return -ENOTSOCK;
	return 0;
}

/* ---- creating ---- */

struct family {
	int number;
	long (*create)(int family, int type, int protocol, int status_flags, struct file **file);
	long (*create_pair)(int family, int type, int protocol, int status_flags,
			    struct file *files[2]);
};

static const struct family families[] = {
	{ AF_INET, internet_socket_create, NULL },
	{ AF_INET6, internet_socket_create, NULL },
	{ AF_UNIX, unix_socket_create, unix_socket_create_pair },
	{ AF_NETLINK, netlink_socket_create, NULL },
};

/* Checks what all families do. 0 and *family, or -errno. */
static long find_family(int number, int type, const struct family **family)
{
	if (type & ~(TYPE_MASK | SOCKET_FLAGS))
		return -EINVAL;
	if (number < 0 || number >= AF_MAX)
		return -EAFNOSUPPORT;
	if ((type & TYPE_MASK) >= TYPES)
		return -EINVAL;
	for (unsigned i = 0; i < array_size(families); i++) {
		*family = &families[i];
		if (families[i].number == number)
			return 0;
	}
	return -EAFNOSUPPORT;
}

SYSCALL(socket)(int number, int type, int protocol)
{
	int status_flags = type & SOCK_NONBLOCK ? O_NONBLOCK : 0, fd;
	const struct family *family;
	struct file *file;
	long result = find_family(number, type, &family);

	if (result)
		return result;
	if (!fd_is_free())
		return -EMFILE;
	result = family->create(number, type & TYPE_MASK, protocol, status_flags, &file);
	if (result)
		return result;
	fd = fd_install(file, 0, type & SOCK_CLOEXEC);
	if (fd < 0)
		file_unreference(file);
	return fd;
}

SYSCALL(socketpair)(int number, int type, int protocol, int fds[2])
{
	int status_flags = type & SOCK_NONBLOCK ? O_NONBLOCK : 0, numbers[2];
	const struct family *family;
	struct file *files[2];
	long result = find_family(number, type, &family);

	if (result)
		return result;
	if (user_range_is_bad(fds, sizeof(numbers)))
		return -EFAULT;
	if (!family->create_pair)
		return -EOPNOTSUPP;
	result = family->create_pair(number, type & TYPE_MASK, protocol, status_flags, files);
	if (result)
		return result;
	numbers[0] = fd_install(files[0], 0, type & SOCK_CLOEXEC);
	if (numbers[0] < 0) {
		file_unreference(files[0]);
		file_unreference(files[1]);
		return numbers[0];
	}
	numbers[1] = fd_install(files[1], 0, type & SOCK_CLOEXEC);
	if (numbers[1] < 0) {
		file_unreference(files[1]);
		fd_close(numbers[0]);
		return numbers[1];
	}
	if (user_copy_8(fds, numbers))
		return 0;
	fd_close(numbers[0]);
	fd_close(numbers[1]);
	return -EFAULT;
}

/* ---- addresses ---- */

long socket_address_get(const struct sockaddr *from, socklen_t length, struct socket_address *to)
{
	if (length > sizeof(to->storage))
		return -EINVAL;
	to->length = length;
	to->any.sa_family = AF_UNSPEC;
	return user_read(&to->any, from, length);
}

long socket_address_put(const struct socket_address *from, struct sockaddr *to, socklen_t *length)
{
	socklen_t room;

	if (!to)
		return 0;
	if (user_read(&room, length, sizeof(room)))
		return -EFAULT;
	if ((int)room < 0)
		return -EINVAL;
	if (user_write(to, &from->any, min(room, from->length)))
		return -EFAULT;
	return user_write(length, &from->length, sizeof(*length));
}

SYSCALL(getsockname)(int fd, struct sockaddr *address, socklen_t *length)
{
	struct socket_address found;
	struct file *file;
	long result = socket_lookup(fd, &file);

	if (!result)
		result = socket_kind_of(file)->local_address(file, &found);
	if (!result && !address)
		result = -EFAULT;
	return result ? result : socket_address_put(&found, address, length);
}

SYSCALL(getpeername)(int fd, struct sockaddr *address, socklen_t *length)
{
	struct socket_address found;
	struct file *file;
	long result = socket_lookup(fd, &file);

	if (!result)
		result = socket_kind_of(file)->peer_address(file, &found);
	if (!result && !address)
		result = -EFAULT;
	return result ? result : socket_address_put(&found, address, length);
}

SYSCALL(bind)(int fd, const struct sockaddr *address, socklen_t length)
{
	struct socket_address copy;
	struct file *file;
	long result = socket_lookup(fd, &file);

	if (!result)
		result = socket_address_get(address, length, &copy);
	return result ? result : socket_kind_of(file)->bind(file, &copy);
}

/* ---- connecting ---- */

SYSCALL(connect)(int fd, const struct sockaddr *address, socklen_t length)
{
	struct socket_address copy;
	struct file *file;
	long result = socket_lookup(fd, &file);

	if (!result)
		result = socket_address_get(address, length, &copy);
	return result ? result : socket_kind_of(file)->connect(file, &copy);
}

SYSCALL(listen)(int fd, int backlog)
{
	struct file *file;
	long result = socket_lookup(fd, &file);

	if (result)
		return result;
	if (!socket_kind_of(file)->listen)
		return -EOPNOTSUPP;
	return socket_kind_of(file)->listen(file, backlog);
}

SYSCALL(accept4)(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	int status_flags = flags & SOCK_NONBLOCK ? O_NONBLOCK : 0;
	struct file *file, *accepted;
	struct socket_address peer;
	long result = socket_lookup(fd, &file);

	if (result)
		return result;
	if (flags & ~SOCKET_FLAGS)
		return -EINVAL;
	if (!socket_kind_of(file)->accept)
		return -EOPNOTSUPP;
	/* Looked at before a connection is taken, so that it stays in the queue. */
	if (!fd_is_free())
		return -EMFILE;
	result =
	    socket_kind_of(file)->accept(file, status_flags, address ? &peer : NULL, &accepted);
	if (result)
		return result;
	if (address)
		result = socket_address_put(&peer, address, length);
	if (!result)
		result = fd_install(accepted, 0, flags & SOCK_CLOEXEC);
	if (result < 0)
		file_unreference(accepted);
	return result;
}

SYSCALL(accept)(int fd, struct sockaddr *address, socklen_t *length)
{
	return sys_accept4(fd, address, length, 0);
}

SYSCALL(shutdown)(int fd, int how)
{
	struct file *file;
	long result = socket_lookup(fd, &file);

	if (result)
		return result;
	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return -EINVAL;
	return socket_kind_of(file)->shutdown(file, how);
}

/* ---- options ---- */

/* The time limits are the file's, whatever its kind. */
static uint64_t *timeout_of(struct file *file, int level, int name)
{
	if (level != SOL_SOCKET)
		return NULL;
	if (name == SO_RCVTIMEO)
		return &file->read_timeout_ns;
	return name == SO_SNDTIMEO ? &file->write_timeout_ns : NULL;
}

static long set_timeout(uint64_t *timeout_ns, const void *value, socklen_t length)
{
	const struct timeval *tv = value;

	if (length < sizeof(*tv))
		return -EINVAL;
	if (tv->tv_usec < 0 || tv->tv_usec >= 1000000)
		return -EDOM;
	/* 0 is "no timeout"; a negative time is none either: it has passed. */
	if (tv->tv_sec < 0)
		*timeout_ns = 0;
	else if (tv->tv_sec == 0 && tv->tv_usec == 0)
		*timeout_ns = FOREVER;
	else if ((uint64_t)tv->tv_sec > FOREVER / NS_PER_S - 1)
		*timeout_ns = FOREVER;
	else
		*timeout_ns = tv->tv_sec * NS_PER_S + tv->tv_usec * NS_PER_US;
	return 0;
}

static void get_timeout(uint64_t timeout_ns, void *value, socklen_t *length)
{
	struct timeval tv = { 0 };

	if (timeout_ns != FOREVER) {
		tv.tv_sec = timeout_ns / NS_PER_S;
		tv.tv_usec = timeout_ns % NS_PER_S / NS_PER_US;
	}
	*length = min((size_t)*length, sizeof(tv));
	memcpy(value, &tv, *length);
}

/* Values are copied: longer than any is. */
#define OPTION_ROOM 256u
_Static_assert(sizeof(struct tcp_info) <= OPTION_ROOM, "TCP_INFO is the longest value");

SYSCALL(setsockopt)(int fd, int level, int name, const void *user_value, socklen_t length)
{
	uint64_t value[OPTION_ROOM / sizeof(uint64_t)], *timeout_ns;
	struct file *file;
	long result = socket_lookup(fd, &file);

	if (result)
		return result;
	if ((int)length < 0)
		return -EINVAL;
	length = min(length, OPTION_ROOM);
	if (user_read(value, user_value, length))
		return -EFAULT;
	timeout_ns = timeout_of(file, level, name);
	if (timeout_ns)
		return set_timeout(timeout_ns, value, length);
	return socket_kind_of(file)->set_option(file, level, name, value, length);
}

SYSCALL(getsockopt)(int fd, int level, int name, void *user_value, socklen_t *user_length)
{
	uint64_t value[OPTION_ROOM / sizeof(uint64_t)], *timeout_ns;
	struct file *file;
	socklen_t length;
	long result = socket_lookup(fd, &file);

	if (result)
		return result;
	if (user_read(&length, user_length, sizeof(length)))
		return -EFAULT;
	if ((int)length < 0)
		return -EINVAL;
	length = min(length, OPTION_ROOM);
	timeout_ns = timeout_of(file, level, name);
	if (timeout_ns)
		get_timeout(*timeout_ns, value, &length);
	else
		result = socket_kind_of(file)->get_option(file, level, name, value, &length);
	if (result)
		return result;
	if (user_write(user_value, value, length))
		return -EFAULT;
	return user_write(user_length, &length, sizeof(length));
}
