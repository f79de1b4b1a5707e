#include "tools/launcher/options.h"

#include "tools/launcher/complaint.h"
#include "tools/launcher/plural.h"
#include "tools/launcher/poll_mode.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A decimal number in low..high that ends at `end`. */
static bool parse_number(const char *text, const char *end, unsigned long low, unsigned long high,
			 unsigned long *value)
{
	char *stop;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*value = strtoul(text, &stop, 10);
	return !errno && stop == end && *value >= low && *value <= high;
}

static const char *parse_cores(struct options *options, const char *text)
{
	unsigned long cores;

	if (!parse_number(text, text + strlen(text), 1, MAX_CPUS, &cores))
		return complain("--cores takes a number from 1 to %d, not '%s'", MAX_CPUS, text);
	options->cores = cores;
	options->has_cores = true;
	return NULL;
}

/* NAME=N, by commas. */
static const char *parse_smp(struct options *options, const char *text)
{
	struct machine_shape *shape = &options->shape;
	const struct {
		const char *name;
		unsigned *value;
	} parts[] = { { "sockets=", &shape->sockets },
		      { "dies=", &shape->dies },
		      { "cores=", &shape->cores },
		      { "threads=", &shape->threads } };
	unsigned long product = 1;

	*shape = (struct machine_shape){ 0 };
	for (const char *word = text;; word++) {
		const char *end = word + strcspn(word, ",");
		unsigned part = 0;
		unsigned long value;
		size_t length;

		while (part < 4 && strncmp(word, parts[part].name, strlen(parts[part].name)) != 0)
			part++;
		length = part < 4 ? strlen(parts[part].name) : 0;
		if (part == 4 || *parts[part].value ||
		    !parse_number(word + length, end, 1, MAX_CPUS, &value))
			return complain("--smp takes sockets=N,dies=N,cores=N,threads=N, each once "
					"and from 1 to %d, not '%s'",
					MAX_CPUS, text);
		*parts[part].value = value;
		word = end;
		if (!*word)
			break;
	}
	for (unsigned part = 0; part < 4; part++) {
		if (!*parts[part].value)
			*parts[part].value = 1;
		product *= *parts[part].value;
	}
	if (product > MAX_CPUS)
		return complain("--smp %s is %lu virtual CPUs; %d are the most", text, product,
				MAX_CPUS);
	return NULL;
}

/* Highest number that a processor of the host can have. */
#define MAX_HOST_CPU 65535

static const char *parse_pin_list(struct pin_request *pin, const char *text)
{
	for (const char *word = text;; word++) {
		const char *end = word + strcspn(word, ",");
		const char *dash = memchr(word, '-', (size_t)(end - word));
		unsigned long first, last;

		if (!parse_number(word, dash ? dash : end, 0, MAX_HOST_CPU, &first))
			break;
		last = first;
		if (dash && !parse_number(dash + 1, end, first, MAX_HOST_CPU, &last))
			break;
		for (; first <= last; first++) {
			if (pin->ncpus == 2 * MAX_CPUS)
				return complain("--pin %s names more than %d CPUs", text,
						2 * MAX_CPUS);
			for (unsigned i = 0; i < pin->ncpus; i++)
				if (pin->cpus[i] == first)
					return complain("--pin %s names CPU %lu twice", text,
							first);
			pin->cpus[pin->ncpus++] = first;
		}
		word = end;
		if (!*word)
			return NULL;
	}
	return complain("--pin takes auto, off, numa:NODE or a list of the host's CPUs such as "
			"0-3,8, not '%s'",
			text);
}

static const char *parse_pin(struct options *options, const char *text)
{
	struct pin_request *pin = &options->pin;
	unsigned long node;

	*pin = (struct pin_request){ .kind = PIN_LIST };
	if (!strcmp(text, "off")) {
		pin->kind = PIN_OFF;
	} else if (!strcmp(text, "auto")) {
		pin->kind = PIN_AUTO;
	} else if (!strncmp(text, "numa:", 5) &&
		   parse_number(text + 5, text + strlen(text), 0, MAX_HOST_CPU, &node)) {
		pin->kind = PIN_NUMA;
		pin->node = node;
	} else {
		return parse_pin_list(pin, text);
	}
	return NULL;
}

/* --cores and --smp say the same, or one of them is not there. */
static const char *settle_cores(struct options *options)
{
	const struct machine_shape *shape = &options->shape;
	unsigned product = shape->sockets * shape->dies * shape->cores * shape->threads;

	if (!product)
		return NULL;
	if (options->has_cores && options->cores != product)
		return complain("--cores says %u virtual CPU%s and --smp %u: leave one of them out",
				options->cores, plural(options->cores), product);
	if (shape->dies > 1 && strcmp(options->machine, "microvm") == 0)
		return complain("--machine microvm has no dies: leave dies= out of --smp, or take "
				"--machine q35");
	options->cores = product;
	return NULL;
}

