#include "tools/launcher/pack.h"

#include "tools/launcher/complaint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct pack_link {
	struct pack_link *next;
	dev_t device;
	ino_t inode;
	uint32_t number;
};

/* ---- the archive ---- */

static const char *put(struct pack *pack, const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length) {
		ssize_t n = write(pack->fd, at, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return complain("the archive: %s", strerror(errno));
		at += n;
		length -= (size_t)n;
		pack->size += (size_t)n;
	}
	return NULL;
}

static const char *put_padding(struct pack *pack)
{
	static const char zeros[4];

	return put(pack, zeros, -pack->size & 3);
}

/* cpio(5), "New ASCII Format". `size` bytes follow, and padding. */
static const char *put_header(struct pack *pack, const char *name, const struct stat *st,
			      uint32_t number, uint64_t size)
{
	char header[111];
	const char *wrong;
	bool is_device = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);

	if (size > UINT32_MAX)
		return complain("%s: files of 4 GiB and more cannot be packed", name);
	snprintf(header, sizeof(header),
		 "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", number, st->st_mode,
		 st->st_uid, st->st_gid, (unsigned)st->st_nlink, (unsigned)st->st_mtime,
		 (unsigned)size, 0, 0, is_device ? major(st->st_rdev) : 0,
		 is_device ? minor(st->st_rdev) : 0, (unsigned)strlen(name) + 1, 0);
	wrong = put(pack, header, 110);
	if (!wrong)
		wrong = put(pack, name, strlen(name) + 1);
	return wrong ? wrong : put_padding(pack);
}

static const char *put_entry(struct pack *pack, const char *name, const struct stat *st,
			     uint32_t number, const void *bytes, size_t size)
{
	const char *wrong = put_header(pack, name, st, number, size);

	if (!wrong)
		wrong = put(pack, bytes, size);
	return wrong ? wrong : put_padding(pack);
}

const char *pack_open(struct pack *pack)
{
	*pack = (struct pack){ 0 };
	pack->fd = memfd_create("lavra-files", 0);
	return pack->fd < 0 ? complain("memfd_create: %s", strerror(errno)) : NULL;
}

const char *pack_file(struct pack *pack, const char *path, unsigned mode, const void *bytes,
		      size_t size)
{
	const struct stat st = { .st_mode = S_IFREG | mode, .st_nlink = 1 };

	return put_entry(pack, path, &st, ++pack->ninodes, bytes, size);
}

static const char *copy_contents(struct pack *pack, int fd, const char *path, uint64_t size)
{
	static char buffer[1 << 16];

	for (uint64_t left = size; left;) {
		ssize_t n = read(fd, buffer, left < sizeof(buffer) ? left : sizeof(buffer));
		const char *wrong;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return complain("%s: %s", path, strerror(errno));
		if (n == 0)
			return complain("%s became shorter while it was packed", path);
		wrong = put(pack, buffer, (size_t)n);
		if (wrong)
			return wrong;
		left -= (uint64_t)n;
	}
	return put_padding(pack);
}

const char *pack_archive(struct pack *pack, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *wrong;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return complain("%s: %s", path, strerror(errno));
	if (S_ISREG(st.st_mode))
		wrong = copy_contents(pack, fd, path, (uint64_t)st.st_size);
	else
		wrong = complain("%s is no file", path);
	close(fd);
	return wrong;
}

const char *pack_finish(struct pack *pack)
{
	const struct stat st = { .st_nlink = 1 };
	const char *wrong = put_entry(pack, "TRAILER!!!", &st, 0, "", 0);

	if (!wrong && lseek(pack->fd, 0, SEEK_SET) < 0)
		wrong = complain("the archive: %s", strerror(errno));
	return wrong;
}

void pack_close(struct pack *pack)
{
	while (pack->links) {
		struct pack_link *link = pack->links;

		pack->links = link->next;
		free(link);
	}
	if (pack->fd >= 0)
		close(pack->fd);
}

/* ---- a folder ---- */

