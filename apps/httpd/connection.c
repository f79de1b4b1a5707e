#define _GNU_SOURCE
#include "connection.h"

#include "archive.h"
#include "server.h"
#include "status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define IN_SIZE (2 * HTTP_HEADER_MAX)
#define OUT_SIZE 65536
#define FLUSH_AT 8192 /* answers are sent when there is this much, so that little has to be kept */
#define HELD_SHARE 8 /* one part in this many of memory is for what connections wait with */
#define COPY_MAX 4096 /* bodies up to here are copied beside their header */
#define HEADER_ROOM 512 /* an answer's header is never longer */
#define PAGE_SIZE_MAX 16384
#define PAGE_AGE_MS 200 /* the start page's table is at most this old */
#define IDLE_MS 60000 /* a silent connection is closed after this */
#define DRAIN_MS 3000 /* input after the last answer is dropped for this long */
#define REQUEST_MS 30000 /* an unfinished request is answered 408 after this */

struct worker *worker_create(struct worker_counts *counts)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return NULL;
	worker->in = malloc(IN_SIZE);
	worker->out = malloc(OUT_SIZE);
	worker->page_bytes = malloc(PAGE_SIZE_MAX);
	if (!worker->in || !worker->out || !worker->page_bytes)
		return NULL;
	worker->epoll = -1;
	worker->held_max = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE) /
			   HELD_SHARE / (size_t)sysconf(_SC_NPROCESSORS_ONLN);
	worker->counts = counts;
	worker->ends.next = worker->ends.previous = &worker->ends;
	return worker;
}

/* Only this worker writes its counts; others read them (status.c), hence a relaxed store. */
#define count(worker, field, amount)                                                               \
	__atomic_store_n(&(worker)->counts->field, (worker)->counts->field + (uint64_t)(amount),   \
			 __ATOMIC_RELAXED)

static void touch(struct worker *worker, struct connection *connection)
{
	connection->active_ms = worker->now_ms;
	if (connection->next == &worker->ends)
		return;
	connection->previous->next = connection->next;
	connection->next->previous = connection->previous;
	connection->previous = worker->ends.previous;
	connection->next = &worker->ends;
	connection->previous->next = connection;
	worker->ends.previous = connection;
}

void connection_open(struct worker *worker, int fd)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };

	if (!connection || epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
		free(connection);
		close(fd);
		return;
	}
	connection->fd = fd;
	connection->active_ms = worker->now_ms;
	connection->previous = worker->ends.previous;
	connection->next = &worker->ends;
	connection->previous->next = connection;
	worker->ends.previous = connection;
	count(worker, accepted, 1);
	count(worker, open, 1);
}

/*
 * Memory for what a connection cannot send or answer yet. NULL when all of them together have too
 * much: who asks and does not read is then let go. (Memory that is out would be found out on writing
 * to it, which ends the program.)
 */
static char *hold(struct worker *worker, const char *bytes, size_t length)
{
	char *held = worker->held + length <= worker->held_max ? malloc(length) : NULL;

	if (!held)
		return NULL;
	worker->held += length;
	return memcpy(held, bytes, length);
}

static void let_go(struct worker *worker, char *held, size_t length)
{
	if (!held)
		return;
	worker->held -= length;
	free(held);
}

static void connection_close(struct worker *worker, struct connection *connection)
{
	connection->previous->next = connection->next;
	connection->next->previous = connection->previous;
	close(connection->fd);
	let_go(worker, connection->input, connection->input_length);
	let_go(worker, connection->output, connection->output_length);
	free(connection);
	count(worker, open, -1);
}

static void update_date(struct worker *worker)
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	worker->date_length = strftime(worker->date, sizeof(worker->date),
				       "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
	worker->date_s = worker->now_ms / 1000;
}

static char *put(char *at, const char *bytes, size_t length)
{
	memcpy(at, bytes, length);
	return at + length;
}

