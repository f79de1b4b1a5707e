/*
 * httpd: a small HTTP/1.1 server, plain POSIX C with epoll. The same source runs on
 * Linux: cc -pthread *.c, linked with an archive of its files.
 *
 *	httpd [--port N] [--threads N]
 */
#define _GNU_SOURCE
#include "archive.h"
#include "server.h"

#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

extern const char archive_start[], archive_end[]; /* files/, as a ustar archive */

static int number(const char *text, int lowest, int highest)
{
	char *end;
	long value = strtol(text, &end, 10);

	return *text && !*end && value >= lowest && value <= highest ? (int)value : -1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "port", required_argument, NULL, 'p' },
		{ "threads", required_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 },
	};
	int option, port = 80, limit = WORKERS_MAX;
	unsigned count = 0;
	cpu_set_t allowed;

	while ((option = getopt_long(argc, argv, "p:t:", options, NULL)) != -1) {
		if (option == 'p')
			port = number(optarg, 1, 65535);
		else if (option == 't')
			limit = number(optarg, 1, WORKERS_MAX);
		if (option == '?' || port < 0 || limit < 0) {
			fprintf(stderr, "usage: httpd [--port 1..65535] [--threads 1..%d]\n",
				WORKERS_MAX);
			return 2;
		}
	}
	if (archive_open(archive_start, archive_end) < 0)
		return 1;
	signal(SIGPIPE, SIG_IGN);

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
		perror("httpd: sched_getaffinity");
		return 1;
	}
	for (int core = 0; core < CPU_SETSIZE && count < (unsigned)limit; core++)
		if (CPU_ISSET(core, &allowed))
			worker_cores[count++] = core;
	if (server_start(count, (uint16_t)port) != 0)
		return 1;
	printf("httpd: port %d, %u thread%s, one per core\n", port, count, count == 1 ? "" : "s");
	fflush(stdout);
	server_wait();
	return 0;
}
