#define _GNU_SOURCE
#include "status.h"

#include "server.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * Lavra tells what its cores did in a text table: a line of column names, then a line
 * for each core. On another system the file does not exist, and only the server's own
 * counts are shown.
 */
#define CORES_FILE "/proc/lavra/cores"
#define TOTALS_FILE "/proc/lavra/totals" /* a name and a number on each line */
#define COLUMNS_MAX 40

struct core_table {
	unsigned ncolumns, ncores;
	char names[COLUMNS_MAX][32];
	uint64_t values[WORKERS_MAX][COLUMNS_MAX]; /* by core number */
	char text[32768];
};

/* The file's text into text[size], NUL-terminated; empty where there is no such file. */
static void read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t got;

	if (fd >= 0) {
		while (length < size - 1 && (got = read(fd, text + length, size - 1 - length)) > 0)
			length += (size_t)got;
		close(fd);
	}
	text[length] = '\0';
}

static void read_core_table(struct core_table *table)
{
	char *line, *word, *line_state, *word_state;

	table->ncolumns = table->ncores = 0;
	read_text(CORES_FILE, table->text, sizeof(table->text));
	line = strtok_r(table->text, "\n", &line_state);
	for (word = line ? strtok_r(line, " ", &word_state) : NULL;
	     word && table->ncolumns < COLUMNS_MAX; word = strtok_r(NULL, " ", &word_state))
		snprintf(table->names[table->ncolumns++], sizeof(table->names[0]), "%s", word);
	while ((line = strtok_r(NULL, "\n", &line_state))) {
		unsigned column = 0;
		unsigned long core;

		word = strtok_r(line, " ", &word_state);
		if (!word || (core = strtoul(word, NULL, 10)) >= WORKERS_MAX)
			continue;
		for (; word && column < table->ncolumns; word = strtok_r(NULL, " ", &word_state))
			table->values[core][column++] = strtoull(word, NULL, 10);
		if (core >= table->ncores)
			table->ncores = (unsigned)core + 1;
	}
}

static bool column_value(const struct core_table *table, unsigned core, const char *name,
			 uint64_t *value)
{
	for (unsigned i = 1; core < table->ncores && i < table->ncolumns; i++)
		if (strcmp(table->names[i], name) == 0) {
			*value = table->values[core][i];
			return true;
		}
	return false;
}

struct text {
	char *at, *end;
	bool overflow;
};

static void __attribute__((format(printf, 2, 3))) append(struct text *text, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(text->at, (size_t)(text->end - text->at), format, args);
	va_end(args);
	if (length < 0 || length >= text->end - text->at)
		text->overflow = true;
	else
		text->at += length;
}

static void append_bytes(struct text *text, const char *bytes, size_t length)
{
	if (length >= (size_t)(text->end - text->at)) {
		text->overflow = true;
		return;
	}
	memcpy(text->at, bytes, length);
	text->at += length;
}

/* Workers are told apart by core in what people see. Relaxed: each count is one aligned word that
 * its worker alone writes; a sum may be a moment out of step. */
#define count_of(worker, field) __atomic_load_n(&worker_counts[worker].field, __ATOMIC_RELAXED)

static uint64_t uptime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void append_rows(struct text *text, const struct core_table *table)
{
	uint64_t up = uptime_ns(), value;

	for (unsigned i = 0; i < nworkers; i++) {
		unsigned core = (unsigned)worker_cores[i];

		append(text, "<tr><td>%u<td>%llu<td>%llu", core,
		       (unsigned long long)count_of(i, requests),
		       (unsigned long long)count_of(i, open));
		static const char *const shown[] = { "rx_packets", "tx_packets", "interrupts" };

		for (size_t c = 0; c < sizeof(shown) / sizeof(shown[0]); c++) {
			if (column_value(table, core, shown[c], &value))
				append(text, "<td>%llu", (unsigned long long)value);
			else
				append(text, "<td>-");
		}
		if (column_value(table, core, "idle_ns", &value) && up)
			append(text, "<td>%llu&#8202;%%\n",
			       (unsigned long long)(value >= up ? 100 : value * 100 / up));
		else
			append(text, "<td>-\n");
	}
}

