#include "tools/launcher/command_words.h"

#include "tools/launcher/lavra.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

char **command_words(int *argc, char **argv, const char *own, const char *wanted,
		     const char **value)
{
	char **words = calloc((size_t)*argc + 2, sizeof(*words));
	size_t length = strlen(own);
	bool arguments = false;
	int count = 0;

	if (!words)
		abort();
	words[count++] = "--pin=auto";
	for (int i = 0; i < *argc; i++) {
		arguments |= !strcmp(argv[i], "--");
		if (arguments || strncmp(argv[i], own, length) != 0 ||
		    (argv[i][length] && argv[i][length] != '=')) {
			words[count++] = argv[i];
			continue;
		}
		if (argv[i][length])
			*value = argv[i] + length + 1;
		else if (i + 1 < *argc)
			*value = argv[++i];
		else
			refuse(EXIT_USAGE, "%s wants %s", own, wanted);
	}
	*argc = count;
	return words;
}
