/*
 * What a core publishes, and when; read back as the launcher does, also while it is written.
 *
 * links: smp/monitor.c tools/launcher/monitor_reader.c tools/launcher/complaint.c
 */
#include "smp/monitor.h"

#include "lavra/counters.h"
#include "lavra/monitor.h"
#include "smp/core.h"
#include "smp/trace.h"
#include "smp/window.h"
#include "tools/launcher/monitor_reader.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

unsigned ncores = 1;
core_id_t this_core;

static uint64_t counted; /* each counter's value */
static void *memory;
static int fd;

static struct trace_ring *rings;

void trace_init(struct trace_ring *at)
{
	rings = at;
}

struct counters counters_of(core_id_t core)
{
	struct counters counters;

	assert_int_equal(core, this_core);
	for (size_t i = 0; i < sizeof(counters) / sizeof(uint64_t); i++)
		((uint64_t *)&counters)[i] = counted;
	return counters;
}

void *window_address_of(core_id_t core, const void *variable)
{
	return (void *)variable;
}

static struct core_sample look(void)
{
	static struct monitor_reader reader;
	static struct sample sample;

	assert_null(monitor_open(&reader, fd));
	assert_null(monitor_read(&reader, &sample));
	return sample.cores[0];
}

static int set_up(void **state)
{
	fd = memfd_create("monitor", 0);
	if (fd < 0 || ftruncate(fd, MONITOR_FILE_SIZE) != 0)
		return -1;
	memory = mmap(NULL, MONITOR_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return memory == MAP_FAILED;
}

/* The first: nothing is attached yet. */
static void nobody_watches_at_first(void **state)
{
	monitor_look(UINT64_MAX - 1);
	assert_true(monitor_halts(5) == UINT64_MAX);
	monitor_wakes();
	assert_int_equal(monitor_attach(memory, monitor_size() - 1), -ENOSPC);
	assert_true(monitor_halts(5) == UINT64_MAX);
}

static void it_publishes_at_most_so_often_while_it_works(void **state)
{
	uint64_t now = NS_PER_S;

	assert_int_equal(monitor_attach(memory, MONITOR_FILE_SIZE), 0);
	/* The rings are behind all else, and in the memory. */
	assert_true((char *)rings > (char *)monitor_threads &&
		    (char *)(rings + ncores) <= (char *)memory + monitor_size());
	assert_false(look().is_read);
	counted = 7;
	monitor_look(now);
	assert_true(look().is_read);
	assert_int_equal(look().values[0], 7);
	assert_int_equal(look().published_ns, now);
	assert_int_equal(look().halted_ns, 0);
	counted = 8;
	monitor_look(now + MONITOR_BUSY_NS - 1);
	assert_int_equal(look().values[3], 7);
	monitor_look(now + MONITOR_BUSY_NS);
	assert_int_equal(look().values[3], 8);
}

static void what_it_did_last_is_seen_while_it_halts(void **state)
{
	uint64_t now = 5 * NS_PER_S;

	counted = 20;
	assert_true(monitor_halts(now) == UINT64_MAX);
	assert_int_equal(look().values[0], 20);
	assert_int_equal(look().halted_ns, now);
	monitor_wakes();
	assert_int_equal(look().halted_ns, 0);
	/* Soon again: not at once, but it is woken for it. */
	counted = 21;
	assert_int_equal(monitor_halts(now + NS_PER_MS), now + MONITOR_HALT_NS);
	assert_int_equal(look().values[0], 20);
	assert_int_equal(look().halted_ns, now + NS_PER_MS);
	monitor_wakes();
	assert_true(monitor_halts(now + MONITOR_HALT_NS) == UINT64_MAX);
	assert_int_equal(look().values[0], 21);
	monitor_wakes();
}

static void *publish_for_ever(void *stop)
{
	while (!__atomic_load_n((bool *)stop, __ATOMIC_RELAXED)) {
		counted++;
		monitor_publish(counted);
	}
	return NULL;
}

static void nobody_sees_half_of_it(void **state)
{
	struct monitor_reader reader;
	static struct sample sample;
	unsigned whole = 0;
	bool stop = false;
	pthread_t writer;

	assert_null(monitor_open(&reader, fd));
	monitor_publish(counted);
	assert_int_equal(pthread_create(&writer, NULL, publish_for_ever, &stop), 0);
	for (unsigned i = 0; i < 2000; i++) {
		const struct core_sample *core = &sample.cores[0];

		assert_null(monitor_read(&reader, &sample));
		whole += core->is_read;
		for (unsigned j = 0; core->is_read && j < reader.ncounters; j++)
			if (core->values[j] != core->published_ns)
				fail_msg("counter %u is %lu of %lu", j, core->values[j],
					 core->published_ns);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(writer, NULL);
	if (whole < 100)
		fail_msg("of 2000 looks %u found a whole block", whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_watches_at_first),
		cmocka_unit_test(it_publishes_at_most_so_often_while_it_works),
		cmocka_unit_test(what_it_did_last_is_seen_while_it_halts),
		cmocka_unit_test(nobody_sees_half_of_it),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
