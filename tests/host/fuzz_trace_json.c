/*
 * Any records as a trace: the file is made, holds nothing but printable characters, and its braces match.
 *
 * links: tools/launcher/trace_json.c
 */
#include "tools/launcher/trace_json.h"

#include <stdlib.h>
#include <string.h>

/* Times and threads that meet, so that there is more to see than ends without a beginning. */
static struct trace_record record_of(const uint8_t *data)
{
	struct trace_record record = {
		data[0] * 100ull, data[1] % 14, data[2] % 10, data[3] % 4, 0, 0
	};

	memcpy(&record.a, data + 4, 2);
	memcpy(&record.b, data + 6, 8);
	return record;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace trace = { .ncores = 3 };
	char *text = NULL;
	size_t length, depth = 0;
	FILE *to = open_memstream(&text, &length);

	for (; size >= 15; data += 15, size -= 15) {
		struct trace_record record = record_of(data);

		if (data[14] & 1)
			record.time_ns = ~record.time_ns;
		if (!trace_add(&trace, data[14] % 3, &record))
			abort();
	}
	trace_write_json(to, &trace);
	fclose(to);
	for (size_t i = 0; i < length; i++) {
		if ((text[i] < ' ' && text[i] != '\n') || text[i] > '~')
			abort();
		depth += text[i] == '{';
		if (text[i] == '}' && depth-- == 0)
			abort();
	}
	if (depth)
		abort();
	trace_free(&trace);
	free(text);
	return 0;
}
