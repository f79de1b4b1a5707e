/*
 * Sequences of system calls on a small tree of names, against a model that does the same the simple way:
 * paths by recursion, directories and contents as arrays. Results, errors, attributes and contents
 * have to agree, and in the end all memory has to be back.
 *
 * links: posix/user_memory.c posix/fs/pages.c posix/fs/inode.c posix/fs/directory.c posix/fs/tree.c posix/fs/lookup.c
 * links: posix/fs/make.c posix/fs/regular_file.c posix/fs/open_file.c posix/fs/open_calls.c
 * links: posix/fs/name_calls.c posix/fs/stat_calls.c posix/fs/attribute_calls.c posix/file/fd_table.c
 * links: mm/frame.c mm/object.c smp/epoch.c tests/host/fake_memory.c tests/host/fs_fakes.c
 */
#include "lavra/console.h"
#include "posix/file/file.h"
#include "posix/fs/inode.h"
#include "posix/fs/tree.h"
#include "tests/host/fs_fakes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

long sys_open(const char *path, int flags, unsigned mode);
long sys_mkdir(const char *path, unsigned mode);
long sys_rmdir(const char *path);
long sys_unlink(const char *path);
long sys_renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags);
long sys_link(const char *from, const char *to);
long sys_symlink(const char *target, const char *path);
long sys_stat(const char *path, struct stat *st);
long sys_lstat(const char *path, struct stat *st);
long sys_truncate(const char *path, int64_t size);
long sys_readlink(const char *path, char *buffer, int size);

/* ---- the model ---- */

#define NODES 200
#define NAMES 3 /* a, b, c */
#define CONTENT 24000
#define PATH_BYTES 40
#define NONE (-1)

enum type { FREE, REGULAR, DIRECTORY, LINK };

struct node {
	enum type type;
	int links, opens;
	int parent; /* of a directory */
	int child[NAMES];
	size_t size;
	char target[PATH_BYTES];
	char bytes[CONTENT];
};

static struct node nodes[NODES];

struct place {
	int node; /* NONE: missing */
	int directory, name; /* of the last part; name NONE: it is "." or ".." or the root */
	enum { DOT, DOTDOT, ROOT } last;
	bool slash;
};

enum { FOLLOW = 1, MISSING = 2, BY_NAME = 4 };

static bool is(int node, enum type type)
{
	return nodes[node].type == type;
}

static int resolve(int at, const char *path, int flags, bool slash_after, int *nlinks,
		   struct place *place)
{
	*place = (struct place){ .node = at, .name = NONE, .last = ROOT, .slash = slash_after };
	if (*path == '/')
		place->node = at = 0;
	for (;;) {
		size_t length;
		bool last, slash;
		int child;

		path += strspn(path, "/");
		if (!*path)
			break;
		if (!is(at, DIRECTORY))
			return -ENOTDIR;
		length = strcspn(path, "/");
		slash = path[length] == '/';
		last = !path[length + strspn(path + length, "/")];
		place->directory = at;
		if (path[0] == '.') {
			place->name = NONE;
			place->last = length == 1 ? DOT : DOTDOT;
			child = length == 1 ? at : nodes[at].parent;
		} else {
			place->name = path[0] - 'a';
			child = nodes[at].child[place->name];
		}
		path += length;
		if (last)
			place->slash = slash |= slash_after;
		place->node = child;
		if (child == NONE)
			return last && (flags & MISSING) ? 0 : -ENOENT;
		if (is(child, LINK)) {
			if (last && ((flags & BY_NAME) || !((flags & FOLLOW) || slash)))
				break;
			if (++*nlinks > 40)
				return -ELOOP;
			if (last)
				return resolve(at, nodes[child].target, flags, slash, nlinks,
					       place);
			int error = resolve(at, nodes[child].target, FOLLOW, false, nlinks, place);

			if (error)
				return error;
			child = place->node;
		}
		at = child;
		place->node = at;
	}
	if (place->slash && !(flags & BY_NAME) && !is(place->node, DIRECTORY))
		return -ENOTDIR;
	return 0;
}

static int find(const char *path, int flags, struct place *place)
{
	int nlinks = 0;

	return resolve(0, path, flags, false, &nlinks, place);
}

static int find_name(const char *path, struct place *place)
{
	return find(path, MISSING | BY_NAME, place);
}

static int add(struct place *place, enum type type)
{
	int i = 1;

	while (!is(i, FREE))
		i++;
	assert(i < NODES);
	memset(&nodes[i], 0, sizeof(nodes[i]));
	nodes[i] = (struct node){ .type = type,
				  .links = type == DIRECTORY ? 2 : 1,
				  .parent = place->directory,
				  .child = { NONE, NONE, NONE } };
	nodes[place->directory].child[place->name] = i;
	if (type == DIRECTORY)
		nodes[place->directory].links++;
	return i;
}

