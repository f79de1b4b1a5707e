/*
 * Talking to QEMU: its machine protocol (QMP), lines of JSON over a socket that it inherits.
 *
 * A call waits for its answer, until the deadline of the connection or until something else wants
 * attention. What comes from the other end is checked: a line that is no JSON, or is endless, ends it.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A line from QEMU is shorter: its longest answer here has 200 bytes for each of 64 CPUs. */
#define QMP_MAX_LINE (1u << 20)

struct qmp {
	int fd;
	int interrupt_fd; /* waiting ends when this can be read; -1: none */
	uint64_t deadline_ms; /* of the monotonic clock */
	bool interrupted; /* the last call ended by that */
	unsigned ncalls;
	char *text; /* what has come and is not yet taken */
	size_t length;
};

/* Each returns NULL, or what is wrong in a sentence (static memory). */

/* Greet QEMU at the other end of `fd`, which stays the caller's; `patience_ms` is for this and all calls. */
const char *qmp_open(struct qmp *qmp, int fd, int interrupt_fd, unsigned patience_ms);
/* Execute `command` without arguments. *answer, if wanted, is the caller's to json_decref(). */
const char *qmp_call(struct qmp *qmp, const char *command, json_t **answer);
/* In either case. */
void qmp_close(struct qmp *qmp);

/* The host's thread of each virtual CPU, from the answer to query-cpus-fast; exactly `ncpus` of them. */
const char *qmp_read_threads(const json_t *answer, int *threads, unsigned ncpus);
