/*
 * The kernel command line; the model is in the header.
 */
#include "lavra/boot_option.h"

#include "lavra/console.h"

#include <string.h>

#define LINE_BYTES 4096
#define MAX_ARGUMENTS 64
#define EXIT_BAD_OPTION 2

/* Every BOOT_OPTION(), put together by the linker (image.ld; the host's has names of its own). */
#ifdef LAVRA_HOST_TEST
#define boot_options_start __start_boot_options
#define boot_options_end __stop_boot_options
#endif
extern const struct boot_option boot_options_start[], boot_options_end[];

/* The options' values and argv point in here. */
static char line[LINE_BYTES];

int boot_argc;
/* Made with the image (tools/gcc/lavra-link); the unit tests have their own, or none. */
extern const char image_name[] __attribute__((weak));
extern char image_arguments[] __attribute__((weak)); /* may be written to */

char *boot_argv[MAX_ARGUMENTS + 1];

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void refuse(const char *what, const char *word, const char *why)
{
	kprintf("lavra: %s '%s'%s%s\n", what, word, why ? ": " : "", why ? why : "");
	kprintf("lavra: the options are:\n");
	for (const struct boot_option *option = boot_options_start; option < boot_options_end;
	     option++)
		kprintf("    %s\n", option->help);
	kprintf("    -- ARGUMENT...\n");
	machine_exit(EXIT_BAD_OPTION);
}

/* Cut the next word off *text; NULL at the end. Quotes group and disappear. An open quote ends with
 * the line, and *open says so. */
static char *next_word(char **text, bool *open)
{
	char *from = *text, *to, *word;
	char quote = 0;

	while (is_blank(*from))
		from++;
	if (!*from)
		return NULL;
	for (word = to = from; *from && (quote || !is_blank(*from)); from++) {
		if (quote ? *from == quote : *from == '"' || *from == '\'')
			quote = quote ? 0 : *from;
		else
			*to++ = *from;
	}
	*open = quote;
	*text = *from ? from + 1 : from;
	*to = 0;
	return word;
}

static void take_option(char *word)
{
	char *value = strchr(word, '=');
	size_t length = value ? (size_t)(value - word) : strlen(word);
	const char *wrong;

	for (const struct boot_option *option = boot_options_start; option < boot_options_end;
	     option++) {
		if (strlen(option->name) != length || strncmp(option->name, word, length) != 0)
			continue;
		wrong = value ? option->parse(value + 1) : "needs a value";
		if (wrong)
			refuse("bad boot option", word, wrong);
		return;
	}
	refuse("unknown boot option", word, NULL);
}

void boot_options_parse(const char *command_line)
{
	size_t length = strnlen(command_line, sizeof(line));
	char *rest = line, *word;
	bool open = false;

	if (length == sizeof(line))
		refuse("command line", "...", "longer than 4095 bytes");
	memcpy(line, command_line, length);
	line[length] = 0;
	boot_argc = 0;
	boot_argv[boot_argc++] = (char *)(image_name ? image_name : "app");
	while ((word = next_word(&rest, &open)) && !open) {
		if (strcmp(word, "--") == 0)
			break;
		take_option(word);
	}
	while (!open && (word = next_word(&rest, &open)) && !open) {
		if (boot_argc == MAX_ARGUMENTS)
			refuse("argument", word, "more than 63");
		boot_argv[boot_argc++] = word;
	}
	if (open)
		refuse("command line", word, "a quote is not closed");
	boot_argv[boot_argc] = NULL;
}

void boot_arguments_complete(unsigned ncores)
{
	static char number[12];
	char *rest = image_arguments, *word;
	bool open = false;

	if (boot_argc == 1 && image_arguments) {
		while ((word = next_word(&rest, &open)) && boot_argc < MAX_ARGUMENTS)
			boot_argv[boot_argc++] = word;
		if (open || word)
			refuse("the image's own arguments", boot_argv[0],
			       open ? "a quote is not closed" : "more than 63");
		boot_argv[boot_argc] = NULL;
	}
	ksnprintf(number, sizeof(number), "%u", ncores);
	for (int i = 1; i < boot_argc; i++)
		if (strcmp(boot_argv[i], "$CORES") == 0)
			boot_argv[i] = number;
}

bool boot_parse_number(const char *text, uint64_t *value)
{
	uint64_t number = 0;
	unsigned shift = 0;

	if (*text < '0' || *text > '9')
		return false;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*text - '0'), &number))
			return false;
	switch (*text) {
	case 'K':
		shift = 10;
		break;
	case 'M':
		shift = 20;
		break;
	case 'G':
		shift = 30;
		break;
	case 0:
		*value = number;
		return true;
	default:
		return false;
	}
	if (text[1] || number > UINT64_MAX >> shift)
		return false;
	*value = number << shift;
	return true;
}
