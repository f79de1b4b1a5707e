/*
 * Walking a path, component by component.
 *
 * Following a symbolic link leaves the rest of the path on a stack. Texts of links stay where they are,
 * in their inodes, which cannot go while the walk runs.
 */
#include "posix/fs/lookup.h"

#include "posix/file/file.h"
#include "posix/fs/directory.h"
#include "posix/fs/open_file.h"
#include "posix/fs/pseudo.h"
#include "posix/user_memory.h"

#include "lavra/console.h"
#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static READ_MOSTLY struct inode *root;
static struct inode *working; /* atomic; a reference is held */

struct inode *root_directory(void)
{
	return root;
}

void set_root_directory(struct inode *inode)
{
	root = inode;
	working = inode_reference(inode) ? inode : NULL;
	assert(working);
}

struct inode *working_directory(void)
{
	return __atomic_load_n(&working, __ATOMIC_ACQUIRE);
}

void set_working_directory(struct inode *directory)
{
	inode_unreference(__atomic_exchange_n(&working, directory, __ATOMIC_ACQ_REL));
}

/* ---- names that end in numbers ---- */

/* The number that `name` has after `prefix`, as it would be printed; NO_NUMBER: none. */
static unsigned parse_number(const char *name, size_t length, const char *prefix,
			     size_t prefix_length)
{
	uint64_t number = 0;

	if (length <= prefix_length || length > prefix_length + 9 ||
	    memcmp(name, prefix, prefix_length) != 0)
		return NO_NUMBER;
	if (name[prefix_length] == '0' && length > prefix_length + 1)
		return NO_NUMBER;
	for (size_t i = prefix_length; i < length; i++) {
		if (name[i] < '0' || name[i] > '9')
			return NO_NUMBER;
		number = number * 10 + (name[i] - '0');
	}
	return number;
}

bool numbered_name(const struct inode *directory, unsigned number, char *name, size_t size)
{
	const struct entry *entry = directory->directory.numbered;

	if (!entry)
		return false;
	ksnprintf(name, size, "%.*s%u", entry->length - 1, entry->name, number);
	return true;
}

/* ---- one step ---- */

static struct inode *find_child(struct walk *walk, uint32_t hash)
{
	const struct directory *directory = &walk->name.directory->directory;
	const char *name = walk->name.text;
	size_t length = walk->name.length;
	struct entry *entry = directory_find(directory, name, length, hash);
	const struct entry *numbered = directory->numbered;

	if (likely(entry && entry != numbered))
		return entry->inode;
	if (numbered) {
		unsigned number = parse_number(name, length, numbered->name, numbered->length - 1);

		if (number != NO_NUMBER && numbered->inode->pseudo->next(number) == number) {
			walk->number = number;
			return numbered->inode;
		}
	}
	return NULL;
}

static struct inode *parent_of(const struct inode *directory)
{
	const struct entry *entry = __atomic_load_n(&directory->entry, __ATOMIC_ACQUIRE);

	return entry ? entry->directory : root;
}

long read_link(const struct inode *inode, unsigned number, char *buffer, size_t size)
{
	struct text text = { 0 };
	const char *target = inode->target;
	size_t length;

	bool there;

	if (inode->pseudo && inode->pseudo->print) {
		inode->pseudo->print(&text, number);
		length = min(text.length, size);
		there = text.failed || user_copy(buffer, text.bytes, length);
		object_free(text.bytes);
		return text.failed ? -ENOMEM : there ? (long)length : -EFAULT;
	}
	if (inode->pseudo)
		target = inode->pseudo->target;
	length = min(strlen(target), size);
	return user_copy(buffer, target, length) ? (long)length : -EFAULT;
}

/* Where a symbolic link leads: its text, or (NULL) directly to what walk->inode or walk->file is now. */
static int follow(struct walk *walk, struct inode *link, unsigned flags, const char **target)
{
	const struct pseudo_node *pseudo = link->pseudo;
	long length;

	*target = NULL;
	if (flags & WALK_NO_LINKS)
		return -ELOOP;
	if (likely(!pseudo)) {
		*target = link->target;
		return 0;
	}
	if (pseudo->follow || pseudo->directory) {
		if (flags & (WALK_NO_MAGIC_LINKS | WALK_BENEATH))
			return -ELOOP;
		walk->file = NULL;
		if (pseudo->directory) {
			walk->inode = pseudo->directory();
			return 0;
		}
		walk->file = pseudo->follow(walk->number);
		if (!walk->file)
			return -ENOENT;
		walk->inode = file_inode(walk->file);
		if (walk->inode) {
			walk->number = open_file_of(walk->file)->number;
			walk->file = NULL;
		}
		return 0;
	}
	length = read_link(link, walk->number, walk->text, sizeof(walk->text) - 1);
	if (length < 0)
		return length;
	walk->text[length] = 0;
	*target = walk->text;
	return 0;
}

