/* Local sockets: datagrams, much data, several cores, event loops. */
#include "tests/guest/unix_socket.h"

/* ---- datagrams ---- */

TEST(datagrams_by_name)
{
	int a = bound(SOCK_DGRAM, "lavra-a"), b = bound(SOCK_DGRAM, "lavra-b"), bytes;
	struct sockaddr_un address, from;
	socklen_t to_length = abstract(&address, "lavra-a"), length = sizeof(from);
	char text[32], small[2];
	struct iovec iov = { small, sizeof(small) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	CHECK_EQ(sendto(b, "first", 5, 0, (struct sockaddr *)&address, to_length), 5);
	CHECK_EQ(sendto(b, "", 0, 0, (struct sockaddr *)&address, to_length), 0);
	CHECK_EQ(sendto(b, "third", 5, 0, (struct sockaddr *)&address, to_length), 5);
	CHECK_EQ(ioctl(a, FIONREAD, &bytes), 0);
	CHECK_EQ(bytes, 5);
	CHECK_EQ(recvfrom(a, text, sizeof(text), 0, (struct sockaddr *)&from, &length), 5);
	CHECK_EQ(memcmp(text, "first", 5), 0);
	to_length = abstract(&address, "lavra-b");
	CHECK_EQ(length, to_length);
	CHECK_EQ(memcmp(&from, &address, length), 0);
	CHECK_EQ(recv(a, text, sizeof(text), 0), 0);
	CHECK_EQ(recv(a, text, 2, MSG_PEEK | MSG_TRUNC), 5);
	CHECK_EQ(recvmsg(a, &message, 0), 2);
	CHECK_EQ(message.msg_flags, MSG_TRUNC);
	FAILS(recv(a, text, 1, MSG_DONTWAIT), EAGAIN);
	FAILS(send(a, "x", 1, 0), ENOTCONN);
	CHECK_EQ(connect_to(a, "lavra-b"), 0);
	CHECK_EQ(send(a, "x", 1, 0), 1);
	/* A socket that is connected takes nothing from others. */
	CHECK_EQ(connect_to(b, "lavra-a"), 0);
	{
		int c = socket(AF_UNIX, SOCK_DGRAM, 0);

		FAILS(sendto(c, "x", 1, 0, (struct sockaddr *)&address, to_length), EPERM);
		CHECK_EQ(connect_to(c, "lavra-b"), -EPERM);
		close(c);
	}
	close(b);
	FAILS(send(a, "x", 1, 0), ECONNREFUSED);
	FAILS(send(a, "x", 1, 0), ENOTCONN);
	CHECK_EQ(connect_to(a, "lavra-b"), -ECONNREFUSED);
	close(a);
}

TEST(a_datagram_without_a_sender)
{
	int a = bound(SOCK_DGRAM, "lavra-c"), b = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct sockaddr_un from;
	socklen_t length = sizeof(from);
	char byte;

	CHECK_EQ(connect_to(b, "lavra-c"), 0);
	CHECK_EQ(send(b, "x", 1, 0), 1);
	CHECK_EQ(recvfrom(a, &byte, 1, 0, (struct sockaddr *)&from, &length), 1);
	CHECK_EQ(length, 0);
	/* The name is free again as soon as the socket is closed. */
	close(a);
	a = bound(SOCK_DGRAM, "lavra-c");
	FAILS(send(b, "x", 1, 0), ECONNREFUSED);
	close(a);
	close(b);
}

TEST(a_full_datagram_queue)
{
	int a = bound(SOCK_DGRAM, "lavra-full"), b = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	struct epoll_event event = { .events = EPOLLOUT }, told;
	int set = epoll_create1(0), sent = 0;
	char byte;

	CHECK_EQ(connect_to(b, "lavra-full"), 0);
	CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, b, &event), 0);
	CHECK_EQ(epoll_wait(set, &told, 1, 0), 1);
	while (send(b, "x", 1, 0) == 1 && sent < 2000)
		sent++;
	CHECK_EQ(errno, EAGAIN);
	CHECK(sent >= 10 && sent < 2000);
	CHECK_EQ(epoll_wait(set, &told, 1, 0), 0);
	CHECK_EQ(events_of(b), 0);
	for (int i = 0; i < sent; i++)
		CHECK_EQ(read(a, &byte, 1), 1);
	CHECK_EQ(epoll_wait(set, &told, 1, 1000), 1);
	CHECK_EQ(events_of(b), POLLOUT);
	CHECK_EQ(send(b, "x", 1, 0), 1);
	close(set);
	close(a);
	close(b);
}

