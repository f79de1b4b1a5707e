/*
 * Netlink sockets (netlink(7), rtnetlink(7)), as far as getifaddrs() and its like need them: they list
 * the interfaces and their addresses. Nothing can be changed, and nothing is told by itself.
 *
 * A request is answered at once: the answer waits in the socket as datagrams.
 */
#include "posix/socket/interface_list.h"
#include "posix/file/iovec.h"
#include "posix/socket/netlink_answer.h"
#include "posix/socket/socket_kind.h"
#include "posix/user_memory.h"

#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define NETLINK_ROUTE 0
#define REQUEST_BYTES 256u
#define ANSWERS_MAX 64u /* that nobody reads; then -ENOBUFS */

struct address_netlink { /* struct sockaddr_nl */
	unsigned short family, padding;
	uint32_t port, groups;
};

struct netlink_socket {
	struct file file; /* first */
	int type;
	/* Home core. */
	uint32_t port; /* 0: none yet */
	struct netlink_answer *first, **end;
	unsigned waiting;
};

static struct netlink_socket *netlink_of(struct file *file)
{
	return container_of(file, struct netlink_socket, file);
}

static struct netlink_answer *add_answer(struct netlink_socket *socket)
{
	struct netlink_answer *answer =
	    socket->waiting < ANSWERS_MAX ? object_alloc(sizeof(*answer)) : NULL;

	if (!answer)
		return NULL;
	answer->next = NULL;
	answer->length = 0;
	*socket->end = answer;
	socket->end = &answer->next;
	socket->waiting++;
	return answer;
}

/* The end of an answer, or an error. */
static long end_answer(struct netlink_socket *socket, const struct netlink_header *request,
		       int error, uint16_t type)
{
	struct netlink_answer *answer = add_answer(socket);

	if (!answer)
		return -ENOBUFS;
	netlink_put_end(answer, request, error, type, socket->port);
	return 0;
}

static long answer_one(struct netlink_socket *socket, const struct netlink_header *request,
		       uint8_t family)
{
	struct netlink_answer *answer;

	if (!(request->flags & NLM_F_REQUEST))
		return 0;
	if ((request->type != RTM_GETLINK && request->type != RTM_GETADDR) ||
	    (request->flags & NLM_F_DUMP) != NLM_F_DUMP)
		return end_answer(socket, request, -EOPNOTSUPP, NLMSG_ERROR);
	answer = add_answer(socket);
	if (!answer)
		return -ENOBUFS;
	if (request->type == RTM_GETLINK)
		netlink_put_links(answer, request, socket->port);
	else
		netlink_put_addresses(answer, request, family, socket->port);
	return end_answer(socket, request, 0, NLMSG_DONE);
}

/* ---- sending and receiving; at home ---- */

static ssize_t send_requests(struct netlink_socket *socket, const struct iovec *iov, unsigned niov)
{
	char bytes[REQUEST_BYTES];
	size_t total = iov_total(iov, niov), at = 0;
	long result = 0;

	if (total > sizeof(bytes))
		return -EMSGSIZE;
	for (unsigned i = 0; i < niov; at += iov[i++].iov_len)
		if (!user_copy(bytes + at, iov[i].iov_base, iov[i].iov_len))
			return -EFAULT;
	if (!socket->port)
		socket->port = 1; /* the process's number, as Linux's autobind */
	at = 0;
	while (!result && total - at >= sizeof(struct netlink_header)) {
		struct netlink_header request;
		uint8_t family = AF_UNSPEC;

		memcpy(&request, bytes + at, sizeof(request));
		if (request.length < sizeof(request) || request.length > total - at)
			break;
		if (request.length > sizeof(request))
			family = (uint8_t)bytes[at + sizeof(request)];
		result = answer_one(socket, &request, family);
		at += min(NETLINK_ALIGNED((size_t)request.length), total - at);
	}
	file_notify(&socket->file, EPOLLIN | EPOLLRDNORM);
	return result ? result : (ssize_t)total;
}

static ssize_t receive_answer(struct netlink_socket *socket, const struct iovec *iov, unsigned niov,
			      int flags)
{
	struct netlink_answer *answer = socket->first;
	size_t length, copied = 0;
	bool there = true;

	if (!answer)
		return -EAGAIN;
	length = answer->length;
	for (unsigned i = 0; i < niov && copied < length && there; i++) {
		size_t part = min(iov[i].iov_len, length - copied);

		there = user_copy(iov[i].iov_base, answer->bytes + copied, part);
		copied += part;
	}
	/* One that could not be copied is taken all the same, as on Linux. */
	if (!(flags & MSG_PEEK)) {
		socket->first = answer->next;
		if (!socket->first)
			socket->end = &socket->first;
		socket->waiting--;
		object_free(answer);
	}
	if (!there)
		return -EFAULT;
	return (ssize_t)(flags & MSG_TRUNC ? length : copied);
}

static long send_attempt(struct file *file, void *argument)
{
	const struct socket_message *message = argument;

	return send_requests(netlink_of(file), message->iov, message->niov);
}

static ssize_t netlink_send(struct file *file, struct socket_message *message)
{
	return file_operate(file, send_attempt, message, 0, true, FOREVER);
}

static long receive_attempt(struct file *file, void *argument)
{
	const struct socket_message *message = argument;

	return receive_answer(netlink_of(file), message->iov, message->niov, message->flags);
}

static void tell_address(struct socket_address *address, uint32_t port)
{
	struct address_netlink own = { .family = AF_NETLINK, .port = port };

	address->length = sizeof(own);
	memcpy(&address->any, &own, sizeof(own));
}

