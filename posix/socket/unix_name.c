/*
 * Addresses of local sockets: paths, which are nodes of the file system, and names that begin with
 * a zero byte, which are kept here.
 *
 * Looking up one of ours takes no lock: chains that are changed by single stores under names_lock,
 * names that are freed by epoch.
 */
#include "posix/socket/unix_socket.h"

#include "mm/object.h"
#include "posix/fs/calls.h"
#include "posix/fs/fs.h"

#include <ck_spinlock.h>
#include <errno.h>
#include <string.h>

#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)
#define BUCKETS 256u

struct unix_name {
	struct unix_name *next; /* in its bucket; atomic */
	uint32_t references; /* sockets that have it: the bound one and what it accepted; atomic */
	struct unix_socket *socket; /* the bound one, until it ends; atomic */
	struct inode *node; /* of a path */
	struct deferred deferred;
	int type; /* of the socket: each type has names of its own, those with a zero byte */
	socklen_t length;
	struct sockaddr_un address;
};

/* Guards changes of the chains; nothing is called with it held. */
static ck_spinlock_t names_lock = CK_SPINLOCK_INITIALIZER;
static struct unix_name *buckets[BUCKETS];

/* FNV-1a. */
static struct unix_name **bucket_of(const struct sockaddr_un *address, socklen_t length)
{
	uint32_t hash = 2166136261u;

	for (socklen_t i = PATH_OFFSET; i < length; i++)
		hash = (hash ^ (uint8_t)((const char *)address)[i]) * 16777619u;
	return &buckets[hash % BUCKETS];
}

static struct unix_name *look_up(const struct sockaddr_un *address, socklen_t length, int type)
{
	struct unix_name *name = __atomic_load_n(bucket_of(address, length), __ATOMIC_ACQUIRE);

	while (name && (name->length != length || name->type != type ||
			memcmp(&name->address, address, length) != 0))
		name = __atomic_load_n(&name->next, __ATOMIC_ACQUIRE);
	return name;
}

static bool publish(struct unix_name *name)
{
	struct unix_name **bucket = bucket_of(&name->address, name->length);
	bool is_free;

	ck_spinlock_lock(&names_lock);
	is_free = !look_up(&name->address, name->length, name->type);
	if (is_free) {
		name->next = *bucket;
		__atomic_store_n(bucket, name, __ATOMIC_RELEASE);
	}
	ck_spinlock_unlock(&names_lock);
	return is_free;
}

static void unpublish(struct unix_name *name)
{
	struct unix_name **link = bucket_of(&name->address, name->length);

	ck_spinlock_lock(&names_lock);
	while (*link != name)
		link = &(*link)->next;
	__atomic_store_n(link, name->next, __ATOMIC_RELEASE);
	ck_spinlock_unlock(&names_lock);
}

static bool is_path(const struct unix_name *name)
{
	return name->address.sun_path[0] != 0;
}

/* ---- names of sockets ---- */

struct unix_name *unix_name_share(struct unix_name *name)
{
	if (name)
		__atomic_fetch_add(&name->references, 1, __ATOMIC_RELAXED);
	return name;
}

static void name_free(struct deferred *deferred)
{
	object_free(container_of(deferred, struct unix_name, deferred));
}

void unix_name_drop(struct unix_name *name)
{
	if (name && __atomic_fetch_sub(&name->references, 1, __ATOMIC_ACQ_REL) == 1)
		epoch_defer(&name->deferred, name_free);
}

static void withdraw(struct unix_name *name)
{
	if (is_path(name))
		fs_unbind_socket(name->node);
	else
		unpublish(name);
}

void unix_name_withdraw(struct unix_socket *socket)
{
	struct unix_name *name = __atomic_load_n(&socket->name, __ATOMIC_RELAXED);

	/* An accepted socket has the name of the one that listens. */
	if (!name || __atomic_load_n(&name->socket, __ATOMIC_RELAXED) != socket)
		return;
	__atomic_store_n(&name->socket, NULL, __ATOMIC_RELAXED);
	withdraw(name);
}

void unix_name_tell(const struct unix_socket *socket, struct socket_address *address)
{
	const struct unix_name *name = socket ? __atomic_load_n(&socket->name, __ATOMIC_ACQUIRE)
					      : NULL;

	address->length = PATH_OFFSET;
	address->un.sun_family = AF_UNIX;
	if (!name)
		return;
	address->length = name->length;
	memcpy(&address->un, &name->address, name->length);
}

/* ---- finding ---- */

/* Linux's unix_validate_addr(). */
static long check(const struct socket_address *address)
{
	if (address->length <= PATH_OFFSET || address->length > sizeof(address->un) ||
	    address->un.sun_family != AF_UNIX)
		return -EINVAL;
	return 0;
}

