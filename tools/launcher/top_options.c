#include "tools/launcher/top_options.h"

#include "tools/launcher/complaint.h"
#include "tools/launcher/core_list.h"

#include <stdlib.h>
#include <string.h>

#define INTERVAL_MIN_S 0.1 /* a core that works tells as often */
#define INTERVAL_MAX_S 3600

const char top_usage[] =
    "usage: lavra top [IMAGE|PID] [options]\n"
    "\n"
    "Show what each core of a running image does, from memory that it shares with 'lavra run': the\n"
    "network need not work. Without IMAGE or PID (of its launcher) the one that runs is taken.\n"
    "\n"
    "  --interval S         seconds between two looks, 0.1 to 3600 (1)\n"
    "  --once               one table over one interval, and end\n"
    "  --json               an object on a line for each interval, with counters and rates\n"
    "  --cores LIST         only these, as 0,2-3\n"
    "  --help               this text\n"
    "\n"
    "keys: q quit, < and > choose the column to sort by, r reverse, f choose cores, p pause\n"
    "\n"
    "BUSY% is the time not halted; RX, TX frames received and sent, RXB, TXB their bytes; BATCH frames\n"
    "taken in a pass that found some, QUEUE frames that waited then; CALL system calls; SOCK requests of\n"
    "sockets; CONN connections opened; DROP frames dropped; FWD frames handed to the core of their flow;\n"
    "MSG messages of other cores; IPI, IRQ interrupts by cores, by devices and timers; SWITCH switches of\n"
    "threads, WAITus how long a thread waited for one; FAULT page faults; PKRU changes of domain.\n"
    "A dash: nothing happened that this could be said of, the core has not told anything since, or the\n"
    "image does not count it (system calls, if it was built with ISOLATION=none).\n"
    "\n"
    "examples\n"
    "  lavra top\n"
    "  lavra top httpd --once --cores 0-1\n"
    "  lavra top --json --interval 5 >samples.json\n";

static const char *parse_interval(struct top_options *options, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	/* Not so: also what is no number. */
	if (!*text || *end || !(value >= INTERVAL_MIN_S && value <= INTERVAL_MAX_S))
		return complain("--interval takes seconds from 0.1 to 3600, not '%s'", text);
	options->interval_ms = (unsigned)(value * 1000 + 0.5);
	return NULL;
}

/* --name value, or --name=value; NULL: the word is another one. */
static const char *value_of(const char *name, int argc, char **argv, int *i)
{
	const char *word = argv[*i];
	size_t length = strlen(name);

	if (strncmp(word, name, length) != 0)
		return NULL;
	if (word[length] == '=')
		return word + length + 1;
	if (word[length])
		return NULL;
	return ++*i < argc ? argv[*i] : "";
}

const char *top_options_parse(struct top_options *options, int argc, char **argv)
{
	*options = (struct top_options){ .interval_ms = 1000, .cores = ~0ull };
	for (int i = 0; i < argc; i++) {
		const char *word = argv[i], *value, *wrong = NULL;

		if (!strcmp(word, "--once"))
			options->once = true;
		else if (!strcmp(word, "--json"))
			options->json = true;
		else if (!strcmp(word, "--help") || !strcmp(word, "-h"))
			options->help = true;
		else if ((value = value_of("--interval", argc, argv, &i)))
			wrong = parse_interval(options, value);
		else if ((value = value_of("--cores", argc, argv, &i)))
			wrong = core_list_option(value, &options->cores);
		else if (word[0] == '-')
			return complain("unknown option '%s'", word);
		else if (options->which)
			return complain("one image at a time: '%s' and '%s'", options->which, word);
		else
			options->which = word;
		if (wrong)
			return wrong;
	}
	return NULL;
}
