/*
 * Connections of one worker: bytes in, responses out.
 *
 * An idle connection holds no buffer: input is read into the worker's, and only what is
 * left of an unfinished request, or of an answer that the peer has not yet taken, is
 * kept. Everything here belongs to one worker thread.
 */
#pragma once

#include "archive.h"
#include "http.h"

#include <stdint.h>

struct worker_counts;

struct connection {
	int fd;
	bool want_write; /* EPOLLOUT is what we wait for */
	bool closing; /* close when everything is sent */
	uint64_t active_ms; /* when a byte last moved */
	uint64_t request_ms; /* when the unfinished request's first byte came; 0: none */
	bool draining; /* all is sent: input is dropped until its end or finish_ms + a bound */
	uint64_t finish_ms;
	uint64_t skip; /* bytes of a request body still to be dropped */
	char *input; /* start of an unfinished request */
	size_t input_length;
	char *output; /* answer bytes that did not fit the socket */
	size_t output_length, output_sent;
	const char *body; /* then this file's bytes, not copied */
	size_t body_length;
	struct connection *previous, *next; /* by active_ms, oldest first */
};

struct worker {
	int epoll;
	uint64_t now_ms; /* read once per batch of events */
	struct worker_counts *counts;
	struct connection ends; /* sentinel of the list */
	char *in; /* input buffer */
	char *out; /* answers of one batch of pipelined requests */
	size_t out_length;
	size_t held, held_max; /* bytes of all connections' `input` and `output` */
	char date[48]; /* "Date: ...\r\n", of the second date_s */
	size_t date_length;
	uint64_t date_s;
	struct archive_file page; /* the start page with its table, of page_ms */
	char *page_bytes;
	uint64_t page_ms;
};

extern int worker_port;

struct worker *worker_create(struct worker_counts *counts);

/* Take over the accepted, non-blocking `fd`. */
void connection_open(struct worker *worker, int fd);
void connection_ready(struct worker *worker, struct connection *connection, uint32_t events);
/* Close what has been silent for too long. */
void connections_sweep(struct worker *worker);
