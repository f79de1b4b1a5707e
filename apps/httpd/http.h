/*
 * HTTP/1.1 requests: the bytes of a connection in, one request at a time out.
 *
 * The parser keeps no state between calls: it is given what has arrived and says
 * whether that starts with a whole request, needs more bytes, or is refused and with
 * which status. It never reads beyond `length` and never writes. Rules are RFC 9112's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEADER_MAX 8192 /* request line and header fields; longer: 431 */
#define HTTP_TARGET_MAX 2048 /* longer: 414 */
#define HTTP_BODY_MAX (1024 * 1024) /* a body is read and dropped; longer: 413 */

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_OTHER };

struct http_request {
	enum http_method method;
	const char *target; /* the path, without the query; not NUL-terminated */
	size_t target_length;
	bool keep_alive;
	uint64_t body_length; /* bytes that follow the header and belong to this request */
	bool expects_continue;
};

enum http_verdict {
	HTTP_COMPLETE, /* a whole header was parsed */
	HTTP_INCOMPLETE, /* so far so good: more bytes are needed */
	HTTP_REFUSED, /* answer with `status` and close */
};

struct http_parse {
	enum http_verdict verdict;
	int status; /* of HTTP_REFUSED: 400, 413, 414, 431, 501, 505 */
	size_t length; /* of HTTP_COMPLETE: the header's bytes, its empty line included */
};

struct http_parse http_parse(const char *bytes, size_t length, struct http_request *request);

/* "Not Found" for 404, and so on. */
const char *http_reason(int status);
