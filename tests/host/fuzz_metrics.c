/*
 * Any bytes as a request for /metrics: no access outside them, and one verdict.
 *
 * links: posix/proc/metrics_request.c
 */
#include "posix/proc/metrics.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *bytes = malloc(size ? size : 1);
	struct metrics_request request;

	memcpy(bytes, data, size);
	request = metrics_request_parse(bytes, size);
	if (request.status == 200 && !memmem(bytes, size, "/metrics", 8))
		abort();
	if (request.status && request.status != 200 &&
	    (request.status < 400 || request.status > 431))
		abort();
	if (request.status && size < METRICS_REQUEST_MAX && !memmem(bytes, size, "\r\n\r\n", 4))
		abort();
	free(bytes);
	return 0;
}
