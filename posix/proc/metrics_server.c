/*
 * The server of /metrics (metrics.h): a thread on each core that never blocks in a call, and sleeps until one of its
 * sockets has something for it or somebody's time is over.
 */
#include "posix/fs/pseudo.h"
#include "posix/proc/metrics.h"

#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "mm/object.h"
#include "net/socket.h"
#include "net/socket_owner.h"
#include "sched/affinity.h"
#include "sched/thread.h"
#include "smp/core.h"

#include "drivers/virtio/virtio_net.h"

#include <errno.h>
#include <string.h>

#define BACKLOG 16
#define IGNORED_MAX 4096 /* behind a request's head, before its connection is closed */

static READ_MOSTLY uint16_t port; /* 0: off */
static READ_MOSTLY bool serves;

static const char *parse_metrics(const char *value)
{
	uint64_t number;

	if (!boot_parse_number(value, &number) || number < 1 || number > 65535)
		return "must be a port from 1 to 65535";
	port = (uint16_t)number;
	return NULL;
}
BOOT_OPTION(metrics, "metrics=PORT: serve what the cores count at /metrics", parse_metrics);

enum stage { STAGE_FREE, STAGE_REQUEST, STAGE_ANSWER, STAGE_END };

struct scrape {
	enum stage stage;
	struct socket *socket;
	struct socket_owner owner;
	uint64_t deadline_ns;
	size_t length; /* of the request so far; at the end, of what was ignored */
	size_t sent; /* of the answer: */
	size_t head_length;
	char head[256];
	struct text body;
	char request[METRICS_REQUEST_MAX];
};

struct server { /* of one core */
	struct thread *thread;
	bool news; /* since the last look */
	bool sleeps;
	struct socket *listener;
	struct socket_owner owner;
	struct scrape scrapes[METRICS_AT_ONCE];
};

/* This core; from a pass or a call of ours. */
static void notified(void *owner, uint32_t events)
{
	struct server *server = owner;

	server->news = true;
	if (server->sleeps) {
		server->sleeps = false;
		thread_wake(server->thread);
	}
}

static void finish(struct scrape *scrape)
{
	socket_close(scrape->socket);
	object_free(scrape->body.bytes);
	scrape->body = (struct text){ 0 };
	scrape->stage = STAGE_FREE;
}

/* ---- the answer ---- */

static const char *reason_of(unsigned status)
{
	switch (status) {
	case 200:
		return "OK";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 431:
		return "Request Header Fields Too Large";
	case 503:
		return "Service Unavailable";
	default:
		return "Bad Request";
	}
}

static void answer(struct scrape *scrape, struct metrics_request request)
{
	struct text *body = &scrape->body;
	unsigned status = request.status;

	if (status == 200)
		metrics_print(body);
	if (body->failed) {
		body->length = 0;
		status = 503; /* no memory for it */
	}
	if (status != 200)
		text_print(body, "%u %s: there is GET /metrics\n", status, reason_of(status));
	scrape->head_length = (size_t)ksnprintf(
	    scrape->head, sizeof(scrape->head),
	    "HTTP/1.1 %u %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
	    "Content-Length: %zu\r\n%sConnection: close\r\n\r\n",
	    status, reason_of(status), body->length, status == 405 ? "Allow: GET, HEAD\r\n" : "");
	assert(scrape->head_length < sizeof(scrape->head));
	if (request.head)
		body->length = 0;
	scrape->sent = 0;
	scrape->stage = STAGE_ANSWER;
}

/* ---- a connection's stages: each returns false when it has to wait ---- */

static ssize_t receive(struct scrape *scrape, char *to, size_t size)
{
	struct iovec iov = { to, size };

	return socket_receive(scrape->socket, &iov, 1, MSG_DONTWAIT, NULL, NULL);
}

static bool read_request(struct scrape *scrape)
{
	struct metrics_request request;
	ssize_t got = receive(scrape, scrape->request + scrape->length,
			      sizeof(scrape->request) - scrape->length);

	if (got == -EAGAIN)
		return false;
	if (got <= 0) {
		finish(scrape);
		return true;
	}
	scrape->length += (size_t)got;
	request = metrics_request_parse(scrape->request, scrape->length);
	if (request.status) {
		answer(scrape, request);
		scrape->deadline_ns = clock_ns() + METRICS_PATIENCE_NS;
	}
	return true;
}

