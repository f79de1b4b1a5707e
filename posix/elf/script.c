#include "posix/elf/script.h"

#include <string.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* As Linux's binfmt_script: what follows the interpreter is one argument, blanks inside it too. */
enum script_kind script_parse(char *line, size_t length, char **interpreter, char **argument,
			      const char **reason)
{
	char *at, *end;

	if (length < 2 || line[0] != '#' || line[1] != '!')
		return NOT_A_SCRIPT;
	*reason = "names no interpreter in its first line";
	end = memchr(line, '\n', length);
	if (!end) {
		*reason = "has a first line of more than 255 bytes";
		if (length == SCRIPT_LINE_BYTES)
			return BAD_SCRIPT;
		end = line + length;
	}
	while (end > line + 2 && is_blank(end[-1]))
		end--;
	for (at = line + 2; at < end && is_blank(*at); at++)
		;
	if (at == end || *at != '/' || memchr(at, 0, (size_t)(end - at))) {
		*reason = "names no interpreter by an absolute path in its first line";
		return BAD_SCRIPT;
	}
	*end = 0; /* in place of the line's end, or in the room behind a line that is shorter */
	*interpreter = at;
	while (at < end && !is_blank(*at))
		at++;
	if (at < end)
		*at++ = 0;
	while (at < end && is_blank(*at))
		at++;
	*argument = at < end ? at : NULL;
	return SCRIPT;
}
