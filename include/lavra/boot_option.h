/*
 * The kernel command line: `name=value` words up to `--`, the application's arguments
 * after it. A folder declares the options it understands beside the code that uses
 * them; an option that nobody declared is named and refused at boot.
 */
#pragma once

#include "lavra/types.h"

struct boot_option {
	const char *name;
	const char *help; /* one line, printed when an option is refused */
	/* Take the value (a NUL-terminated string that lives as long as the image).
	 * Returns NULL, or what is wrong with the value. Boot core, before memory exists. */
	const char *(*parse)(const char *value);
};

/* BOOT_OPTION(ip, "ip=dhcp | ADDRESS/PREFIX[,GATEWAY]", parse_ip); */
/* The alignment is said because compilers give larger objects more, which would leave gaps
 * between the options of one file. */
#define BOOT_OPTION(option, help_text, parse_function)                                             \
	static const struct boot_option boot_option_##option __attribute__((                       \
	    used, section("boot_options"), aligned(__alignof__(struct boot_option)))) = {          \
		.name = #option, .help = (help_text), .parse = (parse_function)                    \
	}

/* Parse the command line. Unknown or malformed options end the image with a message that names
 * them and lists the known ones. Boot core, once. */
void boot_options_parse(const char *command_line);

/* What follows `--`, split at blanks ("..." and '...' quote): argv of the application, with
 * argv[0] = the image's name. Valid after boot_options_parse(). */
extern int boot_argc;
extern char *boot_argv[];

/* Where the command line names no arguments take those that were given to the image when it was linked
 * (lavra-gcc --arguments), split in the same way. In either, an argument $CORES becomes the number of
 * cores that the application may use. Once, before the application starts. */
void boot_arguments_complete(unsigned ncores);

/* Parse an unsigned decimal, or with suffix K, M, G; false if `text` is not one. */
bool boot_parse_number(const char *text, uint64_t *value);
