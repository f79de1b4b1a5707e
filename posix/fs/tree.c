/*
 * Adding, removing and renaming names.
 */
#include "posix/fs/tree.h"

#include "posix/fs/directory.h"

#include <ck_spinlock.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#define LINKS_MAX 65000u /* as ext4 */

static ck_spinlock_t tree_lock = CK_SPINLOCK_INITIALIZER;
static READ_MOSTLY bool sealed;

void tree_seal(void)
{
	sealed = true;
}

/* ---- with tree_lock ---- */

static struct entry *find(const struct name *name)
{
	return directory_find(&name->directory->directory, name->text, name->length,
			      name_hash(name->text, name->length));
}

/* What Linux answers where a file system has no such operation. */
static int check_new(const struct name *name)
{
	const struct inode *directory = name->directory;

	if (find(name))
		return -EEXIST;
	if (sealed && directory->volume == VOLUME_PROC)
		return -ENOENT;
	if (sealed && directory->volume == VOLUME_SYS)
		return -EACCES;
	return directory->links ? 0 : -ENOENT;
}

static void set_links(struct inode *inode, uint32_t links)
{
	__atomic_store_n(&inode->links, links, __ATOMIC_RELAXED);
}

static void set_entry(struct inode *inode, struct entry *entry)
{
	/* Release: pairs with the acquire in path_of(). */
	__atomic_store_n(&inode->entry, entry, __ATOMIC_RELEASE);
}

/* `entry` is in its directory now. */
static void entry_added(struct entry *entry)
{
	struct inode *inode = entry->inode, *directory = entry->directory;
	struct entry *old = inode->entry;

	if (inode_is(inode, S_IFDIR))
		set_links(directory, directory->links + 1);
	if (!old || old->removed) {
		set_entry(inode, entry);
		if (old)
			entry_free(old);
	}
	inode_modified(directory);
}

/* `entry` is in its directory no more: it is freed, unless it tells what the inode was called. */
static void entry_removed(struct entry *entry)
{
	struct inode *inode = entry->inode, *directory = entry->directory;

	if (inode_is(inode, S_IFDIR))
		set_links(directory, directory->links - 1);
	inode_modified(directory);
	if (inode->entry != entry)
		entry_free(entry);
}

static void drop_link(struct inode *inode)
{
	set_links(inode, inode_is(inode, S_IFDIR) ? 0 : inode->links - 1);
	inode_changed(inode);
	if (!inode->links)
		inode_unlinked(inode);
}

/* ---- adding ---- */

static int add_locked(const struct name *name, struct inode *inode)
{
	struct entry *entry;
	int error = check_new(name);

	if (error)
		return error;
	entry = entry_create(name->directory, inode, name->text, name->length);
	if (!entry)
		return -ENOMEM;
	error = directory_insert(&name->directory->directory, entry);
	if (error) {
		entry_free(entry);
		return error;
	}
	entry_added(entry);
	return 0;
}

int name_add(const struct name *name, struct inode *inode)
{
	int error;

	if (inode_is(inode, S_IFDIR))
		set_links(inode, 2); /* the name, and its own "." */
	ck_spinlock_lock(&tree_lock);
	error = add_locked(name, inode);
	if (error) {
		set_links(inode, 0);
		inode_unlinked(inode);
	}
	ck_spinlock_unlock(&tree_lock);
	return error;
}

static int link_locked(const struct name *name, struct inode *inode)
{
	int error;

	if (find(name))
		return -EEXIST;
	if (inode_is(inode, S_IFDIR))
		return -EPERM;
	if (inode->volume != name->directory->volume)
		return -EXDEV;
	if (inode->links >= LINKS_MAX)
		return -EMLINK;
	if (!inode->links && !inode_relinked(inode))
		return -ENOENT;
	set_links(inode, inode->links + 1);
	error = add_locked(name, inode);
	if (error)
		drop_link(inode);
	else
		inode_changed(inode);
	return error;
}

int name_link(const struct name *name, struct inode *inode)
{
	int error;

	ck_spinlock_lock(&tree_lock);
	error = link_locked(name, inode);
	ck_spinlock_unlock(&tree_lock);
	return error;
}

/* ---- removing ---- */

static int check_removable(const struct inode *inode, bool directory)
{
	if (inode_is(inode, S_IFDIR) != directory)
		return directory ? -ENOTDIR : -EISDIR;
	if (inode->volume != VOLUME_RAM)
		return -EPERM;
	if (directory && inode->directory.count)
		return -ENOTEMPTY;
	return 0;
}

static int remove_locked(const struct name *name, bool directory)
{
	struct entry *entry = find(name);
	struct inode *inode;
	int error;

	if (!entry)
		return -ENOENT;
	inode = entry->inode;
	if (name->slash && !inode_is(inode, S_IFDIR))
		return -ENOTDIR;
	if (name->directory->volume != VOLUME_RAM)
		return -EPERM;
	/* The root of another volume is in use. */
	if (inode->volume != name->directory->volume)
		return -EBUSY;
	error = check_removable(inode, directory);
	if (error)
		return error;
	directory_remove(&name->directory->directory, entry);
	entry_removed(entry);
	drop_link(inode);
	return 0;
}

