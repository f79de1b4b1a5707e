/*
 * What travels beside the bytes of local sockets: descriptors and credentials (unix(7), cmsg(3)).
 *
 * A descriptor in flight is a reference to its file. The one process has one user, so its credentials
 * are always the same.
 */
#include "posix/socket/unix_socket.h"

#include "lavra/console.h"
#include "mm/object.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* posix/process/identity.c's. */
long sys_getuid(void);
long sys_getgid(void);

#define FILES_MAX 253u /* SCM_MAX_FD */
#define PROCESS 1

struct unix_rights {
	struct unix_rights *next; /* among those that are dropped */
	unsigned count;
	struct file *files[FILES_MAX];
};

/* A control message's head as the kernel has it; musl's length has 32 bits, and 32 more of padding. */
struct head {
	size_t length;
	int level, type;
};

#define HEAD_BYTES sizeof(struct head)
#define ALIGNED(length) align_up(length, sizeof(size_t))

static unsigned in_flight; /* files; atomic */

unsigned unix_files_in_flight(void)
{
	return __atomic_load_n(&in_flight, __ATOMIC_RELAXED);
}

void unix_credentials(struct ucred *credentials)
{
	credentials->pid = PROCESS;
	credentials->uid = (uid_t)sys_getuid();
	credentials->gid = (gid_t)sys_getgid();
}

/* ---- references ---- */

/* Rights that wait until their files are let go: the end of a file may drop the messages of a socket,
 * with rights in them, and so on. Only the outermost call does the work. */
static CORE_LOCAL struct unix_rights *to_drop;
static CORE_LOCAL bool dropping;

static void drop_files(struct unix_rights *rights)
{
	__atomic_fetch_sub(&in_flight, rights->count, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < rights->count; i++)
		file_unreference(rights->files[i]);
	object_free(rights);
}

void unix_rights_drop(struct unix_rights *rights)
{
	rights->next = to_drop;
	to_drop = rights;
	if (dropping)
		return;
	dropping = true;
	while (to_drop) {
		rights = to_drop;
		to_drop = rights->next;
		drop_files(rights);
	}
	dropping = false;
}

static struct unix_rights *create(void)
{
	struct unix_rights *rights = object_alloc(sizeof(*rights));

	if (rights)
		rights->count = 0;
	return rights;
}

/* Takes over a reference. */
static void add(struct unix_rights *rights, struct file *file)
{
	rights->files[rights->count++] = file;
	__atomic_fetch_add(&in_flight, 1, __ATOMIC_RELAXED);
}

struct unix_rights *unix_rights_copy(const struct unix_rights *rights)
{
	struct unix_rights *copy = create();

	if (!copy)
		return NULL;
	for (unsigned i = 0; i < rights->count; i++)
		/* `rights` has a reference, so it does not fail. */
		if (file_reference(rights->files[i]))
			add(copy, rights->files[i]);
	return copy;
}

/* ---- sending ---- */

static long add_descriptors(struct unix_rights **rights, const char *data, size_t length)
{
	size_t count = length / sizeof(int);

	if (count == 0)
		return 0;
	if (!*rights)
		*rights = create();
	if (!*rights)
		return -ENOMEM;
	if (count > FILES_MAX - (*rights)->count)
		return -EINVAL;
	if (unix_files_in_flight() + count > fd_limit())
		return -ETOOMANYREFS;
	for (size_t i = 0; i < count; i++) {
		struct file *file;
		int fd;

		memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
		file = fd_lookup(fd);
		if (!file || !file_reference(file))
			return -EBADF;
		add(*rights, file);
	}
	return 0;
}

/* One may only say who one is. */
static long check_credentials(const char *data, size_t length)
{
	struct ucred given, own;

	if (length != sizeof(given))
		return -EINVAL;
	memcpy(&given, data, sizeof(given));
	unix_credentials(&own);
	return memcmp(&given, &own, sizeof(own)) == 0 ? 0 : -EPERM;
}

static long parse_one(const struct head *head, const char *data, struct unix_rights **rights)
{
	size_t length = head->length - HEAD_BYTES;

	if (head->level != SOL_SOCKET)
		return 0; /* as Linux: another layer's */
	switch (head->type) {
	case SCM_RIGHTS:
		return add_descriptors(rights, data, length);
	case SCM_CREDENTIALS:
		return check_credentials(data, length);
	}
	return -EINVAL;
}

long unix_rights_parse(const struct socket_control *control, struct unix_rights **rights)
{
	const char *data = control->data;
	size_t at = 0;
	long result = 0;

	*rights = NULL;
	while (!result && control->length - at >= HEAD_BYTES) {
		struct head head;

		memcpy(&head, data + at, sizeof(head));
		result = -EINVAL;
		if (head.length >= HEAD_BYTES && head.length <= control->length - at)
			result = parse_one(&head, data + at + HEAD_BYTES, rights);
		at += min(ALIGNED(head.length), control->length - at);
	}
	if (*rights && (result || (*rights)->count == 0)) {
		unix_rights_drop(*rights);
		*rights = NULL;
	}
	return result;
}

/* ---- receiving ---- */

/* A control buffer that is being filled. */
struct writer {
	struct socket_control *control;
	size_t used, room;
};

static void put_head(struct writer *writer, int type, size_t length)
{
	struct head head = { HEAD_BYTES + length, SOL_SOCKET, type };

	memcpy((char *)writer->control->data + writer->used, &head, sizeof(head));
	writer->used += min(ALIGNED(head.length), writer->room - writer->used);
}

static void put_credentials(struct writer *writer)
{
	struct ucred credentials;
	size_t at = writer->used + HEAD_BYTES;

	if (writer->room - writer->used < HEAD_BYTES + sizeof(credentials)) {
		writer->control->truncated = true;
		return;
	}
	unix_credentials(&credentials);
	memcpy((char *)writer->control->data + at, &credentials, sizeof(credentials));
	put_head(writer, SCM_CREDENTIALS, sizeof(credentials));
}

/* As many as fit, and as there are numbers for; the others are closed. */
static void put_descriptors(struct writer *writer, struct unix_rights *rights, bool close_on_exec)
{
	size_t room = writer->room - writer->used;
	size_t fit = room < HEAD_BYTES ? 0 : (room - HEAD_BYTES) / sizeof(int);
	unsigned given = 0;

	while (given < rights->count && given < fit) {
		int fd = fd_install(rights->files[given], 0, close_on_exec);

		if (fd < 0)
			break;
		memcpy((char *)writer->control->data + writer->used + HEAD_BYTES +
			   given * sizeof(fd),
		       &fd, sizeof(fd));
		given++;
	}
	if (given)
		put_head(writer, SCM_RIGHTS, given * sizeof(int));
	if (given < rights->count)
		writer->control->truncated = true;
	/* The descriptors have the references of those that were given. */
	__atomic_fetch_sub(&in_flight, given, __ATOMIC_RELAXED);
	rights->count -= given;
	memmove(rights->files, rights->files + given, rights->count * sizeof(rights->files[0]));
	unix_rights_drop(rights);
}

void unix_rights_deliver(struct socket_control *control, struct unix_rights *rights,
			 bool credentials, bool close_on_exec)
{
	struct writer writer = { control, 0, control ? control->length : 0 };

	if (!control) {
		if (rights)
			unix_rights_drop(rights);
		return;
	}
	if (credentials)
		put_credentials(&writer);
	if (rights)
		put_descriptors(&writer, rights, close_on_exec);
	control->length = writer.used;
}
