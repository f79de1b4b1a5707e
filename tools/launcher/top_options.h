/*
 * What a person asked `lavra top` for, checked.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct top_options {
	const char *which; /* an image's name or its launcher's pid; NULL: the one there is */
	unsigned interval_ms;
	uint64_t cores;
	bool once, json, help;
};

/* NULL, or what is wrong in a sentence (static memory). */
const char *top_options_parse(struct top_options *options, int argc, char **argv);

/* What `lavra top --help` says. */
extern const char top_usage[];
