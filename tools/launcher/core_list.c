#include "tools/launcher/core_list.h"

#include <ctype.h>
#include <stdlib.h>

static bool parse_core(const char **text, unsigned *core)
{
	char *end;
	unsigned long value;

	if (!isdigit((unsigned char)**text))
		return false;
	value = strtoul(*text, &end, 10);
	*text = end;
	*core = (unsigned)value;
	return value < 64;
}

bool core_list_parse(const char *text, uint64_t *cores)
{
	unsigned first, last;

	*cores = 0;
	do {
		if (!parse_core(&text, &first))
			return false;
		last = first;
		if (*text == '-') {
			text++;
			if (!parse_core(&text, &last) || last < first)
				return false;
		}
		for (unsigned core = first; core <= last; core++)
			*cores |= 1ull << core;
	} while (*text++ == ',');
	return !text[-1];
}
