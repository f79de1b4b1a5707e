/*
 * lavra top: what each core of a running image does, on a terminal, as a table or as JSON.
 */
#include "tools/launcher/choose_image.h"
#include "tools/launcher/clock.h"
#include "tools/launcher/core_list.h"
#include "tools/launcher/lavra.h"
#include "tools/launcher/plural.h"
#include "tools/launcher/terminal.h"
#include "tools/launcher/top_options.h"
#include "tools/launcher/top_view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct top {
	struct running_image image;
	struct monitor_reader reader;
	struct guest_clock clock;
	struct sample samples[2];
	unsigned newest; /* of the samples */
	struct rates rates;
	double interval_s;
	uint64_t cores;
	struct top_order order;
	bool paused, json;
};

static void take_sample(struct top *top, bool first)
{
	struct sample *before = &top->samples[top->newest];
	struct sample *now = &top->samples[!top->newest];
	const char *wrong = monitor_read(&top->reader, now);

	if (wrong)
		refuse(EXIT_CANNOT, "%s: %s", top->image.path, wrong);
	top->newest = !top->newest;
	guest_clock_learn(&top->clock, &top->reader, first ? NULL : before, now);
	if (first)
		return;
	rates_compute(&top->rates, &top->reader, &top->clock, before, now);
	top->interval_s = (double)(now->host_ns - before->host_ns) / 1e9;
}

static struct top_sample shown(const struct top *top)
{
	return (struct top_sample){
		.image = top->image.name,
		.pid = top->image.pid,
		.reader = &top->reader,
		.now = &top->samples[top->newest],
		.rates = &top->rates,
		.cores = top->cores,
		.interval_s = top->interval_s,
	};
}

static void draw(const struct top *top, const char *prompt, const char *typed)
{
	struct top_sample sample = shown(top);
	unsigned width, height;
	size_t size;
	char *text = NULL;
	FILE *table = open_memstream(&text, &size);

	if (!table)
		refuse(EXIT_CANNOT, "out of memory");
	terminal_size(&width, &height);
	top_print_table(table, &sample, top->order, width, height > 3 ? height - 3 : 1,
			TERMINAL_BOLD, TERMINAL_PLAIN);
	fclose(table);
	fputs(TERMINAL_HOME, stdout);
	printf("lavra top: %.*s, pid %d, %u core%s, by %s%s%s" TERMINAL_END_LINE "\n",
	       (int)(width > 60 ? IMAGE_NAME_SIZE : 12), top->image.name, (int)top->image.pid,
	       top->reader.ncores, plural(top->reader.ncores), top_column_title(top->order.column),
	       top->order.reverse ? ", reverse" : "", top->paused ? ", paused" : "");
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		printf("%s" TERMINAL_END_LINE "\n", line);
	free(text);
	fputs(TERMINAL_END_SCREEN "\n", stdout);
	if (prompt)
		printf("%s%s", prompt, typed);
	else
		printf("%.*s", (int)width - 1, "q quit  < > sort  r reverse  f filter  p pause");
	fflush(stdout);
}

/* Does the image have one of these cores? */
static bool has_one_of(const struct monitor_reader *reader, uint64_t cores)
{
	return reader->ncores >= 64 || cores & ((1ull << reader->ncores) - 1);
}

#define TYPED_MAX 64

/* A list of cores, typed; nothing typed: all of them. */
static void ask_for_cores(struct top *top)
{
	char typed[TYPED_MAX] = "";
	const char *prompt = "cores (as 0,2-3; empty: all): ";
	size_t length = 0;
	uint64_t cores;

	for (;;) {
		int key;

		draw(top, prompt, typed);
		key = terminal_key(-1);
		if (key < 0 || key == 27)
			return;
		if (key == '\r' || key == '\n') {
			if (!length)
				top->cores = ~0ull;
			else if (core_list_parse(typed, &cores) && has_one_of(&top->reader, cores))
				top->cores = cores;
			else {
				prompt = "that is no list of its cores; again: ";
				typed[length = 0] = 0;
				continue;
			}
			return;
		}
		if ((key == 127 || key == 8) && length)
			typed[--length] = 0;
		else if (key >= ' ' && key < 127 && length < TYPED_MAX - 1) {
			typed[length++] = (char)key;
			typed[length] = 0;
		}
	}
}

