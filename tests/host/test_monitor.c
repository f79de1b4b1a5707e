/*
 * The monitor's file as the launcher reads it: a true one, damaged ones, ones that are cut short; and the rates
 * that follow from two samples.
 *
 * links: tools/launcher/monitor_reader.c tools/launcher/rates.c tools/launcher/complaint.c
 */
#include "tools/launcher/rates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define NCORES 2
#define NAMES_AT 1024
#define BLOCKS_AT 2048
#define STRIDE 128
#define SIZE (BLOCKS_AT + NCORES * STRIDE)
#define MS 1000000ull

static const char *const names[] = { "rx_packets", "idle_ns", "added_later" };
#define NNAMES 3

static uint8_t bytes[SIZE];
static int fd = -1;

static struct monitor_header *header(void)
{
	return (struct monitor_header *)bytes;
}

static struct monitor_block *block(unsigned core)
{
	return (struct monitor_block *)(bytes + BLOCKS_AT + core * STRIDE);
}

static void write_file(size_t size)
{
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, bytes, size, 0), size);
}

static int set_up(void **state)
{
	memset(bytes, 0, sizeof(bytes));
	*header() = (struct monitor_header){
		.magic = MONITOR_MAGIC,
		.version = MONITOR_VERSION,
		.nregions = 3,
		.size = SIZE,
		.regions = { { 77, 1, 99999, 3 }, /* of a kind that nobody knows */
			     { MONITOR_REGION_NAMES, NNAMES, NAMES_AT, MONITOR_NAME_SIZE },
			     { MONITOR_REGION_CORES, NCORES, BLOCKS_AT, STRIDE } },
	};
	for (unsigned i = 0; i < NNAMES; i++)
		strcpy((char *)bytes + NAMES_AT + i * MONITOR_NAME_SIZE, names[i]);
	for (unsigned core = 0; core < NCORES; core++) {
		*block(core) = (struct monitor_block){ .sequence = 2, .published_ns = 500 * MS };
		block(core)->values[0] = 100 + core;
		block(core)->values[2] = 7;
	}
	fd = memfd_create("monitor", 0);
	return fd < 0;
}

static int tear_down(void **state)
{
	close(fd);
	return 0;
}

static void refused(const char *because)
{
	struct monitor_reader reader;
	const char *wrong = monitor_open(&reader, fd);

	if (!wrong)
		fail_msg("read, and not refused because of '%s'", because);
	if (!strstr(wrong, because))
		fail_msg("refused with '%s', which does not say '%s'", wrong, because);
}

static void a_true_file_is_read(void **state)
{
	struct monitor_reader reader;
	struct sample sample;

	write_file(SIZE);
	assert_null(monitor_open(&reader, fd));
	assert_int_equal(reader.ncores, NCORES);
	assert_int_equal(reader.ncounters, NNAMES);
	assert_int_equal(monitor_find(&reader, "added_later"), 2);
	assert_int_equal(monitor_find(&reader, "rx_bytes"), -1);
	assert_null(monitor_read(&reader, &sample));
	assert_true(sample.cores[1].is_read);
	assert_int_equal(sample.cores[1].values[0], 101);
	assert_int_equal(sample.cores[1].published_ns, 500 * MS);
}

static void an_image_that_boots_is_waited_for(void **state)
{
	struct monitor_reader reader;

	memset(bytes, 0, sizeof(bytes));
	write_file(SIZE);
	assert_ptr_equal(monitor_open(&reader, fd), monitor_not_begun);
}

static void other_versions_are_named(void **state)
{
	header()->version = MONITOR_VERSION + 1;
	write_file(SIZE);
	refused("has version 2");
	header()->magic++;
	write_file(SIZE);
	refused("not a monitor's file");
}

static void what_is_cut_short_is_refused_or_said(void **state)
{
	struct monitor_reader reader;
	struct sample sample;

	for (size_t size = 0; size < SIZE; size++) {
		write_file(size);
		assert_non_null(monitor_open(&reader, fd));
	}
	write_file(SIZE);
	assert_null(monitor_open(&reader, fd));
	for (size_t size = 0; size < BLOCKS_AT + STRIDE; size += 64) {
		write_file(size);
		assert_non_null(monitor_read(&reader, &sample));
	}
}

