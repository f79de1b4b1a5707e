#include "tools/launcher/top_view.h"

#include "tools/launcher/plural.h"

#include <stdlib.h>
#include <string.h>

enum column_kind {
	COLUMN_CORE, /* its number */
	COLUMN_BUSY,
	COLUMN_RATE, /* of the counters, added up */
	COLUMN_RATIO, /* of the first to the second, times `scale` */
};

/* In the order of their importance: a narrow terminal has the first ones. */
static const struct column {
	const char *title;
	unsigned width;
	enum column_kind kind;
	const char *counters[2];
	double scale;
} columns[] = {
	{ "CORE", 5, COLUMN_CORE },
	{ "BUSY%", 6, COLUMN_BUSY },
	{ "RX/s", 7, COLUMN_RATE, { "rx_packets" } },
	{ "TX/s", 7, COLUMN_RATE, { "tx_packets" } },
	{ "RXB/s", 7, COLUMN_RATE, { "rx_bytes" } },
	{ "TXB/s", 7, COLUMN_RATE, { "tx_bytes" } },
	{ "BATCH", 6, COLUMN_RATIO, { "rx_packets", "rx_batches" }, 1 },
	{ "CALL/s", 7, COLUMN_RATE, { "system_calls" } },
	{ "SOCK/s", 7, COLUMN_RATE, { "socket_requests" } },
	{ "CONN/s", 7, COLUMN_RATE, { "connections_opened" } },
	{ "QUEUE", 6, COLUMN_RATIO, { "rx_waiting", "rx_batches" }, 1 },
	{ "DROP/s", 7, COLUMN_RATE, { "rx_drops", "tx_drops" } },
	{ "FWD/s", 7, COLUMN_RATE, { "frames_forwarded" } },
	{ "MSG/s", 7, COLUMN_RATE, { "messages" } },
	{ "IPI/s", 7, COLUMN_RATE, { "ipis" } },
	{ "IRQ/s", 7, COLUMN_RATE, { "interrupts", "timer_interrupts" } },
	{ "SWITCH/s", 9, COLUMN_RATE, { "context_switches" } },
	{ "WAITus", 7, COLUMN_RATIO, { "run_queue_ns", "context_switches" }, 1e-3 },
	{ "FAULT/s", 8, COLUMN_RATE, { "page_faults" } },
	{ "PKRU/s", 7, COLUMN_RATE, { "pkru_switches" } },
};
#define NCOLUMNS (sizeof(columns) / sizeof(columns[0]))

unsigned top_ncolumns(void)
{
	return NCOLUMNS;
}

const char *top_column_title(unsigned column)
{
	return columns[column].title;
}

static double rate_of(const struct monitor_reader *reader, const struct core_rates *core,
		      const char *name)
{
	int place = name ? monitor_find(reader, name) : -1;

	return place < 0 ? 0 : core->per_second[place];
}

/* False: there is no such value, because time has not passed, the guest does not count it, or nothing happened
 * that it could be the mean of. */
static bool value_of(const struct top_sample *sample, const struct core_rates *core,
		     unsigned number, const struct column *column, double *value)
{
	const struct monitor_reader *reader = sample->reader;
	double first = rate_of(reader, core, column->counters[0]);
	double second = rate_of(reader, core, column->counters[1]);

	if (column->kind == COLUMN_CORE) {
		*value = number;
		return true;
	}
	if (!core->is_known ||
	    (column->counters[0] && monitor_find(reader, column->counters[0]) < 0))
		return false;
	switch (column->kind) {
	case COLUMN_BUSY:
		*value = 100 * core->busy;
		return true;
	case COLUMN_RATIO:
		*value = second > 0 ? column->scale * first / second : 0;
		return second > 0;
	default:
		*value = first + second;
		return true;
	}
}

/* At most six characters. */
static void print_number(char text[16], double value)
{
	static const char units[] = " kMGTPE";
	unsigned unit = 0;

	while (value >= (unit ? 9999.5 : 99999.5) && units[unit + 1]) {
		value /= 1000;
		unit++;
	}
	snprintf(text, 16, value > 0 && value < 99.95 ? "%.1f%.*s" : "%.0f%.*s", value,
		 unit ? 1 : 0, units + unit);
}

static void print_row(FILE *to, const struct top_sample *sample, const struct core_rates *core,
		      int number, unsigned ncolumns)
{
	for (unsigned i = 0; i < ncolumns; i++) {
		char text[16] = "-";
		double value;

		if (columns[i].kind == COLUMN_CORE && number < 0)
			snprintf(text, sizeof(text), "all");
		else if (columns[i].kind == COLUMN_CORE)
			snprintf(text, sizeof(text), "%d", number);
		else if (value_of(sample, core, (unsigned)number, &columns[i], &value))
			print_number(text, value);
		fprintf(to, "%*s", (int)columns[i].width, text);
	}
	fputc('\n', to);
}

struct row {
	unsigned core;
	double key;
};

static int by_key(const void *a, const void *b)
{
	const struct row *first = a, *second = b;

	if (first->key != second->key)
		return first->key < second->key ? 1 : -1;
	return first->core < second->core ? -1 : 1;
}