static void *send_many(void *argument)
{
	struct sockaddr_un address;
	socklen_t length = abstract(&address, "lavra-many");
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	int sender = (int)(long)argument;

	pin(core_of(sender));
	for (int i = 0; i < 1000; i++) {
		int message[2] = { sender, i };

		CHECK_EQ(sendto(fd, message, sizeof(message), 0, (struct sockaddr *)&address,
				length),
			 sizeof(message));
	}
	close(fd);
	return NULL;
}

TEST(many_senders_wait_for_one_receiver)
{
	int fd = bound(SOCK_DGRAM, "lavra-many"), next[4] = { 0 };
	pthread_t threads[4];

	for (long i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, send_many, (void *)i);
	for (int i = 0; i < 4000; i++) {
		int message[2];

		CHECK_EQ(read(fd, message, sizeof(message)), sizeof(message));
		CHECK_EQ(message[1], next[message[0]]++);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	close(fd);
}

TEST(packets_keep_their_borders)
{
	int pair[2], listener, client;
	char text[16];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	CHECK_EQ(send(pair[0], "one", 3, 0), 3);
	CHECK_EQ(write(pair[0], "three", 5), 5);
	CHECK_EQ(recv(pair[1], text, sizeof(text), 0), 3);
	CHECK_EQ(recv(pair[1], text, 2, MSG_TRUNC), 5);
	FAILS(recv(pair[1], text, 2, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(send(pair[0], "bye", 3, 0), 3);
	close(pair[0]);
	CHECK_EQ(recv(pair[1], text, sizeof(text), 0), 3);
	CHECK_EQ(recv(pair[1], text, sizeof(text), 0), 0);
	CHECK_EQ(events_of(pair[1]), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	FAILS(send(pair[1], "x", 1, 0), EPIPE);
	close(pair[1]);

	listener = listening(SOCK_SEQPACKET, "lavra-packets", 3);
	client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	FAILS(send(client, "x", 1, 0), ENOTCONN);
	FAILS(recv(client, text, 1, 0), ENOTCONN);
	CHECK_EQ(connect_to(client, "lavra-packets"), 0);
	pair[0] = accept(listener, NULL, NULL);
	CHECK_EQ(send(client, "four", 4, 0), 4);
	CHECK_EQ(read(pair[0], text, sizeof(text)), 4);
	close(client);
	close(pair[0]);
	close(listener);
}

/* ---- much data, backpressure ---- */

TEST(a_stream_fills_and_empties)
{
	static char block[4096];
	int pair[2], value = 30000;
	size_t sent = 0, received = 0;
	ssize_t n;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	CHECK_EQ(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &value, sizeof(value)), 0);
	while ((n = write(pair[0], block, sizeof(block))) > 0)
		sent += (size_t)n;
	CHECK_EQ(errno, EAGAIN);
	CHECK(sent >= 30000 && sent <= 120000);
	CHECK_EQ(events_of(pair[0]), 0);
	/* The other direction has a buffer of its own. */
	CHECK_EQ(events_of(pair[1]), POLLIN | POLLOUT);
	CHECK_EQ(read(pair[1], block, 100), 100);
	CHECK_EQ(events_of(pair[0]), 0);
	received = 100;
	while ((n = read(pair[1], block, sizeof(block))) > 0)
		received += (size_t)n;
	CHECK_EQ(received, sent);
	CHECK_EQ(events_of(pair[0]), POLLOUT);
	close(pair[0]);
	close(pair[1]);
}

#define MESSAGES 10000

struct talk {
	int fd, core, type;
	unsigned seed;
};

static size_t size_of_message(unsigned *state)
{
	return 1 + next_number(state) % 300;
}

static void *talk_send(void *argument)
{
	struct talk *talk = argument;
	unsigned sizes = talk->seed, bytes = talk->seed + 1;
	char block[301];

	if (talk->core >= 0)
		pin(core_of(talk->core));
	for (int i = 0; i < MESSAGES; i++) {
		size_t size = size_of_message(&sizes);

		for (size_t j = 0; j < size; j++)
			block[j] = (char)next_number(&bytes);
		if (write(talk->fd, block, size) != (ssize_t)size) {
			CHECK_EQ(i, -1);
			break;
		}
	}
	CHECK_EQ(shutdown(talk->fd, SHUT_WR), 0);
	return NULL;
}

static void *talk_receive(void *argument)
{
	struct talk *talk = argument;
	unsigned sizes = talk->seed, bytes = talk->seed + 1, wrong = 0, messages = 0;
	size_t total = 0, expected = 0;
	char block[1000];
	ssize_t n;

	if (talk->core >= 0)
		pin(core_of(talk->core));
	while ((n = read(talk->fd, block, sizeof(block))) > 0) {
		if (talk->type != SOCK_STREAM)
			wrong += (size_t)n != size_of_message(&sizes);
		for (ssize_t j = 0; j < n; j++)
			wrong += block[j] != (char)next_number(&bytes);
		total += (size_t)n;
		messages++;
	}
	CHECK_EQ(n, 0);
	CHECK_EQ(wrong, 0);
	sizes = talk->seed;
	for (int i = 0; i < MESSAGES; i++)
		expected += size_of_message(&sizes);
	CHECK_EQ(total, expected);
	if (talk->type != SOCK_STREAM)
		CHECK_EQ(messages, MESSAGES);
	return NULL;
}

/* Two senders and two receivers on the two ends, each direction with its own numbers. */
static void talk_both_ways(int type, const int fds[2], bool pinned)
{
	struct talk talks[4] = {
		{ fds[0], pinned ? 0 : -1, type, 1 },
		{ fds[1], pinned ? 1 : -1, type, 1 },
		{ fds[1], pinned ? 2 : -1, type, 7 },
		{ fds[0], pinned ? 3 : -1, type, 7 },
	};
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, i % 2 ? talk_receive : talk_send, &talks[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	close(fds[0]);
	close(fds[1]);
}

TEST(ten_thousand_messages_each_way)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };

	for (int i = 0; i < 4; i++) {
		int pair[2];

		CHECK_EQ(socketpair(AF_UNIX, types[i / 2], 0, pair), 0);
		talk_both_ways(types[i / 2], pair, i % 2);
	}
}

static void *connect_on_core(void *argument)
{
	int *fd = argument;

	pin(core_of(1));
	*fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_EQ(connect_to(*fd, "lavra-cores"), 0);
	return NULL;
}

/* A connection whose ends live on different cores. */
TEST(ten_thousand_messages_between_cores)
{
	int fds[2], listener;
	pthread_t thread;

	pin(0);
	listener = listening(SOCK_STREAM, "lavra-cores", 5);
	pthread_create(&thread, NULL, connect_on_core, &fds[1]);
	fds[0] = accept(listener, NULL, NULL);
	pthread_join(thread, NULL);
	talk_both_ways(SOCK_STREAM, fds, true);
	close(listener);
}

/* ---- an event loop ---- */

struct echo {
	int fd;
	long served;
};

static void *echo_loop(void *argument)
{
	struct echo *echo = argument;
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP }, told;
	int set = epoll_create1(0);
	char bytes[256];

	pin(core_of(1));
	fcntl(echo->fd, F_SETFL, O_NONBLOCK);
	CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, echo->fd, &event), 0);
	for (;;) {
		ssize_t n;

		CHECK_EQ(epoll_wait(set, &told, 1, 10000), 1);
		n = read(echo->fd, bytes, sizeof(bytes));
		if (n <= 0)
			break;
		CHECK_EQ(write(echo->fd, bytes, (size_t)n), n);
		echo->served++;
	}
	close(set);
	return NULL;
}