/* ---- the walk ---- */

static int start_of(int at, const char *path, struct inode **start)
{
	struct file *file;

	if (*path == '/') {
		*start = root;
		return 0;
	}
	if (at == AT_FDCWD) {
		*start = working_directory();
		return 0;
	}
	file = fd_lookup(at);
	if (!file)
		return -EBADF;
	*start = file_inode(file);
	return *start && inode_is(*start, S_IFDIR) ? 0 : -ENOTDIR;
}

static bool is_dots(const char *name, size_t length)
{
	return name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'));
}

static int walk_from(struct inode *start, const char *path, unsigned flags, struct walk *walk)
{
	const char *rests[LINKS_FOLLOWED_MAX], *target;
	unsigned depth = 0, links = 0;
	struct inode *at = start; /* where the next name is looked up */
	bool slash = false; /* after the last name of the path, or of a link that it led to */

	walk->last = LAST_ROOT;
	while (*path == '/')
		path++;
	walk->inode = at;
	while (*path) {
		uint32_t hash;
		size_t length = name_scan(path, &hash);
		const char *rest = path + length;
		struct inode *child;
		bool is_last;
		int error;

		if (length > NAME_LENGTH_MAX)
			return -ENAMETOOLONG;
		if (walk->file || !inode_is(at, S_IFDIR))
			return -ENOTDIR;
		walk->name = (struct name){ at, path, length, slash || *rest == '/' };
		while (*rest == '/')
			rest++;
		if (!*rest && depth)
			rest = rests[--depth];
		else if (!*rest)
			slash = walk->name.slash;
		is_last = !*rest;
		path = rest;

		if (is_dots(walk->name.text, length)) {
			walk->last = length == 1 ? LAST_DOT : LAST_DOTDOT;
			if (length == 2 && (flags & WALK_BENEATH) && at == start)
				return -EXDEV;
			walk->inode = at = length == 2 ? parent_of(at) : at;
			continue;
		}
		walk->last = LAST_NAME;
		child = find_child(walk, hash);
		walk->inode = child;
		if (!child)
			return is_last && (flags & WALK_MISSING) ? 0 : -ENOENT;
		if (likely(!inode_is(child, S_IFLNK)) ||
		    (is_last && ((flags & WALK_NAME) || !((flags & WALK_FOLLOW) || slash)))) {
			at = child;
			continue;
		}

		if (++links > LINKS_FOLLOWED_MAX)
			return -ELOOP;
		error = follow(walk, child, flags, &target);
		if (error)
			return error;
		if (!target) {
			at = walk->inode;
			continue;
		}
		if (!is_last)
			rests[depth++] = path;
		at = walk->name.directory;
		if (*target == '/') {
			if (flags & WALK_BENEATH)
				return -EXDEV;
			at = root;
			walk->last = LAST_ROOT;
		}
		while (*target == '/')
			target++;
		path = target;
		walk->inode = at;
		/* A link to the root: what remains is the rest. */
		if (!*path && depth)
			path = rests[--depth];
	}
	if (slash && !(flags & WALK_NAME) && (walk->file || !inode_is(walk->inode, S_IFDIR)))
		return -ENOTDIR;
	return 0;
}

int walk_path(int at, const char *path, unsigned flags, struct walk *walk)
{
	struct inode *start;
	int error;

	if (!*path)
		return -ENOENT;
	if ((flags & WALK_BENEATH) && *path == '/')
		return -EXDEV;
	error = start_of(at, path, &start);
	if (error)
		return error;
	walk->file = NULL;
	walk->number = NO_NUMBER;
	walk->name = (struct name){ 0 };
	return walk_from(start, path, flags, walk);
}

int walk_path_or_file(int at, const char *path, int at_flags, struct walk *walk)
{
	struct file *file;

	if (*path || !(at_flags & AT_EMPTY_PATH))
		return walk_path(at, path, at_flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW, walk);
	walk->last = LAST_DOT;
	walk->file = NULL;
	walk->number = NO_NUMBER;
	if (at == AT_FDCWD) {
		walk->inode = working_directory();
		return 0;
	}
	file = fd_lookup(at);
	if (!file)
		return -EBADF;
	walk->inode = file_inode(file);
	if (walk->inode)
		walk->number = open_file_of(file)->number;
	else
		walk->file = file;
	return 0;
}

int walk_name(int at, const char *path, unsigned flags, int dot_error, struct walk *walk)
{
	int error = walk_path(at, path, flags | WALK_MISSING | WALK_NAME, walk);

	if (error)
		return error;
	return walk->last == LAST_NAME ? 0 : dot_error;
}
