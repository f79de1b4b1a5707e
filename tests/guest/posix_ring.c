/* Connections that are used on other cores than their own: through rings, at home, and in turns. */
#include "tests/guest/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static void pin(int core)
{
	cpu_set_t cores;

	CPU_ZERO(&cores);
	CPU_SET(core % test_cores, &cores);
	CHECK_EQ(sched_setaffinity(0, sizeof(cores), &cores), 0);
}

/* Two ends of one connection, on two cores. A set on each core watches the end there, so that it
 * stays there. */
struct connection {
	int a, b; /* on core 0; on core 1 */
	int keeps_a, keeps_b;
};

static int keep_here(int fd)
{
	struct epoll_event event = { .events = EPOLLET };
	int set = epoll_create1(0);

	CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
	return set;
}

static void open_connection(struct connection *connection, int core_a, int core_b)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener, on = 1;

	/* With SO_REUSEPORT connections are those of the listener's own core. */
	pin(core_b);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	CHECK_EQ(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(listener, 10), 0);
	CHECK_EQ(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	pin(core_a);
	connection->a = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(connect(connection->a, (struct sockaddr *)&address, sizeof(address)), 0);
	connection->keeps_a = keep_here(connection->a);
	pin(core_b);
	connection->b = accept(listener, NULL, NULL);
	CHECK(connection->b >= 0);
	connection->keeps_b = keep_here(connection->b);
	close(listener);
}

static void close_connection(struct connection *connection)
{
	close(connection->a);
	close(connection->b);
	close(connection->keeps_a);
	close(connection->keeps_b);
}

