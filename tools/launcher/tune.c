/*
 * lavra tune: see and change where the threads of a running image may run, which cores have the queues of its
 * network, and what its idle cores do.
 */
#include "tools/launcher/complaint.h"
#include "tools/launcher/core_list.h"
#include "tools/launcher/host_command.h"
#include "tools/launcher/lavra.h"
#include "tools/launcher/plural.h"
#include "tools/launcher/poll_mode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char tune_usage[] =
    "usage: lavra tune [IMAGE|PID] [--thread TID --cores LIST] [--poll MODE [--cores LIST]]\n"
    "                  [--queue N --cores CORE]\n"
    "\n"
    "Change a running image, and show what it is like then: its threads with the cores that they are on and\n"
    "may use, which core each queue pair of the network is on, and what each core does that has no work.\n"
    "Without a change it is shown as it is.\n"
    "\n"
    "  --thread TID         this thread may run on --cores, and moves there now, or when it wakes up\n"
    "  --queue N            this queue pair of the network is polled by the one core of --cores, which gets\n"
    "                       its interrupts, and the connections that come by it from now on; those that\n"
    "                       are open stay on their core\n"
    "  --poll MODE          irq: halt until an interrupt; busy: look on and on, which takes all of a\n"
    "                       processor; adaptive: look on for as long as that has paid. Of all cores, or\n"
    "                       of --cores\n"
    "  --cores LIST         as 0,2-3\n"
    "  --help               this text\n"
    "\n"
    "examples\n"
    "  lavra tune httpd\n"
    "  lavra tune httpd --thread 3 --cores 1\n"
    "  lavra tune httpd --queue 0 --cores 1\n"
    "  lavra tune httpd --poll adaptive\n";

struct tune_options {
	const char *which;
	unsigned long thread; /* 0: none */
	long queue; /* -1: none */
	int mode; /* -1: none */
	uint64_t cores; /* 0: not said */
	bool help;
};

static const char *parse_mode(struct tune_options *options, const char *text)
{
	options->mode = poll_mode_parse(text);
	return options->mode < 0 ? complain("--poll takes irq, busy or adaptive, not '%s'", text)
				 : NULL;
}

static const char *parse_queue(struct tune_options *options, const char *text)
{
	char *end;

	options->queue = strtol(text, &end, 10);
	if (end == text || *end || options->queue < 0 || options->queue >= MONITOR_CORES_MAX)
		return complain("--queue takes a number that 'lavra tune' lists, not '%s'", text);
	return NULL;
}

static const char *parse_value(struct tune_options *options, const char *name, const char *value)
{
	char *end;

	if (!strcmp(name, "--poll"))
		return parse_mode(options, value);
	if (!strcmp(name, "--cores"))
		return core_list_option(value, &options->cores);
	if (!strcmp(name, "--queue"))
		return parse_queue(options, value);
	if (strcmp(name, "--thread"))
		return complain("unknown option '%s'", name);
	options->thread = strtoul(value, &end, 10);
	if (*end || !options->thread || options->thread > INT32_MAX)
		return complain("--thread takes a number that 'lavra tune' lists, not '%s'", value);
	return NULL;
}

static const char *parse(struct tune_options *options, int argc, char **argv)
{
	*options = (struct tune_options){ .queue = -1, .mode = -1 };
	for (int i = 0; i < argc; i++) {
		const char *word = argv[i], *wrong;

		if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
			options->help = true;
		} else if (word[0] == '-') {
			if (i + 1 >= argc)
				return complain("unknown option '%s', or it wants a value", word);
			wrong = parse_value(options, word, argv[++i]);
			if (wrong)
				return wrong;
		} else if (options->which) {
			return complain("one image at a time: '%s' and '%s'", options->which, word);
		} else {
			options->which = word;
		}
	}
	if (options->thread && !options->cores)
		return complain("--thread wants --cores, on which it may run");
	if (options->queue >= 0 && (options->thread || options->mode >= 0))
		return complain("--queue is for a call of its own: --cores would mean two things");
	if (options->queue >= 0 && (!options->cores || options->cores & (options->cores - 1)))
		return complain("--queue wants --cores with one core, to which it moves");
	if (options->cores && !options->thread && options->queue < 0 && options->mode < 0)
		return complain("--cores is for --thread, --queue or --poll");
	return NULL;
}

struct tuned {
	struct monitor_reader reader; /* large */
	struct running_image image;
	struct tune_options options;
};

