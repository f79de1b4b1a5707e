/* Local sockets: pairs, connections, their names and their ends. */
#include "tests/guest/unix_socket.h"

/* ---- pairs ---- */

TEST(a_pair_of_streams)
{
	int pair[2], bytes = -1;
	char text[32];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	CHECK_EQ(events_of(pair[0]), POLLOUT);
	CHECK_EQ(write(pair[0], "hello", 5), 5);
	CHECK_EQ(send(pair[0], " there", 6, 0), 6);
	CHECK_EQ(events_of(pair[1]), POLLIN | POLLOUT);
	CHECK_EQ(ioctl(pair[1], FIONREAD, &bytes), 0);
	CHECK_EQ(bytes, 11);
	CHECK_EQ(recv(pair[1], text, sizeof(text), MSG_PEEK), 11);
	CHECK_EQ(read(pair[1], text, 3), 3);
	CHECK_EQ(recv(pair[1], text + 3, sizeof(text) - 3, 0), 8);
	CHECK_EQ(memcmp(text, "hello there", 11), 0);
	FAILS(recv(pair[1], text, 1, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(write(pair[1], "back", 4), 4);
	CHECK_EQ(recv(pair[0], text, 4, MSG_WAITALL), 4);
	CHECK_EQ(memcmp(text, "back", 4), 0);
	CHECK_EQ(send(pair[0], "", 0, 0), 0);
	CHECK_EQ(events_of(pair[1]), POLLOUT);
	close(pair[0]);
	close(pair[1]);
}

TEST(what_sockets_say_of_themselves)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };

	for (int i = 0; i < 3; i++) {
		struct ucred credentials;
		socklen_t length = sizeof(credentials);
		struct sockaddr_un address;
		struct stat st;
		int pair[2];

		CHECK_EQ(socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
		CHECK_EQ(fcntl(pair[1], F_GETFD), FD_CLOEXEC);
		CHECK_EQ(fcntl(pair[1], F_GETFL), O_RDWR | O_NONBLOCK);
		CHECK_EQ(option(pair[0], SO_TYPE), types[i]);
		CHECK_EQ(option(pair[0], SO_DOMAIN), AF_UNIX);
		CHECK_EQ(option(pair[0], SO_PROTOCOL), 0);
		CHECK_EQ(option(pair[0], SO_ACCEPTCONN), 0);
		CHECK_EQ(option(pair[0], SO_ERROR), 0);
		CHECK_EQ(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &credentials, &length), 0);
		CHECK_EQ(credentials.pid, getpid());
		CHECK_EQ(credentials.uid, getuid());
		length = sizeof(address);
		CHECK_EQ(getsockname(pair[0], (struct sockaddr *)&address, &length), 0);
		CHECK_EQ(length, PATH_OFFSET);
		CHECK_EQ(address.sun_family, AF_UNIX);
		length = sizeof(address);
		CHECK_EQ(getpeername(pair[0], (struct sockaddr *)&address, &length), 0);
		CHECK_EQ(length, PATH_OFFSET);
		CHECK_EQ(fstat(pair[0], &st), 0);
		CHECK(S_ISSOCK(st.st_mode));
		close(pair[0]);
		close(pair[1]);
	}
}

TEST(buffers_as_large_as_linux_says)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), value = 10000;

	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value)), 0);
	CHECK_EQ(option(fd, SO_SNDBUF), 20000);
	value = 1;
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value)), 0);
	CHECK_EQ(option(fd, SO_SNDBUF), 4608);
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value)), 0);
	CHECK_EQ(option(fd, SO_RCVBUF), 2304);
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof(value)), 0);
	CHECK_EQ(option(fd, SO_KEEPALIVE), 1);
	FAILS(setsockopt(fd, 6 /* TCP */, 1, &value, sizeof(value)), EOPNOTSUPP);
	FAILS(setsockopt(fd, SOL_SOCKET, 9999, &value, sizeof(value)), ENOPROTOOPT);
	FAILS(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, 2), EINVAL);
	close(fd);
}