static void free_if_unused(int node)
{
	if (nodes[node].links == 0 && nodes[node].opens == 0)
		nodes[node].type = FREE;
}

static void remove_entry(struct place *place)
{
	int node = nodes[place->directory].child[place->name];

	nodes[place->directory].child[place->name] = NONE;
	if (is(node, DIRECTORY)) {
		nodes[place->directory].links--;
		nodes[node].links = 0;
	} else {
		nodes[node].links--;
	}
	free_if_unused(node);
}

static bool is_empty(int node)
{
	for (int i = 0; i < NAMES; i++)
		if (nodes[node].child[i] != NONE)
			return false;
	return true;
}

static bool lies_in(int node, int above)
{
	while (node != above && node != 0)
		node = nodes[node].parent;
	return node == above;
}

static long new_name(const char *path, bool directory, struct place *place)
{
	int error = find_name(path, place);

	if (error)
		return error;
	if (place->name == NONE || place->node != NONE)
		return -EEXIST;
	return place->slash && !directory ? -ENOENT : 0;
}

static long model_mkdir(const char *path)
{
	struct place place;
	long error = new_name(path, true, &place);

	if (!error)
		add(&place, DIRECTORY);
	return error;
}

static long model_symlink(const char *target, const char *path)
{
	struct place place;
	long error = new_name(path, false, &place);

	if (!error)
		strcpy(nodes[add(&place, LINK)].target, target);
	return error;
}

static long model_link(const char *from, const char *to)
{
	struct place old, place;
	long error = find(from, 0, &old);

	if (!error)
		error = new_name(to, false, &place);
	if (error)
		return error;
	if (is(old.node, DIRECTORY))
		return -EPERM;
	nodes[place.directory].child[place.name] = old.node;
	nodes[old.node].links++;
	return 0;
}

static long model_remove(const char *path, bool directory)
{
	struct place place;
	int error = find_name(path, &place);

	if (error)
		return error;
	if (place.name == NONE && !directory)
		return -EISDIR;
	if (place.name == NONE)
		return place.last == DOT ? -EINVAL : place.last == DOTDOT ? -ENOTEMPTY : -EBUSY;
	if (place.node == NONE)
		return -ENOENT;
	if (!is(place.node, DIRECTORY) && (place.slash || directory))
		return -ENOTDIR;
	if (is(place.node, DIRECTORY) && !directory)
		return -EISDIR;
	if (directory && !is_empty(place.node))
		return -ENOTEMPTY;
	remove_entry(&place);
	return 0;
}

static void put_entry(struct place *place, int node)
{
	nodes[place->directory].child[place->name] = node;
	if (is(node, DIRECTORY)) {
		nodes[place->directory].links++;
		nodes[node].parent = place->directory;
	}
}

static void take_entry(struct place *place, int node)
{
	nodes[place->directory].child[place->name] = NONE;
	if (is(node, DIRECTORY))
		nodes[place->directory].links--;
}

static long model_rename(const char *from, const char *to, unsigned flags)
{
	struct place source, target;
	bool exchange = flags == RENAME_EXCHANGE;
	int error = find_name(from, &source);

	if (!error && source.name == NONE)
		error = -EBUSY;
	if (!error)
		error = find_name(to, &target);
	if (!error && target.name == NONE)
		error = flags == RENAME_NOREPLACE ? -EEXIST : -EBUSY;
	if (error)
		return error;
	if (source.node == NONE || (exchange && target.node == NONE))
		return -ENOENT;
	if (target.node != NONE && flags == RENAME_NOREPLACE)
		return -EEXIST;
	if (!is(source.node, DIRECTORY) && (source.slash || (target.slash && !exchange)))
		return -ENOTDIR;
	if (is(source.node, DIRECTORY) && lies_in(target.directory, source.node))
		return -EINVAL;
	if (exchange) {
		if (is(target.node, DIRECTORY) && lies_in(source.directory, target.node))
			return -EINVAL;
		if (source.node == target.node)
			return 0;
		take_entry(&source, source.node);
		take_entry(&target, target.node);
		put_entry(&source, target.node);
		put_entry(&target, source.node);
		return 0;
	}
	if (target.node == source.node)
		return 0;
	if (target.node != NONE) {
		if (is(target.node, DIRECTORY) && lies_in(source.directory, target.node))
			return -ENOTEMPTY;
		if (is(source.node, DIRECTORY) && !is(target.node, DIRECTORY))
			return -ENOTDIR;
		if (!is(source.node, DIRECTORY) && is(target.node, DIRECTORY))
			return -EISDIR;
		if (is(target.node, DIRECTORY) && !is_empty(target.node))
			return -ENOTEMPTY;
		remove_entry(&target);
	}
	take_entry(&source, source.node);
	put_entry(&target, source.node);
	return 0;
}

