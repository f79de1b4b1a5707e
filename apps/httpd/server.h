/*
 * The server: one worker thread per core, each with its own listener (SO_REUSEPORT),
 * its own epoll and its own connections. Workers share nothing while they serve; what a
 * worker counts is written by it alone and read by whoever renders the table.
 */
#pragma once

#include <stdint.h>

#define WORKERS_MAX 64

struct worker_counts {
	uint64_t requests;
	uint64_t accepted;
	uint64_t open; /* connections now */
	uint64_t refused; /* answered with 4xx or 5xx and closed */
	uint64_t timeouts;
	uint64_t bytes_sent;
} __attribute__((aligned(64)));

extern struct worker_counts worker_counts[WORKERS_MAX];
extern int worker_cores[WORKERS_MAX]; /* which core worker i is pinned to */
extern unsigned nworkers;

/* Start a worker on each of the `count` cores in worker_cores[], all listening on `port`. Returns
 * when all listen, or -1 after saying on stderr why not. */
int server_start(unsigned count, uint16_t port);

/* Wait for the workers, which serve for ever. */
void server_wait(void);