static char *put_number(char *at, size_t number)
{
	char digits[20];
	int count = 0;

	do {
		digits[count++] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	while (count)
		*at++ = digits[--count];
	return at;
}

#define put_text(at, text) put(at, text, sizeof(text) - 1)

static char *put_date(struct worker *worker, char *at)
{
	if (worker->date_s != worker->now_ms / 1000 || !worker->date_length)
		update_date(worker);
	return put(at, worker->date, worker->date_length);
}

/* Append a header to the worker's output; the caller made sure of HEADER_ROOM. */
static void put_header(struct worker *worker, int status, const char *type, size_t length,
		       bool keep_alive)
{
	char *at = worker->out + worker->out_length;

	if (status == 200) {
		at = put_text(at, "HTTP/1.1 200 OK\r\n");
	} else {
		const char *reason = http_reason(status);

		at = put_text(at, "HTTP/1.1 ");
		at = put_number(at, (size_t)status);
		*at++ = ' ';
		at = put(at, reason, strlen(reason));
		at = put_text(at, "\r\n");
	}
	at = put_date(worker, at);
	at = put_text(at, "Content-Type: ");
	at = put(at, type, strlen(type));
	at = put_text(at, "\r\nContent-Length: ");
	at = put_number(at, length);
	if (!keep_alive)
		at = put_text(at, "\r\nConnection: close");
	if (status == 405)
		at = put_text(at, "\r\nAllow: GET, HEAD");
	at = put_text(at, "\r\n\r\n");
	worker->out_length = (size_t)(at - worker->out);
}

enum answer { ANSWER_DONE, ANSWER_FULL }; /* FULL: send what there is first, then ask again */

/* Append the body behind its header, or leave it to be sent from where it lies. */
static void put_body(struct worker *worker, struct connection *connection, const char *body,
		     size_t length, bool copy, bool keep_alive)
{
	if (copy) {
		memcpy(worker->out + worker->out_length, body, length);
		worker->out_length += length;
	} else {
		connection->body = body;
		connection->body_length = length;
	}
	if (!keep_alive)
		connection->closing = true;
}

static enum answer put_file(struct worker *worker, struct connection *connection,
			    const struct archive_file *file, bool head_only, bool keep_alive)
{
	/* The start page is rendered anew while an old one may still wait for its peer. */
	bool copy = file->length <= COPY_MAX || file == &worker->page;
	char *at = worker->out + worker->out_length;

	if (worker->out_length + HEADER_ROOM + (copy ? file->length : 0) > OUT_SIZE)
		return ANSWER_FULL;
	at = put(at, file->header, file->header_length);
	at = put_date(worker, at);
	if (!keep_alive)
		at = put_text(at, "Connection: close\r\n");
	at = put_text(at, "\r\n");
	worker->out_length = (size_t)(at - worker->out);
	put_body(worker, connection, file->bytes, head_only ? 0 : file->length, copy, keep_alive);
	return ANSWER_DONE;
}

static enum answer put_answer(struct worker *worker, struct connection *connection, int status,
			      const char *type, const char *body, size_t length, bool head_only,
			      bool keep_alive)
{
	/* Every body that comes here is made anew for the next request. */
	if (worker->out_length + HEADER_ROOM + length > OUT_SIZE)
		return ANSWER_FULL;
	put_header(worker, status, type, length, keep_alive);
	put_body(worker, connection, body, head_only ? 0 : length, true, keep_alive);
	return ANSWER_DONE;
}

static enum answer put_error(struct worker *worker, struct connection *connection, int status,
			     bool head_only, bool keep_alive)
{
	char text[64];
	int length = snprintf(text, sizeof(text), "%d %s\n", status, http_reason(status));
	enum answer answer = put_answer(worker, connection, status, "text/plain; charset=utf-8",
					text, (size_t)length, head_only, keep_alive);

	if (answer == ANSWER_DONE)
		count(worker, refused, 1);
	return answer;
}

static bool is_path(const struct http_request *request, const char *path)
{
	return request->target_length == strlen(path) &&
	       memcmp(request->target, path, request->target_length) == 0;
}

static enum answer answer_request(struct worker *worker, struct connection *connection,
				  const struct http_request *request)
{
	bool head_only = request->method == HTTP_HEAD;
	const struct archive_file *file;

	if (request->method == HTTP_OTHER)
		return put_error(worker, connection, 405, false, request->keep_alive);
	file = archive_find(request->target, request->target_length);
	if (file && request->target_length == 1) {
		/* The start page carries the live table, rendered a few times a second at most. */
		if (!worker->page.length || worker->now_ms - worker->page_ms >= PAGE_AGE_MS) {
			worker->page.bytes = worker->page_bytes;
			worker->page.length = status_render_page(file->bytes, file->length,
								 worker->page_bytes, PAGE_SIZE_MAX);
			worker->page.type = file->type;
			archive_prepare(&worker->page);
			worker->page_ms = worker->now_ms;
		}
		if (!worker->page.length)
			return put_error(worker, connection, 503, head_only, request->keep_alive);
		file = &worker->page;
	}
	if (file)
		return put_file(worker, connection, file, head_only, request->keep_alive);
	if (is_path(request, "/metrics")) {
		size_t room = OUT_SIZE - worker->out_length, length;
		char *text;

		if (worker->out_length)
			return ANSWER_FULL; /* it may need the whole buffer */
		text = worker->out + HEADER_ROOM;
		length = status_render_metrics(text, room - HEADER_ROOM);
		if (!length)
			return put_error(worker, connection, 503, head_only, request->keep_alive);
		put_header(worker, 200, "text/plain; version=0.0.4", length, request->keep_alive);
		if (!head_only) {
			memmove(worker->out + worker->out_length, text, length);
			worker->out_length += length;
		}
		if (!request->keep_alive)
			connection->closing = true;
		return ANSWER_DONE;
	}
	return put_error(worker, connection, 404, head_only, request->keep_alive);
}

static void want_write(struct worker *worker, struct connection *connection, bool wanted)
{
	struct epoll_event event = { .events = wanted ? EPOLLOUT : EPOLLIN,
				     .data.ptr = connection };

	if (connection->want_write == wanted)
		return;
	connection->want_write = wanted;
	epoll_ctl(worker->epoll, EPOLL_CTL_MOD, connection->fd, &event);
}

enum sent { SENT_ALL, SENT_PART, SENT_FAILED };

/* Send `head` and then connection->body. What the socket does not take of `head` is kept in
 * connection->output. */
static enum sent send_bytes(struct worker *worker, struct connection *connection, const char *head,
			    size_t head_length)
{
	while (head_length || connection->body_length) {
		struct iovec parts[2] = {
			{ (void *)head, head_length },
			{ (void *)connection->body, connection->body_length },
		};
		ssize_t sent;

		if (!connection->body_length)
			sent = write(connection->fd, head, head_length);
		else if (head_length)
			sent = writev(connection->fd, parts, 2);
		else
			sent = write(connection->fd, connection->body, connection->body_length);
		if (sent < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN)
				return SENT_FAILED;
			if (head_length && head != connection->output + connection->output_sent) {
				connection->output = hold(worker, head, head_length);
				if (!connection->output)
					return SENT_FAILED;
				connection->output_length = head_length;
				connection->output_sent = 0;
			} else if (head_length) {
				connection->output_sent = connection->output_length - head_length;
			}
			return SENT_PART;
		}
		count(worker, bytes_sent, sent);
		size_t of_head = (size_t)sent < head_length ? (size_t)sent : head_length;

		head += of_head;
		head_length -= of_head;
		connection->body += (size_t)sent - of_head;
		connection->body_length -= (size_t)sent - of_head;
	}
	let_go(worker, connection->output, connection->output_length);
	connection->output = NULL;
	connection->output_length = connection->output_sent = 0;
	return SENT_ALL;
}