/* The node, or -errno. */
static long model_open(const char *path, int flags)
{
	int walk = (flags & O_CREAT ? MISSING : 0) | (flags & O_EXCL ? 0 : FOLLOW);
	struct place place;
	int error = find(path, walk, &place);

	if (error)
		return error;
	if (place.node == NONE)
		return place.slash ? -EISDIR : add(&place, REGULAR);
	if (flags & O_EXCL)
		return -EEXIST;
	if ((flags & O_CREAT) && place.slash && place.name != NONE)
		return -EISDIR;
	if (is(place.node, DIRECTORY) && (flags & (O_RDWR | O_CREAT)))
		return -EISDIR;
	if (flags & O_TRUNC)
		nodes[place.node].size = 0;
	return place.node;
}

static void model_resize(struct node *node, size_t size)
{
	if (size > node->size)
		memset(node->bytes + node->size, 0, size - node->size);
	node->size = size;
}

/* ---- both, side by side ---- */

struct input {
	const uint8_t *next, *end;
};

static unsigned take(struct input *input, unsigned below)
{
	return input->next < input->end ? *input->next++ % below : 0;
}

static void take_path(struct input *input, char path[PATH_BYTES])
{
	static const char *const parts[] = { "a", "b", "c", "a", "b", "c", ".", ".." };
	unsigned shape = take(input, 64), count = 1 + shape % 4;

	*path = 0;
	for (unsigned i = 0; i < count; i++) {
		strcat(path, "/");
		strcat(path, parts[take(input, 8)]);
	}
	if (shape >= 56)
		strcat(path, "/");
	if (shape == 63)
		strcpy(path, "/");
}

static void same(const char *what, const char *path, long real, long model)
{
	if (real == model)
		return;
	fprintf(stderr, "%s %s: %ld, the model says %ld\n", what, path, real, model);
	abort();
}

/* One of the handles that stay open over other calls. */
struct handle {
	int fd, node;
};

#define HANDLES 3
static struct handle handles[HANDLES];

static long close_fd(int fd)
{
	struct file *file = fd_remove(fd);

	assert(file);
	file_unreference(file);
	return 0;
}

static void close_handle(struct handle *handle)
{
	if (handle->fd < 0)
		return;
	close_fd(handle->fd);
	nodes[handle->node].opens--;
	free_if_unused(handle->node);
	handle->fd = -1;
}

static void compare_contents(int fd, int node)
{
	static char bytes[CONTENT + 1];
	struct file *file = fd_lookup(fd);
	struct iovec iov[2] = { { bytes, 100 }, { bytes + 100, sizeof(bytes) - 100 } };

	same("read", "", file->operations->read(file, iov, 2, 0), (long)nodes[node].size);
	if (memcmp(bytes, nodes[node].bytes, nodes[node].size) != 0)
		same("contents", "", 0, 1);
}

static void write_both(struct input *input, int fd, int node)
{
	static char bytes[8000];
	size_t at = take(input, 256) * 60, length = 1 + take(input, 256) * 31;
	struct file *file = fd_lookup(fd);
	struct iovec iov = { bytes, length };

	memset(bytes, (int)take(input, 256), length);
	same("write", "", file->operations->write(file, &iov, 1, (int64_t)at), (long)length);
	if (at > nodes[node].size)
		model_resize(&nodes[node], at);
	memcpy(nodes[node].bytes + at, bytes, length);
	nodes[node].size = max(nodes[node].size, at + length);
}

static void open_both(struct input *input, const char *path)
{
	static const int all_flags[] = { O_RDONLY, O_RDWR, O_RDWR | O_CREAT,
					 O_RDWR | O_CREAT | O_EXCL, O_RDWR | O_CREAT | O_TRUNC };
	int flags = all_flags[take(input, 5)];
	struct handle *handle = &handles[take(input, HANDLES)];
	long fd, node;

	close_handle(handle);
	fd = sys_open(path, flags, 0600);
	node = model_open(path, flags);
	same("open", path, min(fd, 0l), min(node, 0l));
	if (fd < 0)
		return;
	if (is((int)node, DIRECTORY)) {
		close_fd((int)fd);
		return;
	}
	*handle = (struct handle){ (int)fd, (int)node };
	nodes[node].opens++;
	if (flags != O_RDONLY)
		write_both(input, (int)fd, (int)node);
}

