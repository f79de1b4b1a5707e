/*
 * lavra top: its options, its table in wide and narrow terminals, its JSON; and the folder in which it finds running
 * images.
 *
 * links: tools/launcher/core_list.c tools/launcher/top_options.c tools/launcher/top_view.c
 * links: tools/launcher/rates.c tools/launcher/monitor_reader.c
 * links: tools/launcher/run_folder.c tools/launcher/complaint.c
 */
#include "tools/launcher/core_list.h"
#include "tools/launcher/run_folder.h"
#include "tools/launcher/top_options.h"
#include "tools/launcher/top_view.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/host/refusal.h"

static const char *parse(struct top_options *options, const char *line)
{
	static char text[256];
	static char *words[16];
	int nwords = 0;

	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		words[nwords++] = word;
	return top_options_parse(options, nwords, words);
}

static void refuse(const char *line, const char *because)
{
	struct top_options options;

	assert_refused(line, parse(&options, line), because);
}

static void test_options(void **state)
{
	struct top_options options;

	assert_null(parse(&options, ""));
	assert_null(options.which);
	assert_int_equal(options.interval_ms, 1000);
	assert_true(options.cores == ~0ull);
	assert_null(parse(&options, "httpd --interval 0.25 --once --json --cores=0,2-4,63"));
	assert_string_equal(options.which, "httpd");
	assert_int_equal(options.interval_ms, 250);
	assert_true(options.once && options.json);
	assert_true(options.cores == (1ull << 63 | 0x1d));
	refuse("--interval 0", "--interval");
	refuse("--interval nan", "--interval");
	refuse("--interval 1x", "--interval");
	refuse("--interval", "--interval");
	refuse("--interval 9999", "--interval");
	refuse("--cores", "--cores");
	refuse("--cores 64", "--cores");
	refuse("--cores 3-1", "--cores");
	refuse("--cores 1,", "--cores");
	refuse("--cores 1-", "--cores");
	refuse("--coresx 1", "unknown option");
	refuse("a b", "one image");
}

static void lists_of_cores_come_back_as_they_were(void **state)
{
	static const char *const lists[] = { "0", "63", "0-63", "1,3", "0,2-4,63", "0-1,3-4,6" };
	uint64_t every_third = ~0ull / 7 * 3; /* 0-1,3-4 and so on: the longest */
	char printed[CORE_LIST_SIZE];
	uint64_t cores;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		assert_true(core_list_parse(lists[i], &cores));
		core_list_print(cores, printed);
		assert_string_equal(printed, lists[i]);
	}
	core_list_print(every_third, printed);
	assert_true(core_list_parse(printed, &cores));
	assert_true(cores == every_third);
	core_list_print(0, printed);
	assert_string_equal(printed, "");
}

/* ---- the view ---- */

static struct monitor_reader reader = {
	.ncores = 3,
	.ncounters = 4,
	.names = { "rx_packets", "rx_batches", "rx_waiting", "page_faults" },
};
static struct sample now;
static struct rates rates;

static const struct top_sample *a_sample(void)
{
	static struct top_sample sample;

	rates = (struct rates){ .ncores = 3 };
	for (unsigned i = 0; i < 3; i++) {
		now.cores[i] = (struct core_sample){ .is_read = i != 2,
						     .published_ns = 5,
						     .values = { 100 + i, 7, 8, 9 } };
		rates.cores[i] =
		    (struct core_rates){ .is_known = i != 2,
					 .seconds = 1,
					 .busy = 0.25 * (i + 1),
					 .per_second = { 2000000 * (i + 1), 500000, 1500000, 0 } };
	}
	sample = (struct top_sample){ .image = "image",
				      .pid = 42,
				      .reader = &reader,
				      .now = &now,
				      .rates = &rates,
				      .cores = ~0ull,
				      .interval_s = 1 };
	return &sample;
}

static char *table(struct top_order order, unsigned width, unsigned height)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	top_print_table(to, a_sample(), order, width, height, "<", ">");
	fclose(to);
	return text;
}

static void a_row_has_the_cores_figures(void **state)
{
	char *text = table((struct top_order){ 0 }, 0, 0), *row = strchr(text, '\n') + 1;
	double busy;
	char received[8], batch[8];
	int core;

	/* CORE BUSY% RX TX RXB TXB BATCH; the image counts no bytes, and nothing that it sends. */
	assert_int_equal(sscanf(row, "%d %lf %7s - - - %7s", &core, &busy, received, batch), 4);
	assert_int_equal(core, 0);
	assert_true(busy == 25);
	assert_string_equal(received, "2000k");
	assert_string_equal(batch, "4.0");
	assert_non_null(strstr(row, "  3.0")); /* of a queue */
	/* The third is not known, the last line sums the others up. */
	row = strstr(text, "    2");
	assert_non_null(row);
	assert_non_null(strstr(row, "-"));
	row = strstr(text, "all");
	assert_non_null(row);
	assert_int_equal(sscanf(row, "all %lf %7s", &busy, received), 2);
	assert_true(busy > 37 && busy < 38);
	assert_string_equal(received, "6000k");
	free(text);
}

static void rows_are_in_the_order_asked_for(void **state)
{
	static const struct {
		struct top_order order;
		const char *cores;
	} cases[] = {
		{ { 0, false }, "012" },
		{ { 0, true }, "210" },
		{ { 1, false }, "102" },
		{ { 1, true }, "201" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = table(cases[i].order, 0, 0), *line = text;

		for (unsigned row = 0; row < 3; row++) {
			line = strchr(line, '\n') + 1;
			if (line[4] != cases[i].cores[row])
				fail_msg("case %zu, row %u: core %c\n%s", i, row, line[4], text);
		}
		free(text);
	}
}

static void narrow_and_low_terminals_get_what_fits(void **state)
{
	for (unsigned width = 1; width < 200; width++) {
		char *text = table((struct top_order){ 1, false }, width, 5);
		unsigned nlines = 0;

		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
			size_t marks = strchr(line, '<') ? 2 : 0;

			nlines++;
			if (line[0] != '(' && strlen(line) - marks > width)
				fail_msg("%zu characters in %u: %s", strlen(line), width, line);
		}
		if (nlines > 5)
			fail_msg("%u lines", nlines);
		free(text);
	}
}

