/*
 * The folder of a user's running images: what each shares with the host while it runs.
 *
 * $XDG_RUNTIME_DIR/lavra, or /tmp/lavra-UID; nobody else may enter it. A file in it is named IMAGE.PID.monitor
 * after the launcher, which holds a lock on it and removes it at its end. A launcher that is killed leaves
 * one behind, without a lock: who looks for running images next removes it.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#define IMAGE_NAME_SIZE 64

struct monitor_file {
	char path[PATH_MAX];
	int fd; /* holds the lock */
};

/* Each returns NULL, or what is wrong in a sentence (static memory). */

/* A new file for this launcher's image, MONITOR_FILE_SIZE bytes of zeros. */
const char *monitor_file_create(struct monitor_file *file, const char *image);
void monitor_file_remove(struct monitor_file *file);

struct running_image {
	char name[IMAGE_NAME_SIZE];
	pid_t pid; /* of its launcher */
	char path[PATH_MAX];
};

struct running_images {
	struct running_image *list; /* by pid */
	unsigned count;
};

/* Those that run now; what killed launchers left is removed. running_images_free() gives the list back. */
const char *running_images_find(struct running_images *images);
void running_images_free(struct running_images *images);

/* Does the launcher of the file that `fd` has open still run? */
bool monitor_file_is_in_use(int fd);
