#include "tools/launcher/map.h"

#include "tools/launcher/plural.h"

#include <stdlib.h>
#include <string.h>

static struct slot *new_slots(unsigned count)
{
	struct slot *slots = calloc(count ? count : 1, sizeof(*slots));

	if (!slots)
		abort();
	return slots;
}

static void name_group(struct slot *slot, hwloc_topology_t topology, hwloc_obj_t processor)
{
	hwloc_obj_t package =
	    hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE, processor);
	hwloc_obj_t die = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_DIE, processor);
	int node = placement_node(topology, processor), length;

	length = snprintf(slot->group, sizeof(slot->group), "package %u",
			  package ? package->os_index == HWLOC_UNKNOWN_INDEX
					? package->logical_index
					: package->os_index
				  : 0);
	/* Where each package is one die, that says nothing. */
	if (die && hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_DIE) >
		       hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PACKAGE))
		length += snprintf(slot->group + length, sizeof(slot->group) - (size_t)length,
				   ", die %u", die->logical_index);
	if (node >= 0)
		snprintf(slot->group + length, sizeof(slot->group) - (size_t)length,
			 ", NUMA node %d", node);
}

void map_of_host(struct map *map, const struct pin *pin)
{
	hwloc_topology_t topology = pin->topology;
	const struct placement *placement = &pin->placement;
	int packages = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PACKAGE);
	int cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
	int processors = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
	int nodes = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE);

	*map = (struct map){ .title = "this machine",
			     .count = (unsigned)processors,
			     .slots = new_slots((unsigned)processors) };
	snprintf(map->summary, sizeof(map->summary),
		 "%d package%s, %d core%s, %d CPU%s, %d NUMA node%s", packages, plural(packages),
		 cores, plural(cores), processors, plural(processors), nodes, plural(nodes));
	for (unsigned i = 0; i < map->count; i++) {
		hwloc_obj_t processor = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PU, i);
		hwloc_obj_t core =
		    hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_CORE, processor);
		struct slot *slot = &map->slots[i];

		name_group(slot, topology, processor);
		slot->core = core ? core->logical_index : i;
		slot->number = processor->os_index;
		slot->usable = hwloc_bitmap_isset(pin->usable, slot->number);
		slot->virtual = -1;
		for (unsigned cpu = 0; placement->pinned && cpu < placement->ncpus; cpu++)
			if (placement->cpu[cpu] == slot->number)
				slot->virtual = (int)cpu;
		slot->others = placement->pinned &&
			       hwloc_bitmap_isset(placement->others, slot->number);
		if (slot->virtual >= 0)
			snprintf(slot->note, sizeof(slot->note), "vCPU %d%s", slot->virtual,
				 slot->others ? ", other threads" : "");
		else if (!slot->usable)
			snprintf(slot->note, sizeof(slot->note), "not for us");
		else if (slot->others)
			snprintf(slot->note, sizeof(slot->note), "other threads");
	}
}

void map_of_guest(struct map *map, const struct pin *pin, const struct machine_shape *shape)
{
	const struct placement *placement = &pin->placement;
	struct machine_shape flat = { 1, 1, placement->ncpus, 1 };
	unsigned per_die, per_package;

	/* As QEMU does where it is told no shape. */
	if (!shape->sockets)
		shape = &flat;
	per_die = shape->cores * shape->threads;
	per_package = shape->dies * per_die;
	*map = (struct map){ .title = "guest",
			     .count = placement->ncpus,
			     .slots = new_slots(placement->ncpus) };
	snprintf(map->summary, sizeof(map->summary),
		 "%u virtual CPU%s (vCPU): %u package%s of %u die%s of %u core%s of %u thread%s",
		 placement->ncpus, plural(placement->ncpus), shape->sockets, plural(shape->sockets),
		 shape->dies, plural(shape->dies), shape->cores, plural(shape->cores),
		 shape->threads, plural(shape->threads));
	for (unsigned i = 0; i < map->count; i++) {
		struct slot *slot = &map->slots[i];

		if (shape->dies > 1)
			snprintf(slot->group, sizeof(slot->group), "package %u, die %u",
				 i / per_package, i / per_die % shape->dies);
		else
			snprintf(slot->group, sizeof(slot->group), "package %u", i / per_package);
		slot->core = i / shape->threads % (shape->dies * shape->cores);
		slot->number = i;
		slot->virtual = (int)i;
		slot->usable = true;
		if (placement->pinned)
			snprintf(slot->note, sizeof(slot->note), "on CPU %u", placement->cpu[i]);
		else
			snprintf(slot->note, sizeof(slot->note), "on any CPU");
	}
}

