/*
 * A server with every mistake that there is, for test_attack.py to use: it does to memory whatever a request
 * says. One thread on each core, with a listener of its own.
 *
 *	attack [survive]	with a handler for SIGSEGV, SIGBUS and SIGILL that gives the request up
 *
 *	GET /hello.txt
 *	GET /core				the number of the core that serves
 *	GET /cores				/proc/lavra/cores
 *	GET /layout				how far apart two small objects are, as /heap has them
 *	GET /read?address=HEX&length=HEX	what is there
 *	GET /write?address=HEX&bytes=HEX
 *	GET /call?address=HEX&argument=HEX
 *	GET /heap?bytes=HEX			copied into an object that may be too small
 *	GET /free?bytes=HEX			copied into an object that another pointer still means
 *	GET /name, with a header `X-Name:`	copied onto the stack, where it may not fit
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 80
#define REQUEST_SIZE 8192
#define OBJECT_SIZE 64
#define NAME_SIZE 64

/* A function of its own, so that the report can name it. */
#define NAMED __attribute__((noipa))

struct connection {
	int socket;
	char request[REQUEST_SIZE];
	size_t length;
};

static __thread sigjmp_buf next_request;
static __thread struct connection connection;
/* Not on the stack, which an overflow may have taken from the server's loop as well. */
static __thread int listener;

static void answer(const char *status, const void *body, size_t length)
{
	char head[128];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
			 length);

	if (write(connection.socket, head, (size_t)n) == n)
		(void)!write(connection.socket, body, length);
}

static void answer_number(unsigned long number)
{
	char text[32];

	answer("200 OK", text, (size_t)snprintf(text, sizeof(text), "%lx\n", number));
}

/* ---- the request ---- */

static unsigned long argument(const char *name)
{
	const char *found = strstr(connection.request, name);

	return found ? strtoul(found + strlen(name), NULL, 16) : 0;
}

static size_t bytes_of(const char *name, unsigned char *to, size_t size)
{
	const char *found = strstr(connection.request, name);
	size_t length = 0;
	unsigned byte;

	if (!found)
		return 0;
	for (found += strlen(name); length < size && sscanf(found, "%2x", &byte) == 1; found += 2)
		to[length++] = (unsigned char)byte;
	return length;
}

static bool wants(const char *path)
{
	return strncmp(connection.request + strlen("GET "), path, strlen(path)) == 0;
}

/* ---- mistakes ---- */

struct action {
	void (*act)(unsigned long argument);
	unsigned long argument;
	char rest[OBJECT_SIZE - 16];
};

NAMED static void done(unsigned long unused)
{
	(void)unused;
}

NAMED static void read_anywhere(const void *address, size_t length)
{
	char copy[4096];

	if (length > sizeof(copy))
		length = sizeof(copy);
	for (size_t i = 0; i < length; i++)
		copy[i] = ((const volatile char *)address)[i];
	answer("200 OK", copy, length);
}

NAMED static void write_anywhere(void *address, const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		((volatile unsigned char *)address)[i] = bytes[i];
	answer("200 OK", "written\n", 8);
}

NAMED static void call_anything(void (*function)(unsigned long), unsigned long value)
{
	function(value);
	answer("200 OK", "returned\n", 9);
}

NAMED static void overflow_the_heap(const unsigned char *bytes, size_t length)
{
	unsigned char *text = malloc(OBJECT_SIZE);
	struct action *action = malloc(OBJECT_SIZE);

	*action = (struct action){ .act = done };
	memcpy(text, bytes, length);
	action->act(action->argument);
	answer("200 OK", "survived\n", 9);
	free(action);
	free(text);
}

NAMED static void use_after_free(const unsigned char *bytes, size_t length)
{
	struct action *volatile action = malloc(OBJECT_SIZE);
	unsigned char *text;

	*action = (struct action){ .act = done };
	free(action);
	/* The allocator may well give it out again, but not at once. */
	for (unsigned i = 0; i < 4096; i++) {
		text = malloc(OBJECT_SIZE);
		memcpy(text, bytes, length < OBJECT_SIZE ? length : OBJECT_SIZE);
		if ((void *)text == (void *)action)
			break;
	}
	action->act(action->argument);
	answer("200 OK", "survived\n", 9);
}

