#include "tools/launcher/run_folder.h"

#include "lavra/monitor.h"
#include "tools/launcher/complaint.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".monitor"

static bool is_own_folder(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid();
}

/* Where the folder is, made if `make`. NULL, or what is wrong; *path is empty if there is none. */
static const char *run_folder(char path[PATH_MAX / 2], bool make)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	struct stat status;

	if (runtime && runtime[0] == '/' && strlen(runtime) < PATH_MAX / 2 - 8 &&
	    is_own_folder(runtime))
		snprintf(path, PATH_MAX / 2, "%s/lavra", runtime);
	else
		snprintf(path, PATH_MAX / 2, "/tmp/lavra-%u", geteuid());
	if (make && mkdir(path, 0700) != 0 && errno != EEXIST)
		return complain("cannot make the folder %s: %s", path, strerror(errno));
	if (lstat(path, &status) != 0) {
		if (errno != ENOENT)
			return complain("cannot look at %s: %s", path, strerror(errno));
		*path = 0;
		return NULL;
	}
	/* Whoever made it could read what is in it, and lead us elsewhere. */
	if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || status.st_mode & 077)
		return complain("%s is not a folder that is yours alone: remove it", path);
	return NULL;
}

/* What of an image's path becomes part of a file's name. */
static void name_of_image(char name[IMAGE_NAME_SIZE], const char *image)
{
	const char *slash = strrchr(image, '/');
	size_t n = 0;

	for (const char *from = slash ? slash + 1 : image; *from && n < IMAGE_NAME_SIZE - 1; from++)
		name[n++] = isalnum((unsigned char)*from) || strchr("-_.", *from) ? *from : '_';
	name[n] = 0;
}

const char *monitor_file_create(struct monitor_file *file, const char *image)
{
	char folder[PATH_MAX / 2], name[IMAGE_NAME_SIZE];
	const char *wrong = run_folder(folder, true);

	file->fd = -1;
	if (wrong)
		return wrong;
	name_of_image(name, image);
	snprintf(file->path, sizeof(file->path), "%s/%s.%d" SUFFIX, folder, name, (int)getpid());
	/* Left by a process that had our number. */
	unlink(file->path);
	file->fd = open(file->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file->fd < 0)
		return complain("cannot make %s: %s", file->path, strerror(errno));
	if (flock(file->fd, LOCK_EX | LOCK_NB) == 0 && ftruncate(file->fd, MONITOR_FILE_SIZE) == 0)
		return NULL;
	wrong = complain("cannot prepare %s: %s", file->path, strerror(errno));
	monitor_file_remove(file);
	return wrong;
}

void monitor_file_remove(struct monitor_file *file)
{
	if (file->fd < 0)
		return;
	unlink(file->path);
	close(file->fd);
	file->fd = -1;
}

bool monitor_file_is_in_use(int fd)
{
	if (flock(fd, LOCK_SH | LOCK_NB) != 0)
		return true;
	flock(fd, LOCK_UN);
	return false;
}

/* IMAGE.PID.monitor */
static bool parse_name(struct running_image *image, const char *name)
{
	size_t length = strlen(name), suffix = strlen(SUFFIX), end;
	long pid;

	if (length <= suffix || strcmp(name + length - suffix, SUFFIX) != 0)
		return false;
	end = length - suffix;
	length = end;
	while (length > 0 && isdigit((unsigned char)name[length - 1]))
		length--;
	if (length < 2 || length == end || end - length > 9 || name[length - 1] != '.' ||
	    length > IMAGE_NAME_SIZE)
		return false;
	pid = strtol(name + length, NULL, 10);
	image->pid = (pid_t)pid;
	/* It is shown on a terminal. */
	for (size_t i = 0; i < length - 1; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
			return false;
	snprintf(image->name, sizeof(image->name), "%.*s", (int)(length - 1), name);
	return pid > 0;
}

/* Removes the file if its launcher is gone. It has a lock from its first moments on: one that lives and has
 * none has just begun, or is another program with that number. */
static bool is_running(const struct running_image *image)
{
	int fd = open(image->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	bool in_use;

	if (fd < 0)
		return false;
	in_use = monitor_file_is_in_use(fd);
	if (!in_use && kill(image->pid, 0) != 0 && errno == ESRCH)
		unlink(image->path);
	close(fd);
	return in_use;
}

static int by_pid(const void *a, const void *b)
{
	const struct running_image *first = a, *second = b;

	return (first->pid > second->pid) - (first->pid < second->pid);
}

const char *running_images_find(struct running_images *images)
{
	char folder[PATH_MAX / 2];
	const char *wrong = run_folder(folder, false);
	struct dirent *entry;
	DIR *directory;

	*images = (struct running_images){ 0 };
	if (wrong || !*folder)
		return wrong;
	directory = opendir(folder);
	if (!directory)
		return complain("cannot read the folder %s: %s", folder, strerror(errno));
	while ((entry = readdir(directory))) {
		struct running_image image, *list;

		if (!parse_name(&image, entry->d_name))
			continue;
		snprintf(image.path, sizeof(image.path), "%s/%s", folder, entry->d_name);
		if (!is_running(&image))
			continue;
		list = reallocarray(images->list, images->count + 1, sizeof(*list));
		if (!list)
			break;
		images->list = list;
		list[images->count++] = image;
	}
	closedir(directory);
	if (images->count)
		qsort(images->list, images->count, sizeof(*images->list), by_pid);
	return NULL;
}

void running_images_free(struct running_images *images)
{
	free(images->list);
	*images = (struct running_images){ 0 };
}