void map_free(struct map *map)
{
	free(map->slots);
	map->slots = NULL;
}

/* The length of the run of slots from `from` on that lie in one group. */
static unsigned group_length(const struct map *map, unsigned from)
{
	unsigned end = from;

	while (end < map->count && !strcmp(map->slots[end].group, map->slots[from].group))
		end++;
	return end - from;
}

void map_print(const struct map *map, FILE *to)
{
	const char *unit = strcmp(map->title, "guest") ? "CPU" : "vCPU";

	fprintf(to, "%s: %s\n", map->title, map->summary);
	for (unsigned i = 0; i < map->count; i++) {
		const struct slot *slot = &map->slots[i];
		bool new_group = !i || strcmp(slot[-1].group, slot->group) != 0;

		if (new_group)
			fprintf(to, "  %s\n", slot->group);
		if (new_group || slot[-1].core != slot->core)
			fprintf(to, "    core %-4u", slot->core);
		else
			fprintf(to, "    %-9s", "");
		fprintf(to, " %s %-4u%s%s\n", unit, slot->number, *slot->note ? "  " : "",
			slot->note);
	}
}

/* ---- the picture ---- */

enum {
	CELL_WIDTH = 118,
	CELL_HEIGHT = 40,
	GAP = 8,
	CORE_TITLE = 18,
	GROUP_TITLE = 24,
	COLUMNS = 4, /* cores beside each other */
	MARGIN = 24,
	HEAD = 64,
	LINE = 20,
};

static unsigned threads_of(const struct map *map, unsigned from, unsigned end)
{
	unsigned i = from;

	while (i < end && map->slots[i].core == map->slots[from].core)
		i++;
	return i - from;
}

static const char *fill_of(const struct slot *slot, unsigned nvirtual, char *text, size_t size)
{
	if (slot->virtual >= 0)
		/* The golden angle keeps neighbours apart, however many there are. */
		snprintf(text, size, "hsl(%u,65%%,%u%%)", (unsigned)slot->virtual * 137 % 360,
			 nvirtual > 24 && slot->virtual % 2 ? 72u : 82u);
	else
		snprintf(text, size, "%s", slot->usable ? "#ffffff" : "#dddddd");
	return text;
}

static void draw_cell(const struct slot *slot, const char *unit, unsigned nvirtual, unsigned x,
		      unsigned y, FILE *to)
{
	char fill[40];

	fprintf(to,
		"<rect x=\"%u\" y=\"%u\" width=\"%d\" height=\"%d\" rx=\"4\" fill=\"%s\" "
		"stroke=\"#555\"%s/>\n",
		x, y, CELL_WIDTH, CELL_HEIGHT, fill_of(slot, nvirtual, fill, sizeof(fill)),
		slot->others ? " stroke-dasharray=\"5 3\" stroke-width=\"2\"" : "");
	fprintf(to, "<text x=\"%u\" y=\"%u\" class=\"b\">%s %u</text>\n", x + 8, y + 16, unit,
		slot->number);
	fprintf(to, "<text x=\"%u\" y=\"%u\" class=\"s\">%s</text>\n", x + 8, y + 32, slot->note);
}