static void regions_lie_in_the_file(void **state)
{
	static const struct {
		struct monitor_region region;
		unsigned index;
	} cases[] = {
		{ { MONITOR_REGION_NAMES, 0, NAMES_AT, MONITOR_NAME_SIZE }, 1 },
		{ { MONITOR_REGION_NAMES, MONITOR_COUNTERS_MAX + 1, NAMES_AT, MONITOR_NAME_SIZE },
		  1 },
		{ { MONITOR_REGION_NAMES, NNAMES, SIZE - 64, MONITOR_NAME_SIZE }, 1 },
		{ { MONITOR_REGION_NAMES, NNAMES, NAMES_AT, MONITOR_NAME_SIZE - 1 }, 1 },
		{ { MONITOR_REGION_NAMES, NNAMES, 0, MONITOR_NAME_SIZE }, 1 },
		{ { MONITOR_REGION_NAMES, NNAMES, NAMES_AT + 1, MONITOR_NAME_SIZE }, 1 },
		{ { MONITOR_REGION_CORES, NCORES + 1, BLOCKS_AT, STRIDE }, 2 },
		{ { MONITOR_REGION_CORES, MONITOR_CORES_MAX + 1, BLOCKS_AT, 64 }, 2 },
		{ { MONITOR_REGION_CORES, NCORES, BLOCKS_AT, 64 }, 2 },
		{ { MONITOR_REGION_CORES, NCORES, BLOCKS_AT, UINT64_MAX }, 2 },
		{ { MONITOR_REGION_CORES, NCORES, ~63ull, STRIDE }, 2 },
		{ { MONITOR_REGION_CORES, UINT32_MAX, BLOCKS_AT, STRIDE }, 2 },
		{ { 12, NCORES, BLOCKS_AT, STRIDE }, 2 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct monitor_header good = *header();

		header()->regions[cases[i].index] = cases[i].region;
		write_file(SIZE);
		refused("within it");
		*header() = good;
	}
	header()->nregions = MONITOR_REGIONS_MAX + 1;
	write_file(SIZE);
	refused("regions");
	header()->nregions = 3;
	header()->size = SIZE + 1;
	write_file(SIZE);
	refused("says it uses");
}

static void names_that_a_terminal_would_obey_are_refused(void **state)
{
	bytes[NAMES_AT] = 27;
	write_file(SIZE);
	refused("other than a-z");
	memset(bytes + NAMES_AT, 'a', MONITOR_NAME_SIZE); /* no end */
	write_file(SIZE);
	refused("other than a-z");
}

static void a_block_that_is_being_written_is_not_read(void **state)
{
	struct monitor_reader reader;
	struct sample sample;

	block(0)->sequence = 3;
	write_file(SIZE);
	assert_null(monitor_open(&reader, fd));
	reader.pauses = 2;
	assert_null(monitor_read(&reader, &sample));
	assert_false(sample.cores[0].is_read);
	assert_true(sample.cores[1].is_read);
}

/* ---- rates ---- */

static struct monitor_reader two_counters = { .ncores = 1,
					      .ncounters = 2,
					      .names = { "rx_packets", "idle_ns" } };

static struct sample sample_at(uint64_t host_ms, uint64_t published_ms, uint64_t halted_ms,
			       uint64_t packets, uint64_t idle_ms)
{
	struct sample sample = { .host_ns = host_ms * MS };

	sample.cores[0] = (struct core_sample){ .is_read = true,
						.published_ns = published_ms * MS,
						.halted_ns = halted_ms * MS,
						.values = { packets, idle_ms * MS } };
	return sample;
}

static struct core_rates rates_of(struct guest_clock *clock, struct sample *before,
				  struct sample *now)
{
	static struct rates rates;

	guest_clock_learn(clock, &two_counters, NULL, before);
	guest_clock_learn(clock, &two_counters, before, now);
	rates_compute(&rates, &two_counters, clock, before, now);
	return rates.cores[0];
}

#define assert_near(value, expected)                                                               \
	do {                                                                                       \
		if ((value) < (expected)-1e-6 || (value) > (expected) + 1e-6)                      \
			fail_msg("%s is %f, not %f", #value, (double)(value), (double)(expected)); \
	} while (0)

static void rates_are_over_the_cores_own_time(void **state)
{
	struct guest_clock clock = { 0 };
	/* Looked at 1000 ms apart, true for 800 ms. */
	struct sample before = sample_at(5000, 1000, 0, 100, 400);
	struct sample now = sample_at(6000, 1800, 0, 500, 600);
	struct core_rates rates = rates_of(&clock, &before, &now);

	assert_true(rates.is_known && !rates.halts);
	assert_near(rates.seconds, 0.8);
	assert_near(rates.per_second[0], 500);
	assert_near(rates.busy, 0.75);
}

static void a_core_that_halts_all_the_time_is_idle(void **state)
{
	struct guest_clock clock = { 0 };
	struct sample before = sample_at(5000, 1000, 1000, 100, 400);
	struct sample now = sample_at(6000, 1000, 1000, 100, 400);
	struct core_rates rates = rates_of(&clock, &before, &now);

	assert_true(rates.is_known && rates.halts);
	assert_near(rates.seconds, 1);
	assert_near(rates.per_second[0], 0);
	assert_near(rates.busy, 0);
}

static void a_core_that_began_to_halt_is_idle_since(void **state)
{
	struct guest_clock clock = { 0 };
	struct sample before, now;
	struct core_rates rates;

	/* Another look shows that the guest's clock is 4000 ms behind. */
	before = sample_at(4000, 0, 0, 0, 0);
	now = sample_at(5000, 1000, 0, 100, 0);
	rates_of(&clock, &before, &now);
	before = now;
	now = sample_at(6000, 1250, 1250, 200, 0);
	guest_clock_learn(&clock, &two_counters, &before, &now);
	rates = rates_of(&clock, &before, &now);
	assert_near(rates.seconds, 1);
	assert_near(rates.per_second[0], 100);
	assert_near(rates.busy, 0.25);
}

static void a_core_that_woke_up_was_idle_until_then(void **state)
{
	struct guest_clock clock = { 0 };
	struct sample before, now;
	struct core_rates rates;

	before = sample_at(4999, 999, 0, 0, 0);
	now = sample_at(5000, 1000, 1000, 0, 0);
	rates_of(&clock, &before, &now);
	/* Halts for 5 s more; of the second before the last look 600 ms. */
	before = sample_at(10000, 1000, 1000, 0, 0);
	now = sample_at(11000, 7000, 0, 40, 5600);
	guest_clock_learn(&clock, &two_counters, &before, &now);
	rates_compute(&(struct rates){ 0 }, &two_counters, &clock, &before, &now);
	rates = rates_of(&clock, &before, &now);
	assert_near(rates.seconds, 1);
	assert_near(rates.busy, 0.4);
	assert_near(rates.per_second[0], 40);
}

static void without_news_nothing_is_known(void **state)
{
	struct guest_clock clock = { 0 };
	struct sample before = sample_at(5000, 1000, 0, 100, 400), now = before;

	now.host_ns += 1000 * MS;
	assert_false(rates_of(&clock, &before, &now).is_known);
	now.cores[0].is_read = false;
	assert_false(rates_of(&clock, &before, &now).is_known);
}

static void a_counter_that_goes_back_has_no_rate(void **state)
{
	struct guest_clock clock = { 0 };
	struct sample before = sample_at(5000, 1000, 0, 100, 400);
	struct sample now = sample_at(6000, 2000, 0, 50, 100);
	struct core_rates rates = rates_of(&clock, &before, &now);

	assert_near(rates.per_second[0], 0);
	assert_near(rates.busy, 1);
}

static void totals_are_of_the_chosen_cores(void **state)
{
	struct monitor_reader reader = { .ncores = 3, .ncounters = 1, .names = { "x" } };
	struct rates rates = { .ncores = 3 };
	struct core_rates total;

	for (unsigned i = 0; i < 3; i++)
		rates.cores[i] = (struct core_rates){
			.is_known = i != 1, .busy = 0.5 * i, .seconds = 1, .per_second = { 10 + i }
		};
	rates_total(&total, &rates, &reader, 7);
	assert_near(total.per_second[0], 22);
	assert_near(total.busy, 0.5);
	rates_total(&total, &rates, &reader, 1);
	assert_near(total.per_second[0], 10);
	rates_total(&total, &rates, &reader, 2);
	assert_false(total.is_known);
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILE_TEST(a_true_file_is_read),
		FILE_TEST(an_image_that_boots_is_waited_for),
		FILE_TEST(other_versions_are_named),
		FILE_TEST(what_is_cut_short_is_refused_or_said),
		FILE_TEST(regions_lie_in_the_file),
		FILE_TEST(names_that_a_terminal_would_obey_are_refused),
		FILE_TEST(a_block_that_is_being_written_is_not_read),
		cmocka_unit_test(rates_are_over_the_cores_own_time),
		cmocka_unit_test(a_core_that_halts_all_the_time_is_idle),
		cmocka_unit_test(a_core_that_began_to_halt_is_idle_since),
		cmocka_unit_test(a_core_that_woke_up_was_idle_until_then),
		cmocka_unit_test(without_news_nothing_is_known),
		cmocka_unit_test(a_counter_that_goes_back_has_no_rate),
		cmocka_unit_test(totals_are_of_the_chosen_cores),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
