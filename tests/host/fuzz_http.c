/*
 * Any bytes into the request parser: no access outside them, and a verdict that holds
 * together.
 *
 * links: apps/httpd/http.c
 */
#include "apps/httpd/http.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *bytes = malloc(size ? size : 1);
	struct http_request request;
	struct http_parse result;

	memcpy(bytes, data, size);
	result = http_parse(bytes, size, &request);
	if (result.verdict == HTTP_COMPLETE) {
		if (result.length == 0 || result.length > size ||
		    request.target_length > HTTP_TARGET_MAX || request.body_length > HTTP_BODY_MAX)
			abort();
		/* What was complete stays so when more follows, and is incomplete without its end. */
		struct http_request shorter;

		if (http_parse(bytes, result.length - 1, &shorter).verdict == HTTP_COMPLETE)
			abort();
	} else if (result.verdict == HTTP_REFUSED && (result.status < 400 || result.status > 505)) {
		abort();
	}
	free(bytes);
	return 0;
}
