#include "tools/launcher/libraries.h"

#include "tools/launcher/complaint.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_PATH 4096

/* ---- files ---- */

static const char *read_descriptor(int fd, const char *name, unsigned char **bytes, size_t *size)
{
	struct stat st;
	size_t done = 0;

	if (fstat(fd, &st) < 0)
		return complain("%s: %s", name, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return complain("%s is no file", name);
	*bytes = malloc((size_t)st.st_size + 1);
	if (!*bytes)
		return complain("%s: no memory for its %lld bytes", name, (long long)st.st_size);
	while (done < (size_t)st.st_size) {
		ssize_t n = read(fd, *bytes + done, (size_t)st.st_size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(*bytes);
			return complain("%s: %s", name, strerror(errno));
		}
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*size = done;
	return NULL;
}

const char *read_whole_file(const char *path, unsigned char **bytes, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *wrong;

	if (fd < 0)
		return complain("%s: %s", path, strerror(errno));
	wrong = read_descriptor(fd, path, bytes, size);
	close(fd);
	return wrong;
}

/* Open `path` as the image will: in the folder its symbolic links lead nowhere else. */
static int open_in(const char *folder, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	int root, fd;

	if (!folder)
		return open(path, O_RDONLY | O_CLOEXEC);
	root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -1;
	fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	if (fd < 0 &&
	    errno == ENOSYS) /* before Linux 5.6: good enough for links that are relative */
		fd = openat(root, path + strspn(path, "/"), O_RDONLY | O_CLOEXEC);
	close(root);
	return fd;
}

/* ---- one library ---- */

/* Without empty components, "." and "..", which leads nowhere from the root. */
static char *normalise(const char *path)
{
	char *result = malloc(strlen(path) + 2);
	size_t used = 0;

	if (!result)
		abort();
	while (*path) {
		size_t length = strcspn(path, "/");

		if (length == 2 && !memcmp(path, "..", 2)) {
			while (used && result[--used] != '/')
				;
		} else if (length && !(length == 1 && *path == '.')) {
			result[used++] = '/';
			memcpy(result + used, path, length);
			used += length;
		}
		path += length + (path[length] == '/');
	}
	if (!used)
		result[used++] = '/';
	result[used] = 0;
	return result;
}

/* `host_path` NULL: it comes from the folder. */
static struct library *add(struct libraries *libraries, const char *path, const char *host_path)
{
	struct library *library = calloc(1, sizeof(*library));

	if (!library || (host_path && !(library->host_path = strdup(host_path))))
		abort();
	library->path = normalise(path);
	libraries->list[libraries->count++] = library;
	return library;
}

/* musl's interpreter is these libraries as well (its ldso/dynlink.c, load_library()). */
static bool is_part_of_musl(const char *name)
{
	static const char *const parts[] = {
		"c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."
	};

	if (strncmp(name, "lib", 3))
		return false;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!strncmp(name + 3, parts[i], strlen(parts[i])))
			return true;
	return false;
}

static bool is_known(const struct libraries *libraries, const char *name)
{
	if (libraries->musl && is_part_of_musl(name))
		return true;
	for (unsigned i = 1; i < libraries->count; i++) {
		const char *path = libraries->list[i]->path;
		const char *base = strrchr(path, '/');

		if (!strcmp(strchr(name, '/') ? path : base ? base + 1 : path, name))
			return true;
	}
	return false;
}

/* Take the file at `host` on this machine (or in the folder) as `path` in the image, if it is one that
 * suits. */
static bool take(struct libraries *libraries, const char *folder, const char *host,
		 const char *path, const struct library *needed_by)
{
	int fd = open_in(folder, host);
	struct library *library;
	unsigned char *bytes;
	struct elf_file elf;
	size_t size;
	bool suits;

	if (fd < 0)
		return false;
	suits = !read_descriptor(fd, host, &bytes, &size);
	close(fd);
	if (!suits)
		return false;
	/* Like ld.so: a library for another processor is passed by. */
	if (elf_file_parse(bytes, size, &elf)) {
		free(bytes);
		return false;
	}
	library = add(libraries, path, folder ? NULL : host);
	library->bytes = bytes;
	library->size = size;
	library->elf = elf;
	library->needed_by = needed_by;
	return true;
}

/* ---- where to look ---- */

/* Where ld.so looks without being told: glibc's, of Debian's making and others'; and musl's, with the
 * folders that Debian tells it of in a file. */
static const char *const glibc_folders[] = {
	"/lib/x86_64-linux-gnu",
	"/usr/lib/x86_64-linux-gnu",
	"/lib64",
	"/usr/lib64",
	"/lib",
	"/usr/lib",
	NULL,
};
static const char *const musl_folders[] = { "/lib", "/usr/local/lib", "/usr/lib", NULL };
static const char *const musl_host_folders[] = { "/lib/x86_64-linux-musl",
						 "/usr/lib/x86_64-linux-musl", NULL };

struct search {
	struct libraries *libraries;
	const char *name;
	const struct library *needed_by;
	const char *folder; /* which of the two places; NULL: this machine */
};

/* What $ORIGIN in a list of `path`'s file stands for; "" for the root. */
static size_t origin_length(const char *path)
{
	return (size_t)(strrchr(path, '/') - path);
}

/* One element of a RPATH or RUNPATH, for an owner at `owner_path`, with the name behind it. False if it
 * is too long, or relative to where the program is started: that is nowhere. */
static bool expand(char path[MAX_PATH], const char *element, size_t length, const char *owner_path,
		   const char *name)
{
	const char *end = element + length;
	size_t used = 0, room = MAX_PATH - strlen(name) - 2;

	while (element < end) {
		size_t left = (size_t)(end - element), skip = 1, n = 1;
		const char *text = element;

		if (left >= 7 && !memcmp(element, "$ORIGIN", 7))
			skip = 7;
		else if (left >= 9 && !memcmp(element, "${ORIGIN}", 9))
			skip = 9;
		if (skip > 1) {
			text = owner_path;
			n = origin_length(owner_path);
		}
		if (used + n > room)
			return false;
		memcpy(path + used, text, n);
		used += n;
		element += skip;
	}
	path[used] = 0;
	strcat(strcat(path, "/"), name);
	return *path == '/';
}

static bool look_in_element(const struct search *search, const struct library *owner,
			    const char *element, size_t length)
{
	char host[MAX_PATH], path[MAX_PATH];

	if (strlen(search->name) > 255 || !expand(path, element, length, owner->path, search->name))
		return false;
	if (search->folder)
		return take(search->libraries, search->folder, path, path, search->needed_by);
	return owner->host_path && expand(host, element, length, owner->host_path, search->name) &&
	       take(search->libraries, NULL, host, path, search->needed_by);
}

static bool look_in_list(const struct search *search, const struct library *owner, const char *list)
{
	for (; list; list = *list ? list + 1 : NULL) {
		size_t length = strcspn(list, ":");

		if (length && look_in_element(search, owner, list, length))
			return true;
		list += length;
	}
	return false;
}

/* ld.so.conf(5)'s folders, which only a cache that is not in the image would name: what is found there
 * goes to a folder that needs no naming. */
static bool take_configured(const struct search *search, const char *file, unsigned depth);

static bool take_included(const struct search *search, const char *pattern, unsigned depth)
{
	glob_t found;
	bool taken = false;

	if (depth > 4 || glob(pattern, 0, NULL, &found))
		return false;
	for (size_t i = 0; i < found.gl_pathc && !taken; i++)
		taken = take_configured(search, found.gl_pathv[i], depth + 1);
	globfree(&found);
	return taken;
}

static bool take_configured(const struct search *search, const char *file, unsigned depth)
{
	FILE *stream = fopen(file, "re");
	char line[MAX_PATH], host[2 * MAX_PATH], path[2 * MAX_PATH];
	bool taken = false;

	while (stream && !taken && fgets(line, sizeof(line), stream)) {
		char *folder = line + strspn(line, " \t");

		folder[strcspn(folder, "#\n")] = 0;
		if (!strncmp(folder, "include ", 8)) {
			taken = take_included(search, folder + 8, depth);
		} else if (*folder == '/') {
			snprintf(host, sizeof(host), "%s/%s", folder, search->name);
			snprintf(path, sizeof(path), "/lib/%s", search->name);
			taken = take(search->libraries, NULL, host, path, search->needed_by);
		}
	}
	if (stream)
		fclose(stream);
	return taken;
}

/* In the folders; `to`: the folder in the image, NULL for the same one. */
static bool look_in_folders(const struct search *search, const char *const *folders, const char *to)
{
	char host[2 * MAX_PATH], path[2 * MAX_PATH];

	for (; *folders; folders++) {
		snprintf(host, sizeof(host), "%s/%s", *folders, search->name);
		snprintf(path, sizeof(path), "%s/%s", to ? to : *folders, search->name);
		if (take(search->libraries, search->folder, host, path, search->needed_by))
			return true;
	}
	return false;
}

static bool look_in_default(const struct search *search)
{
	if (search->libraries->musl)
		return look_in_folders(search, musl_folders, NULL) ||
		       (!search->folder && look_in_folders(search, musl_host_folders, "/lib"));
	return look_in_folders(search, glibc_folders, NULL) ||
	       (!search->folder && take_configured(search, "/etc/ld.so.conf", 0));
}

/* ld.so(8): the RPATHs of who needs it and of those it was needed by, unless the former has a RUNPATH;
 * that; the rest. */
static bool look_in_place(const struct search *search)
{
	const struct library *needed_by = search->needed_by;

	if (strchr(search->name, '/'))
		return take(search->libraries, search->folder, search->name, search->name,
			    needed_by);
	if (!needed_by->elf.runpath)
		for (const struct library *owner = needed_by; owner; owner = owner->needed_by)
			if (look_in_list(search, owner, owner->elf.rpath))
				return true;
	return look_in_list(search, needed_by, needed_by->elf.runpath) || look_in_default(search);
}

/* ---- all of them ---- */

static const char *find_one(struct libraries *libraries, const char *name,
			    const struct library *needed_by)
{
	struct search search = { libraries, name, needed_by, libraries->folder };

	if (is_known(libraries, name))
		return NULL;
	if (libraries->count == sizeof(libraries->list) / sizeof(libraries->list[0]))
		return complain("%s needs too many libraries", libraries->list[0]->path);
	if (libraries->folder && look_in_place(&search))
		return NULL;
	search.folder = NULL;
	if (look_in_place(&search))
		return NULL;
	return complain("%s, which %s needs, is nowhere to be found%s", name,
			needed_by->host_path ? needed_by->host_path : needed_by->path,
			libraries->folder ? ", neither in --files nor on this machine"
					  : " on this machine (--files FOLDER may hold it)");
}

const char *libraries_find(struct libraries *libraries, const char *folder, const char *path,
			   unsigned char *bytes, size_t size, const char *host_path)
{
	struct library *program;
	const char *wrong;

	memset(libraries, 0, sizeof(*libraries));
	libraries->folder = folder;
	program = add(libraries, path, host_path);
	program->bytes = bytes;
	program->size = size;
	wrong = elf_file_parse(bytes, size, &program->elf);
	if (wrong)
		return complain("%s %s", host_path, wrong);
	if (program->elf.interpreter && *program->elf.interpreter != '/')
		return complain("%s names an interpreter that is no absolute path", host_path);
	if (program->elf.interpreter) {
		wrong = find_one(libraries, program->elf.interpreter, program);
		if (wrong)
			return wrong;
		libraries->musl = strstr(program->elf.interpreter, "/ld-musl");
	}
	for (unsigned i = 0; i < libraries->count; i++) {
		const struct library *library = libraries->list[i];

		for (unsigned j = 0; j < library->elf.nneeded; j++) {
			wrong = find_one(libraries, library->elf.needed[j], library);
			if (wrong)
				return wrong;
		}
	}
	return NULL;
}

void libraries_free(struct libraries *libraries)
{
	for (unsigned i = 0; i < libraries->count; i++) {
		free(libraries->list[i]->bytes);
		free(libraries->list[i]->path);
		free(libraries->list[i]->host_path);
		free(libraries->list[i]);
	}
	libraries->count = 0;
}