static const char *parse_memory(struct options *options, const char *text)
{
	size_t len = strlen(text);
	char unit = len ? toupper((unsigned char)text[len - 1]) : 0;
	unsigned long value, scale = unit == 'G' ? 1024 : 1;

	if (unit == 'M' || unit == 'G')
		len--;
	/* 1 TiB is more than any machine this starts has; it keeps the product in range. */
	if (!parse_number(text, text + len, 1, 1ul << 20, &value) || value * scale > 1ul << 20)
		return complain("--memory takes MiB, or a number with M or G, not '%s'", text);
	options->memory_mib = value * scale;
	return NULL;
}

/* [ADDRESS:]HOST:GUEST[/tcp|/udp] */
static const char *parse_publish(struct options *options, const char *text)
{
	struct published_port *port = &options->published[options->npublished];
	const char *end = text + strlen(text), *slash = strchr(text, '/');
	const char *last = strrchr(text, ':'), *first = strchr(text, ':');
	const char *host = text;
	unsigned long host_port, guest_port;
	struct in_addr ignored;

	if (options->npublished == MAX_PUBLISHED)
		return complain("--publish can be given %d times at most", MAX_PUBLISHED);
	if (!last)
		goto malformed;
	snprintf(port->address, sizeof(port->address), "127.0.0.1");
	if (first != last) {
		if ((size_t)(first - text) >= sizeof(port->address))
			goto malformed;
		snprintf(port->address, sizeof(port->address), "%.*s", (int)(first - text), text);
		if (inet_pton(AF_INET, port->address, &ignored) != 1)
			return complain("--publish: '%s' is not an IPv4 address", port->address);
		host = first + 1;
	}
	if (slash) {
		if (strcmp(slash, "/udp") && strcmp(slash, "/tcp"))
			goto malformed;
		port->udp = !strcmp(slash, "/udp");
		end = slash;
	}
	if (!parse_number(host, last, 1, 65535, &host_port) ||
	    !parse_number(last + 1, end, 1, 65535, &guest_port))
		goto malformed;
	port->host_port = host_port;
	port->guest_port = guest_port;
	options->npublished++;
	return NULL;
malformed:
	return complain("--publish takes [ADDRESS:]HOST_PORT:GUEST_PORT[/udp], not '%s'", text);
}

static const char *parse_net(struct options *options, const char *text)
{
	if (!strcmp(text, "user")) {
		options->network = NETWORK_USER;
	} else if (!strcmp(text, "none")) {
		options->network = NETWORK_NONE;
	} else if (!strncmp(text, "tap:", 4) && text[4] && !strpbrk(text + 4, ", /") &&
		   strlen(text + 4) < 16) {
		options->network = NETWORK_TAP;
		options->tap = text + 4;
	} else {
		return complain("--net takes user, none or tap:INTERFACE, not '%s'", text);
	}
	return NULL;
}

static const char *parse_machine(struct options *options, const char *text)
{
	if (strcmp(text, "q35") && strcmp(text, "pc") && strcmp(text, "microvm"))
		return complain("--machine takes q35, pc or microvm, not '%s'", text);
	options->machine = text;
	return NULL;
}

static const char *parse_accel(struct options *options, const char *text)
{
	if (!strcmp(text, "kvm"))
		options->accelerator = ACCELERATOR_KVM;
	else if (!strcmp(text, "tcg"))
		options->accelerator = ACCELERATOR_TCG;
	else if (!strcmp(text, "auto"))
		options->accelerator = ACCELERATOR_AUTO;
	else
		return complain("--accel takes auto, kvm or tcg, not '%s'", text);
	return NULL;
}

static const char *parse_ip(struct options *options, const char *text)
{
	if (!*text || strchr(text, ' '))
		return complain("--ip takes dhcp or ADDRESS/PREFIX[,GATEWAY], not '%s'", text);
	options->ip = text;
	return NULL;
}

static const char *parse_append(struct options *options, char *text)
{
	if (!strcmp(text, "--") || !strncmp(text, "-- ", 3))
		return complain("--append is for the kernel; the program's arguments follow a --");
	options->append[options->nappend++] = text;
	return NULL;
}

static const char *parse_environment(struct options *options, char *text)
{
	if (*text == '=' || !strchr(text, '='))
		return complain("--env takes NAME=VALUE, not '%s'", text);
	options->environment[options->nenvironment++] = text;
	return NULL;
}

static const char *parse_aslr(struct options *options, const char *text)
{
	if (strcmp(text, "on") && strcmp(text, "off"))
		return complain("--aslr takes on or off, not '%s'", text);
	options->aslr = text;
	return NULL;
}

static const char *parse_isolation(struct options *options, const char *text)
{
	if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0 && strcmp(text, "require") != 0)
		return complain("--isolation takes on, off or require, not '%s'", text);
	options->isolation = text;
	return NULL;
}

static const char *parse_poll(struct options *options, const char *text)
{
	int mode = poll_mode_parse(text);

	if (mode < 0)
		return complain("--poll takes irq, busy or adaptive, not '%s'", text);
	options->idle = poll_modes[mode].kernels;
	return NULL;
}

static const char *parse_monitor(struct options *options, const char *text)
{
	if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0)
		return complain("--monitor takes on or off, not '%s'", text);
	options->monitor = !strcmp(text, "on");
	return NULL;
}