static ssize_t netlink_receive(struct file *file, struct socket_message *message)
{
	ssize_t result = file_operate(file, receive_attempt, message, EPOLLIN,
				      message_is_nonblocking(file, message), file->read_timeout_ns);

	if (result >= 0 && message->address)
		tell_address(message->address, 0); /* the kernel */
	if (result >= 0 && message->control)
		message->control->length = 0;
	return result;
}

/* ---- the file ---- */

static ssize_t netlink_read(struct file *file, const struct iovec *iov, unsigned niov,
			    int64_t offset)
{
	return offset == NO_OFFSET ? receive_answer(netlink_of(file), iov, niov, 0) : -ESPIPE;
}

static ssize_t netlink_write(struct file *file, const struct iovec *iov, unsigned niov,
			     int64_t offset)
{
	return offset == NO_OFFSET ? send_requests(netlink_of(file), iov, niov) : -ESPIPE;
}

static uint32_t netlink_events(struct file *file)
{
	return EPOLLOUT | EPOLLWRNORM | (netlink_of(file)->first ? EPOLLIN | EPOLLRDNORM : 0);
}

static long netlink_ioctl(struct file *file, unsigned long request, void *argument)
{
	struct netlink_answer *first = netlink_of(file)->first;
	int waiting = first ? (int)first->length : 0;

	if (request != FIONREAD)
		return interface_ioctl(request, argument);
	return user_write(argument, &waiting, sizeof(waiting));
}

static int netlink_stat(struct file *file, struct stat *st)
{
	st->st_mode = S_IFSOCK | 0777;
	st->st_blksize = PAGE_SIZE;
	return 0;
}

static void netlink_release(struct file *file)
{
	struct netlink_socket *socket = netlink_of(file);

	while (socket->first) {
		struct netlink_answer *next = socket->first->next;

		object_free(socket->first);
		socket->first = next;
	}
	file_free(file);
}

/* ---- the calls ---- */

static long bind_attempt(struct file *file, void *argument)
{
	const struct address_netlink *address = argument;
	struct netlink_socket *socket = netlink_of(file);

	if (socket->port && address->port && socket->port != address->port)
		return -EINVAL;
	if (!socket->port)
		socket->port = address->port ? address->port : 1;
	return 0;
}

/* Groups may be named; nothing is ever told to them. */
static long netlink_bind(struct file *file, const struct socket_address *address)
{
	struct address_netlink copy;

	if (address->length < sizeof(copy) || address->any.sa_family != AF_NETLINK)
		return -EINVAL;
	memcpy(&copy, &address->any, sizeof(copy));
	return file_operate(file, bind_attempt, &copy, 0, true, FOREVER);
}

/* To the kernel, which is all there is. */
static long netlink_connect(struct file *file, const struct socket_address *address)
{
	struct address_netlink copy;

	if (address->length < sizeof(copy) || address->any.sa_family != AF_NETLINK)
		return -EINVAL;
	memcpy(&copy, &address->any, sizeof(copy));
	return copy.port || copy.groups ? -EPERM : 0;
}

static long netlink_local_address(struct file *file, struct socket_address *address)
{
	tell_address(address, netlink_of(file)->port);
	return 0;
}

static long netlink_peer_address(struct file *file, struct socket_address *address)
{
	tell_address(address, 0);
	return 0;
}

static long netlink_shutdown(struct file *file, int how)
{
	return -EOPNOTSUPP;
}

/* What sizes buffers or asks for more than we tell makes no difference. */
static long netlink_set_option(struct file *file, int level, int name, const void *value,
			       socklen_t length)
{
	if (level == SOL_SOCKET || level == SOL_NETLINK)
		return length < sizeof(int) ? -EINVAL : 0;
	return -ENOPROTOOPT;
}

static long netlink_get_option(struct file *file, int level, int name, void *value,
			       socklen_t *length)
{
	int found;

	if (level != SOL_SOCKET)
		return -ENOPROTOOPT;
	switch (name) {
	case SO_TYPE:
		found = netlink_of(file)->type;
		break;
	case SO_DOMAIN:
		found = AF_NETLINK;
		break;
	case SO_PROTOCOL:
		found = NETLINK_ROUTE;
		break;
	case SO_ERROR:
		found = 0;
		break;
	default:
		return -ENOPROTOOPT;
	}
	*length = min(*length, (socklen_t)sizeof(found));
	memcpy(value, &found, *length);
	return 0;
}

static const struct socket_kind netlink_kind = {
	.bind = netlink_bind,
	.connect = netlink_connect,
	.local_address = netlink_local_address,
	.peer_address = netlink_peer_address,
	.receive = netlink_receive,
	.send = netlink_send,
	.shutdown = netlink_shutdown,
	.set_option = netlink_set_option,
	.get_option = netlink_get_option,
};

static const struct file_operations netlink_operations = {
	.kind = "netlink socket",
	.socket = &netlink_kind,
	.read = netlink_read,
	.write = netlink_write,
	.events = netlink_events,
	.ioctl = netlink_ioctl,
	.stat = netlink_stat,
	.release = netlink_release,
};

long netlink_socket_create(int family, int type, int protocol, int status_flags, struct file **file)
{
	struct netlink_socket *socket;

	if (type != SOCK_RAW && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	if (protocol != NETLINK_ROUTE)
		return -EPROTONOSUPPORT;
	socket = object_alloc_zeroed(sizeof(*socket));
	if (!socket)
		return -ENOMEM;
	file_init(&socket->file, &netlink_operations, (status_flags & O_NONBLOCK) | O_RDWR, NULL);
	socket->type = type;
	socket->end = &socket->first;
	*file = &socket->file;
	return 0;
}
