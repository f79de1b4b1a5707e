/*
 * The image that runs programs made for Linux, unmodified: in place of a main() it has the loader.
 */
#include "lavra/boot_option.h"
#include "posix/elf/program.h"
#include "posix/process/start.h"

static const char *path = "/init";

static const char *parse_init(const char *value)
{
	if (*value != '/')
		return "must be a path that begins with /";
	path = value;
	return NULL;
}
BOOT_OPTION(init, "init=/PATH: the program to run (/init)", parse_init);

void start_application(void)
{
	program_start(path);
}
