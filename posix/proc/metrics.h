/*
 * /metrics: what the cores count, for Prometheus, on the port that the boot option metrics= names.
 *
 * Off without the option. Each core that has the network at boot has a kernel thread with a listener of its own, so a scrape is served where its
 * connection arrives, and no core waits for another. Connections of a core beyond METRICS_AT_ONCE wait until one
 * is answered; each has METRICS_PATIENCE_NS for its request, and as long again for each part of the answer that
 * it takes.
 */
#pragma once

#include "lavra/types.h"

#define METRICS_AT_ONCE 4
#define METRICS_PATIENCE_NS (5 * NS_PER_S)
#define METRICS_REQUEST_MAX 2048 /* its head; a longer one is answered with 431 */

/* Serve, if the boot option says so. Boot thread, when the network has its addresses. */
void metrics_start(void);

struct socket_address;
/* Is a TCP socket's address at the port that is served here, which the application cannot have? Says so on the console.
 * Any core, thread context. */
bool metrics_has_port(const struct socket_address *address);

struct text;
/* All counters of all cores and the totals, in Prometheus' text format (version 0.0.4). Lets other threads run
 * meanwhile. Thread context. */
void metrics_print(struct text *text);

/* What the head of a request asks for (metrics_request.c). */
struct metrics_request {
	unsigned status; /* 0: more is to come; 200: /metrics; else why not */
	bool head; /* HEAD: no body */
};
struct metrics_request metrics_request_parse(const char *bytes, size_t length);
