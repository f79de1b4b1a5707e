#include "tests/host/fake_fs.h"

#include "lavra/console.h"
#include "posix/fs/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct fake_node *nodes;
static size_t nnodes;
static unsigned last_inode;
static size_t calls_left = SIZE_MAX;

struct fake_node *fake_fs_find(const char *path)
{
	for (size_t i = 0; i < nnodes; i++)
		if (!strcmp(nodes[i].path, path))
			return &nodes[i];
	return NULL;
}

size_t fake_fs_count(void)
{
	return nnodes;
}

void fake_fs_clear(void)
{
	for (size_t i = 0; i < nnodes; i++)
		free(nodes[i].bytes);
	free(nodes);
	nodes = NULL;
	nnodes = 0;
	calls_left = SIZE_MAX;
}

void fake_fs_fail_after(size_t calls)
{
	calls_left = calls;
}

/* The rules of fs.h about paths: absolute, nothing in them that leads elsewhere. */
static void check_path(const char *path)
{
	size_t length = strlen(path);

	assert(path[0] == '/' && length < 4096);
	assert(length == 1 || path[length - 1] != '/');
	assert(!strstr(path, "//") && !strstr(path, "/./") && !strstr(path, "/../"));
	assert(length < 3 || strcmp(path + length - 3, "/..") != 0);
	assert(length < 2 || strcmp(path + length - 2, "/.") != 0);
}

static int make(const char *path, unsigned mode, const void *bytes, size_t length,
		struct fake_node **made)
{
	struct fake_node *node = fake_fs_find(path);
	char *copy;

	check_path(path);
	if (!calls_left)
		return -ENOSPC;
	calls_left--;
	if (node && S_ISDIR(node->mode) && !S_ISDIR(mode))
		return -EISDIR;
	copy = malloc(length + 1);
	assert(copy);
	if (length)
		memcpy(copy, bytes, length);
	copy[length] = 0;
	if (!node) {
		nodes = realloc(nodes, (nnodes + 1) * sizeof(*nodes));
		assert(nodes);
		node = &nodes[nnodes++];
		memset(node, 0, sizeof(*node));
		strcpy(node->path, path);
	}
	free(node->bytes);
	node->bytes = copy;
	node->length = length;
	node->mode = mode;
	node->inode = ++last_inode;
	*made = node;
	return 0;
}

int fs_make_directory(const char *path, unsigned mode)
{
	struct fake_node *node;

	return strcmp(path, "/") == 0 ? 0 : make(path, S_IFDIR | mode, NULL, 0, &node);
}

int fs_make_file(const char *path, unsigned mode, const void *bytes, size_t length)
{
	struct fake_node *node;

	return strcmp(path, "/") == 0 ? -EISDIR : make(path, S_IFREG | mode, bytes, length, &node);
}

int fs_append_file(const char *path, const void *bytes, size_t length)
{
	struct fake_node *node = fake_fs_find(path);
	char *more;

	assert(node && S_ISREG(node->mode));
	if (!calls_left)
		return -ENOSPC;
	calls_left--;
	more = realloc(node->bytes, node->length + length + 1);
	assert(more);
	memcpy(more + node->length, bytes, length);
	node->bytes = more;
	node->length += length;
	more[node->length] = 0;
	return 0;
}

int fs_make_symlink(const char *path, const char *target)
{
	struct fake_node *node;

	assert(*target);
	return strcmp(path, "/") == 0 ? -EISDIR
				      : make(path, S_IFLNK | 0777, target, strlen(target), &node);
}

int fs_make_hard_link(const char *path, const char *existing)
{
	struct fake_node *node, *file = fake_fs_find(existing);
	unsigned inode;
	int result;

	check_path(existing);
	if (!file || strcmp(path, "/") == 0)
		return file ? -EISDIR : -ENOENT;
	if (S_ISDIR(file->mode))
		return -EPERM;
	inode = file->inode;
	if (strcmp(path, existing) == 0)
		return 0;
	/* make() moves the nodes, but not their bytes. */
	result = make(path, file->mode, file->bytes, file->length, &node);
	if (!result)
		node->inode = inode;
	return result;
}

int fs_make_device(const char *path, unsigned mode, uint64_t device)
{
	struct fake_node *node;
	int result;

	assert(S_ISCHR(mode) || S_ISBLK(mode) || S_ISFIFO(mode));
	if (strcmp(path, "/") == 0)
		return -EISDIR;
	result = make(path, mode, NULL, 0, &node);
	if (!result)
		node->device = device;
	return result;
}

int fs_set_owner(const char *path, unsigned user, unsigned group)
{
	struct fake_node *node = fake_fs_find(path);

	assert(node || strcmp(path, "/") == 0);
	if (node) {
		node->user = user;
		node->group = group;
	}
	return 0;
}

int fs_set_time(const char *path, uint64_t modified_ns)
{
	struct fake_node *node = fake_fs_find(path);

	if (node)
		node->modified_ns = modified_ns;
	return 0;
}
