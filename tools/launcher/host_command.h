/*
 * Asking a running image for something (include/lavra/monitor.h, docs/monitor.md).
 */
#pragma once

#include "tools/launcher/choose_image.h"

struct host_command {
	enum monitor_command_kind kind;
	uint64_t arguments[4];
};

/* Have it done, and wait: at most a few seconds. NULL, or what is wrong in a sentence (static memory); *result is
 * then 0 or a negative errno of the image's. The reader's file is writable. */
const char *host_command(const struct monitor_reader *reader, const struct host_command *command,
			 int *result);

/* What the image listed last (MONITOR_LIST_THREADS). NULL, or what is wrong. An image without a list of queues has
 * none. */
const char *host_read_threads(const struct monitor_reader *reader, struct monitor_threads *threads);
const char *host_read_queues(const struct monitor_reader *reader, struct monitor_queues *queues);
