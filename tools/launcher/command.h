/*
 * The command line of QEMU for what was asked for.
 */
#pragma once

#include "tools/launcher/options.h"

#include <stdint.h>

struct command {
	char **words; /* NULL-terminated, for execvp() */
	unsigned nwords;
};

/* What is not in the options, or stands in their place. */
struct surroundings {
	const char *image;
	const char *initrd; /* NULL: none */
	const char *status_path; /* where the image writes its exit status */
	const char *monitor_path; /* memory that the image shares with us; NULL: none */
	struct machine_shape
	    shape; /* of the guest's CPUs, where --smp says nothing; all 0: QEMU's own */
	int control_fd; /* a socket of which QEMU's end this is; 0: none. QEMU waits to be told to begin */
	bool kvm;
	bool vhost; /* let the host's kernel move the frames of a tap */
	uint64_t time_ms; /* the wall clock's, for the image; 0: not told */
};

/* Returns NULL, or what is wrong. */
const char *command_build(struct command *command, const struct options *options,
			  const struct surroundings *surroundings);
/* The kernel's command line alone, "" if there is nothing to say; the caller frees it. */
const char *command_line_of(const struct options *options, uint64_t time_ms, char **line);
void command_free(struct command *command);
