/*
 * lavra topology: this machine's processors, the guest's, and which runs on which.
 */
#include "tools/launcher/command_words.h"
#include "tools/launcher/lavra.h"
#include "tools/launcher/map.h"
#include "tools/launcher/options.h"
#include "tools/launcher/pin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: lavra topology [--cores N] [--smp SHAPE] [--pin WHERE] [--svg FILE]\n"
    "\n"
    "Show the processors of this machine, those of a guest, and the pin map between them. The options\n"
    "mean what they mean to 'lavra run', but that --pin is auto.\n"
    "\n"
    "  --svg FILE           draw it into FILE, too\n"
    "  --help               this text\n"
    "\n"
    "With HWLOC_SYNTHETIC='pack:2 numa:1 core:4 pu:2' in the environment it is a machine of that shape.\n"
    "\n"
    "example\n"
    "  lavra topology --cores 2 --pin auto --svg map.svg\n";

/* What is not in either machine. */
static unsigned describe(const struct pin *pin, char (*words)[160])
{
	const struct placement *placement = &pin->placement;
	unsigned count = 0;
	char *list;

	if (!placement->pinned) {
		snprintf(words[count++], sizeof(*words), "%s",
			 placement->too_many
			     ? "nothing is pinned: there are more virtual CPUs than CPUs"
			     : "nothing is pinned: the host's scheduler places all threads");
		return count;
	}
	if (hwloc_bitmap_list_asprintf(&list, placement->others) < 0)
		abort();
	snprintf(words[count++], sizeof(*words), "QEMU's other threads: on CPU %s", list);
	free(list);
	if (placement->bind_memory)
		snprintf(words[count++], sizeof(*words), "memory: on NUMA node %d",
			 placement->node);
	else
		snprintf(words[count++], sizeof(*words), "memory: where the host puts it");
	return count;
}

static void draw(const char *path, const struct map *host, const struct map *guest,
		 const char *const *words, unsigned nwords)
{
	FILE *file = fopen(path, "we");
	bool failed;

	if (!file)
		refuse(EXIT_CANNOT, "%s: %s (give --svg a file that can be written)", path,
		       strerror(errno));
	map_draw(host, guest, words, nwords, file);
	failed = ferror(file);
	if (fclose(file) || failed)
		refuse(EXIT_CANNOT, "%s: %s: the picture is not complete", path, strerror(errno));
}

static void show(const struct options *options, const char *picture)
{
	struct pin pin;
	struct map host, guest;
	char text[4][160];
	const char *words[4];
	const char *wrong = pin_prepare(&pin, options);
	unsigned nwords;

	if (wrong)
		refuse(EXIT_CANNOT, "%s", wrong);
	map_of_host(&host, &pin);
	map_of_guest(&guest, &pin, options->shape.sockets ? &options->shape : &pin.placement.shape);
	nwords = describe(&pin, text);
	map_print(&host, stdout);
	map_print(&guest, stdout);
	for (unsigned i = 0; i < nwords; i++) {
		words[i] = text[i];
		puts(text[i]);
	}
	if (picture)
		draw(picture, &host, &guest, words, nwords);
	map_free(&host);
	map_free(&guest);
	pin_free(&pin);
}

int topology_command(int argc, char **argv)
{
	const char *picture = NULL, *wrong;
	char **words = command_words(&argc, argv, "--svg", "a file's name", &picture);
	struct options options;

	wrong = options_parse_machine(&options, argc, words);
	if (wrong)
		refuse(EXIT_USAGE, "%s\n'lavra topology --help' lists the options", wrong);
	if (options.help)
		fputs(usage, stdout);
	else
		show(&options, picture);
	options_free(&options);
	free(words);
	return 0;
}