static enum sent flush_worker(struct worker *worker, struct connection *connection)
{
	size_t length = worker->out_length;

	worker->out_length = 0;
	return send_bytes(worker, connection, worker->out, length);
}

/* Keep [bytes, bytes + length) for the time when more has come. */
static bool keep_input(struct worker *worker, struct connection *connection, const char *bytes,
		       size_t length)
{
	char *kept = NULL;

	if (length) {
		kept = hold(worker, bytes, length);
		if (!kept)
			return false;
		if (!connection->request_ms)
			connection->request_ms = worker->now_ms;
	} else {
		connection->request_ms = 0;
	}
	let_go(worker, connection->input, connection->input_length);
	connection->input = kept;
	connection->input_length = length;
	return true;
}

/*
 * Everything is sent and no request follows. A peer that is still sending would meet a
 * reset, and lose the answer with it: so what it sends is read and dropped until it has
 * seen our end, for a bounded time (RFC 9112, 9.6).
 */
static void connection_finish(struct worker *worker, struct connection *connection)
{
	if (!connection->skip) {
		connection_close(worker, connection);
		return;
	}
	shutdown(connection->fd, SHUT_WR);
	connection->draining = true;
	connection->finish_ms = worker->now_ms;
	want_write(worker, connection, false);
}

/* Answer the requests in [bytes, bytes + length); may close the connection. */
static void process_input(struct worker *worker, struct connection *connection, const char *bytes,
			  size_t length)
{
	const char *end = bytes + length;
	enum sent sent = SENT_ALL;

	while (!connection->closing && sent == SENT_ALL) {
		struct http_request request;
		struct http_parse parse;
		enum answer answer;

		if (connection->skip) {
			size_t skipped = (size_t)(end - bytes) < connection->skip
					     ? (size_t)(end - bytes)
					     : (size_t)connection->skip;

			bytes += skipped;
			connection->skip -= skipped;
		}
		if (bytes == end)
			break;
		parse = http_parse(bytes, (size_t)(end - bytes), &request);
		if (parse.verdict == HTTP_INCOMPLETE)
			break;
		if (parse.verdict == HTTP_REFUSED)
			answer = put_error(worker, connection, parse.status, false, false);
		else if (request.body_length && request.expects_continue && request.keep_alive)
			/* The final answer comes first, so the body need not be sent. */
			answer = put_error(worker, connection,
					   request.method == HTTP_OTHER ? 405 : 417, false, false);
		else
			answer = answer_request(worker, connection, &request);
		if (answer == ANSWER_FULL) {
			sent = flush_worker(worker, connection);
			continue;
		}
		if (parse.verdict == HTTP_COMPLETE) {
			bytes += parse.length;
			connection->skip = request.body_length;
			count(worker, requests, 1);
		} else {
			connection->skip = 1; /* whatever it is that follows */
		}
		connection->request_ms = 0;
		if (connection->body_length || worker->out_length >= FLUSH_AT)
			sent = flush_worker(worker, connection);
	}
	if (sent == SENT_ALL)
		sent = flush_worker(worker, connection);
	if (sent == SENT_FAILED) {
		connection_close(worker, connection);
		return;
	}
	if (connection->closing) {
		connection->skip += (uint64_t)(end - bytes);
		if (sent == SENT_ALL)
			connection_finish(worker, connection);
		else
			want_write(worker, connection, true);
		return;
	}
	if (!keep_input(worker, connection, bytes, (size_t)(end - bytes))) {
		connection_close(worker, connection);
		return;
	}
	want_write(worker, connection, sent == SENT_PART);
}

