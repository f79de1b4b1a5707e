/*
 * What a core does that has no work, in the words of --poll, and in those of the kernel's `idle=`.
 */
#pragma once

#include "lavra/monitor.h"

#include <string.h>

static const struct {
	const char *name, *kernels;
} poll_modes[] = {
	[MONITOR_IDLE_HALT] = { "irq", "halt" },
	[MONITOR_IDLE_POLL] = { "busy", "poll" },
	[MONITOR_IDLE_ADAPTIVE] = { "adaptive", "adaptive" },
};
#define NPOLL_MODES (sizeof(poll_modes) / sizeof(poll_modes[0]))

/* enum monitor_idle, or -1. */
static inline int poll_mode_parse(const char *name)
{
	for (unsigned i = 0; i < NPOLL_MODES; i++)
		if (!strcmp(name, poll_modes[i].name))
			return (int)i;
	return -1;
}
