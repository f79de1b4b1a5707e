/*
 * Pinning: looking at this machine, and putting QEMU's threads where the pin map says.
 *
 * QEMU is started stopped, with a socket for its machine protocol. All of it starts on the processors for its
 * other threads and with its memory bound; then each virtual CPU's thread is moved to its own
 * processor, and the guest begins.
 */
#pragma once

#include "tools/launcher/options.h"
#include "tools/launcher/placement.h"

#include <signal.h>
#include <sys/types.h>

struct pin {
	hwloc_topology_t topology;
	hwloc_bitmap_t usable; /* what this process may use */
	struct placement placement;
	int ours, theirs; /* the ends of the socket; -1: none */
};

/* Each returns NULL, or what is wrong in a sentence (static memory). */

/* Look at this machine and choose. pin_free() in either case. */
const char *pin_prepare(struct pin *pin, const struct options *options);
/* The socket, if something is pinned. */
const char *pin_connect(struct pin *pin);
/* In the process that becomes QEMU, before it does. */
const char *pin_before_exec(const struct pin *pin);
/* Move the virtual CPUs; let them begin, unless a debugger will. Gives up when one of `signals`, which are
 * blocked, arrives: *interrupted. */
const char *pin_apply(struct pin *pin, const sigset_t *signals, bool begin, bool *interrupted);
void pin_free(struct pin *pin);

/* What is to be said where placement.too_many (static memory). */
const char *pin_too_many(const struct pin *pin);
/* Print the map, every line behind `prefix`. */
void pin_print(const struct pin *pin, const char *prefix);
