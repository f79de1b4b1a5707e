/* What a program reads in /proc/lavra/cores of what it did. */
#include "tests/guest/test.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A counter, over all cores; UINT64_MAX: there is none of that name. */
static uint64_t counter(const char *name)
{
	static char text[65536];
	char *line, *rest, *word;
	unsigned column = 0, wanted = 0;
	uint64_t sum = 0;
	FILE *file = fopen("/proc/lavra/cores", "r");
	size_t length = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		fclose(file);
	text[length] = 0;
	line = strtok_r(text, "\n", &rest);
	for (; (word = strsep(&line, " ")); column++)
		if (strcmp(word, name) == 0)
			wanted = column;
	while (wanted && (line = strtok_r(NULL, "\n", &rest))) {
		for (column = 0; (word = strsep(&line, " ")); column++)
			if (column == wanted)
				sum += strtoull(word, NULL, 10);
	}
	return wanted ? sum : UINT64_MAX;
}

#define CALLS 1000

TEST(system_calls_are_counted)
{
	uint64_t calls = counter("system_calls"), switches = counter("pkru_switches");

	if (calls == UINT64_MAX)
		SKIP("system calls are function calls here, and not counted");
	for (int i = 0; i < CALLS; i++)
		getppid();
	calls = counter("system_calls") - calls;
	switches = counter("pkru_switches") - switches;
	/* Reading the table takes a few. */
	CHECK(calls >= CALLS && calls <= CALLS + 200);
	/* Two for each call, or none without isolation; interrupts come in between. */
	CHECK(switches >= 2 * CALLS || switches == 0);
	calls = counter("system_calls");
	for (int i = 0; i < CALLS; i++)
		syscall(SYS_getppid); /* by a number that is known only at run time */
	calls = counter("system_calls") - calls;
	CHECK(calls >= CALLS && calls <= CALLS + 200);
}

static void *spin(void *turns)
{
	for (int i = 0; i < 100; i++)
		sched_yield();
	__atomic_add_fetch((int *)turns, 1, __ATOMIC_RELAXED);
	return NULL;
}

TEST(waits_for_a_turn_are_counted)
{
	uint64_t waited = counter("run_queue_ns"), switches = counter("context_switches");
	pthread_t threads[4];
	int turns = 0;

	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, spin, &turns), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(turns, 4);
	CHECK(counter("context_switches") > switches);
	/* At least one of them has waited for another, on one core. */
	CHECK(counter("run_queue_ns") >= waited);
	if (sysconf(_SC_NPROCESSORS_ONLN) == 1)
		CHECK(counter("run_queue_ns") > waited);
}

TEST(halts_are_counted)
{
	uint64_t halts = counter("halts"), idle = counter("idle_ns");

	usleep(50000);
	CHECK(counter("halts") > halts);
	CHECK(counter("idle_ns") - idle > 20000000);
}