NAMED static void overflow_the_stack(const char *value, size_t length)
{
	char name[NAME_SIZE];

	memcpy(name, value, length);
	__asm__ volatile("" ::"r"(name) : "memory");
	answer("200 OK", name, length < NAME_SIZE ? length : NAME_SIZE);
}

static void name_header(void)
{
	static const char header[] = "X-Name: ";
	char *end = connection.request + connection.length, *value;

	for (value = connection.request; value + sizeof(header) < end; value++)
		if (memcmp(value, header, sizeof(header) - 1) == 0)
			break;
	value += sizeof(header) - 1;
	/* Up to the empty line, zeros and all. */
	overflow_the_stack(value, end > value + 4 ? (size_t)(end - 4 - value) : 0);
}

static void tell_layout(void)
{
	char *text = malloc(OBJECT_SIZE), *action = malloc(OBJECT_SIZE);

	answer_number((unsigned long)(action - text));
	free(action);
	free(text);
}

static void tell_cores(void)
{
	static __thread char text[65536];
	int fd = open("/proc/lavra/cores", O_RDONLY);
	ssize_t length = read(fd, text, sizeof(text));

	close(fd);
	answer("200 OK", text, length > 0 ? (size_t)length : 0);
}

/* ---- the server ---- */

static void serve(void)
{
	static __thread unsigned char bytes[REQUEST_SIZE / 2];
	size_t length = bytes_of("bytes=", bytes, sizeof(bytes));

	if (wants("/hello.txt"))
		answer("200 OK", "Hello, world!\n", 14);
	else if (wants("/cores"))
		tell_cores();
	else if (wants("/core"))
		answer_number((unsigned long)sched_getcpu());
	else if (wants("/layout"))
		tell_layout();
	else if (wants("/read"))
		read_anywhere((void *)argument("address="), argument("length="));
	else if (wants("/write"))
		write_anywhere((void *)argument("address="), bytes, length);
	else if (wants("/call"))
		call_anything((void (*)(unsigned long))argument("address="), argument("argument="));
	else if (wants("/heap"))
		overflow_the_heap(bytes, length);
	else if (wants("/free"))
		use_after_free(bytes, length);
	else if (wants("/name"))
		name_header();
	else
		answer("404 Not Found", "", 0);
}

static bool receive(void)
{
	connection.length = 0;
	while (connection.length < REQUEST_SIZE - 1) {
		ssize_t n = read(connection.socket, connection.request + connection.length,
				 REQUEST_SIZE - 1 - connection.length);

		if (n <= 0)
			return false;
		connection.length += (size_t)n;
		connection.request[connection.length] = '\0';
		if (connection.length >= 4 &&
		    memcmp(connection.request + connection.length - 4, "\r\n\r\n", 4) == 0)
			return true;
	}
	return false;
}

static void give_up(int number, siginfo_t *info, void *context)
{
	(void)context;
	siglongjmp(next_request, number << 8 | info->si_code);
}

static void *serve_core(void *core)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };
	int one = 1;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((long)core, &set);
	sched_setaffinity(0, sizeof(set), &set);
	/* What the stack pointer is when something fails, nobody knows. */
	sigaltstack(&stack, NULL);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 128)) {
		perror("attack");
		exit(1);
	}
	for (;;) {
		connection.socket = accept(listener, NULL, NULL);
		if (connection.socket < 0)
			continue;
		static __thread char text[64];
		static __thread int fault;

		fault = sigsetjmp(next_request, 1);
		if (fault)
			answer("500 Internal Server Error", text,
			       (size_t)snprintf(text, sizeof(text), "signal %d code %d\n",
						fault >> 8, (signed char)fault));
		else if (receive())
			serve();
		close(connection.socket);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = give_up,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	long ncores = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t thread;

	if (argc > 1 && strcmp(argv[1], "survive") == 0) {
		sigaction(SIGSEGV, &action, NULL);
		sigaction(SIGBUS, &action, NULL);
		sigaction(SIGILL, &action, NULL);
		sigaction(SIGFPE, &action, NULL);
		sigaction(SIGTRAP, &action, NULL);
	}
	for (long core = 1; core < ncores; core++)
		pthread_create(&thread, NULL, serve_core, (void *)core);
	serve_core((void *)0);
}
