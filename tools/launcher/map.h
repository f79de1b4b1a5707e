/*
 * A machine's processors as a list to show: the host's, and the guest's beside it.
 */
#pragma once

#include "tools/launcher/pin.h"

#include <stdio.h>

/* One processor, in the order in which they lie. */
struct slot {
	char group[80]; /* the package and what else lies around its core */
	unsigned core; /* siblings have the same */
	unsigned number; /* of the processor */
	int virtual; /* the virtual CPU that it is, or has; -1: none */
	bool usable; /* by this process */
	bool others; /* QEMU's other threads run on it */
	char note[48]; /* what there is to say of it */
};

struct map {
	const char *title;
	char summary[160];
	unsigned count;
	struct slot *slots;
};

/* Each takes memory that map_free() gives back. */
void map_of_host(struct map *map, const struct pin *pin);
void map_of_guest(struct map *map, const struct pin *pin, const struct machine_shape *shape);
void map_free(struct map *map);

void map_print(const struct map *map, FILE *to);
/* Both beside each other as a picture; `words` stand below. */
void map_draw(const struct map *host, const struct map *guest, const char *const *words,
	      unsigned nwords, FILE *to);
