/*
 * The request parser of apps/httpd: what is taken, what is refused and how.
 *
 * links: apps/httpd/http.c
 */
#include "apps/httpd/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct http_parse parse(const char *text, struct http_request *request)
{
	return http_parse(text, strlen(text), request);
}

static void assert_refused(const char *text, int status)
{
	struct http_request request;
	struct http_parse result = parse(text, &request);

	assert_int_equal(result.verdict, HTTP_REFUSED);
	assert_int_equal(result.status, status);
}

static void takes_a_plain_request(void **state)
{
	const char *text = "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\nrest";
	struct http_request request;
	struct http_parse result = parse(text, &request);

	assert_int_equal(result.verdict, HTTP_COMPLETE);
	assert_int_equal(result.length, strlen(text) - 4);
	assert_int_equal(request.method, HTTP_GET);
	assert_int_equal(request.target_length, 2);
	assert_memory_equal(request.target, "/a", 2);
	assert_true(request.keep_alive);
	assert_int_equal(request.body_length, 0);
}

static void every_prefix_is_incomplete(void **state)
{
	const char *text = "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n"
			   "Connection: foo, close\r\n\r\n";
	struct http_request request;

	for (size_t length = 0; length < strlen(text); length++) {
		char *exact = malloc(length + 1); /* so that a read beyond shows */

		memcpy(exact, text, length);
		assert_int_equal(http_parse(exact, length, &request).verdict, HTTP_INCOMPLETE);
		free(exact);
	}
	assert_int_equal(parse(text, &request).verdict, HTTP_COMPLETE);
	assert_int_equal(request.method, HTTP_OTHER);
	assert_int_equal(request.body_length, 12);
	assert_false(request.keep_alive);
}

static void keep_alive_follows_the_version(void **state)
{
	struct http_request request;

	parse("GET / HTTP/1.0\r\n\r\n", &request);
	assert_false(request.keep_alive);
	parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &request);
	assert_true(request.keep_alive);
	parse("GET / HTTP/1.1\r\nHost: x\r\nconnection: CLOSE\r\n\r\n", &request);
	assert_false(request.keep_alive);
}

static void takes_an_absolute_target(void **state)
{
	struct http_request request;

	parse("GET http://host:80/path HTTP/1.1\r\nHost: x\r\n\r\n", &request);
	assert_int_equal(request.target_length, 5);
	assert_memory_equal(request.target, "/path", 5);
	parse("GET http://host HTTP/1.1\r\nHost: x\r\n\r\n", &request);
	assert_int_equal(request.target_length, 1);
}

static void refuses_by_status(void **state)
{
	char *text = malloc(20000);

	assert_refused("\001GET / HTTP/1.1\r\n\r\n", 400);
	assert_refused("GET /\r\n\r\n", 400);
	assert_refused("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400);
	assert_refused("GET / HTTP/1.1\nHost: x\n\n", 400);
	assert_refused("GET / HTTP/1.1\r\n\r\n", 400);
	assert_refused("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400);
	assert_refused("GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400);
	assert_refused("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400);
	assert_refused("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400);
	assert_refused(
	    "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400);
	assert_refused("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505);
	assert_refused("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 501);
	assert_refused("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n", 413);

	strcpy(text, "GET /");
	memset(text + 5, 'a', 3000);
	strcpy(text + 3005, " HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_refused(text, 414);
	text[3005] = '\0';
	assert_refused(text, 414);
	strcpy(text, "GET / HTTP/1.1\r\nHost: x\r\nX: ");
	memset(text + 28, 'a', 9000);
	text[9028] = '\0';
	assert_refused(text, 431);
	strcpy(text + 9028, "\r\n\r\n");
	assert_refused(text, 431);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_a_plain_request),
		cmocka_unit_test(every_prefix_is_incomplete),
		cmocka_unit_test(keep_alive_follows_the_version),
		cmocka_unit_test(takes_an_absolute_target),
		cmocka_unit_test(refuses_by_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