/* The cores to show, in their order: the largest first, but by number the smallest. */
static unsigned order_rows(struct row rows[MONITOR_CORES_MAX], const struct top_sample *sample,
			   struct top_order order)
{
	unsigned nrows = 0;

	for (unsigned core = 0; core < sample->rates->ncores; core++) {
		double value = -1;

		if (!(sample->cores >> core & 1))
			continue;
		value_of(sample, &sample->rates->cores[core], core, &columns[order.column], &value);
		if (columns[order.column].kind == COLUMN_CORE)
			value = -value;
		rows[nrows++] = (struct row){ core, order.reverse ? -value : value };
	}
	qsort(rows, nrows, sizeof(*rows), by_key);
	return nrows;
}

static unsigned columns_in(unsigned width)
{
	unsigned ncolumns = 0, used = 0;

	while (ncolumns < NCOLUMNS && (!width || used + columns[ncolumns].width <= width))
		used += columns[ncolumns++].width;
	return ncolumns;
}

void top_print_table(FILE *to, const struct top_sample *sample, struct top_order order,
		     unsigned width, unsigned height, const char *bold, const char *plain)
{
	unsigned ncolumns = columns_in(width), nrows, shown;
	struct row rows[MONITOR_CORES_MAX];
	struct core_rates total;

	nrows = order_rows(rows, sample, order);
	/* Titles, totals, and a line for what is left out. */
	shown = !height || nrows + 3 <= height ? nrows : height > 3 ? height - 3 : 0;
	for (unsigned i = 0; i < ncolumns; i++) {
		bool orders = i == order.column;

		fprintf(to, "%*s%s%s%s", (int)(columns[i].width - strlen(columns[i].title)), "",
			orders ? bold : "", columns[i].title, orders ? plain : "");
	}
	fputc('\n', to);
	for (unsigned i = 0; i < shown; i++)
		print_row(to, sample, &sample->rates->cores[rows[i].core], (int)rows[i].core,
			  ncolumns);
	rates_total(&total, sample->rates, sample->reader, sample->cores);
	print_row(to, sample, &total, -1, ncolumns);
	if (shown < nrows || ncolumns < NCOLUMNS)
		fprintf(to, "(left out: %u core%s, %u column%s)\n", nrows - shown,
			plural(nrows - shown), (unsigned)NCOLUMNS - ncolumns,
			plural(NCOLUMNS - ncolumns));
}

/* ---- JSON ---- */

static void print_rates(FILE *to, const struct monitor_reader *reader,
			const struct core_rates *core)
{
	if (!core->is_known) {
		fputs("\"busy\":null,\"rates\":null", to);
		return;
	}
	fprintf(to, "\"busy\":%.4f,\"seconds\":%.6f,\"rates\":{", core->busy, core->seconds);
	for (unsigned i = 0; i < reader->ncounters; i++)
		fprintf(to, "%s\"%s\":%.3f", i ? "," : "", reader->names[i], core->per_second[i]);
	fputc('}', to);
}

static void print_core(FILE *to, const struct top_sample *sample, unsigned number)
{
	const struct core_sample *core = &sample->now->cores[number];

	fprintf(to, "{\"core\":%u,\"halts\":%s,\"published_ns\":%lu,", number,
		sample->rates->cores[number].halts ? "true" : "false",
		core->is_read ? core->published_ns : 0);
	print_rates(to, sample->reader, &sample->rates->cores[number]);
	fputs(",\"counters\":", to);
	for (unsigned i = 0; core->is_read && i < sample->reader->ncounters; i++)
		fprintf(to, "%c\"%s\":%lu", i ? ',' : '{', sample->reader->names[i],
			core->values[i]);
	fputs(core->is_read ? "}}" : "null}", to);
}

void top_print_json(FILE *to, const struct top_sample *sample)
{
	const struct monitor_reader *reader = sample->reader;
	struct core_rates total;
	bool first = true;

	/* The names of images and counters are letters, digits and the like: nothing to escape. */
	fprintf(to, "{\"image\":\"%s\",\"pid\":%d,\"interval_s\":%.3f,\"cores\":[", sample->image,
		(int)sample->pid, sample->interval_s);
	for (unsigned core = 0; core < reader->ncores; core++) {
		if (!(sample->cores >> core & 1))
			continue;
		fputs(first ? "" : ",", to);
		print_core(to, sample, core);
		first = false;
	}
	rates_total(&total, sample->rates, reader, sample->cores);
	fputs("],\"total\":{", to);
	print_rates(to, reader, &total);
	fputs(",\"counters\":{", to);
	for (unsigned i = 0; i < reader->ncounters; i++) {
		uint64_t sum = 0;

		for (unsigned core = 0; core < reader->ncores; core++)
			if (sample->cores >> core & 1 && sample->now->cores[core].is_read)
				sum += sample->now->cores[core].values[i];
		fprintf(to, "%s\"%s\":%lu", i ? "," : "", reader->names[i], sum);
	}
	fputs("}}}\n", to);
}