static bool read_all(int fd, void *bytes, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t n = read(fd, (char *)bytes + done, length - done);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static int wait_for(int fd, short events)
{
	struct pollfd entry = { fd, events, 0 };

	return poll(&entry, 1, 5000) == 1 ? entry.revents : 0;
}

static void set_nonblocking(int fd)
{
	CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

/* ---- one after the other ---- */

TEST(bytes_and_flags_are_as_at_home)
{
	struct connection c;
	char bytes[64];
	struct iovec iov[2] = { { bytes, 3 }, { bytes + 10, 20 } };
	int waiting = -1;

	open_connection(&c, 0, 1);
	for (int core = 0; core < 3; core++) {
		pin(core);
		CHECK_EQ(send(c.a, "abcdefgh", 8, MSG_NOSIGNAL), 8);
		CHECK_EQ(wait_for(c.b, POLLIN), POLLIN);
		CHECK_EQ(recv(c.b, bytes, 4, MSG_PEEK), 4);
		CHECK_EQ(memcmp(bytes, "abcd", 4), 0);
		CHECK_EQ(ioctl(c.b, FIONREAD, &waiting), 0);
		CHECK_EQ(waiting, 8);
		CHECK_EQ(readv(c.b, iov, 2), 8);
		CHECK(memcmp(bytes, "abc", 3) == 0 && memcmp(bytes + 10, "defgh", 5) == 0);
		errno = 0;
		CHECK(recv(c.b, bytes, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
		CHECK_EQ(write(c.b, "12345", 5), 5);
		CHECK_EQ(recv(c.a, bytes, 2, MSG_TRUNC), 2);
		CHECK_EQ(recv(c.a, bytes, 3, MSG_WAITALL), 3);
		CHECK_EQ(memcmp(bytes, "345", 3), 0);
		errno = 0;
		CHECK(recv(c.a, bytes, 1, MSG_OOB) == -1 && errno == EINVAL);
		errno = 0;
		CHECK(send(c.a, bytes, 1, MSG_OOB) == -1 && errno == EOPNOTSUPP);
		errno = 0;
		CHECK(pread(c.a, bytes, 1, 0) == -1 && errno == ESPIPE);
	}
	close_connection(&c);
}

TEST(the_end_of_the_stream_is_seen_on_another_core)
{
	struct connection c;
	char bytes[16];

	open_connection(&c, 0, 1);
	pin(2);
	set_nonblocking(c.b);
	errno = 0;
	CHECK(read(c.b, bytes, 1) == -1 && errno == EAGAIN);
	CHECK_EQ(wait_for(c.b, POLLOUT), POLLOUT);
	pin(0);
	CHECK_EQ(write(c.a, "last", 4), 4);
	CHECK_EQ(shutdown(c.a, SHUT_WR), 0);
	pin(2);
	CHECK_EQ(wait_for(c.b, POLLRDHUP) & (POLLIN | POLLRDHUP), POLLRDHUP);
	CHECK_EQ(read(c.b, bytes, sizeof(bytes)), 4);
	CHECK_EQ(read(c.b, bytes, sizeof(bytes)), 0);
	CHECK_EQ(read(c.b, bytes, sizeof(bytes)), 0);
	CHECK_EQ(write(c.b, "answer", 6), 6);
	CHECK_EQ(shutdown(c.b, SHUT_WR), 0);
	errno = 0;
	CHECK(send(c.b, "more", 4, MSG_NOSIGNAL) == -1 && errno == EPIPE);
	pin(0);
	CHECK_EQ(read_all(c.a, bytes, 6), true);
	CHECK_EQ(read(c.a, bytes, 1), 0);
	close_connection(&c);
}

TEST(a_reset_is_told_once_on_another_core)
{
	struct linger linger = { 1, 0 };
	struct connection c;
	char byte = 0;
	int error = -1;
	socklen_t length = sizeof(error);

	for (int way = 0; way < 3; way++) {
		open_connection(&c, 0, 1);
		pin(2);
		set_nonblocking(c.b);
		errno = 0;
		CHECK(read(c.b, &byte, 1) == -1 && errno == EAGAIN);
		setsockopt(c.a, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(c.a);
		CHECK_EQ(wait_for(c.b, POLLIN) & (POLLERR | POLLHUP), POLLERR | POLLHUP);
		errno = 0;
		if (way == 0) {
			CHECK(read(c.b, &byte, 1) == -1 && errno == ECONNRESET);
		} else if (way == 1) {
			CHECK(send(c.b, &byte, 1, MSG_NOSIGNAL) == -1 && errno == ECONNRESET);
		} else {
			CHECK_EQ(getsockopt(c.b, SOL_SOCKET, SO_ERROR, &error, &length), 0);
			CHECK_EQ(error, ECONNRESET);
		}
		CHECK_EQ(read(c.b, &byte, 1), 0);
		errno = 0;
		CHECK(send(c.b, &byte, 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
		c.a = -1;
		close_connection(&c);
	}
}

TEST(unread_bytes_in_the_ring_reset_at_close)
{
	struct connection c;
	char bytes[8];

	open_connection(&c, 0, 1);
	pin(2);
	CHECK_EQ(write(c.a, "unread", 6), 6);
	CHECK_EQ(recv(c.b, bytes, 1, MSG_PEEK), 1);
	close(c.b);
	c.b = -1;
	CHECK_EQ(wait_for(c.a, POLLIN) & (POLLERR | POLLHUP), POLLERR | POLLHUP);
	errno = 0;
	CHECK(read(c.a, bytes, 1) == -1 && errno == ECONNRESET);
	close_connection(&c);
}

TEST(a_full_ring_refuses_and_tells_of_room)
{
	static char bytes[40000];
	struct epoll_event event = { .events = EPOLLOUT | EPOLLET }, told;
	struct connection c;
	size_t sent = 0, received = 0;
	int set;
	ssize_t n;

	open_connection(&c, 0, 1);
	pin(2);
	set = epoll_create1(0);
	set_nonblocking(c.a);
	CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, c.a, &event), 0);
	CHECK_EQ(epoll_wait(set, &told, 1, 5000), 1);
	/* The window, lwIP's queues and the rings: more than all of them together. */
	while (sent < 4u << 20) {
		n = write(c.a, bytes, sizeof(bytes));
		if (n < 0) {
			CHECK_EQ(errno, EAGAIN);
			if (wait_for(c.a, POLLOUT) == 0)
				usleep(20000);
			if (epoll_wait(set, &told, 1, 100) == 0)
				break;
			continue;
		}
		sent += (size_t)n;
	}
	CHECK(sent > 100000 && sent < 4u << 20);
	/* What the reader takes makes room: an edge. */
	set_nonblocking(c.b);
	while (received < sent) {
		n = read(c.b, bytes, sizeof(bytes));
		if (n > 0)
			received += (size_t)n;
		else
			CHECK_EQ(wait_for(c.b, POLLIN), POLLIN);
		if (n == 0)
			break;
	}
	CHECK_EQ(received, sent);
	CHECK_EQ(epoll_wait(set, &told, 1, 5000), 1);
	CHECK_EQ(told.events, EPOLLOUT);
	close(set);
	close_connection(&c);
}

TEST(what_was_sent_arrives_after_close)
{
	static char bytes[400000], got[sizeof(bytes)];
	struct connection c;
	size_t sent = 0, received = 0;
	ssize_t n;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 13 + (i >> 9));
	open_connection(&c, 0, 1);
	pin(2);
	set_nonblocking(c.a);
	/* As much as goes in: part of it waits in the ring when the file ends. */
	while ((n = write(c.a, bytes + sent, sizeof(bytes) - sent)) > 0 ||
	       wait_for(c.a, POLLOUT) == POLLOUT) {
		sent += n > 0 ? (size_t)n : 0;
		if (sent >= 300000)
			break;
	}
	close(c.keeps_a);
	close(c.a);
	while ((n = read(c.b, got + received, sizeof(got) - received)) > 0)
		received += (size_t)n;
	CHECK_EQ(n, 0);
	CHECK_EQ(received, sent);
	CHECK_EQ(memcmp(bytes, got, received), 0);
	close(c.b);
	close(c.keeps_b);
}

/* ---- streams both ways ---- */

#define STREAM (600u << 10)

struct talker {
	int fd, core, seed;
	int moves_to; /* another core, in turns; or -1 */
	bool nonblocking;
	unsigned wrong;
};

static uint8_t byte_of(int seed, size_t at)
{
	return (uint8_t)(at * 31 + (at >> 8) * 7 + (size_t)seed * 101);
}

/* Send one stream and receive another, in pieces of random sizes, as they can be had. */
static void *talk(void *argument)
{
	struct talker *talker = argument;
	unsigned random = (unsigned)talker->seed * 2654435761u;
	size_t sent = 0, received = 0;
	char bytes[9000];

	pin(talker->core);
	while (sent < STREAM || received < STREAM) {
		size_t length = 1 + (random = random * 1103515245 + 12345) / 65536 % sizeof(bytes);
		int flags = talker->nonblocking ? 0 : MSG_DONTWAIT;
		short events = 0;
		ssize_t n;

		if (talker->moves_to >= 0 && random % 5 == 0)
			pin(random % 2 ? talker->core : talker->moves_to);
		if (random % 3 == 0)
			length = length % 100 + 1;
		if (sent < STREAM) {
			length = length < STREAM - sent ? length : STREAM - sent;
			for (size_t i = 0; i < length; i++)
				bytes[i] = (char)byte_of(talker->seed, sent + i);
			n = send(talker->fd, bytes, length, flags);
			if (n > 0)
				sent += (size_t)n;
			else
				events |= POLLOUT;
		}
		if (received < STREAM) {
			n = recv(talker->fd, bytes, sizeof(bytes), flags);
			for (ssize_t i = 0; i < n; i++)
				talker->wrong += (uint8_t)bytes[i] !=
						 byte_of(talker->seed ^ 1, received + (size_t)i);
			if (n > 0)
				received += (size_t)n;
			else
				events |= POLLIN;
			if (n == 0)
				break;
		}
		if (events && (events & POLLIN || received == STREAM))
			wait_for(talker->fd, events);
	}
	talker->wrong += received != STREAM;
	return NULL;
}

/* Both ends on the given cores; everything that is sent must come back as it was. */
static void talk_on(int core_a, int core_b, int moves_to)
{
	struct connection c;
	struct talker talkers[2];
	pthread_t threads[2];

	open_connection(&c, 0, 1);
	for (int i = 0; i < 2; i++) {
		talkers[i] = (struct talker){ i ? c.b : c.a, i ? core_b : core_a, i + 2,
					      moves_to,	     moves_to >= 0,	  0 };
		if (moves_to >= 0)
			set_nonblocking(talkers[i].fd);
		pthread_create(&threads[i], NULL, talk, &talkers[i]);
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		CHECK_EQ(talkers[i].wrong, 0);
	}
	close_connection(&c);
}

TEST(streams_between_all_cores_are_complete)
{
	for (int a = 0; a < test_cores && a < 4; a++)
		talk_on(a, (a + 1) % test_cores, -1);
	talk_on(1, 0, -1);
}

TEST(streams_of_threads_that_change_cores_are_complete)
{
	talk_on(1, 0, 0);
	talk_on(2, 3, 1);
}

/* Two threads on two cores read one connection in turns, and two write another. */
struct turns {
	int fd, core;
	bool writes;
	pthread_mutex_t *mutex;
	size_t *at;
	unsigned wrong;
};

static void *take_turns(void *argument)
{
	struct turns *turns = argument;
	unsigned char bytes[700];

	pin(turns->core);
	for (;;) {
		ssize_t n = 0;
		size_t at, length;

		pthread_mutex_lock(turns->mutex);
		at = *turns->at;
		length = 1 + at % sizeof(bytes);
		length = length < STREAM - at ? length : STREAM - at;
		if (length && turns->writes) {
			for (size_t i = 0; i < length; i++)
				bytes[i] = byte_of(9, at + i);
			n = write(turns->fd, bytes, length);
		} else if (length) {
			n = read(turns->fd, bytes, length);
			for (ssize_t i = 0; i < n; i++)
				turns->wrong += bytes[i] != byte_of(9, at + (size_t)i);
		}
		*turns->at += n > 0 ? (size_t)n : 0;
		pthread_mutex_unlock(turns->mutex);
		if (!length)
			return NULL;
		if (n <= 0)
			wait_for(turns->fd, turns->writes ? POLLOUT : POLLIN);
	}
}

TEST(two_cores_use_a_connection_in_turns)
{
	pthread_mutex_t mutexes[2] = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER };
	size_t at[2] = { 0, 0 };
	struct connection c;
	struct turns turns[4];
	pthread_t threads[4];

	open_connection(&c, 0, 1);
	set_nonblocking(c.a);
	set_nonblocking(c.b);
	for (int i = 0; i < 4; i++) {
		turns[i] =
		    (struct turns){ i < 2 ? c.a : c.b, i, i < 2, &mutexes[i < 2], &at[i < 2], 0 };
		pthread_create(&threads[i], NULL, take_turns, &turns[i]);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		CHECK_EQ(turns[i].wrong, 0);
	}
	CHECK_EQ(at[0], STREAM);
	CHECK_EQ(at[1], STREAM);
	close_connection(&c);
}

/* ---- handed on by threads that spin ---- */

/* As Redis does with its I/O threads: who has handed a connection on waits in a loop that never calls the
 * kernel, and has it back. */
struct relay {
	int fd;
	atomic_int turn; /* 0: the first thread's, 1: the other's, 2: the end */
	atomic_uint failed;
};

static void one_byte_each_way(struct relay *relay)
{
	char byte = 'x';

	if (write(relay->fd, &byte, 1) != 1 || read(relay->fd, &byte, 1) != 1)
		atomic_fetch_add(&relay->failed, 1);
}

static void *relay_on_core_1(void *argument)
{
	struct relay *relay = argument;
	int turn;

	pin(1);
	while ((turn = atomic_load(&relay->turn)) != 2) {
		if (turn != 1)
			continue;
		one_byte_each_way(relay);
		atomic_store(&relay->turn, 0);
	}
	return NULL;
}

/* A line with the columns' names, then one for each core. */
static long messages_to_core_1(void)
{
	char text[4096], *name, *at = text;
	int fd = open("/proc/lavra/cores", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = 0;
	name = strstr(text, " messages ");
	for (int line = 0; at && line < 2; line++)
		at = strchr(at + 1, '\n');
	for (const char *p = text; at && name && p <= name; p++)
		if (*p == ' ')
			at = strchr(at + 1, ' ');
	return at && name ? atol(at) : -1;
}

/* `alone`: how often in each round the first thread uses it on its own; its home is there. Returns how
 * many messages the other core was sent. */
static long hand_on(unsigned rounds, unsigned alone)
{
	static char bytes[8000];
	unsigned uses = rounds * (alone + 1);
	long messages;
	struct connection c;
	struct relay relay = { 0 };
	pthread_t thread;

	open_connection(&c, 0, 0);
	pin(0);
	CHECK_EQ(write(c.a, bytes, uses), uses);
	CHECK_EQ(wait_for(c.b, POLLIN), POLLIN);
	relay.fd = c.b;
	pthread_create(&thread, NULL, relay_on_core_1, &relay);
	messages = messages_to_core_1();
	for (unsigned i = 0; i < rounds; i++) {
		atomic_store(&relay.turn, 1);
		while (atomic_load(&relay.turn) != 0)
			;
		for (unsigned j = 0; j < alone; j++)
			one_byte_each_way(&relay);
	}
	messages = messages_to_core_1() - messages;
	atomic_store(&relay.turn, 2);
	pthread_join(thread, NULL);
	CHECK_EQ(atomic_load(&relay.failed), 0);
	CHECK(read_all(c.a, bytes, uses));
	close_connection(&c);
	return messages;
}

TEST(threads_that_spin_hand_a_connection_on)
{
	if (test_cores < 2) {
		test_skip_reason = "needs two cores";
		return;
	}
	/* It would answer at its tick. The few are the thread's own coming. */
	CHECK(hand_on(200, 1) < 20);
}

/* It goes back to direct use at home, and into rings again, while the other thread may be looking. */
TEST(a_connection_goes_in_and_out_of_rings)
{
	if (test_cores < 2) {
		test_skip_reason = "needs two cores";
		return;
	}
	hand_on(40, 150);
}

/* ---- many connections, ended in all ways ---- */

static long counted(const char *what)
{
	char text[4096], *line;
	int fd = open("/proc/lavra/totals", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = 0;
	line = strstr(text, what);
	return line ? atol(line + strlen(what)) : -1;
}

struct churn {
	int core;
	unsigned rounds;
};

static void *churn(void *argument)
{
	struct churn *churn = argument;
	unsigned random = (unsigned)churn->core * 977 + 5;
	char bytes[3000] = { 0 };

	for (unsigned i = 0; i < churn->rounds; i++) {
		struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP };
		struct linger linger = { 1, 0 };
		struct connection c;
		int set;

		open_connection(&c, churn->core, churn->core + 1 + (int)(random % 2));
		random = random * 1103515245 + 12345;
		pin((int)(random >> 16));
		set_nonblocking(c.a);
		set_nonblocking(c.b);
		set = epoll_create1(0);
		if (random & 1 << 17)
			epoll_ctl(set, EPOLL_CTL_ADD, c.b, &event);
		for (unsigned j = 0; j < (random >> 20) % 8; j++) {
			ssize_t n =
			    send(c.a, bytes, 1 + (random >> 9) % sizeof(bytes), MSG_NOSIGNAL);

			CHECK(n > 0 || errno == EAGAIN);
			if (j % 2)
				(void)!read(c.b, bytes, sizeof(bytes));
			epoll_wait(set, &event, 1, 0);
			if (random & 1 << 18)
				(void)!send(c.b, bytes, 100, MSG_NOSIGNAL);
		}
		if (random & 1 << 19)
			setsockopt(c.a, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		if (random & 1 << 21)
			shutdown(c.b, SHUT_WR);
		if (random & 1 << 22)
			close(set);
		close_connection(&c);
		if (!(random & 1 << 22))
			close(set);
	}
	return NULL;
}

TEST(connections_that_end_in_all_ways_leave_nothing)
{
	pthread_t threads[4];
	struct churn churns[4];
	long sockets = counted("sockets "), bytes = 0;

	/* The first turn fills caches that stay. */
	for (int turn = 0; turn < 2; turn++) {
		if (turn == 1)
			bytes = counted("object_bytes ");
		for (int i = 0; i < 4; i++) {
			churns[i] = (struct churn){ i, 25 };
			pthread_create(&threads[i], NULL, churn, &churns[i]);
		}
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
		for (int i = 0; i < 100 && (counted("sockets ") != sockets ||
					    counted("tcp_control_blocks ") > 0 ||
					    counted("tcp_time_wait ") > 0);
		     i++)
			usleep(100000);
		CHECK_EQ(counted("sockets "), sockets);
	}
	/* A connection with rings holds about 5 KiB; a hundred were opened. */
	CHECK(counted("object_bytes ") - bytes < 50000);
}
