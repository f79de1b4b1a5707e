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
	bool kvm;
	bool vhost; /* let the host's kernel move the frames of a tap */
	uint64_t time_ms; /* the wall clock's, for the image; 0: not told */
};

/* Returns NULL, or what is wrong. */
const char *command_build(struct command *command, const struct options *options,
			  const struct surroundings *surroundings);
void command_free(struct command *command);
