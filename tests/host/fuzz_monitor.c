/*
 * Any bytes as the monitor's file: no access outside of what was read, and what is accepted is within bounds and can
 * be shown. The first half of the input is the file at the first look, the second half what a guest has made
 * of it by the second.
 *
 * links: tools/launcher/monitor_reader.c tools/launcher/rates.c tools/launcher/complaint.c
 * links: tools/launcher/top_view.c
 */
#include "tools/launcher/top_view.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int fd = -1;

static void write_file(const uint8_t *data, size_t size)
{
	if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
}

static void show(const struct monitor_reader *reader, const struct sample *now,
		 const struct rates *rates)
{
	struct top_sample shown = {
		.image = "image", .reader = reader, .now = now, .rates = rates, .cores = ~0ull
	};
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	top_print_table(to, &shown, (struct top_order){ 1, true }, 0, 0, "", "");
	top_print_json(to, &shown);
	fclose(to);
	/* Nothing that a terminal obeys. */
	for (size_t i = 0; i < size; i++)
		if ((text[i] < ' ' && text[i] != '\n') || text[i] > '~')
			abort();
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sample samples[2];
	static struct rates rates;
	struct guest_clock clock = { 0 };
	struct monitor_reader *reader = malloc(sizeof(*reader));
	struct monitor_header header = { 0 };
	size_t half = size / 2;
	uint8_t *file = calloc(1, sizeof(header) + size);

	if (fd < 0 && (fd = memfd_create("fuzz", 0)) < 0)
		abort();
	/* A fuzzer would not find the magic number in its lifetime. */
	memcpy(file, data, half);
	if (half >= sizeof(header) && data[0] & 1) {
		header.magic = MONITOR_MAGIC;
		memcpy(file, &header.magic, sizeof(header.magic));
		((struct monitor_header *)file)->version = MONITOR_VERSION;
	}
	write_file(file, half);
	if (!monitor_open(reader, fd)) {
		if (reader->ncores > MONITOR_CORES_MAX || reader->ncounters > MONITOR_COUNTERS_MAX)
			abort();
		reader->pauses = 0;
		monitor_read(reader, &samples[0]);
		guest_clock_learn(&clock, reader, NULL, &samples[0]);
		write_file(data + half, size - half);
		if (!monitor_read(reader, &samples[1])) {
			guest_clock_learn(&clock, reader, &samples[0], &samples[1]);
			rates_compute(&rates, reader, &clock, &samples[0], &samples[1]);
			show(reader, &samples[1], &rates);
		}
	}
	free(file);
	free(reader);
	return 0;
}
