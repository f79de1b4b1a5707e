#include "tools/launcher/qmp.h"

#include "tools/launcher/clock.h"
#include "tools/launcher/complaint.h"
#include "tools/launcher/plural.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Until the socket is ready for `events`. */
static const char *wait_for(struct qmp *qmp, short events, const char *why)
{
	struct pollfd fds[2] = { { .fd = qmp->fd, .events = events },
				 { .fd = qmp->interrupt_fd, .events = POLLIN } };

	for (;;) {
		uint64_t now = host_ms();
		int left = now < qmp->deadline_ms ? (int)(qmp->deadline_ms - now) : 0;
		int ready = poll(fds, 2, left);

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready < 0)
			return complain("waiting for QEMU: poll: %s", strerror(errno));
		if (!ready)
			return complain(
			    "QEMU does not answer (%s) in the time it has; is this machine "
			    "overloaded, or --qemu no QEMU?",
			    why);
		if (fds[0].revents)
			return NULL;
		qmp->interrupted = true;
		return complain("interrupted while QEMU was asked (%s)", why);
	}
}

/* One line, without its end. `why`: what it is to answer. */
static const char *read_line(struct qmp *qmp, const char *why, char **line, size_t *length)
{
	size_t seen = 0;

	for (;;) {
		char *end = memchr(qmp->text + seen, '\n', qmp->length - seen);
		const char *wrong;
		ssize_t got;

		if (end) {
			*line = qmp->text;
			*length = (size_t)(end - qmp->text);
			return NULL;
		}
		seen = qmp->length;
		if (seen == QMP_MAX_LINE)
			return complain("QEMU's answer to %s does not end within %u bytes", why,
					QMP_MAX_LINE);
		wrong = wait_for(qmp, POLLIN, why);
		if (wrong)
			return wrong;
		got = recv(qmp->fd, qmp->text + seen, QMP_MAX_LINE - seen, MSG_DONTWAIT);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got < 0 && errno != ECONNRESET)
			return complain("reading QEMU's answer to %s: %s", why, strerror(errno));
		if (got <= 0)
			return complain("QEMU ended before it answered (%s)", why);
		qmp->length += (size_t)got;
	}
}

/* One message, an object. The caller gives it back. */
static const char *read_message(struct qmp *qmp, const char *why, json_t **message)
{
	json_error_t error;
	char *line = NULL;
	size_t length = 0;
	const char *wrong = read_line(qmp, why, &line, &length);

	if (wrong)
		return wrong;
	*message = json_loadb(line, length, 0, &error);
	qmp->length -= length + 1;
	memmove(qmp->text, line + length + 1, qmp->length);
	if (!*message)
		return complain("QEMU's answer to %s is not JSON: %s", why, error.text);
	if (json_is_object(*message))
		return NULL;
	json_decref(*message);
	return complain("QEMU's answer to %s is no JSON object", why);
}

static const char *send_text(struct qmp *qmp, const char *text, const char *why)
{
	size_t left = strlen(text);

	while (left) {
		const char *wrong = wait_for(qmp, POLLOUT, why);
		ssize_t sent;

		if (wrong)
			return wrong;
		sent = send(qmp->fd, text, left, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
			return complain("QEMU ended before it was asked (%s)", why);
		if (sent < 0)
			return complain("asking QEMU (%s): %s", why, strerror(errno));
		text += sent;
		left -= (size_t)sent;
	}
	return NULL;
}

const char *qmp_call(struct qmp *qmp, const char *command, json_t **answer)
{
	char text[128];
	unsigned number = ++qmp->ncalls;
	const char *wrong;

	snprintf(text, sizeof(text), "{\"execute\":\"%s\",\"id\":%u}\n", command, number);
	wrong = send_text(qmp, text, command);
	while (!wrong) {
		json_t *message, *value;

		wrong = read_message(qmp, command, &message);
		if (wrong)
			break;
		value = json_object_get(message, "id");
		if (json_is_integer(value) && json_integer_value(value) == number) {
			json_t *error = json_object_get(message, "error");
			const char *text = json_string_value(json_object_get(error, "desc"));

			value = json_object_get(message, "return");
			if (error)
				wrong = complain("QEMU refuses %s: %s", command,
						 text ? text : "it does not say why");
			else if (!value)
				wrong = complain("QEMU's answer to %s has no result", command);
			else if (answer)
				*answer = json_incref(value);
			json_decref(message);
			return wrong;
		}
		/* Something that happened, of which nobody asked. */
		json_decref(message);
	}
	return wrong;
}

const char *qmp_open(struct qmp *qmp, int fd, int interrupt_fd, unsigned patience_ms)
{
	json_t *greeting;
	const char *wrong;

	*qmp = (struct qmp){ .fd = fd,
			     .interrupt_fd = interrupt_fd,
			     .deadline_ms = host_ms() + patience_ms,
			     .text = malloc(QMP_MAX_LINE) };
	if (!qmp->text)
		return complain("out of memory");
	wrong = read_message(qmp, "greeting", &greeting);
	if (wrong)
		return wrong;
	if (!json_object_get(greeting, "QMP"))
		wrong = complain("what was started does not greet as QEMU does: is --qemu a QEMU?");
	json_decref(greeting);
	return wrong ? wrong : qmp_call(qmp, "qmp_capabilities", NULL);
}

void qmp_close(struct qmp *qmp)
{
	free(qmp->text);
	qmp->text = NULL;
}

const char *qmp_read_threads(const json_t *answer, int *threads, unsigned ncpus)
{
	bool known[64] = { false };

	if (!json_is_array(answer) || json_array_size(answer) != ncpus || ncpus > 64)
		return complain("QEMU tells of %zu virtual CPU%s, not of %u",
				json_array_size(answer), plural(json_array_size(answer)), ncpus);
	for (unsigned i = 0; i < ncpus; i++) {
		const json_t *cpu = json_array_get(answer, i);
		const json_t *index = json_object_get(cpu, "cpu-index");
		const json_t *thread = json_object_get(cpu, "thread-id");
		json_int_t number = json_is_integer(index) ? json_integer_value(index) : -1;
		json_int_t id = json_is_integer(thread) ? json_integer_value(thread) : 0;

		if (number < 0 || number >= ncpus || known[number] || id < 1 || id > INT_MAX)
			return complain("QEMU does not tell which thread virtual CPU %u is", i);
		known[number] = true;
		threads[number] = (int)id;
	}
	return NULL;
}
