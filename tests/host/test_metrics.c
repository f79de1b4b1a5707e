/*
 * What is made of a request for /metrics.
 *
 * links: posix/proc/metrics_request.c
 */
#include "posix/proc/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *head;
	unsigned status;
	bool is_head;
} cases[] = {
	{ "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200, false },
	{ "GET /metrics HTTP/1.0\r\n\r\n", 200, false },
	{ "GET /metrics?name[]=x HTTP/1.1\r\n\r\n", 200, false },
	{ "HEAD /metrics HTTP/1.1\r\n\r\n", 200, true },
	{ "GET / HTTP/1.1\r\n\r\n", 404, false },
	{ "GET /metricsx HTTP/1.1\r\n\r\n", 404, false },
	{ "HEAD /other HTTP/1.1\r\n\r\n", 404, true },
	{ "POST /metrics HTTP/1.1\r\n\r\nbody", 405, false },
	{ "GET /metrics\r\n\r\n", 400, false },
	{ "GET /metrics HTTP/2\r\n\r\n", 400, false },
	{ "GET  HTTP/1.1\r\n\r\n", 400, false },
	{ "GET metrics HTTP/1.1\r\n\r\n", 400, false },
	{ " /metrics HTTP/1.1\r\n\r\n", 400, false },
	{ "get /metrics HTTP/1.1\r\n\r\n", 400, false },
	{ "\r\n\r\n", 400, false },
	{ "\x16\x03\x01 hello\r\n\r\n", 400, false },
};

static void requests_have_their_answer(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct metrics_request request =
		    metrics_request_parse(cases[i].head, strlen(cases[i].head));

		if (request.status != cases[i].status || request.head != cases[i].is_head)
			fail_msg("'%s': status %u, not %u", cases[i].head, request.status,
				 cases[i].status);
	}
}

/* Every prefix is one to which more is to come; it lies at an end of memory, so that looking further is seen. */
static void heads_come_in_pieces(void **state)
{
	const char *head = cases[0].head;

	for (size_t length = 0; length < strlen(head); length++) {
		char *copy = malloc(length ? length : 1);

		memcpy(copy, head, length);
		assert_int_equal(metrics_request_parse(copy, length).status, 0);
		free(copy);
	}
}

static void a_head_without_end_is_refused(void **state)
{
	char head[METRICS_REQUEST_MAX];

	memset(head, 'A', sizeof(head));
	assert_int_equal(metrics_request_parse(head, sizeof(head) - 1).status, 0);
	assert_int_equal(metrics_request_parse(head, sizeof(head)).status, 431);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_have_their_answer),
		cmocka_unit_test(heads_come_in_pieces),
		cmocka_unit_test(a_head_without_end_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