/* False: it is the end. */
static bool act_on(struct top *top, int key)
{
	unsigned last = top_ncolumns() - 1;

	switch (key) {
	case 'q':
	case 3: /* Ctrl-C */
		return false;
	case '<':
	case ',':
		top->order.column = top->order.column ? top->order.column - 1 : last;
		break;
	case '>':
	case '.':
		top->order.column = top->order.column < last ? top->order.column + 1 : 0;
		break;
	case 'r':
		top->order.reverse = !top->order.reverse;
		break;
	case 'f':
		ask_for_cores(top);
		break;
	case 'p':
		top->paused = !top->paused;
		break;
	}
	return true;
}

static int watch(struct top *top, unsigned interval_ms)
{
	uint64_t next_ms = host_ms() + interval_ms;
	bool ended = false;

	if (!terminal_begin())
		refuse(EXIT_CANNOT, "the terminal cannot be set up: %s (use --once)",
		       strerror(errno));
	draw(top, NULL, NULL);
	while (!ended && !terminal_is_over()) {
		uint64_t now_ms = host_ms();
		int key = terminal_key(now_ms < next_ms ? (int)(next_ms - now_ms) : 0);

		if (key == TERMINAL_CLOSED || (key >= 0 && !act_on(top, key)))
			break;
		if (host_ms() >= next_ms) {
			next_ms = host_ms() + interval_ms;
			ended = !monitor_file_is_in_use(top->reader.fd);
			if (!ended && !top->paused)
				take_sample(top, false);
		}
		draw(top, NULL, NULL);
	}
	terminal_end();
	if (ended)
		fprintf(stderr, "lavra: the image '%s' has ended\n", top->image.name);
	return 0;
}

static void print(const struct top *top)
{
	struct top_sample sample = shown(top);

	if (top->json)
		top_print_json(stdout, &sample);
	else
		top_print_table(stdout, &sample, top->order, 0, 0, "", "");
	fflush(stdout);
}

static int print_samples(struct top *top, unsigned interval_ms, bool once)
{
	do {
		pause_ms(interval_ms);
		if (!monitor_file_is_in_use(top->reader.fd)) {
			if (once)
				refuse(EXIT_CANNOT, "the image '%s' has ended", top->image.name);
			return 0;
		}
		take_sample(top, false);
		print(top);
	} while (!once && !ferror(stdout));
	return 0;
}

int top_command(int argc, char **argv)
{
	static struct top top; /* large */
	struct top_options options;
	const char *wrong = top_options_parse(&options, argc, argv);

	if (wrong)
		refuse(EXIT_USAGE, "%s\n'lavra top --help' lists the options", wrong);
	if (options.help) {
		fputs(top_usage, stdout);
		return 0;
	}
	choose_image(&top.image, options.which);
	open_image(&top.reader, &top.image, false);
	if (!has_one_of(&top.reader, options.cores))
		refuse(EXIT_CANNOT,
		       "the image '%s' has none of these cores: its last one is core %u (--cores)",
		       top.image.name, top.reader.ncores - 1);
	top.cores = options.cores;
	top.json = options.json;
	take_sample(&top, true);
	if (options.once || options.json || !isatty(STDOUT_FILENO))
		return print_samples(&top, options.interval_ms, options.once);
	/* Something to see at once: what happened in a moment. */
	pause_ms(options.interval_ms < 300 ? options.interval_ms : 300);
	take_sample(&top, false);
	return watch(&top, options.interval_ms);
}