TEST(an_event_loop_on_another_core)
{
	struct echo echo;
	pthread_t thread;
	int pair[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	echo = (struct echo){ pair[1], 0 };
	pthread_create(&thread, NULL, echo_loop, &echo);
	for (int i = 0; i < 500; i++) {
		char text[16], back[16];
		int length = snprintf(text, sizeof(text), "number %d", i);

		CHECK_EQ(write(pair[0], text, (size_t)length), length);
		CHECK_EQ(recv(pair[0], back, (size_t)length, MSG_WAITALL), length);
		CHECK_EQ(memcmp(text, back, (size_t)length), 0);
	}
	close(pair[0]);
	pthread_join(thread, NULL);
	CHECK(echo.served >= 500);
	close(pair[1]);
}

TEST(edges_of_a_stream)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET }, told;
	int pair[2], set = epoll_create1(0);
	char byte;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, pair[1], &event), 0);
	CHECK_EQ(epoll_wait(set, &told, 1, 0), 0);
	CHECK_EQ(write(pair[0], "a", 1), 1);
	CHECK_EQ(epoll_wait(set, &told, 1, 0), 1);
	CHECK_EQ(epoll_wait(set, &told, 1, 0), 0);
	CHECK_EQ(write(pair[0], "b", 1), 1);
	CHECK_EQ(epoll_wait(set, &told, 1, 0), 1);
	CHECK_EQ(read(pair[1], &byte, 1), 1);
	CHECK_EQ(epoll_wait(set, &told, 1, 0), 0);
	close(pair[0]);
	CHECK_EQ(epoll_wait(set, &told, 1, 0), 1);
	CHECK_EQ(told.events, EPOLLIN | EPOLLHUP);
	close(pair[1]);
	close(set);
}

