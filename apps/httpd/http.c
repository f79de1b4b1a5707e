#include "http.h"

#include <string.h>
#include <strings.h>

static struct http_parse refused(int status)
{
	return (struct http_parse){ .verdict = HTTP_REFUSED, .status = status };
}

/*
 * What a byte may be part of: a token (tchar of RFC 9110, 5.6.2: methods and field names), a
 * request target (anything visible), a field value (visible, blank, tab, and bytes above 127).
 */
#define TOKEN 1
#define TARGET 2
#define VALUE 4

static const unsigned char classes[256] = {
#define TOKEN_CHARACTER TOKEN | TARGET | VALUE
#define DELIMITER TARGET | VALUE /* visible, and not a token's */
	['\t'] = VALUE,
	[' '] = VALUE,
	['!'] = TOKEN_CHARACTER,
	['"'] = DELIMITER,
	['#' ... '\''] = TOKEN_CHARACTER,
	['(' ... ')'] = DELIMITER,
	['*' ... '+'] = TOKEN_CHARACTER,
	[','] = DELIMITER,
	['-' ... '.'] = TOKEN_CHARACTER,
	['/'] = DELIMITER,
	['0' ... '9'] = TOKEN_CHARACTER,
	[':' ... '@'] = DELIMITER,
	['A' ... 'Z'] = TOKEN_CHARACTER,
	['[' ... ']'] = DELIMITER,
	['^' ... 'z'] = TOKEN_CHARACTER,
	['{'] = DELIMITER,
	['|'] = TOKEN_CHARACTER,
	['}'] = DELIMITER,
	['~'] = TOKEN_CHARACTER,
	[128 ... 255] = DELIMITER,
#undef TOKEN_CHARACTER
#undef DELIMITER
};

static inline bool is(int class, char c)
{
	return classes[(unsigned char)c] & class;
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

static struct http_parse incomplete(void)
{
	return (struct http_parse){ .verdict = HTTP_INCOMPLETE };
}

/* http://host/path: RFC 9112, 3.2.2 */
static void take_absolute_target(struct http_request *request)
{
	static const char scheme[] = "http://";
	const char *end = request->target + request->target_length;
	const char *path;

	if (request->target_length < sizeof(scheme) ||
	    strncasecmp(request->target, scheme, sizeof(scheme) - 1) != 0)
		return;
	path = request->target + sizeof(scheme) - 1;
	while (path < end && *path != '/')
		path++;
	request->target = path < end ? path : "/";
	request->target_length = path < end ? (size_t)(end - path) : 1;
}

static enum http_method method_named(const char *name, size_t length)
{
	if (length == 3 && memcmp(name, "GET", 3) == 0)
		return HTTP_GET;
	if (length == 4 && memcmp(name, "HEAD", 4) == 0)
		return HTTP_HEAD;
	return HTTP_OTHER;
}

/* What a header that runs into `limit` gets: it may go on, or is too long already. */
static struct http_parse unfinished(const char *start, const char *limit)
{
	return limit - start > HTTP_HEADER_MAX ? refused(431) : incomplete();
}

/* One pass over the bytes: each is looked at once, and nothing is searched for ahead. */
struct http_parse http_parse(const char *bytes, size_t length, struct http_request *request)
{
	const char *at = bytes, *limit = bytes + length, *word, *query = NULL;
	struct fields fields = { 0 };
	int minor;

	*request = (struct http_request){ 0 };
	/* Empty lines before a request are skipped: RFC 9112, 2.2. */
	while (limit - at >= 2 && at[0] == '\r' && at[1] == '\n')
		at += 2;
	if (limit - at == 1 && *at == '\r')
		return incomplete();

	for (word = at; at < limit && is(TOKEN, *at);)
		at++;
	if (at == limit)
		return at - word > HTTP_TARGET_MAX ? refused(400) : incomplete();
	if (at == word || *at != ' ')
		return refused(400);
	request->method = method_named(word, (size_t)(at - word));

	for (word = ++at; at < limit && is(TARGET, *at); at++)
		if (*at == '?' && !query)
			query = at;
	if (at - word > HTTP_TARGET_MAX)
		return refused(414);
	if (at == limit)
		return incomplete();
	if (at == word || *at != ' ')
		return refused(400);
	request->target = word;
	request->target_length = (size_t)((query ? query : at) - word);
	if (*word != '/')
		take_absolute_target(request);

	static const char version[] = "HTTP/1.";

	for (word = ++at; at < limit && (size_t)(at - word) < sizeof(version) - 1; at++)
		if (*at != version[at - word])
			/* Another major version is well-formed: RFC 9110, 15.6.6. */
			return refused(at - word == 5 && *at >= '0' && *at <= '9' ? 505 : 400);
	if (limit - at < 3)
		return incomplete();
	if (at[0] < '0' || at[0] > '9' || at[1] != '\r' || at[2] != '\n')
		return refused(400);
	minor = at[0] - '0';
	at += 3;

	for (;;) {
		const char *name = at, *value, *value_end;
		size_t name_length;

		if (limit - at >= 2 && at[0] == '\r' && at[1] == '\n')
			break; /* the empty line */
		if (limit - at < 2 && (at == limit || *at == '\r'))
			return unfinished(bytes, limit);
		while (at < limit && is(TOKEN, *at))
			at++;
		if (at == limit)
			return unfinished(bytes, limit);
		/* No name, a blank before the colon, or a folded line: RFC 9112, 5.1 and 5.2. */
		if (at == name || *at != ':')
			return refused(400);
		name_length = (size_t)(at - name);
		for (at++; at < limit && (*at == ' ' || *at == '\t');)
			at++;
		for (value = at; at < limit && is(VALUE, *at);)
			at++;
		if (limit - at < 2)
			return at == limit || *at == '\r' ? unfinished(bytes, limit) : refused(400);
		if (at[0] != '\r' || at[1] != '\n')
			return refused(400);
		value_end = at;
		at += 2;
		while (value_end > value && (value_end[-1] == ' ' || value_end[-1] == '\t'))
			value_end--;
		take_field(name, name_length, value, (size_t)(value_end - value), request, &fields);
		if (fields.status)
			return refused(fields.status);
		if (at - bytes > HTTP_HEADER_MAX)
			return refused(431);
	}
	at += 2;
	if (at - bytes > HTTP_HEADER_MAX)
		return refused(431);
	if (minor >= 1 && !fields.have_host)
		return refused(400); /* RFC 9112, 3.2 */
	if (request->body_length > HTTP_BODY_MAX)
		return refused(413);
	request->keep_alive = minor >= 1 ? !fields.close : fields.keep_alive && !fields.close;
	return (struct http_parse){ .verdict = HTTP_COMPLETE, .length = (size_t)(at - bytes) };
}

const char *http_reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 413:
		return "Content Too Large";
	case 414:
		return "URI Too Long";
	case 417:
		return "Expectation Failed";
	case 431:
		return "Request Header Fields Too Large";
	case 501:
		return "Not Implemented";
	case 503:
		return "Service Unavailable";
	case 505:
		return "HTTP Version Not Supported";
	}
	return "Error";
}