static void stat_both(const char *path, bool follow)
{
	struct place place;
	struct stat st;
	long real = follow ? sys_stat(path, &st) : sys_lstat(path, &st);
	long model = find(path, follow ? FOLLOW : 0, &place);
	const struct node *node;

	same("stat", path, real, model);
	if (model)
		return;
	node = &nodes[place.node];
	same("type", path, st.st_mode & S_IFMT,
	     node->type == REGULAR ? S_IFREG
	     : node->type == LINK  ? S_IFLNK
				   : S_IFDIR);
	same("links", path, (long)st.st_nlink, node->links);
	if (node->type != DIRECTORY)
		same("size", path, st.st_size,
		     (long)(node->type == LINK ? strlen(node->target) : node->size));
}

static void truncate_both(const char *path, size_t size)
{
	struct place place;
	long model = find(path, FOLLOW, &place);

	if (!model && is(place.node, DIRECTORY))
		model = -EISDIR;
	same("truncate", path, sys_truncate(path, (int64_t)size), model);
	if (!model)
		model_resize(&nodes[place.node], size);
}

static void readlink_both(const char *path)
{
	char target[PATH_BYTES] = "";
	struct place place;
	long model = find(path, 0, &place);

	if (!model)
		model = is(place.node, LINK) ? (long)strlen(nodes[place.node].target) : -EINVAL;
	same("readlink", path, sys_readlink(path, target, sizeof(target)), model);
	if (model > 0)
		same("target", path, memcmp(target, nodes[place.node].target, (size_t)model), 0);
}

static void step(struct input *input)
{
	char path[PATH_BYTES], other[PATH_BYTES];
	unsigned what = take(input, 14), flags;

	take_path(input, path);
	switch (what) {
	case 0:
	case 1:
		same("mkdir", path, sys_mkdir(path, 0755), model_mkdir(path));
		break;
	case 2:
		same("rmdir", path, sys_rmdir(path), model_remove(path, true));
		break;
	case 3:
	case 4:
		open_both(input, path);
		break;
	case 5:
		same("unlink", path, sys_unlink(path), model_remove(path, false));
		break;
	case 6:
	case 7:
		take_path(input, other);
		flags = take(input, 4) % 3;
		same("rename", path, sys_renameat2(AT_FDCWD, path, AT_FDCWD, other, flags),
		     model_rename(path, other, flags));
		break;
	case 8:
		take_path(input, other);
		same("link", path, sys_link(path, other), model_link(path, other));
		break;
	case 9:
		take_path(input, other);
		/* Some are relative. */
		flags = take(input, 2);
		same("symlink", path, sys_symlink(other + (other[1] ? flags : 0), path),
		     model_symlink(other + (other[1] ? flags : 0), path));
		break;
	case 10:
		truncate_both(path, take(input, 256) * 90);
		break;
	case 11:
		stat_both(path, take(input, 2));
		break;
	case 12:
		readlink_both(path);
		break;
	case 13:
		for (int i = 0; i < HANDLES; i++)
			if (handles[i].fd >= 0)
				compare_contents(handles[i].fd, handles[i].node);
		break;
	}
}

static void remove_all(int directory, const char *path)
{
	for (int i = 0; i < NAMES; i++) {
		char child[PATH_BYTES * 8];
		int node = nodes[directory].child[i];

		if (node == NONE)
			continue;
		snprintf(child, sizeof(child), "%s/%c", path, 'a' + i);
		if (is(node, DIRECTORY)) {
			remove_all(node, child);
			same("rmdir", child, sys_rmdir(child), model_remove(child, true));
		} else {
			same("unlink", child, sys_unlink(child), model_remove(child, false));
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static size_t objects_at_start, frames_at_start;
	struct input input = { data, data + min(size, 600ul) };

	if (!nodes[0].type) {
		fs_fakes_boot(32ul << 20);
		/* What is made once and stays. */
		close_fd((int)sys_open("/tmp/first", O_CREAT | O_RDWR, 0600));
		sys_unlink("/tmp/first");
		fs_fakes_settle();
		objects_at_start = object_bytes_in_use();
		frames_at_start = frame_free_count();
	}
	memset(nodes, 0, sizeof(nodes));
	nodes[0] = (struct node){ .type = DIRECTORY, .links = 3, .child = { NONE, NONE, NONE } };
	for (int i = 0; i < HANDLES; i++)
		handles[i].fd = -1;
	/* "/tmp" is there, too. */
	while (input.next < input.end) {
		step(&input);
		if (take(&input, 4) == 0)
			epoch_safe_point();
	}
	for (int i = 0; i < HANDLES; i++)
		close_handle(&handles[i]);
	remove_all(0, "");
	fs_fakes_settle();
	same("inodes", "", inode_count(), 2);
	same("objects", "", (long)object_bytes_in_use(), (long)objects_at_start);
	object_trim();
	if (frame_free_count() + 64 < frames_at_start)
		same("frames", "", (long)frame_free_count(), (long)frames_at_start);
	return 0;
}
