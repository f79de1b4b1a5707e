#include "http.h"

#include <string.h>
#include <strings.h>

static struct http_parse refused(int status)
{
	return (struct http_parse){ .verdict = HTTP_REFUSED, .status = status };
}

/* tchar of RFC 9110, 5.6.2: what a method and a field name consist of. */
static bool is_token_char(unsigned char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_named(const char *name, size_t length, const char *expected)
{
	return length == strlen(expected) && strncasecmp(name, expected, length) == 0;
}

/* Does a comma-separated list hold `word`? */
static bool list_has(const char *value, size_t length, const char *word)
{
	const char *end = value + length;

	while (value < end) {
		const char *comma = memchr(value, ',', (size_t)(end - value));
		const char *item_end = comma ? comma : end;
		const char *first = value, *last = item_end;

		while (first < last && (*first == ' ' || *first == '\t'))
			first++;
		while (last > first && (last[-1] == ' ' || last[-1] == '\t'))
			last--;
		if (is_named(first, (size_t)(last - first), word))
			return true;
		value = comma ? comma + 1 : end;
	}
	return false;
}

static bool parse_length(const char *value, size_t length, uint64_t *result)
{
	uint64_t number = 0;

	if (length == 0 || length > 18)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (value[i] < '0' || value[i] > '9')
			return false;
		number = number * 10 + (uint64_t)(value[i] - '0');
	}
	*result = number;
	return true;
}

struct fields { /* what the header fields said, collected while they are read */
	bool have_length, have_host, close, keep_alive;
	int status; /* not 0: refuse */
};

static void take_field(const char *name, size_t name_length, const char *value, size_t value_length,
		       struct http_request *request, struct fields *fields)
{
	uint64_t length;

	/* Only five names matter, told apart by their length first. */
	switch (name_length) {
	case 4:
		if (!is_named(name, name_length, "host"))
			return;
		if (fields->have_host)
			fields->status = 400;
		fields->have_host = true;
		return;
	case 6:
		if (!is_named(name, name_length, "expect"))
			return;
		request->expects_continue = is_named(value, value_length, "100-continue");
		if (!request->expects_continue)
			fields->status = 417;
		return;
	case 10:
		if (!is_named(name, name_length, "connection"))
			return;
		fields->close |= list_has(value, value_length, "close");
		fields->keep_alive |= list_has(value, value_length, "keep-alive");
		return;
	case 14:
		if (!is_named(name, name_length, "content-length"))
			return;
		/* Differing lengths are how requests are smuggled: RFC 9112, 6.3. */
		if (!parse_length(value, value_length, &length) ||
		    (fields->have_length && length != request->body_length)) {
			fields->status = 400;
			return;
		}
		fields->have_length = true;
		request->body_length = length;
		return;
	case 17:
		/* No handler here wants a body, so chunked ones are refused, not decoded. */
		if (is_named(name, name_length, "transfer-encoding"))
			fields->status = 501;
		return;
	}
}

/* The request line, ending before `end`. Returns 0 or the status to refuse with; *minor is the
 * minor version. */
static int parse_request_line(const char *line, const char *end, struct http_request *request,
			      int *minor)
{
	const char *method = line, *target, *version;
	size_t method_length;

	while (line < end && is_token_char((unsigned char)*line))
		line++;
	method_length = (size_t)(line - method);
	if (method_length == 0 || line == end || *line != ' ')
		return 400;
	target = ++line;
	while (line < end && (unsigned char)*line > ' ' && *line != 0x7f)
		line++;
	if (line == target || line == end || *line != ' ')
		return 400;
	if (line - target > HTTP_TARGET_MAX)
		return 414;
	request->target = target;
	request->target_length = (size_t)(line - target);
	version = ++line;
	if (end - version != 8 || memcmp(version, "HTTP/", 5) != 0 || version[6] != '.' ||
	    version[5] < '0' || version[5] > '9' || version[7] < '0' || version[7] > '9')
		return 400;
	if (version[5] != '1')
		return 505;
	*minor = version[7] - '0';

	if (method_length == 3 && memcmp(method, "GET", 3) == 0)
		request->method = HTTP_GET;
	else if (method_length == 4 && memcmp(method, "HEAD", 4) == 0)
		request->method = HTTP_HEAD;
	else
		request->method = HTTP_OTHER;

	/* absolute-form: "http://host/path" (RFC 9112, 3.2.2) */
	if (request->target[0] != '/' && request->target_length > 7 &&
	    strncasecmp(request->target, "http://", 7) == 0) {
		const char *target_end = request->target + request->target_length;
		const char *path = memchr(request->target + 7, '/', request->target_length - 7);

		request->target = path ? path : "/";
		request->target_length = path ? (size_t)(target_end - path) : 1;
	}
	const char *query = memchr(request->target, '?', request->target_length);

	if (query)
		request->target_length = (size_t)(query - request->target);
	return 0;
}