int name_remove(const struct name *name, bool directory)
{
	int error;

	ck_spinlock_lock(&tree_lock);
	error = remove_locked(name, directory);
	ck_spinlock_unlock(&tree_lock);
	return error;
}

/* ---- renaming ---- */

/* Is `inode` the directory `above`, or somewhere in it? */
static bool lies_in(const struct inode *inode, const struct inode *above)
{
	while (inode != above) {
		if (!inode->entry)
			return false;
		inode = inode->entry->directory;
	}
	return true;
}

static int check_rename(const struct name *from, const struct entry *source, const struct name *to,
			const struct entry *target, unsigned flags)
{
	const struct inode *inode = source->inode;
	bool is_directory = inode_is(inode, S_IFDIR);
	bool exchange = flags & RENAME_EXCHANGE;

	if (exchange && !target)
		return -ENOENT;
	if (target && (flags & RENAME_NOREPLACE))
		return -EEXIST;
	if ((from->slash || (to->slash && !exchange)) && !is_directory)
		return -ENOTDIR;
	if (from->directory->volume != to->directory->volume)
		return -EXDEV;
	if (from->directory->volume != VOLUME_RAM)
		return -EPERM;
	if (inode->volume != VOLUME_RAM || (target && target->inode->volume != VOLUME_RAM))
		return -EBUSY;
	if (is_directory && lies_in(to->directory, inode))
		return -EINVAL;
	if (exchange)
		return inode_is(target->inode, S_IFDIR) && lies_in(from->directory, target->inode)
			   ? -EINVAL
			   : 0;
	if (!target)
		return to->directory->links ? 0 : -ENOENT;
	if (target->inode == inode)
		return 0;
	/* Not empty, since `from` lies in it. */
	if (inode_is(target->inode, S_IFDIR) && lies_in(from->directory, target->inode))
		return -ENOTEMPTY;
	return check_removable(target->inode, is_directory);
}

/* The inode's name was `old` and is `new`, which is in its directory already. */
static void entry_moved(struct entry *old, struct entry *new)
{
	if (old->inode->entry == old)
		set_entry(old->inode, new);
	entry_removed(old);
	entry_added(new);
	inode_changed(new->inode);
}

static int move(const struct name *from, struct entry *source, const struct name *to,
		struct entry *target)
{
	struct entry *new = entry_create(to->directory, source->inode, to->text, to->length);
	int error;

	if (!new)
		return -ENOMEM;
	if (target) {
		directory_replace(&to->directory->directory, target, new);
	} else {
		error = directory_insert(&to->directory->directory, new);
		if (error) {
			entry_free(new);
			return error;
		}
	}
	directory_remove(&from->directory->directory, source);
	if (target) {
		struct inode *replaced = target->inode;

		entry_removed(target);
		drop_link(replaced);
	}
	entry_moved(source, new);
	return 0;
}

static int exchange(const struct name *from, struct entry *source, const struct name *to,
		    struct entry *target)
{
	struct entry *first =
	    entry_create(from->directory, target->inode, from->text, from->length);
	struct entry *second = entry_create(to->directory, source->inode, to->text, to->length);

	if (!first || !second) {
		if (first)
			entry_free(first);
		if (second)
			entry_free(second);
		return -ENOMEM;
	}
	directory_replace(&from->directory->directory, source, first);
	directory_replace(&to->directory->directory, target, second);
	entry_moved(source, second);
	entry_moved(target, first);
	return 0;
}

static int rename_locked(const struct name *from, const struct name *to, unsigned flags)
{
	struct entry *source = find(from), *target = find(to);
	int error;

	if (!source)
		return -ENOENT;
	error = check_rename(from, source, to, target, flags);
	/* Two names of one file: POSIX wants that nothing happens. */
	if (error || (target && target->inode == source->inode))
		return error;
	if (flags & RENAME_EXCHANGE)
		return exchange(from, source, to, target);
	return move(from, source, to, target);
}

int name_rename(const struct name *from, const struct name *to, unsigned flags)
{
	int error;

	ck_spinlock_lock(&tree_lock);
	error = rename_locked(from, to, flags);
	ck_spinlock_unlock(&tree_lock);
	return error;
}

/* ---- paths ---- */

#define DELETED " (deleted)"

char *path_of(const struct entry *entry, char *buffer, size_t size)
{
	char *at = buffer + size;

	if (entry && __atomic_load_n(&entry->removed, __ATOMIC_RELAXED))
		at -= sizeof(DELETED) - 1;
	if (at - buffer < 2)
		return NULL;
	if (at < buffer + size)
		memcpy(at, DELETED, sizeof(DELETED) - 1);
	if (!entry)
		*--at = '/';
	while (entry) {
		if (at - buffer < entry->length + 1)
			return NULL;
		at -= entry->length;
		memcpy(at, entry->name, entry->length);
		*--at = '/';
		entry = __atomic_load_n(&entry->directory->entry, __ATOMIC_ACQUIRE);
	}
	return at;
}
