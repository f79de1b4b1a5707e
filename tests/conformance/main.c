/*
 * One program of the Open POSIX Test Suite: `conformance sigaction/1-1 [arguments]`. Its result is
 * the image's exit status: 0 passed, 1 failed, 2 unresolved, 4 unsupported, 5 untested.
 */
#include <stdio.h>
#include <string.h>

#define PROGRAM(name, symbol) extern int symbol(int argc, char **argv);
#include "programs.h"
#undef PROGRAM

static const struct program {
	const char *name;
	int (*main)(int argc, char **argv);
} programs[] = {
#define PROGRAM(name, symbol) { name, symbol },
#include "programs.h"
};

int main(int argc, char **argv)
{
	size_t n = sizeof(programs) / sizeof(programs[0]);

	for (size_t i = 0; argc > 1 && i < n; i++)
		if (strcmp(programs[i].name, argv[1]) == 0)
			return programs[i].main(argc - 1, argv + 1);
	fprintf(stderr, "conformance: %s: no such program among %zu; give one such as %s\n",
		argc > 1 ? argv[1] : "no argument", n, programs[0].name);
	return 2;
}
