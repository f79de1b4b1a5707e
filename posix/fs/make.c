/*
 * Making files from within the kernel.
 */
#include "posix/fs/make.h"

#include "posix/fs/directory.h"
#include "posix/fs/fs.h"
#include "posix/fs/lookup.h"
#include "posix/fs/open_file.h"
#include "posix/fs/pseudo.h"

#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define DIRECTORY_MODE 0755

/* ---- one step ---- */

int make_node(const struct name *name, unsigned mode, enum volume volume, struct inode **made)
{
	struct inode *inode = inode_create(mode, volume, true);
	int error;

	if (!inode)
		return -ENOSPC;
	if (inode_is(inode, S_IFREG))
		inode->source.operations = &regular_source;
	/* Before others can remove it. What has a link can be referenced. */
	if (made)
		inode_reference(inode);
	error = name_add(name, inode);
	if (made && error)
		inode_unreference(inode);
	else if (made)
		*made = inode;
	return error;
}

/* The entry for the first `length` bytes of `text` in a directory. */
static struct inode *child_of(struct inode *directory, const char *text, size_t length)
{
	struct entry *entry =
	    directory_find(&directory->directory, text, length, name_hash(text, length));

	return entry ? entry->inode : NULL;
}

/*
 * The last part of `path`, in a directory that is made with those above it if it is missing. Links are
 * followed on the way. `names_numbers`: "#" is a name like others (posix/fs/pseudo.h).
 */
static int make_way(const char *path, unsigned mode, bool names_numbers, struct name *last)
{
	struct inode *at = root_directory();

	for (;;) {
		struct inode *child;
		struct walk walk;
		char up_to[PATH_MAX / 4];
		size_t length;
		int error;

		while (*path == '/')
			path++;
		length = strcspn(path, "/");
		if (length > NAME_LENGTH_MAX)
			return -ENAMETOOLONG;
		*last = (struct name){ at, path, length, false };
		if (!path[length + strspn(path + length, "/")])
			return length ? 0 : -EEXIST;
		child = child_of(at, path, length);
		if (!child) {
			error = make_node(last, S_IFDIR | mode, at->volume, NULL);
			if (error)
				return error;
			child = child_of(at, path, length);
		}
		if (child && inode_is(child, S_IFLNK) && !names_numbers) {
			/* Its own path, which is short: from the root, with no links in it. */
			const char *start = path_of(child->entry, up_to, sizeof(up_to) - 1);

			if (!start)
				return -ENAMETOOLONG;
			up_to[sizeof(up_to) - 1] = 0;
			error = walk_path(AT_FDCWD, start, WALK_FOLLOW, &walk);
			if (error)
				return error;
			child = walk.inode;
		}
		if (!child || !inode_is(child, S_IFDIR))
			return -ENOTDIR;
		at = child;
		path += length;
	}
}

/* What stands in the way of a new node goes. */
static int clear_way(const struct name *name)
{
	int error = name_remove(name, false);

	return error == -ENOENT ? 0 : error;
}

static int make(const char *path, unsigned mode, bool replace, struct inode **made)
{
	struct name name;
	int error = make_way(path, DIRECTORY_MODE, false, &name);

	if (!error && replace)
		error = clear_way(&name);
	return error ? error : make_node(&name, mode, VOLUME_RAM, made);
}

/* ---- the interface ---- */

int fs_make_directory(const char *path, unsigned mode)
{
	struct walk walk;
	int error = make(path, S_IFDIR | (mode & 07777), false, NULL);

	if (error != -EEXIST)
		return error;
	error = walk_path(AT_FDCWD, path, WALK_FOLLOW, &walk);
	if (error)
		return error;
	if (!inode_is(walk.inode, S_IFDIR))
		return -EEXIST;
	__atomic_store_n(&walk.inode->mode, S_IFDIR | (mode & 07777), __ATOMIC_RELAXED);
	return 0;
}

/* At the end of the file. Consumes a reference. */
static int append(struct inode *inode, const void *bytes, size_t length)
{
	struct iovec iov = { (void *)bytes, length };
	ssize_t written;

	mutex_lock(&inode->mutex);
	written = regular_write(inode, &iov, 1, inode->size);
	mutex_unlock(&inode->mutex);
	inode_unreference(inode);
	if (written < 0)
		return written;
	return (size_t)written == length ? 0 : -ENOSPC;
}

int fs_make_file(const char *path, unsigned mode, const void *bytes, size_t length)
{
	struct inode *inode;
	int error = make(path, S_IFREG | (mode & 07777), true, &inode);

	return error ? error : append(inode, bytes, length);
}

int fs_append_file(const char *path, const void *bytes, size_t length)
{
	struct walk walk;
	int error = walk_path(AT_FDCWD, path, 0, &walk);

	if (error)
		return error;
	if (!inode_is(walk.inode, S_IFREG) || !inode_reference(walk.inode))
		return -EINVAL;
	return append(walk.inode, bytes, length);
}

int make_symlink(const struct name *name, const char *target)
{
	size_t length = strnlen(target, PATH_MAX);
	struct inode *inode;

	if (length == 0)
		return -ENOENT;
	if (length == PATH_MAX)
		return -ENAMETOOLONG;
	inode = inode_create(S_IFLNK | 0777, VOLUME_RAM, true);
	if (!inode)
		return -ENOSPC;
	inode->target = object_alloc(length + 1);
	if (!inode->target) {
		inode->links = 0;
		inode_unlinked(inode);
		return -ENOSPC;
	}
	memcpy(inode->target, target, length);
	inode->target[length] = 0;
	inode->size = length;
	return name_add(name, inode);
}