/* ---- the ends of a connection ---- */

TEST(shutting_down_one_direction)
{
	int pair[2];
	char byte;

	signal(SIGPIPE, SIG_IGN);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	CHECK_EQ(write(pair[0], "x", 1), 1);
	CHECK_EQ(shutdown(pair[0], SHUT_WR), 0);
	CHECK_EQ(events_of(pair[0]), POLLOUT);
	CHECK_EQ(events_of(pair[1]), POLLIN | POLLOUT | POLLRDHUP);
	FAILS(write(pair[0], "y", 1), EPIPE);
	CHECK_EQ(read(pair[1], &byte, 1), 1);
	CHECK_EQ(read(pair[1], &byte, 1), 0);
	CHECK_EQ(write(pair[1], "z", 1), 1);
	CHECK_EQ(read(pair[0], &byte, 1), 1);
	CHECK_EQ(shutdown(pair[1], SHUT_WR), 0);
	CHECK_EQ(events_of(pair[0]), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	CHECK_EQ(read(pair[0], &byte, 1), 0);
	FAILS(shutdown(pair[0], 3), EINVAL);
	close(pair[0]);
	close(pair[1]);

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	CHECK_EQ(shutdown(pair[0], SHUT_RD), 0);
	FAILS(send(pair[1], "y", 1, 0), EPIPE);
	CHECK_EQ(read(pair[0], &byte, 1), 0);
	close(pair[0]);
	close(pair[1]);
	signal(SIGPIPE, SIG_DFL);
}

TEST(closing_one_end)
{
	int pair[2];
	char text[8];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	CHECK_EQ(write(pair[0], "last", 4), 4);
	close(pair[0]);
	CHECK_EQ(events_of(pair[1]), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	CHECK_EQ(read(pair[1], text, sizeof(text)), 4);
	CHECK_EQ(read(pair[1], text, sizeof(text)), 0);
	FAILS(send(pair[1], "x", 1, MSG_NOSIGNAL), EPIPE);
	close(pair[1]);

	/* Data that was not read is a reset. */
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	CHECK_EQ(write(pair[0], "lost", 4), 4);
	CHECK_EQ(write(pair[1], "last", 4), 4);
	close(pair[1]);
	CHECK_EQ(events_of(pair[0]), POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
	CHECK_EQ(read(pair[0], text, sizeof(text)), 4);
	FAILS(read(pair[0], text, sizeof(text)), ECONNRESET);
	CHECK_EQ(read(pair[0], text, sizeof(text)), 0);
	close(pair[0]);
}

static volatile sig_atomic_t pipe_signals;

static void count_signal(int number)
{
	(void)number;
	pipe_signals++;
}

TEST(a_broken_stream_sends_sigpipe)
{
	int pair[2];

	pipe_signals = 0;
	signal(SIGPIPE, count_signal);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	close(pair[0]);
	FAILS(send(pair[1], "x", 1, 0), EPIPE);
	CHECK_EQ(pipe_signals, 1);
	FAILS(send(pair[1], "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_EQ(pipe_signals, 1);
	FAILS(write(pair[1], "x", 1), EPIPE);
	CHECK_EQ(pipe_signals, 2);
	close(pair[1]);
	/* Packets end with the error alone. */
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	close(pair[0]);
	FAILS(send(pair[1], "x", 1, 0), EPIPE);
	FAILS(write(pair[1], "x", 1), EPIPE);
	CHECK_EQ(pipe_signals, 2);
	close(pair[1]);
	signal(SIGPIPE, SIG_DFL);
}

/* ---- names ---- */

TEST(connecting_by_a_name)
{
	struct sockaddr_un address, expected;
	socklen_t length = sizeof(address), name_length = abstract(&expected, "lavra-one");
	int listener = listening(SOCK_STREAM, "lavra-one", 5), client, server;
	char text[8];

	CHECK_EQ(option(listener, SO_ACCEPTCONN), 1);
	CHECK_EQ(events_of(listener), 0);
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_EQ(events_of(client), POLLOUT | POLLHUP);
	FAILS(write(client, "x", 1), ENOTCONN);
	FAILS(read(client, text, 1), EINVAL);
	FAILS(getpeername(client, (struct sockaddr *)&address, &length), ENOTCONN);
	CHECK_EQ(connect_to(client, "lavra-one"), 0);
	CHECK_EQ(connect_to(client, "lavra-one"), -EISCONN);
	CHECK_EQ(events_of(listener), POLLIN);
	/* Before it was accepted. */
	CHECK_EQ(write(client, "early", 5), 5);
	server = accept4(listener, (struct sockaddr *)&address, &length, SOCK_CLOEXEC);
	CHECK(server >= 0);
	CHECK_EQ(length, PATH_OFFSET);
	CHECK_EQ(read(server, text, sizeof(text)), 5);
	length = sizeof(address);
	CHECK_EQ(getpeername(client, (struct sockaddr *)&address, &length), 0);
	CHECK_EQ(length, name_length);
	CHECK_EQ(memcmp(&address, &expected, length), 0);
	length = sizeof(address);
	CHECK_EQ(getsockname(server, (struct sockaddr *)&address, &length), 0);
	CHECK_EQ(length, name_length);
	CHECK_EQ(events_of(listener), 0);
	close(listener);
	/* The connection outlives it; the name does not. */
	CHECK_EQ(write(server, "still", 5), 5);
	CHECK_EQ(read(client, text, sizeof(text)), 5);
	close(client);
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_EQ(connect_to(client, "lavra-one"), -ECONNREFUSED);
	close(client);
	close(server);
}

TEST(connections_that_are_refused)
{
	struct sockaddr_un address;
	socklen_t length = abstract(&address, "lavra-two");
	int first = bound(SOCK_STREAM, "lavra-two"), second = socket(AF_UNIX, SOCK_STREAM, 0);
	int other = socket(AF_UNIX, SOCK_SEQPACKET, 0), datagram = socket(AF_UNIX, SOCK_DGRAM, 0);

	FAILS(bind(second, (struct sockaddr *)&address, length), EADDRINUSE);
	FAILS(bind(first, (struct sockaddr *)&address, length), EINVAL);
	FAILS(bind(second, (struct sockaddr *)&address, 200), EINVAL);
	FAILS(listen(second, 5), EINVAL);
	FAILS(listen(datagram, 5), EOPNOTSUPP);
	FAILS(accept(datagram, NULL, NULL), EOPNOTSUPP);
	FAILS(accept(first, NULL, NULL), EINVAL);
	/* Bound, and not listening. */
	CHECK_EQ(connect_to(second, "lavra-two"), -ECONNREFUSED);
	CHECK_EQ(listen(first, 5), 0);
	/* Each type has names of its own. */
	CHECK_EQ(connect_to(other, "lavra-two"), -ECONNREFUSED);
	CHECK_EQ(connect_to(datagram, "lavra-two"), -ECONNREFUSED);
	CHECK_EQ(connect_to(first, "lavra-two"), -EINVAL);
	FAILS(sendto(datagram, "x", 1, 0, (struct sockaddr *)&address, length), ECONNREFUSED);
	address.sun_family = AF_INET;
	FAILS(connect(second, (struct sockaddr *)&address, length), EINVAL);
	FAILS(socket(AF_UNIX, SOCK_STREAM, 17), EPROTONOSUPPORT);
	FAILS(socket(AF_UNIX, SOCK_RDM, 0), ESOCKTNOSUPPORT);
	FAILS(socketpair(AF_INET, SOCK_STREAM, 0, (int[2]){ 0 }), EOPNOTSUPP);
	CHECK_EQ(shutdown(first, SHUT_RD), 0);
	CHECK_EQ(connect_to(second, "lavra-two"), -ECONNREFUSED);
	close(first);
	close(second);
	close(other);
	close(datagram);
}

TEST(a_name_of_the_kernels_choice)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t length = PATH_OFFSET;
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	CHECK_EQ(bind(fd, (struct sockaddr *)&address, length), 0);
	length = sizeof(address);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	CHECK_EQ(length, PATH_OFFSET + 6);
	CHECK_EQ(address.sun_path[0], 0);
	CHECK_EQ(strspn(address.sun_path + 1, "0123456789abcdef") >= 5, true);
	close(fd);
}

#define PATH "/tmp/lavra-test.socket"

TEST(names_in_the_file_system)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = PATH }, told;
	socklen_t length = sizeof(told);
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
	int other = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct stat st;

	unlink(PATH);
	FAILS(connect(client, (struct sockaddr *)&address, sizeof(address)), ENOENT);
	CHECK_EQ(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(stat(PATH, &st), 0);
	CHECK(S_ISSOCK(st.st_mode));
	FAILS(open(PATH, O_RDWR), ENXIO);
	FAILS(bind(client, (struct sockaddr *)&address, sizeof(address)), EADDRINUSE);
	CHECK_EQ(getsockname(listener, (struct sockaddr *)&told, &length), 0);
	CHECK_EQ(length, PATH_OFFSET + sizeof(PATH));
	CHECK_EQ(strcmp(told.sun_path, PATH), 0);
	CHECK_EQ(listen(listener, 1), 0);
	FAILS(connect(other, (struct sockaddr *)&address, sizeof(address)), EPROTOTYPE);
	CHECK_EQ(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
	close(other);
	close(client);
	close(listener);
	/* The node is left behind. */
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	FAILS(connect(client, (struct sockaddr *)&address, sizeof(address)), ECONNREFUSED);
	CHECK_EQ(unlink(PATH), 0);
	FAILS(connect(client, (struct sockaddr *)&address, sizeof(address)), ENOENT);
	close(client);
}

/* ---- accepting ---- */

TEST(a_full_backlog)
{
	int listener = listening(SOCK_STREAM, "lavra-backlog", 1), clients[3], server;
	char byte;

	for (int i = 0; i < 3; i++)
		clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CHECK_EQ(connect_to(clients[0], "lavra-backlog"), 0);
	CHECK_EQ(connect_to(clients[1], "lavra-backlog"), 0);
	CHECK_EQ(connect_to(clients[2], "lavra-backlog"), -EAGAIN);
	server = accept(listener, NULL, NULL);
	CHECK_EQ(connect_to(clients[2], "lavra-backlog"), 0);
	/* The listener ends with two in its queue. */
	close(listener);
	CHECK_EQ(events_of(clients[1]), POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
	FAILS(read(clients[1], &byte, 1), ECONNRESET);
	CHECK_EQ(events_of(clients[0]), POLLOUT);
	for (int i = 0; i < 3; i++)
		close(clients[i]);
	CHECK_EQ(read(server, &byte, 1), 0);
	close(server);
}

static void *connect_blocking(void *argument)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char byte = 'c';

	pin(core_of((int)(long)argument));
	CHECK_EQ(connect_to(fd, "lavra-wait"), 0);
	CHECK_EQ(write(fd, &byte, 1), 1);
	CHECK_EQ(read(fd, &byte, 1), 1);
	CHECK_EQ(byte, 's');
	close(fd);
	return NULL;
}

TEST(connections_wait_for_a_place)
{
	int listener = listening(SOCK_STREAM, "lavra-wait", 0);
	pthread_t threads[12];
	char byte;

	for (long i = 0; i < 12; i++)
		pthread_create(&threads[i], NULL, connect_blocking, (void *)i);
	for (int i = 0; i < 12; i++) {
		int fd = accept(listener, NULL, NULL);

		CHECK(fd >= 0);
		CHECK_EQ(read(fd, &byte, 1), 1);
		CHECK_EQ(byte, 'c');
		CHECK_EQ(write(fd, "s", 1), 1);
		CHECK_EQ(read(fd, &byte, 1), 0);
		close(fd);
	}
	for (int i = 0; i < 12; i++)
		pthread_join(threads[i], NULL);
	close(listener);
}