struct http_parse http_parse(const char *bytes, size_t length, struct http_request *request)
{
	const char *start = bytes, *limit = bytes + length, *line, *end;
	struct fields fields = { 0 };
	int minor = 0, status;

	/* Empty lines before a request are skipped: RFC 9112, 2.2. */
	while (limit - bytes >= 2 && bytes[0] == '\r' && bytes[1] == '\n')
		bytes += 2;
	/* Refuse what can never become a request at once, rather than wait for its end. */
	if (bytes < limit && !is_token_char((unsigned char)*bytes) &&
	    !(*bytes == '\r' && limit - bytes == 1))
		return refused(400);

	*request = (struct http_request){ 0 };
	end = memchr(bytes, '\n', (size_t)(limit - bytes));
	if (!end) {
		if (limit - bytes > HTTP_TARGET_MAX + 64)
			return refused(414);
		return (struct http_parse){ .verdict = HTTP_INCOMPLETE };
	}
	if (end == bytes || end[-1] != '\r')
		return refused(400);
	status = parse_request_line(bytes, end - 1, request, &minor);
	if (status)
		return refused(status);

	for (line = end + 1;; line = end + 1) {
		const char *colon, *value, *value_end;

		if (line - start > HTTP_HEADER_MAX)
			return refused(431);
		end = memchr(line, '\n', (size_t)(limit - line));
		if (!end) {
			if (limit - start > HTTP_HEADER_MAX)
				return refused(431);
			return (struct http_parse){ .verdict = HTTP_INCOMPLETE };
		}
		if (end == line || end[-1] != '\r')
			return refused(400);
		value_end = end - 1;
		if (value_end == line)
			break; /* the empty line */
		for (colon = line; colon < value_end && is_token_char((unsigned char)*colon);)
			colon++;
		/* No name, a blank before the colon, or a folded line: RFC 9112, 5.1 and 5.2. */
		if (colon == line || colon == value_end || *colon != ':')
			return refused(400);
		for (value = colon + 1; value < value_end && (*value == ' ' || *value == '\t');)
			value++;
		while (value_end > value && (value_end[-1] == ' ' || value_end[-1] == '\t'))
			value_end--;
		if (memchr(value, '\0', (size_t)(value_end - value)) ||
		    memchr(value, '\r', (size_t)(value_end - value)))
			return refused(400);
		take_field(line, (size_t)(colon - line), value, (size_t)(value_end - value), request,
			   &fields);
		if (fields.status)
			return refused(fields.status);
	}
	if (end + 1 - start > HTTP_HEADER_MAX)
		return refused(431);
	if (minor >= 1 && !fields.have_host)
		return refused(400); /* RFC 9112, 3.2 */
	if (request->body_length > HTTP_BODY_MAX)
		return refused(413);
	request->keep_alive = minor >= 1 ? !fields.close : fields.keep_alive && !fields.close;
	return (struct http_parse){ .verdict = HTTP_COMPLETE, .length = (size_t)(end + 1 - start) };
}

const char *http_reason(int status)
{
	switch (status) {
	case 200: return "OK";
	case 400: return "Bad Request";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 408: return "Request Timeout";
	case 413: return "Content Too Large";
	case 414: return "URI Too Long";
	case 417: return "Expectation Failed";
	case 431: return "Request Header Fields Too Large";
	case 501: return "Not Implemented";
	case 503: return "Service Unavailable";
	case 505: return "HTTP Version Not Supported";
	}
	return "Error";
}