void connection_ready(struct worker *worker, struct connection *connection, uint32_t events)
{
	size_t kept = connection->input_length;
	ssize_t got;

	touch(worker, connection);
	if (events & EPOLLERR) {
		connection_close(worker, connection);
		return;
	}
	if (connection->want_write) {
		enum sent sent = send_bytes(worker, connection,
					    connection->output + connection->output_sent,
					    connection->output_length - connection->output_sent);

		if (sent == SENT_PART)
			return;
		if (sent == SENT_FAILED) {
			connection_close(worker, connection);
			return;
		}
		if (connection->closing) {
			connection_finish(worker, connection);
			return;
		}
		/* Requests that came meanwhile wait in connection->input. */
		memcpy(worker->in, connection->input, kept);
		process_input(worker, connection, worker->in, kept);
		return;
	}

	if (kept)
		memcpy(worker->in, connection->input, kept);
	got = read(connection->fd, worker->in + kept, IN_SIZE - kept);
	if (got <= 0) {
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		connection_close(worker, connection);
		return;
	}
	if (!connection->draining)
		process_input(worker, connection, worker->in, kept + (size_t)got);
}

void connections_sweep(struct worker *worker)
{
	struct connection *connection = worker->ends.next, *next;

	for (; connection != &worker->ends; connection = next) {
		next = connection->next;
		if (connection->draining && worker->now_ms - connection->finish_ms > DRAIN_MS) {
			connection_close(worker, connection);
		} else if (connection->request_ms &&
			   worker->now_ms - connection->request_ms > REQUEST_MS) {
			count(worker, timeouts, 1);
			worker->out_length = 0;
			put_error(worker, connection, 408, false, false);
			flush_worker(worker, connection);
			connection_close(worker, connection);
		} else if (worker->now_ms - connection->active_ms > IDLE_MS) {
			count(worker, timeouts, 1);
			connection_close(worker, connection);
		}
	}
}