TEST(a_time_limit_ends_a_wait)
{
	struct timeval timeout = { 0, 20000 };
	static char block[300000];
	int pair[2];
	char byte;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	CHECK_EQ(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	CHECK_EQ(setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)), 0);
	FAILS(read(pair[0], &byte, 1), EAGAIN);
	CHECK(write(pair[0], block, sizeof(block)) < (ssize_t)sizeof(block));
	FAILS(write(pair[0], block, sizeof(block)), EAGAIN);
	close(pair[0]);
	close(pair[1]);
}

/* ---- many messages at once ---- */

TEST(many_messages_in_one_call)
{
	struct mmsghdr messages[4];
	struct iovec iov[4];
	struct timespec timeout = { 1, 0 };
	char texts[4][8];
	int pair[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < 4; i++) {
		snprintf(texts[i], sizeof(texts[i]), "text%d", i);
		iov[i] = (struct iovec){ texts[i], (size_t)(3 + i) };
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	CHECK_EQ(sendmmsg(pair[0], messages, 3, 0), 3);
	CHECK_EQ(messages[2].msg_len, 5);
	for (int i = 0; i < 4; i++)
		iov[i].iov_len = sizeof(texts[i]);
	/* Does not wait for the fourth. */
	CHECK_EQ(recvmmsg(pair[1], messages, 4, MSG_WAITFORONE, &timeout), 3);
	CHECK_EQ(messages[0].msg_len, 3);
	CHECK_EQ(messages[2].msg_len, 5);
	CHECK(timeout.tv_sec == 0 && timeout.tv_nsec > 0);
	FAILS(recvmmsg(pair[1], messages, 4, MSG_DONTWAIT, NULL), EAGAIN);
	FAILS(recv(pair[1], texts, 1, MSG_ERRQUEUE | MSG_DONTWAIT), EAGAIN);
	close(pair[0]);
	close(pair[1]);
}
