/*
 * lavra: run images, and what there is to do about it. Each command has a file of its own.
 */
#include "tools/launcher/lavra.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name, *summary;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "run", "start an image, or a program that was made for Linux", run_command },
	{ "topology", "this machine's processors, the guest's, and the pin map", topology_command },
	{ "inspect", "what is in an image", inspect_command },
	{ "domain", "the same as a virtual machine of libvirt (XML)", domain_command },
	{ "pod", "the same as a virtual machine of KubeVirt (YAML)", pod_command },
	{ "top", "watch what each core of a running image does", top_command },
	{ "tune",
	  "move a running image's threads and network queues, choose what its idle cores do",
	  tune_command },
	{ "trace", "record what each core of a running image does, event by event", trace_command },
};
#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

void refuse(int status, const char *format, ...)
{
	va_list args;

	fputs("lavra: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(status);
}

const char *launcher_path(void)
{
	static char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (length <= 0)
		refuse(EXIT_CANNOT, "/proc/self/exe: %s", strerror(errno));
	path[length] = 0;
	return path;
}

static void print_usage(FILE *to)
{
	fputs("usage: lavra COMMAND ...\n\n", to);
	for (unsigned i = 0; i < NCOMMANDS; i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fputs("\n'lavra COMMAND --help' tells more of one.\n", to);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_usage(stdout);
		return 0;
	}
	for (unsigned i = 0; i < NCOMMANDS; i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 2, argv + 2);
	print_usage(stderr);
	refuse(EXIT_USAGE, "there is no command '%s'", argv[1]);
}