static void json_has_counters_and_rates(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	top_print_json(to, a_sample());
	fclose(to);
	assert_int_equal(strchr(text, '\n') - text, size - 1);
	assert_non_null(strstr(text, "{\"image\":\"image\",\"pid\":42,"));
	assert_non_null(
	    strstr(text, "{\"core\":1,\"halts\":false,\"published_ns\":5,\"busy\":0.5000"));
	assert_non_null(strstr(text, "\"counters\":{\"rx_packets\":101,\"rx_batches\":7,"));
	assert_non_null(strstr(text, "\"busy\":null,\"rates\":null,\"counters\":null}]"));
	assert_non_null(strstr(text, "\"rx_packets\":6000000.000"));
	assert_non_null(strstr(text, "\"counters\":{\"rx_packets\":201,"));
	free(text);
}

/* ---- the folder ---- */

static char runtime[64];

static int make_runtime(void **state)
{
	snprintf(runtime, sizeof(runtime), "/tmp/lavra-test-top-XXXXXX");
	return !mkdtemp(runtime) || setenv("XDG_RUNTIME_DIR", runtime, 1) != 0;
}

static int remove_runtime(void **state)
{
	char folder[80];

	snprintf(folder, sizeof(folder), "%s/lavra", runtime);
	return (rmdir(folder) != 0) + (rmdir(runtime) != 0);
}

static void a_running_image_is_found_until_it_ends(void **state)
{
	struct running_images images;
	struct monitor_file file;

	assert_null(monitor_file_create(&file, "/some/folder/my im\033age"));
	assert_null(running_images_find(&images));
	assert_int_equal(images.count, 1);
	assert_string_equal(images.list[0].name, "my_im_age");
	assert_int_equal(images.list[0].pid, getpid());
	assert_string_equal(images.list[0].path, file.path);
	running_images_free(&images);
	monitor_file_remove(&file);
	monitor_file_remove(&file);
	assert_null(running_images_find(&images));
	assert_int_equal(images.count, 0);
	running_images_free(&images);
}

static void what_a_killed_launcher_left_is_removed(void **state)
{
	struct running_images images;
	struct monitor_file file = { .fd = -1 };
	pid_t child = fork();

	if (child == 0) {
		monitor_file_create(&file, "image");
		_exit(0);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	snprintf(file.path, sizeof(file.path), "%s/lavra/image.%d.monitor", runtime, (int)child);
	assert_int_equal(access(file.path, F_OK), 0);
	assert_null(running_images_find(&images));
	assert_int_equal(images.count, 0);
	assert_int_not_equal(access(file.path, F_OK), 0);
	running_images_free(&images);
}

/* One without a lock whose process lives has just begun, or is another program's: left alone. */
static void what_may_have_just_begun_is_left(void **state)
{
	struct running_images images;
	struct monitor_file file;

	assert_null(monitor_file_create(&file, "image"));
	close(file.fd);
	assert_null(running_images_find(&images));
	assert_int_equal(images.count, 0);
	assert_int_equal(access(file.path, F_OK), 0);
	unlink(file.path);
	running_images_free(&images);
}

static void other_files_are_no_images(void **state)
{
	static const char *const names[] = { "image.monitor",
					     ".5.monitor",
					     "image.x.monitor",
					     "image.0.monitor",
					     "image.5",
					     "im\033ge.5.monitor",
					     "image.99999999999.monitor" };
	struct running_images images;
	char path[160];

	snprintf(path, sizeof(path), "%s/lavra", runtime);
	assert_int_equal(mkdir(path, 0700), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/lavra/%s", runtime, names[i]);
		close(open(path, O_CREAT | O_WRONLY, 0600));
	}
	assert_null(running_images_find(&images));
	assert_int_equal(images.count, 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/lavra/%s", runtime, names[i]);
		assert_int_equal(unlink(path), 0);
	}
	running_images_free(&images);
}

static void a_folder_that_others_may_enter_is_refused(void **state)
{
	struct running_images images;
	struct monitor_file file;
	const char *wrong;
	char path[80];

	snprintf(path, sizeof(path), "%s/lavra", runtime);
	assert_int_equal(mkdir(path, 0700) | chmod(path, 0755), 0);
	wrong = monitor_file_create(&file, "image");
	assert_non_null(wrong);
	assert_non_null(strstr(wrong, "yours alone"));
	monitor_file_remove(&file);
	assert_non_null(running_images_find(&images));
}

#define FOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, make_runtime, remove_runtime)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(lists_of_cores_come_back_as_they_were),
		cmocka_unit_test(a_row_has_the_cores_figures),
		cmocka_unit_test(rows_are_in_the_order_asked_for),
		cmocka_unit_test(narrow_and_low_terminals_get_what_fits),
		cmocka_unit_test(json_has_counters_and_rates),
		FOLDER_TEST(a_running_image_is_found_until_it_ends),
		FOLDER_TEST(what_a_killed_launcher_left_is_removed),
		FOLDER_TEST(what_may_have_just_begun_is_left),
		FOLDER_TEST(other_files_are_no_images),
		FOLDER_TEST(a_folder_that_others_may_enter_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