/* The number of a file with several names. *known: its contents are in the archive already. */
static uint32_t number_of(struct pack *pack, const struct stat *st, bool *known)
{
	struct pack_link *link;

	for (link = pack->links; link; link = link->next)
		if (link->device == st->st_dev && link->inode == st->st_ino) {
			*known = true;
			return link->number;
		}
	*known = false;
	link = calloc(1, sizeof(*link));
	if (!link)
		abort();
	*link = (struct pack_link){ pack->links, st->st_dev, st->st_ino, ++pack->ninodes };
	pack->links = link;
	return link->number;
}

static const char *put_regular(struct pack *pack, int folder, const char *entry, const char *name)
{
	/* Not one that waits: what was a file may be a pipe by now. */
	int fd = openat(folder, entry, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const char *wrong;
	uint32_t number;
	struct stat st;
	bool known = false;

	if (fd < 0 || fstat(fd, &st) < 0) {
		wrong = complain("%s: %s", name, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		wrong = complain("%s changed while it was packed", name);
	} else {
		number = st.st_nlink > 1 ? number_of(pack, &st, &known) : ++pack->ninodes;
		wrong = put_header(pack, name, &st, number, known ? 0 : (uint64_t)st.st_size);
		if (!wrong && !known)
			wrong = copy_contents(pack, fd, name, (uint64_t)st.st_size);
	}
	if (fd >= 0)
		close(fd);
	return wrong;
}

static const char *put_folder(struct pack *pack, int fd, const char *prefix);

static const char *put_one(struct pack *pack, int folder, const char *entry, const char *name)
{
	char target[4096];
	struct stat st;
	ssize_t length;
	const char *wrong;
	int fd;

	if (fstatat(folder, entry, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return complain("%s: %s", name, strerror(errno));
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return put_regular(pack, folder, entry, name);
	case S_IFLNK:
		length = readlinkat(folder, entry, target, sizeof(target));
		if (length < 0)
			return complain("%s: %s", name, strerror(errno));
		return put_entry(pack, name, &st, ++pack->ninodes, target, (size_t)length);
	case S_IFSOCK:
		return NULL; /* nobody would answer there */
	case S_IFDIR:
		wrong = put_entry(pack, name, &st, ++pack->ninodes, "", 0);
		if (wrong)
			return wrong;
		fd = openat(folder, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		return fd < 0 ? complain("%s: %s", name, strerror(errno))
			      : put_folder(pack, fd, name);
	default: /* devices and pipes */
		return put_entry(pack, name, &st, ++pack->ninodes, "", 0);
	}
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in the folder, sorted; `stream` is at its beginning. */
static char **read_names(DIR *stream, size_t *count)
{
	struct dirent *entry;
	char **names = NULL;

	*count = 0;
	while ((entry = readdir(stream))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		names = reallocarray(names, *count + 1, sizeof(*names));
		if (!names || !(names[*count] = strdup(entry->d_name)))
			abort();
		++*count;
	}
	if (names)
		qsort(names, *count, sizeof(*names), compare_names);
	return names;
}

/* Takes the descriptor. `prefix`: what the folder is called in the archive, "" for its root. */
static const char *put_folder(struct pack *pack, int fd, const char *prefix)
{
	DIR *stream = fdopendir(fd);
	const char *wrong = NULL;
	char **names, *name;
	size_t count;

	if (!stream) {
		wrong = complain("%s: %s", prefix, strerror(errno));
		close(fd);
		return wrong;
	}
	names = read_names(stream, &count);
	for (size_t i = 0; i < count && !wrong; i++) {
		if (asprintf(&name, "%s%s%s", prefix, *prefix ? "/" : "", names[i]) < 0)
			abort();
		wrong = strlen(name) < 4096 ? put_one(pack, dirfd(stream), names[i], name)
					    : complain("%.100s...: the path is too long", name);
		free(name);
	}
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
	closedir(stream);
	return wrong;
}

const char *pack_folder(struct pack *pack, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? complain("--files %s: %s", path, strerror(errno))
		      : put_folder(pack, fd, "");
}
