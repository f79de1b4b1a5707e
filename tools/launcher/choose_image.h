/*
 * The running image that a command is about.
 */
#pragma once

#include "tools/launcher/monitor_reader.h"
#include "tools/launcher/run_folder.h"

/* By its name or its launcher's pid; NULL: the one that runs. Refuses, with a list of those there are. */
void choose_image(struct running_image *chosen, const char *which);

/* Open what it tells, waiting for it to begin. `writable`: to ask it for something. Refuses. */
void open_image(struct monitor_reader *reader, const struct running_image *image, bool writable);
