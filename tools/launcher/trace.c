/*
 * lavra trace: what each core of a running image does, event by event, as a file to look at.
 */
#include "tools/launcher/clock.h"
#include "tools/launcher/complaint.h"
#include "tools/launcher/host_command.h"
#include "tools/launcher/lavra.h"
#include "tools/launcher/plural.h"
#include "tools/launcher/trace_json.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_MS 2
#define SECONDS_MAX 600
#define RECORDS_MAX (64u << 20)

static const char trace_usage[] =
    "usage: lavra trace [IMAGE|PID] [options]\n"
    "\n"
    "Record what each core of a running image does: which thread runs, halts, interrupts, system calls,\n"
    "wake-ups, page faults, frames. The file opens in Perfetto and in chrome://tracing. While nobody\n"
    "records, the places where events happen are instructions that do nothing.\n"
    "\n"
    "  --seconds S          how long, 0.1 to 600 (1)\n"
    "  --out FILE           where to (IMAGE.trace.json)\n"
    "  --help               this text\n"
    "\n"
    "example\n"
    "  lavra trace httpd --seconds 2 --out httpd.json\n";

struct trace_options {
	const char *which, *out;
	double seconds;
	bool help;
};

static const char *parse(struct trace_options *options, int argc, char **argv)
{
	*options = (struct trace_options){ .seconds = 1 };
	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];
		char *end;

		if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
			options->help = true;
		} else if (!strcmp(word, "--seconds") && i + 1 < argc) {
			options->seconds = strtod(argv[++i], &end);
			if (*end || end == argv[i] ||
			    !(options->seconds >= 0.1 && options->seconds <= SECONDS_MAX))
				return complain("--seconds takes 0.1 to %d, not '%s'", SECONDS_MAX,
						argv[i]);
		} else if (!strcmp(word, "--out") && i + 1 < argc) {
			options->out = argv[++i];
		} else if (word[0] == '-') {
			return complain("unknown option '%s', or it wants a value", word);
		} else if (options->which) {
			return complain("one image at a time: '%s' and '%s'", options->which, word);
		} else {
			options->which = word;
		}
	}
	return NULL;
}

/* ---- reading the rings ---- */

struct rings {
	int fd;
	uint64_t offset, stride;
	unsigned ncores;
	uint64_t read[MONITOR_CORES_MAX]; /* up to which number */
};

static void read_ring(const struct rings *rings, unsigned core, void *to, size_t size)
{
	const char *wrong =
	    monitor_read_at(rings->fd, rings->offset + core * rings->stride, to, size);

	if (wrong)
		refuse(EXIT_CANNOT, "%s", wrong);
}

static uint64_t head_of(const struct rings *rings, unsigned core)
{
	uint64_t head;

	read_ring(rings, core, &head, sizeof(head));
	return head;
}

/* All of a ring, at once: it is small, and what matters is which of it was whole. */
static void read_core(struct rings *rings, unsigned core, struct trace *trace)
{
	static struct trace_ring ring;
	uint64_t head = head_of(rings, core), after, from = rings->read[core];

	if (head == from)
		return;
	read_ring(rings, core, &ring, sizeof(ring));
	after = head_of(rings, core);
	/* The image may say anything. */
	if (head < from || after < head)
		refuse(EXIT_CANNOT,
		       "the image's trace is damaged: core %u has written %lu records, then %lu",
		       core, head, after);
	/* What was overwritten before, or while, it was read; and the one that may just have been. */
	if (after >= TRACE_RING_RECORDS && from < after - TRACE_RING_RECORDS + 1) {
		uint64_t first = after - TRACE_RING_RECORDS + 1;

		trace->lost += (first < head ? first : head) - from;
		from = first < head ? first : head;
	}
	for (; from < head; from++)
		if (trace->count >= RECORDS_MAX ||
		    !trace_add(trace, core, &ring.records[from % TRACE_RING_RECORDS]))
			refuse(EXIT_CANNOT,
			       "too many events for this machine's memory: use a shorter "
			       "--seconds");
	rings->read[core] = head;
}

static volatile sig_atomic_t stopped;

static void stop(int number)
{
	stopped = number;
}

static void record(struct rings *rings, double seconds, struct trace *trace)
{
	uint64_t end_ns = host_ns() + (uint64_t)(seconds * 1e9);

	while (host_ns() < end_ns && !stopped && monitor_file_is_in_use(rings->fd)) {
		for (unsigned core = 0; core < rings->ncores; core++)
			read_core(rings, core, trace);
		pause_ms(PAUSE_MS);
	}
}

static struct monitor_reader reader; /* large */
static bool is_on;

static const char *switch_trace(bool on)
{
	const struct host_command command = { MONITOR_TRACE, { on } };
	int result = 0;
	const char *wrong = host_command(&reader, &command, &result);

	is_on = on;
	return !wrong && result ? complain("the image cannot be traced: %s", strerror(-result))
				: wrong;
}

/* Also when this program refuses to go on. */
static void switch_off(void)
{
	const char *wrong = is_on ? switch_trace(false) : NULL;

	/* One that has ended meanwhile needs not be told. */
	if (wrong && monitor_file_is_in_use(reader.fd))
		fprintf(stderr, "lavra: the trace is still on: %s\n", wrong);
}

static void find_rings(struct rings *rings)
{
	const struct monitor_region *region =
	    monitor_region(&reader, MONITOR_REGION_TRACE, sizeof(struct trace_ring));

	if (!region || region->count > MONITOR_CORES_MAX)
		refuse(EXIT_CANNOT,
		       "the image has no trace: it was built from another source tree");
	*rings = (struct rings){ reader.fd, region->offset, region->stride, region->count, { 0 } };
	for (unsigned core = 0; core < rings->ncores; core++)
		rings->read[core] = head_of(rings, core);
}

int trace_command(int argc, char **argv)
{
	struct running_image image;
	struct trace_options options;
	struct trace trace = { 0 };
	struct rings rings;
	char path[IMAGE_NAME_SIZE + 16];
	const char *wrong = parse(&options, argc, argv);
	size_t events;
	FILE *to;

	if (wrong)
		refuse(EXIT_USAGE, "%s\n'lavra trace --help' lists the options", wrong);
	if (options.help) {
		fputs(trace_usage, stdout);
		return 0;
	}
	choose_image(&image, options.which);
	open_image(&reader, &image, true);
	snprintf(path, sizeof(path), "%s.trace.json", image.name);
	to = fopen(options.out ? options.out : path, "w");
	if (!to)
		refuse(EXIT_CANNOT, "%s: %s (give --out a file that can be written)",
		       options.out ? options.out : path, strerror(errno));
	find_rings(&rings);
	trace.ncores = rings.ncores;
	/* It must be switched off again. */
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	atexit(switch_off);
	wrong = switch_trace(true);
	if (wrong)
		refuse(EXIT_CANNOT, "%s", wrong);
	record(&rings, options.seconds, &trace);
	switch_off();
	for (unsigned core = 0; core < rings.ncores; core++)
		read_core(&rings, core, &trace);
	events = trace_write_json(to, &trace);
	if (fclose(to) != 0)
		refuse(EXIT_CANNOT, "%s: %s", options.out ? options.out : path, strerror(errno));
	printf(
	    "%s: %zu event%s of %u core%s, %lu lost%s; open it in Perfetto or chrome://tracing\n",
	    options.out ? options.out : path, events, plural(events), trace.ncores,
	    plural(trace.ncores), trace.lost,
	    trace.lost ? " (this machine was too busy to read them in time)" : "");
	trace_free(&trace);
	return 0;
}
