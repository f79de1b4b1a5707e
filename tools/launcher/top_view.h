/*
 * What `lavra top` shows: a table of the cores as text, or an object of JSON.
 */
#pragma once

#include "tools/launcher/rates.h"

#include <stdio.h>
#include <sys/types.h>

struct top_sample {
	const char *image;
	pid_t pid;
	const struct monitor_reader *reader;
	const struct sample *now;
	const struct rates *rates;
	uint64_t cores; /* those to show */
	double interval_s; /* between the looks */
};

struct top_order {
	unsigned column; /* 0: by core */
	bool reverse;
};

unsigned top_ncolumns(void);
const char *top_column_title(unsigned column);

/* A line of titles, one for each core, one of totals. Columns that do not fit into `width` (0: no limit) are left
 * out, and so are rows beyond `height` (0: no limit), which is said. `bold`, `plain`: put around the title of
 * the column that orders, or "". */
void top_print_table(FILE *to, const struct top_sample *sample, struct top_order order,
		     unsigned width, unsigned height, const char *bold, const char *plain);
/* One object on a line. */
void top_print_json(FILE *to, const struct top_sample *sample);
