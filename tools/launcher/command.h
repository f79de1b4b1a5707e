/*
 * The command line of QEMU for what was asked for.
 */
#pragma once

#include "tools/launcher/options.h"

struct command {
	char **words; /* NULL-terminated, for execvp() */
	unsigned nwords;
};

/* `kvm`: use KVM; `vhost`: let the host's kernel move the frames of a tap; `status_path`: where the
 * image writes its exit status. Returns NULL, or what is wrong. */
const char *command_build(struct command *command, const struct options *options, bool kvm,
			  bool vhost, const char *status_path);
void command_free(struct command *command);