static bool send_answer(struct scrape *scrape)
{
	size_t total = scrape->head_length + scrape->body.length;
	size_t of_head = min(scrape->sent, scrape->head_length), of_body = scrape->sent - of_head;
	const struct iovec iov[2] = {
		{ scrape->head + of_head, scrape->head_length - of_head },
		{ scrape->body.bytes + of_body, scrape->body.length - of_body },
	};
	ssize_t sent = socket_send(scrape->socket, iov, 2, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, NULL);

	if (sent == -EAGAIN || sent == 0)
		return false;
	if (sent < 0) {
		finish(scrape);
		return true;
	}
	scrape->sent += (size_t)sent;
	scrape->deadline_ns = clock_ns() + METRICS_PATIENCE_NS;
	if (scrape->sent == total) {
		socket_shutdown(scrape->socket, SHUT_WR);
		scrape->length = 0;
		scrape->stage = STAGE_END;
	}
	return true;
}

/* What came behind the request is taken, since closing before would take the answer back (RFC 9112, 9.6). */
static bool await_end(struct scrape *scrape)
{
	ssize_t got = receive(scrape, scrape->request, sizeof(scrape->request));

	if (got == -EAGAIN)
		return false;
	scrape->length += got > 0 ? (size_t)got : 0;
	if (got <= 0 || scrape->length > IGNORED_MAX)
		finish(scrape);
	return true;
}

static void attend(struct scrape *scrape)
{
	bool moved = true;

	while (moved && scrape->stage != STAGE_FREE) {
		if (scrape->stage == STAGE_REQUEST)
			moved = read_request(scrape);
		else if (scrape->stage == STAGE_ANSWER)
			moved = send_answer(scrape);
		else
			moved = await_end(scrape);
	}
	if (scrape->stage != STAGE_FREE && clock_ns() >= scrape->deadline_ns)
		finish(scrape);
}

/* ---- the thread ---- */

static bool accept_into(struct server *server, struct scrape *scrape)
{
	int error;
	struct socket *socket = socket_accept(server->listener, &error);

	if (!socket)
		return false;
	scrape->socket = socket;
	scrape->stage = STAGE_REQUEST;
	scrape->length = 0;
	scrape->deadline_ns = clock_ns() + METRICS_PATIENCE_NS;
	socket_set_owner(socket, &scrape->owner, notified, server);
	return true;
}

/* Returns when somebody's time is over at the earliest. */
static uint64_t pass(struct server *server)
{
	uint64_t next_ns = UINT64_MAX;

	for (unsigned i = 0; i < METRICS_AT_ONCE; i++) {
		struct scrape *scrape = &server->scrapes[i];

		do
			attend(scrape);
		while (scrape->stage == STAGE_FREE && accept_into(server, scrape));
		if (scrape->stage != STAGE_FREE)
			next_ns = min(next_ns, scrape->deadline_ns);
	}
	return next_ns;
}

/* For both families, at any address. */
static int listen_here(struct server *server)
{
	const struct socket_address address = {
		.length = sizeof(address.in6),
		.in6 = { .sin6_family = AF_INET6, .sin6_port = __builtin_bswap16(port) },
	};
	int one = 1, error;

	server->listener = socket_create(AF_INET6, SOCK_STREAM, 0, &error);
	if (!server->listener)
		return error;
	/* For this core's own connections. */
	error = socket_set_option(server->listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (!error)
		error = socket_bind(server->listener, &address);
	if (!error)
		error = socket_listen(server->listener, BACKLOG);
	if (error)
		socket_close(server->listener);
	return error;
}

static void serve(void *unused)
{
	struct server *server = object_alloc_zeroed(sizeof(*server));
	int error = server ? listen_here(server) : -ENOMEM;

	if (error) {
		kprintf("metrics: core %u cannot serve port %u: error %d; it does not\n", this_core,
			port, -error);
		object_free(server);
		return;
	}
	server->thread = current;
	socket_set_owner(server->listener, &server->owner, notified, server);
	for (;;) {
		uint64_t next_ns;

		server->news = false;
		next_ns = pass(server);
		if (server->news)
			continue;
		thread_prepare_block();
		server->sleeps = true;
		thread_block(next_ns);
		server->sleeps = false;
	}
}

bool metrics_has_port(const struct socket_address *address)
{
	static bool reported;

	/* Of both families the port lies at the same place. */
	if (!serves || address->length < sizeof(address->in) ||
	    address->in.sin_port != __builtin_bswap16(port))
		return false;
	if (!__atomic_exchange_n(&reported, true, __ATOMIC_RELAXED))
		kprintf("metrics: the application wants port %u, which metrics=%u has: give one of "
			"them another port (reported once)\n",
			port, port);
	return true;
}

void metrics_start(void)
{
	if (!port)
		return;
	if (virtio_net_queue_pairs() == 0) {
		kprintf("metrics: there is no network, so nothing serves port %u\n", port);
		return;
	}
	serves = true;
	for (core_id_t core = 0; core < ncores; core++)
		if (network_cores >> core & 1 && !thread_create("metrics", core, serve, NULL))
			kprintf("metrics: no memory to serve port %u on core %u\n", port, core);
	kprintf("metrics: port %u\n", port);
}
