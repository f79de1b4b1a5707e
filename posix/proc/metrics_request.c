/*
 * The request of somebody who wants /metrics: of its head only the first line matters (RFC 9112, 3).
 */
#include "posix/proc/metrics.h"

#include <string.h>

static const char *find(const char *bytes, size_t length, const char *what)
{
	size_t wanted = strlen(what);

	for (size_t at = 0; at + wanted <= length; at++)
		if (memcmp(bytes + at, what, wanted) == 0)
			return bytes + at;
	return NULL;
}

static bool is_token(const char *from, const char *to, const char *token)
{
	size_t length = strlen(token);

	return (size_t)(to - from) == length && memcmp(from, token, length) == 0;
}

/* A method's letters; others' are refused, not looked at. */
static bool is_method(const char *from, const char *to)
{
	if (from == to)
		return false;
	for (; from < to; from++)
		if (*from < 'A' || *from > 'Z')
			return false;
	return true;
}

/* HTTP/1.0 and HTTP/1.1, and what later ones of this kind there may be. */
static bool is_version(const char *from, const char *to)
{
	return to - from == 8 && memcmp(from, "HTTP/1.", 7) == 0 && from[7] >= '0' &&
	       from[7] <= '9';
}

struct metrics_request metrics_request_parse(const char *bytes, size_t length)
{
	const char *line_end, *method_end, *target, *target_end, *path_end;
	struct metrics_request request = { 0 };

	if (!find(bytes, length, "\r\n\r\n")) {
		request.status = length >= METRICS_REQUEST_MAX ? 431 : 0;
		return request;
	}
	line_end = find(bytes, length, "\r\n");
	method_end = memchr(bytes, ' ', (size_t)(line_end - bytes));
	target = method_end ? method_end + 1 : line_end;
	target_end = memchr(target, ' ', (size_t)(line_end - target));
	request.status = 400;
	if (!method_end || !target_end || !is_method(bytes, method_end) || *target != '/' ||
	    !is_version(target_end + 1, line_end))
		return request;
	path_end = memchr(target, '?', (size_t)(target_end - target));
	request.head = is_token(bytes, method_end, "HEAD");
	if (!is_token(target, path_end ? path_end : target_end, "/metrics"))
		request.status = 404;
	else if (!request.head && !is_token(bytes, method_end, "GET"))
		request.status = 405;
	else
		request.status = 200;
	return request;
}