/* The cores of one group, in rows. Draws nothing without `to`. Returns the height. */
static unsigned draw_group(const struct map *map, unsigned from, unsigned end, unsigned nvirtual,
			   unsigned x, unsigned y, FILE *to)
{
	const char *unit = strcmp(map->title, "guest") ? "CPU" : "vCPU";
	unsigned column = 0, row_height = 0, top = y + GROUP_TITLE;

	for (unsigned i = from; i < end;) {
		unsigned threads = threads_of(map, i, end);
		unsigned height = CORE_TITLE + threads * (CELL_HEIGHT + GAP);
		unsigned left = x + GAP + column * (CELL_WIDTH + 3 * GAP);

		if (to) {
			fprintf(to,
				"<rect x=\"%u\" y=\"%u\" width=\"%d\" height=\"%u\" rx=\"5\" "
				"fill=\"#f4f4f4\" stroke=\"#aaa\"/>\n",
				left, top, CELL_WIDTH + 2 * GAP, height);
			fprintf(to, "<text x=\"%u\" y=\"%u\" class=\"s\">core %u</text>\n",
				left + GAP, top + 13, map->slots[i].core);
			for (unsigned thread = 0; thread < threads; thread++)
				draw_cell(&map->slots[i + thread], unit, nvirtual, left + GAP,
					  top + CORE_TITLE + thread * (CELL_HEIGHT + GAP), to);
		}
		row_height = height > row_height ? height : row_height;
		i += threads;
		if (++column == COLUMNS || i == end) {
			top += row_height + GAP;
			column = row_height = 0;
		}
	}
	return top - y;
}

static unsigned panel_width(void)
{
	return COLUMNS * (CELL_WIDTH + 3 * GAP) + GAP;
}

static unsigned draw_map(const struct map *map, unsigned nvirtual, unsigned x, FILE *to)
{
	unsigned y = HEAD;

	if (to)
		fprintf(to,
			"<text x=\"%u\" y=\"32\" class=\"t\">%s</text>\n"
			"<text x=\"%u\" y=\"52\" class=\"s\">%s</text>\n",
			x, map->title, x, map->summary);
	for (unsigned i = 0; i < map->count;) {
		unsigned end = i + group_length(map, i);
		unsigned height = draw_group(map, i, end, nvirtual, x, y, NULL);

		if (to) {
			fprintf(to,
				"<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" rx=\"6\" "
				"fill=\"#e8eef5\" stroke=\"#7a8ba0\"/>\n"
				"<text x=\"%u\" y=\"%u\" class=\"b\">%s</text>\n",
				x, y, panel_width(), height, x + GAP, y + 17, map->slots[i].group);
			draw_group(map, i, end, nvirtual, x, y, to);
		}
		y += height + 2 * GAP;
		i = end;
	}
	return y;
}

void map_draw(const struct map *host, const struct map *guest, const char *const *words,
	      unsigned nwords, FILE *to)
{
	unsigned left = draw_map(host, guest->count, 0, NULL);
	unsigned right = draw_map(guest, guest->count, 0, NULL);
	unsigned bottom = left > right ? left : right;
	unsigned width = 3 * MARGIN + 2 * panel_width();
	unsigned height = bottom + nwords * LINE + MARGIN;

	fprintf(to,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
		"viewBox=\"0 0 %u %u\">\n"
		"<style>text{font-family:sans-serif;fill:#222}.t{font-size:20px;font-weight:bold}"
		".b{font-size:13px;font-weight:bold}.s{font-size:12px}</style>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
		width, height, width, height);
	draw_map(host, guest->count, MARGIN, to);
	draw_map(guest, guest->count, 2 * MARGIN + panel_width(), to);
	for (unsigned i = 0; i < nwords; i++)
		fprintf(to, "<text x=\"%d\" y=\"%u\" class=\"s\">%s</text>\n", MARGIN,
			bottom + (i + 1) * LINE - 6, words[i]);
	fputs("</svg>\n", to);
}