static const char *parse_metrics(struct options *options, const char *text)
{
	if (!parse_number(text, text + strlen(text), 1, 65535, &options->metrics_port))
		return complain("--metrics takes a port from 1 to 65535, not '%s'", text);
	return NULL;
}

static const char *parse_path(const char **path, const char *name, const char *text)
{
	if (!*text)
		return complain("%s takes a path", name);
	if (*path)
		return complain("%s can be given once", name);
	*path = text;
	return NULL;
}

static const char *parse_option(struct options *options, const char *name, char *value)
{
	if (!strcmp(name, "--initrd"))
		return parse_path(&options->initrd, name, value);
	if (!strcmp(name, "--files"))
		return parse_path(&options->files, name, value);
	if (!strcmp(name, "--env"))
		return parse_environment(options, value);
	if (!strcmp(name, "--aslr"))
		return parse_aslr(options, value);
	if (!strcmp(name, "--isolation"))
		return parse_isolation(options, value);
	if (!strcmp(name, "--poll"))
		return parse_poll(options, value);
	if (!strcmp(name, "--monitor"))
		return parse_monitor(options, value);
	if (!strcmp(name, "--metrics"))
		return parse_metrics(options, value);
	if (!strcmp(name, "--cores"))
		return parse_cores(options, value);
	if (!strcmp(name, "--smp"))
		return parse_smp(options, value);
	if (!strcmp(name, "--pin"))
		return parse_pin(options, value);
	if (!strcmp(name, "--memory"))
		return parse_memory(options, value);
	if (!strcmp(name, "--publish"))
		return parse_publish(options, value);
	if (!strcmp(name, "--net"))
		return parse_net(options, value);
	if (!strcmp(name, "--ip"))
		return parse_ip(options, value);
	if (!strcmp(name, "--machine"))
		return parse_machine(options, value);
	if (!strcmp(name, "--accel"))
		return parse_accel(options, value);
	if (!strcmp(name, "--append"))
		return parse_append(options, value);
	if (!strcmp(name, "--qemu"))
		options->qemu = value;
	else
		options->qemu_options[options->nqemu_options++] = value;
	return NULL;
}

static bool takes_value(const char *name)
{
	static const char *const names[] = {
		"--cores",   "--memory",  "--publish", "--net",	 "--ip",
		"--machine", "--accel",	  "--append",  "--qemu", "--qemu-option",
		"--initrd",  "--files",	  "--env",     "--aslr", "--isolation",
		"--poll",    "--monitor", "--metrics", "--smp",	 "--pin"
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static const char *parse_words(struct options *options, int argc, char **argv)
{
	const char *wrong;

	*options = (struct options){
		.cores = 1,
		.memory_mib = 128,
		.machine = "q35",
		.monitor = true,
		.qemu = "qemu-system-x86_64",
		.append = calloc(argc + 1, sizeof(char *)),
		.environment = calloc(argc + 1, sizeof(char *)),
		.qemu_options = calloc(argc + 1, sizeof(char *)),
	};
	if (!options->append || !options->environment || !options->qemu_options)
		return complain("out of memory");
	for (int i = 0; i < argc; i++) {
		char *word = argv[i], *value = NULL;

		if (!strcmp(word, "--")) {
			options->arguments = argv + i + 1;
			options->narguments = argc - i - 1;
			break;
		}
		if (!strcmp(word, "--gdb")) {
			options->gdb = true;
		} else if (!strcmp(word, "--dry-run")) {
			options->dry_run = true;
		} else if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
			options->help = true;
			return NULL;
		} else if (word[0] == '-') {
			/* --name value, or --name=value */
			char *equals = strchr(word, '=');
			char name[32];

			snprintf(name, sizeof(name), "%.*s",
				 (int)(equals ? equals - word : (long)strlen(word)), word);
			if (!takes_value(name))
				return complain("unknown option '%s'", word);
			value = equals ? equals + 1 : ++i < argc ? argv[i] : NULL;
			if (!value)
				return complain("%s wants a value", name);
			wrong = parse_option(options, name, value);
			if (wrong)
				return wrong;
		} else if (options->image) {
			return complain(
			    "one image at a time: '%s' and '%s' (the program's arguments "
			    "follow a --)",
			    options->image, word);
		} else {
			options->image = word;
		}
	}
	if (options->npublished && options->network != NETWORK_USER)
		return complain(
		    "--publish needs --net user: with a tap the guest has an address of "
		    "its own");
	return settle_cores(options);
}

const char *options_parse(struct options *options, int argc, char **argv)
{
	const char *wrong = parse_words(options, argc, argv);

	if (!wrong && !options->help && !options->image)
		return complain("which image or program?");
	return wrong;
}

const char *options_parse_machine(struct options *options, int argc, char **argv)
{
	const char *wrong = parse_words(options, argc, argv);

	if (!wrong && !options->help && options->image)
		return complain("'%s' is no option, and no image is looked at here",
				options->image);
	return wrong;
}

void options_free(struct options *options)
{
	free(options->append);
	free(options->environment);
	free(options->qemu_options);
}