/* All that are named have to be there: it may be a slip. */
static void check_cores(const struct tuned *tuned)
{
	unsigned last = tuned->reader.ncores - 1;
	uint64_t missing = tuned->options.cores & ~(~0ull >> (63 - last));
	char list[CORE_LIST_SIZE];

	if (!missing)
		return;
	core_list_print(missing, list);
	refuse(
	    EXIT_CANNOT,
	    "nothing has changed: the image '%s' has no core%s %s (--cores); its last one is core %u",
	    tuned->image.name, plural(__builtin_popcountll(missing)), list, last);
}

/* `what` is the beginning of a sentence that tells the image's error. */
static void ask(const struct tuned *tuned, struct host_command command, const char *what)
{
	int result = 0;
	const char *wrong = host_command(&tuned->reader, &command, &result);

	if (wrong)
		refuse(EXIT_CANNOT, "%s", wrong);
	if (result == -ESRCH)
		refuse(EXIT_CANNOT,
		       "%s: the image '%s' has no thread %lu (--thread); 'lavra tune' lists those "
		       "that it has",
		       what, tuned->image.name, tuned->options.thread);
	if (result == -ENODEV)
		refuse(EXIT_CANNOT,
		       "%s: the image '%s' has no network queue %ld (--queue); 'lavra tune' lists "
		       "those that it has",
		       what, tuned->image.name, tuned->options.queue);
	if (result)
		refuse(EXIT_CANNOT, "%s: %s", what,
		       result == -ENOSPC ? "that core can have no more interrupts; name another one"
		       : result == -ENOSYS
			   ? "the image was built from an older source tree; build it anew"
		       : result == -EBUSY ? "the device has not sent what is queued; try again"
					  : strerror(-result));
}

static void show(const struct tuned *tuned)
{
	const struct monitor_reader *reader = &tuned->reader;
	static struct monitor_threads threads; /* large */
	struct monitor_queues queues;
	const char *wrong;

	ask(tuned, (struct host_command){ .kind = MONITOR_LIST_THREADS },
	    "the image's threads cannot be listed");
	wrong = host_read_threads(reader, &threads);
	if (!wrong)
		wrong = host_read_queues(reader, &queues);
	if (wrong)
		refuse(EXIT_CANNOT, "%s", wrong);
	printf("%7s %-16s %5s %10s  %s\n", "THREAD", "NAME", "CORE", "CPU s", "MAY USE");
	for (unsigned i = 0; i < threads.count; i++) {
		const struct monitor_thread *thread = &threads.threads[i];
		char cores[CORE_LIST_SIZE];

		core_list_print(thread->affinity, cores);
		printf("%7u %-16s %5u %10.3f  %s\n", thread->tid, thread->name, thread->core,
		       (double)thread->cpu_ns / 1e9, cores);
	}
	putchar('\n');
	for (unsigned queue = 0; queue < queues.count; queue++)
		printf("network queue %u: core %u\n", queue, queues.cores[queue]);
	for (unsigned core = 0; core < reader->ncores; core++)
		printf("core %u without work: %s\n", core,
		       threads.idle[core] < NPOLL_MODES ? poll_modes[threads.idle[core]].name
							: "unknown");
}

int tune_command(int argc, char **argv)
{
	static struct tuned tuned; /* large */
	const struct tune_options *options = &tuned.options;
	const char *wrong = parse(&tuned.options, argc, argv);

	if (wrong)
		refuse(EXIT_USAGE, "%s\n'lavra tune --help' lists the options", wrong);
	if (options->help) {
		fputs(tune_usage, stdout);
		return 0;
	}
	choose_image(&tuned.image, options->which);
	open_image(&tuned.reader, &tuned.image, true);
	check_cores(&tuned);
	if (options->thread)
		ask(&tuned,
		    (struct host_command){ MONITOR_SET_AFFINITY,
					   { options->thread, options->cores } },
		    "no thread has moved");
	if (options->queue >= 0)
		ask(&tuned,
		    (struct host_command){
			MONITOR_MOVE_QUEUE,
			{ (uint64_t)options->queue, (uint64_t)__builtin_ctzll(options->cores) } },
		    "no queue has moved");
	if (options->mode >= 0)
		ask(&tuned,
		    (struct host_command){
			MONITOR_SET_IDLE,
			{ options->thread || !options->cores ? ~0ull : options->cores,
			  (uint64_t)options->mode } },
		    "the cores stay as they are");
	show(&tuned);
	return 0;
}
