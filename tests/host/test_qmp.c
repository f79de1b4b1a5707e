/*
 * The client of QEMU's machine protocol, against another end that answers well, badly, or not at all.
 *
 * links: tools/launcher/complaint.c tools/launcher/qmp.c
 * libraries: -ljansson
 */
#include "tools/launcher/qmp.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"

/* The other end: it sends a part, waits for a line, sends the next one, and at last closes, or is silent. */
struct peer {
	int fd;
	const char *const *parts; /* NULL-terminated */
	bool silent; /* stay open behind the last part */
	bool flood; /* send without end behind the last part */
	char heard[4096];
};

static void *serve(void *argument)
{
	struct peer *peer = argument;
	char block[4096];
	size_t length = 0;

	for (const char *const *part = peer->parts; *part; part++) {
		ssize_t got = 1;

		if (part != peer->parts)
			while (got > 0 && (!length || peer->heard[length - 1] != '\n')) {
				got = read(peer->fd, peer->heard + length,
					   sizeof(peer->heard) - 1 - length);
				length += got > 0 ? (size_t)got : 0;
			}
		if (got <= 0 || send(peer->fd, *part, strlen(*part), MSG_NOSIGNAL) < 0)
			break;
		if (length)
			peer->heard[length++] = ' ';
	}
	memset(block, 'x', sizeof(block));
	while (peer->flood && send(peer->fd, block, sizeof(block), MSG_NOSIGNAL) > 0)
		;
	while (peer->silent && read(peer->fd, block, sizeof(block)) > 0)
		;
	shutdown(peer->fd, SHUT_RDWR);
	return NULL;
}

/* Talk to it: greet, then execute `command` if there is one. Returns what is wrong. */
static const char *talk(struct peer *peer, int interrupt_fd, unsigned patience_ms,
			const char *command, json_t **answer, bool *interrupted)
{
	struct qmp qmp;
	const char *wrong;
	pthread_t thread;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	peer->fd = ends[1];
	assert_int_equal(pthread_create(&thread, NULL, serve, peer), 0);
	wrong = qmp_open(&qmp, ends[0], interrupt_fd, patience_ms);
	if (!wrong && command)
		wrong = qmp_call(&qmp, command, answer);
	if (interrupted)
		*interrupted = qmp.interrupted;
	qmp_close(&qmp);
	close(ends[0]);
	assert_int_equal(pthread_join(thread, NULL), 0);
	close(ends[1]);
	return wrong;
}

static void an_answer_is_returned(void **state)
{
	/* Events come in between, an answer in two pieces is one, and two lines may come at once. */
	const char *const parts[] = {
		GREETING, "{\"event\": \"X\"}\r\n{\"return\": {}, \"id\": 1}\r\n",
		"{\"return\": {}, \"id\": 99}\r\n{\"return\": [1, 2], \"id\": 2}\r\n", NULL
	};
	struct peer peer = { .parts = parts };
	json_t *answer = NULL;
	const char *wrong = talk(&peer, -1, 10000, "query-cpus-fast", &answer, NULL);

	if (wrong)
		fail_msg("%s", wrong);
	assert_int_equal(json_array_size(answer), 2);
	json_decref(answer);
	assert_non_null(strstr(peer.heard, "\"qmp_capabilities\""));
	assert_non_null(strstr(peer.heard, "\"query-cpus-fast\""));
}