size_t status_render_page(const char *page, size_t length, char *out, size_t size)
{
	static const char marker[] = "<!--cores-->";
	struct core_table *table = malloc(sizeof(*table));
	const char *place = memmem(page, length, marker, sizeof(marker) - 1);
	struct text text = { out, out + size, false };

	if (!table)
		return 0;
	if (!place) {
		append_bytes(&text, page, length);
	} else {
		read_core_table(table);
		append_bytes(&text, page, (size_t)(place - page));
		append_rows(&text, table);
		place += sizeof(marker) - 1;
		append_bytes(&text, place, (size_t)(page + length - place));
	}
	free(table);
	return text.overflow ? 0 : (size_t)(text.at - out);
}

/* The other columns say where a core sits. */
static bool is_counter(const char *name)
{
	return strcmp(name, "package") != 0 && strcmp(name, "physical") != 0 &&
	       strcmp(name, "thread") != 0;
}

static void append_totals(struct text *text, char *buffer, size_t size)
{
	char *state, *name;

	read_text(TOTALS_FILE, buffer, size);
	for (name = strtok_r(buffer, " \n", &state); name; name = strtok_r(NULL, " \n", &state)) {
		const char *value = strtok_r(NULL, " \n", &state);

		if (!value)
			break;
		append(text, "# TYPE lavra_%s gauge\nlavra_%s %s\n", name, name, value);
	}
}

static const struct {
	const char *name, *type, *help;
	size_t offset;
} metrics[] = {
#define METRIC(name, type, field, help)                                                            \
	{                                                                                          \
		"httpd_" name, type, help, offsetof(struct worker_counts, field)                   \
	}
	METRIC("requests_total", "counter", requests, "Requests answered."),
	METRIC("connections_accepted_total", "counter", accepted, "Connections accepted."),
	METRIC("connections", "gauge", open, "Connections open now."),
	METRIC("refused_total", "counter", refused, "Requests refused with a 4xx or 5xx status."),
	METRIC("timeouts_total", "counter", timeouts, "Connections closed for their silence."),
	METRIC("sent_bytes_total", "counter", bytes_sent, "Bytes of answers sent."),
#undef METRIC
};

size_t status_render_metrics(char *out, size_t size)
{
	struct core_table *table = malloc(sizeof(*table));
	struct text text = { out, out + size, false };

	if (!table)
		return 0;

	for (size_t m = 0; m < sizeof(metrics) / sizeof(metrics[0]); m++) {
		append(&text, "# HELP %s %s\n# TYPE %s %s\n", metrics[m].name, metrics[m].help,
		       metrics[m].name, metrics[m].type);
		for (unsigned i = 0; i < nworkers; i++) {
			const uint64_t *count =
			    (const void *)((const char *)&worker_counts[i] + metrics[m].offset);

			append(&text, "%s{core=\"%d\"} %llu\n", metrics[m].name, worker_cores[i],
			       (unsigned long long)__atomic_load_n(count, __ATOMIC_RELAXED));
		}
	}

	read_core_table(table);
	for (unsigned column = 1; column < table->ncolumns; column++) {
		if (!is_counter(table->names[column]))
			continue;
		append(&text, "# TYPE lavra_%s_total counter\n", table->names[column]);
		for (unsigned core = 0; core < table->ncores; core++)
			append(&text, "lavra_%s_total{core=\"%u\"} %llu\n", table->names[column],
			       core, (unsigned long long)table->values[core][column]);
	}
	append_totals(&text, table->text, sizeof(table->text));
	free(table);
	return text.overflow ? 0 : (size_t)(text.at - out);
}
