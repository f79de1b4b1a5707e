/*
 * Load for memcached, and a check of every byte that comes back.
 *
 *   memcached_load ADDRESS PORT CONNECTIONS SECONDS [VALUE_BYTES]
 *
 * Each connection has one request under way: nine get, then one set, over 1,000 keys (set at the
 * start). A value is made from its key and a version, so a wrong, torn or foreign answer is seen.
 * Prints one line of JSON: requests, rate, p50, p99 and p99.9 (p999) in ms, errors (wrong answers, lost connections).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEYS 1000
#define MAX_CONNECTIONS 4096
#define MAX_VALUE 65536
#define BUCKETS 4096 /* of latency, a 64th of a power of two wide */

struct connection {
	int fd;
	unsigned key;
	int setting;
	uint64_t sent_ns;
	char *buffer;
	size_t filled;
};

static struct connection connections[MAX_CONNECTIONS];
static size_t value_bytes = 100;
static uint64_t requests, errors, latency[BUCKETS];
static unsigned versions[KEYS]; /* how often a key was set; modulo 10 it is in the value */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + now.tv_nsec;
}

static void fail(const char *what)
{
	fprintf(stderr, "memcached_load: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* In units of 16 ns. */
static unsigned bucket_of(uint64_t ns)
{
	uint64_t units = ns / 16;
	unsigned shift = 0;

	while (units >> shift >= 128)
		shift++;
	return units < 64 ? units : shift * 64 + (units >> shift);
}

static double bucket_ms(unsigned bucket)
{
	unsigned shift = bucket < 128 ? 0 : bucket / 64 - 1;
	uint64_t units = bucket < 128 ? bucket : (uint64_t)(bucket - shift * 64) << shift;

	return units * 16 / 1e6;
}

static double percentile(double share)
{
	uint64_t seen = 0, all = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		all += latency[i];
	for (unsigned i = 0; i < BUCKETS; i++)
		if ((seen += latency[i]) >= share * all)
			return bucket_ms(i);
	return 0;
}

static char value_byte(unsigned key, size_t i)
{
	return 'a' + (key * 7 + i * 13) % 26;
}

static void send_all(struct connection *c, const char *bytes, size_t length)
{
	while (length) {
		ssize_t sent = write(c->fd, bytes, length);

		if (sent < 0 && errno == EAGAIN)
			continue;
		if (sent < 0)
			fail("write");
		bytes += sent;
		length -= sent;
	}
}

static void ask(struct connection *c, unsigned key, int setting)
{
	static char request[MAX_VALUE + 100];
	int length;

	c->key = key;
	c->setting = setting;
	c->filled = 0;
	if (setting) {
		length = sprintf(request, "set key%u 0 0 %zu\r\n", key, value_bytes);
		for (size_t i = 0; i < value_bytes; i++)
			request[length++] = value_byte(key, i);
		request[length - value_bytes] = '0' + ++versions[key] % 10;
		length += sprintf(request + length, "\r\n");
	} else {
		length = sprintf(request, "get key%u\r\n", key);
	}
	c->sent_ns = now_ns();
	send_all(c, request, length);
}

/* 1: the answer is whole and right, 0: more is to come, -1: it is wrong. */
static int check(const struct connection *c)
{
	static const char stored[] = "STORED\r\n";
	char header[64];
	size_t length, whole;

	if (c->setting) {
		if (c->filled < sizeof(stored) - 1)
			return memcmp(c->buffer, stored, c->filled) ? -1 : 0;
		return c->filled == sizeof(stored) - 1 &&
			       memcmp(c->buffer, stored, sizeof(stored) - 1) == 0
			   ? 1
			   : -1;
	}
	length = sprintf(header, "VALUE key%u 0 %zu\r\n", c->key, value_bytes);
	whole = length + value_bytes + strlen("\r\nEND\r\n");
	if (c->filled < whole)
		return memcmp(c->buffer, header, c->filled < length ? c->filled : length) ? -1 : 0;
	if (c->filled > whole || memcmp(c->buffer, header, length) ||
	    memcmp(c->buffer + length + value_bytes, "\r\nEND\r\n", 7) || c->buffer[length] < '0' ||
	    c->buffer[length] > '9')
		return -1;
	for (size_t i = 1; i < value_bytes; i++)
		if (c->buffer[length + i] != value_byte(c->key, i))
			return -1;
	return 1;
}

static struct connection *open_connection(struct connection *c, const struct sockaddr_in *to)
{
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	c->buffer = malloc(value_bytes + 4096);
	if (c->fd < 0 || !c->buffer || connect(c->fd, (const void *)to, sizeof(*to)))
		fail("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return c;
}

/* Returns the answer's check, or -1 when the connection ended. */
static int receive(struct connection *c)
{
	ssize_t got = read(c->fd, c->buffer + c->filled, value_bytes + 4096 - c->filled);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0)
		return -1;
	c->filled += got;
	return check(c);
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	unsigned nconnections, alive;
	uint64_t start, end;
	int epoll = epoll_create1(0);

	if (argc < 5 || argc > 6 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: memcached_load ADDRESS PORT CONNECTIONS SECONDS [BYTES]\n");
		return 2;
	}
	to.sin_port = htons(atoi(argv[2]));
	nconnections = atoi(argv[3]);
	if (argc == 6)
		value_bytes = atoi(argv[5]);
	if (nconnections < 1 || nconnections > MAX_CONNECTIONS || value_bytes < 1 ||
	    value_bytes > MAX_VALUE) {
		fprintf(stderr, "memcached_load: 1 to %d connections, 1 to %d bytes\n",
			MAX_CONNECTIONS, MAX_VALUE);
		return 2;
	}

	for (unsigned i = 0; i < nconnections; i++)
		open_connection(&connections[i], &to);
	for (unsigned key = 0; key < KEYS; key++) {
		int result;

		ask(&connections[0], key, 1);
		while ((result = receive(&connections[0])) == 0)
			;
		if (result < 0)
			fail("the first sets");
	}
	for (unsigned i = 0; i < nconnections; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &connections[i] };

		epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &event);
	}
	start = now_ns();
	end = start + strtoull(argv[4], NULL, 10) * 1000000000u;
	alive = nconnections;
	for (unsigned i = 0; i < nconnections; i++)
		ask(&connections[i], i % KEYS, 0);
	while (alive && now_ns() < end) {
		struct epoll_event events[256];
		int n = epoll_wait(epoll, events, 256, 1000);

		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;
			int result = receive(c);

			if (result == 0)
				continue;
			if (result < 0) {
				errors++;
				alive--;
				close(c->fd);
				continue;
			}
			latency[bucket_of(now_ns() - c->sent_ns)]++;
			requests++;
			ask(c, (c->key * 31 + 7) % KEYS, requests % 10 == 0);
		}
	}
	printf("{\"requests\": %lu, \"rate\": %.0f, \"p50\": %.3f, \"p99\": %.3f, \"p999\": %.3f, "
	       "\"errors\": %lu}\n",
	       requests, requests / ((now_ns() - start) / 1e9), percentile(0.5), percentile(0.99),
	       percentile(0.999), errors);
	return errors || !requests;
}