/* The path with a zero at its end, which the application may leave out. */
static void take_path(const struct socket_address *address,
		      char path[sizeof(address->un.sun_path) + 1])
{
	size_t length = address->length - PATH_OFFSET;

	memcpy(path, address->un.sun_path, length);
	path[length] = 0;
}

long unix_find(const struct socket_address *address, int type, struct unix_socket **found)
{
	char path[sizeof(address->un.sun_path) + 1];
	void *socket = NULL;
	long result = check(address);

	if (result)
		return result;
	if (address->un.sun_path[0]) {
		take_path(address, path);
		result = fs_find_socket(path, &socket);
	} else {
		struct unix_name *name = look_up(&address->un, address->length, type);

		if (name)
			socket = __atomic_load_n(&name->socket, __ATOMIC_RELAXED);
	}
	if (result)
		return result;
	*found = socket;
	return socket && account_try_hold(&(*found)->account) ? 0 : -ECONNREFUSED;
}

/* ---- binding ---- */

/* Begin: a socket is bound once. */
static long reserve_attempt(struct file *file, void *argument)
{
	struct unix_socket *socket = unix_of(file);

	if (socket->name || socket->binding)
		return -EINVAL;
	socket->binding = true;
	return 0;
}

/* End, with the name or without. */
static long settle_attempt(struct file *file, void *argument)
{
	struct unix_socket *socket = unix_of(file);

	socket->binding = false;
	/* Release: pairs with the acquire of who tells the name, on any core. */
	__atomic_store_n(&socket->name, argument, __ATOMIC_RELEASE);
	return 0;
}

static struct unix_name *create_name(struct unix_socket *socket)
{
	struct unix_name *name = object_alloc_zeroed(sizeof(*name));

	if (!name)
		return NULL;
	name->references = 1;
	name->socket = socket;
	name->type = socket->type;
	name->address.sun_family = AF_UNIX;
	return name;
}

static long publish_path(struct unix_name *name, const struct socket_address *address)
{
	char path[sizeof(address->un.sun_path) + 1];

	take_path(address, path);
	name->length = PATH_OFFSET + strlen(path) + 1;
	memcpy(name->address.sun_path, path, min(strlen(path) + 1, sizeof(name->address.sun_path)));
	return fs_bind_socket(path, 0777 & ~umask_now(), name->socket, &name->node);
}

/* Linux's unix_autobind(): five hexadecimal digits. */
static long publish_any(struct unix_name *name)
{
	static uint32_t last; /* atomic */

	name->length = PATH_OFFSET + 6;
	for (unsigned tries = 0; tries < 1u << 20; tries++) {
		uint32_t number = __atomic_fetch_add(&last, 1, __ATOMIC_RELAXED);

		for (unsigned i = 0; i < 5; i++)
			name->address.sun_path[1 + i] =
			    "0123456789abcdef"[number >> (16 - 4 * i) & 15];
		if (publish(name))
			return 0;
	}
	return -ENOSPC;
}

static long publish_as(struct unix_name *name, const struct socket_address *address)
{
	if (address->length == PATH_OFFSET)
		return publish_any(name);
	if (address->un.sun_path[0])
		return publish_path(name, address);
	name->length = address->length;
	memcpy(&name->address, &address->un, address->length);
	return publish(name) ? 0 : -EADDRINUSE;
}

/* The caller holds a reference. */
static long bind_reserved(struct file *file, const struct socket_address *address)
{
	struct unix_name *name = create_name(unix_of(file));
	long result = name ? publish_as(name, address) : -ENOMEM;

	if (result) {
		object_free(name);
		name = NULL;
	}
	file_operate(file, settle_attempt, name, 0, true, FOREVER);
	return result;
}

long unix_bind(struct file *file, const struct socket_address *address)
{
	bool any = address->length == PATH_OFFSET && address->un.sun_family == AF_UNIX;
	long result = any ? 0 : check(address);

	if (result)
		return result;
	if (!file_reference(file))
		return -EBADF;
	result = file_operate(file, reserve_attempt, NULL, 0, true, FOREVER);
	if (!result)
		result = bind_reserved(file, address);
	file_unreference(file);
	return result;
}

long unix_autobind(struct file *file)
{
	struct socket_address any = { .length = PATH_OFFSET, .un = { .sun_family = AF_UNIX } };

	if (__atomic_load_n(&unix_of(file)->name, __ATOMIC_RELAXED))
		return 0;
	unix_bind(file, &any);
	/* Somebody else may have been faster. */
	return __atomic_load_n(&unix_of(file)->name, __ATOMIC_RELAXED) ? 0 : -EINVAL;
}