static void bad_peers_are_told(void **state)
{
	static const struct {
		const char *parts[4];
		bool silent, flood;
		const char *because;
	} cases[] = {
		{ { NULL }, false, false, "ended before it answered (greeting)" },
		{ { NULL }, true, false, "does not answer (greeting)" },
		{ { NULL }, false, true, "does not end within" },
		{ { "hello\n" }, false, false, "not JSON" },
		{ { "\n" }, false, false, "not JSON" },
		{ { "[1]\n" }, false, false, "no JSON object" },
		{ { "{\"QMP\": {}\n" }, false, false, "not JSON" },
		{ { "{}\n" }, false, false, "does not greet" },
		{ { "{\"QMP\"" }, false, false, "ended before it answered (greeting)" },
		{ { GREETING }, true, false, "does not answer (qmp_capabilities)" },
		{ { GREETING, "\xff\xfe\n" }, false, false, "not JSON" },
		{ { GREETING, "{\"error\": {\"desc\": \"no way\"}, \"id\": 1}\n" },
		  false,
		  false,
		  "refuses qmp_capabilities: no way" },
		{ { GREETING, "{\"error\": 7, \"id\": 1}\n" }, false, false, "does not say why" },
		{ { GREETING, "{\"id\": 1}\n" }, false, false, "no result" },
		{ { GREETING, "{\"return\": {}, \"id\": \"1\"}\n" }, false, false, "ended before" },
		{ { GREETING, "{\"return\": {}, \"id\": 1}\n" },
		  true,
		  false,
		  "does not answer (cont)" },
		{ { GREETING, "{\"return\": {}, \"id\": 1}\n" },
		  false,
		  true,
		  "does not end within" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct peer peer = { .parts = cases[i].parts,
				     .silent = cases[i].silent,
				     .flood = cases[i].flood };
		unsigned patience_ms = cases[i].silent ? 200 : 20000;
		const char *wrong = talk(&peer, -1, patience_ms, "cont", NULL, NULL);

		if (!wrong || !strstr(wrong, cases[i].because))
			fail_msg("case %zu: '%s', which does not say '%s'", i, wrong ? wrong : "",
				 cases[i].because);
	}
}

static void another_matter_ends_the_wait(void **state)
{
	const char *const parts[] = { NULL };
	struct peer peer = { .parts = parts, .silent = true };
	bool interrupted = false;
	int matter[2];

	assert_int_equal(pipe(matter), 0);
	assert_int_equal(write(matter[1], "x", 1), 1);
	assert_non_null(talk(&peer, matter[0], 20000, NULL, NULL, &interrupted));
	assert_true(interrupted);
	close(matter[0]);
	close(matter[1]);
}

static void threads_are_read(void **state)
{
	static const struct {
		const char *text;
		const char *because; /* NULL: it is right */
	} cases[] = {
		{ "[{\"cpu-index\": 1, \"thread-id\": 11}, {\"cpu-index\": 0, \"thread-id\": 10}]",
		  NULL },
		{ "[]", "0 virtual CPUs" },
		{ "{}", "virtual CPUs" },
		{ "[{\"cpu-index\": 0, \"thread-id\": 11}]", "1 virtual CPU," },
		{ "[{\"cpu-index\": 0, \"thread-id\": 11}, {\"cpu-index\": 0, \"thread-id\": 10}]",
		  "virtual CPU 1" },
		{ "[{\"cpu-index\": 0, \"thread-id\": 11}, {\"cpu-index\": 2, \"thread-id\": 10}]",
		  "virtual CPU 1" },
		{ "[{\"cpu-index\": 0, \"thread-id\": 0}, {\"cpu-index\": 1, \"thread-id\": 10}]",
		  "virtual CPU 0" },
		{ "[{\"cpu-index\": 0, \"thread-id\": 99999999999}, {\"cpu-index\": 1}]",
		  "virtual CPU 0" },
		{ "[{\"cpu-index\": -1, \"thread-id\": 5}, {\"cpu-index\": 1}]", "virtual CPU 0" },
		{ "[7, 8]", "virtual CPU 0" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *answer = json_loads(cases[i].text, 0, NULL);
		int threads[2];
		const char *wrong;

		assert_non_null(answer);
		wrong = qmp_read_threads(answer, threads, 2);
		if (!cases[i].because) {
			assert_null(wrong);
			assert_int_equal(threads[0], 10);
			assert_int_equal(threads[1], 11);
		} else if (!wrong || !strstr(wrong, cases[i].because)) {
			fail_msg("%s: '%s', which does not say '%s'", cases[i].text,
				 wrong ? wrong : "", cases[i].because);
		}
		json_decref(answer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_returned),
		cmocka_unit_test(bad_peers_are_told),
		cmocka_unit_test(another_matter_ends_the_wait),
		cmocka_unit_test(threads_are_read),
	};

	return cmocka_run_group_tests_name("qmp", tests, NULL, NULL);
}
