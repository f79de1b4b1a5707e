#include "tools/launcher/core_list.h"

#include "tools/launcher/complaint.h"

#include <ctype.h>
#include <stdio.h>
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

const char *core_list_option(const char *text, uint64_t *cores)
{
	if (core_list_parse(text, cores))
		return NULL;
	return complain("--cores takes a list of cores below 64 as 0,2-3, not '%s'", text);
}

void core_list_print(uint64_t cores, char list[CORE_LIST_SIZE])
{
	size_t length = 0;

	list[0] = 0;
	for (int core = 0; core < 64; core++) {
		int last = core;

		if (!(cores >> core & 1))
			continue;
		while (last < 63 && cores >> (last + 1) & 1)
			last++;
		length += (size_t)snprintf(list + length, CORE_LIST_SIZE - length,
					   last > core ? "%s%d-%d" : "%s%d", length ? "," : "",
					   core, last);
		core = last;
	}
}
