/*
 * Any command line: nothing outside it is touched, and argv is sound or the image ends.
 *
 * links: posix/boot_option.c
 */
#include "tests/host/fake_options.h"

#include <setjmp.h>
#include <stdlib.h>

static jmp_buf ended;

void machine_exit(int status)
{
	longjmp(ended, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = malloc(size + 1);

	memcpy(line, data, size);
	line[size] = 0;
	if (setjmp(ended) == 0) {
		size_t total = 0;

		boot_options_parse(line);
		if (boot_argc < 1 || boot_argv[boot_argc])
			abort();
		for (int i = 1; i < boot_argc; i++)
			total += strlen(boot_argv[i]) + 1;
		if (total > size)
			abort();
	}
	free(line);
	return 0;
}
