/*
 * A trace's records as a file of events.
 *
 * links: tools/launcher/trace_json.c
 */
#include "tools/launcher/trace_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct trace trace;
static char *text;
static size_t size;

static int set_up(void **state)
{
	trace = (struct trace){ .ncores = 2 };
	return 0;
}

static int tear_down(void **state)
{
	trace_free(&trace);
	free(text);
	text = NULL;
	return 0;
}

static void add(unsigned core, uint64_t us, enum trace_event event, uint32_t thread, uint64_t a)
{
	const struct trace_record record = { us * 1000 + 5000000, (uint16_t)event, 0, thread, a, 0 };

	assert_true(trace_add(&trace, core, &record));
}

static void add_name(enum trace_named kind, uint64_t of, const char *name)
{
	for (unsigned at = 0; at <= strlen(name); at += 8) {
		struct trace_record record = { 1, TRACE_NAME, (uint16_t)(at / 8), kind, of, 0 };

		strncpy((char *)&record.b, name + at, 8);
		assert_true(trace_add(&trace, 0, &record));
	}
}

static size_t write_json(void)
{
	FILE *to = open_memstream(&text, &size);
	size_t events = trace_write_json(to, &trace);

	fclose(to);
	return events;
}

static void assert_has(const char *part)
{
	if (!strstr(text, part))
		fail_msg("%s is not in %s", part, text);
}

static void threads_and_halts_are_slices_of_their_core(void **state)
{
	add_name(TRACE_NAMED_THREAD, 7, "a worker's name");
	add(1, 0, TRACE_SWITCH, 0, 7);
	add(1, 10, TRACE_HALT, 7, 0);
	add(1, 30, TRACE_RUN, 7, 0);
	add(1, 35, TRACE_SWITCH, 7, 0);
	write_json();
	assert_has(
	    "{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":0.000,\"dur\":10.000,\"name\":\"a worker's name\"}");
	assert_has("\"ts\":10.000,\"dur\":20.000,\"name\":\"halted\"}");
	assert_has("\"ts\":30.000,\"dur\":5.000,\"name\":\"a worker's name\"}");
}

/* Its thread may have moved. */
static void a_call_lasts_until_its_thread_is_back(void **state)
{
	add_name(TRACE_NAMED_CALL, 0xffffffff80201000, "epoll_pwait");
	add(1, 50, TRACE_CALL_END, 3, 0);
	add(0, 20, TRACE_CALL, 3, 0xffffffff80201000);
	add(0, 25, TRACE_CALL, 4, 0xffffffff80202000);
	write_json();
	assert_has("\"pid\":2,\"tid\":3,\"ts\":0.000,\"dur\":30.000,\"name\":\"epoll_pwait\"}");
	/* Still under way at the end, and without a name. */
	assert_has(
	    "\"pid\":2,\"tid\":4,\"ts\":5.000,\"dur\":25.000,\"name\":\"call 0xffffffff80202000\"}");
	assert_has("\"thread_name\",\"args\":{\"name\":\"thread 3, 3\"}");
}

static void an_end_without_a_beginning_is_no_event(void **state)
{
	size_t labels = write_json();

	tear_down(NULL);
	set_up(NULL);
	add(0, 1, TRACE_CALL_END, 3, 0);
	add(0, 2, TRACE_INTERRUPT_END, 3, 0);
	add(0, 3, 999, 3, 0);
	/* But the thread that it tells of has a label. */
	assert_int_equal(write_json(), labels + 1);
}

static void interrupts_have_a_track_of_their_own(void **state)
{
	add(0, 0, TRACE_INTERRUPT, 1, 48);
	add(0, 2, TRACE_INTERRUPT_END, 1, 0);
	write_json();
	assert_has("\"tid\":1000,\"ts\":0.000,\"dur\":2.000,\"name\":\"interrupt 48\"}");
}

/* The image says what it likes. */
static void names_cannot_break_out_of_the_file(void **state)
{
	add_name(TRACE_NAMED_THREAD, 7, "\"}\\\n\x1b[31m\xff");
	add(0, 0, TRACE_SWITCH, 0, 7);
	add(0, 1, TRACE_SWITCH, 7, 0);
	write_json();
	assert_has("\"name\":\"?}???[31m?\"}");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(threads_and_halts_are_slices_of_their_core),
		CASE(a_call_lasts_until_its_thread_is_back),
		CASE(an_end_without_a_beginning_is_no_event),
		CASE(interrupts_have_a_track_of_their_own),
		CASE(names_cannot_break_out_of_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