int fs_make_symlink(const char *path, const char *target)
{
	struct name name;
	int error = make_way(path, DIRECTORY_MODE, false, &name);

	if (!error)
		error = clear_way(&name);
	return error ? error : make_symlink(&name, target);
}

int fs_make_hard_link(const char *path, const char *existing)
{
	struct walk walk;
	struct name name;
	int error = make_way(path, DIRECTORY_MODE, false, &name);

	if (!error)
		error = walk_path(AT_FDCWD, existing, 0, &walk);
	if (error)
		return error;
	if (child_of(name.directory, name.text, name.length) == walk.inode)
		return 0;
	error = clear_way(&name);
	return error ? error : name_link(&name, walk.inode);
}

/* What drives a device of this number, or NULL. */
static const struct pseudo_node *driver_of(uint64_t device)
{
	for (unsigned i = 0; i < ndevice_nodes; i++)
		if (device_nodes[i].device == device && device_nodes[i].operations)
			return &device_nodes[i];
	return NULL;
}

int make_special(const struct name *name, unsigned mode, uint64_t device)
{
	struct inode *inode = inode_create(mode, VOLUME_RAM, true);

	if (!inode)
		return -ENOSPC;
	if (inode_is(inode, S_IFCHR) || inode_is(inode, S_IFBLK))
		inode->device = device;
	if (inode_is(inode, S_IFCHR))
		inode->pseudo = driver_of(device);
	if (inode_is(inode, S_IFREG))
		inode->source.operations = &regular_source;
	return name_add(name, inode);
}

int fs_make_device(const char *path, unsigned mode, uint64_t device)
{
	struct name name;
	int error = make_way(path, DIRECTORY_MODE, false, &name);

	if (!error)
		error = clear_way(&name);
	return error ? error : make_special(&name, mode, device);
}

int fs_set_owner(const char *path, unsigned user, unsigned group)
{
	struct walk walk;
	int error = walk_path(AT_FDCWD, path, 0, &walk);

	if (error)
		return error;
	__atomic_store_n(&walk.inode->user, user, __ATOMIC_RELAXED);
	__atomic_store_n(&walk.inode->group, group, __ATOMIC_RELAXED);
	return 0;
}

int fs_set_time(const char *path, uint64_t modified_ns)
{
	struct walk walk;
	int error = walk_path(AT_FDCWD, path, 0, &walk);

	if (error)
		return error;
	__atomic_store_n(&walk.inode->modified_ns, modified_ns, __ATOMIC_RELAXED);
	return 0;
}

bool fs_exists(const char *path)
{
	struct walk walk;

	return walk_path(AT_FDCWD, path, 0, &walk) == 0;
}

ssize_t fs_read_file(const char *path, void *buffer, size_t room)
{
	struct iovec iov = { buffer, room };
	struct walk walk;
	int error = walk_path(AT_FDCWD, path, WALK_FOLLOW, &walk);

	if (error)
		return error;
	if (!walk.inode || !inode_is(walk.inode, S_IFREG) || walk.inode->pseudo)
		return -EINVAL;
	if (inode_size(walk.inode) > (int64_t)room)
		return -EFBIG;
	return regular_read(walk.inode, &iov, 1, 0);
}

/* ---- pseudo nodes ---- */

int make_pseudo(const struct pseudo_node *pseudo)
{
	struct inode *inode;
	struct name name;
	int error = make_way(pseudo->path, 0555, true, &name);

	if (error)
		return error;
	inode = inode_create(pseudo->mode, name.directory->volume, true);
	if (!inode)
		return -ENOSPC;
	inode->pseudo = pseudo;
	inode->device = pseudo->device;
	if (pseudo->target)
		inode->size = strlen(pseudo->target);
	error = name_add(&name, inode);
	if (!error && name.text[name.length - 1] == '#')
		name.directory->directory.numbered = inode->entry;
	return error;
}

/* ---- sockets ---- */

int fs_bind_socket(const char *path, unsigned mode, void *socket, struct inode **node)
{
	struct inode *inode;
	struct walk walk;
	int error = walk_name(AT_FDCWD, path, 0, -EADDRINUSE, &walk);

	if (error)
		return error;
	if (walk.inode)
		return -EADDRINUSE;
	if (walk.name.slash)
		return -ENOENT;
	inode = inode_create(S_IFSOCK | (mode & 07777), VOLUME_RAM, true);
	if (!inode)
		return -ENOSPC;
	inode->socket = socket;
	inode_reference(inode);
	error = name_add(&walk.name, inode);
	if (error) {
		inode_unreference(inode);
		return error == -EEXIST ? -EADDRINUSE : error;
	}
	*node = inode;
	return 0;
}

void fs_unbind_socket(struct inode *node)
{
	__atomic_store_n(&node->socket, NULL, __ATOMIC_RELEASE);
	inode_unreference(node);
}

int fs_find_socket(const char *path, void **socket)
{
	struct walk walk;
	int error = walk_path(AT_FDCWD, path, WALK_FOLLOW, &walk);

	if (error)
		return error;
	if (!walk.inode || !inode_is(walk.inode, S_IFSOCK))
		return -ECONNREFUSED;
	*socket = __atomic_load_n(&walk.inode->socket, __ATOMIC_ACQUIRE);
	return *socket ? 0 : -ECONNREFUSED;
}
